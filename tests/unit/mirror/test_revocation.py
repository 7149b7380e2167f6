"""Lists in force, the rows that they revoke, revoked authorities, companion files."""

import sqlite3
from base64 import b64encode
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from support.defects import PKI, Plan, certified, made, signer
from support.list_builders import KEY, OTHER_KEY, SINCE, SINCE_TEXT, arrival, revoke
from support.list_pki import ISSUING, Form, octets
from support.mirror_builders import (
    ISSUER,
    NOW,
    OTHER_ISSUER,
    apply,
    ask,
    build,
    digest_anew,
    dump,
    entry,
    held_digest,
    journal,
    november,
    serial_of,
)

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror import revocation
from smki_sync.mirror.connection import connect
from smki_sync.mirror.journal import AfterLine, FromDate, read_changes, read_journal, start_after
from smki_sync.mirror.queries import CertificateFilter, find, open_mirror
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Claims, Entry, Kind, Serial
from smki_sync.model.extract import RemoteFile, Revoked
from smki_sync.model.report import CertificateCounts, NoticeCode
from smki_sync.records import parse_record
from smki_sync.trust.revocation_lists import Refusal, read_list
from smki_sync.usability import UnusableReason, rule_at

SUPPLIER = entry(2, kind=Kind.ORGANISATION, role=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A mirror: 1 is a device, 2 a supplier, 3 of another issuer, 4 not In-Use."""
    found = tmp_path / "000001.db"
    build(found, [entry(1), SUPPLIER, entry(3, issuer=OTHER_ISSUER)])
    apply(found, november(10), [entry(4, "N")])
    return found


def revoked(path: Path) -> dict[str, tuple[int, str]]:
    """Serial number to In-Use and since when, of those that a list revokes."""
    rows = ask(path, "SELECT serial, in_use, revoked FROM certificates WHERE revoked IS NOT NULL")
    return {serial: (in_use, since) for serial, in_use, since in rows}


def census(path: Path) -> CertificateCounts:
    with MirrorStore(path) as store:
        return store.counts()


def check_books(path: Path) -> None:
    """Check that digest and counts are those of the rows."""
    assert held_digest(path) == digest_anew(path)
    counted = ask(path, "SELECT count(*), coalesce(sum(in_use), 0) FROM certificates")
    known = census(path)
    assert counted == [(known.total, known.in_use)]
    assert sum(known.by_status.values()) == known.total
    assert known.by_status.get("I", 0) == known.in_use


def test_a_revoked_certificate_is_not_in_use(path: Path) -> None:
    before = census(path)
    revoke(path, arrival(2))
    assert revoked(path) == {serial_of(2): (0, SINCE_TEXT)}
    assert ask(path, "SELECT status FROM certificates WHERE serial = ?", serial_of(2)) == [("I",)]
    after = census(path)
    assert (after.total, after.in_use) == (before.total, before.in_use - 1)
    assert dict(after.by_status) == {"I": 2, "N": 1, "revoked": 1}
    assert after.digest != before.digest
    check_books(path)


def test_apply_list_does_not_move_the_position(path: Path) -> None:
    with MirrorStore(path) as store:
        before = store.position()
        store.apply_list(arrival(2), day=november(20))
        assert store.position() == before


def test_apply_list_writes_the_journal(path: Path) -> None:
    ground = journal(path)
    revoke(path, arrival(2, 4))
    assert journal(path) == [
        *ground,
        ("2026-11-20", "revoked", serial_of(2), "I", None),
        ("2026-11-20", "revoked", serial_of(4), "N", None),
    ]
    assert ask(path, "SELECT DISTINCT file FROM changes WHERE change = 'revoked'") == [("CRL.gz",)]


def test_a_list_revokes_only_certificates_of_its_issuer(path: Path) -> None:
    revoke(path, arrival(3))
    assert revoked(path) == {}
    revoke(path, arrival(3, issuer=OTHER_ISSUER))
    assert list(revoked(path)) == [serial_of(3)]


def test_a_certificate_is_revoked_when_its_list_came_first(path: Path) -> None:
    revoke(path, arrival(7))
    apply(path, november(11), [entry(7), entry(8)])
    assert revoked(path) == {serial_of(7): (0, SINCE_TEXT)}
    assert journal(path)[-3:] == [
        ("2026-11-11", "added", serial_of(7), None, "I"),
        ("2026-11-11", "added", serial_of(8), None, "I"),
        ("2026-11-11", "revoked", serial_of(7), "I", None),
    ]
    check_books(path)


@pytest.mark.parametrize("status", ["I", "N", "R"])
def test_a_delta_does_not_undo_a_revocation(path: Path, status: str) -> None:
    revoke(path, arrival(2, 4))
    apply(path, november(11), [entry(2, status, kind=Kind.ORGANISATION, role=2), entry(4, "I")])
    assert {serial: used for serial, (used, _) in revoked(path).items()} == {serial_of(2): 0, serial_of(4): 0}
    assert ask(path, "SELECT status FROM certificates WHERE serial = ?", serial_of(2)) == [(status,)]
    check_books(path)


def test_a_newer_list_can_undo_a_revocation(path: Path) -> None:
    before = census(path)
    revoke(path, arrival(2))
    revoke(path, arrival(number=2), day=21)
    assert revoked(path) == {}
    assert journal(path)[-1] == ("2026-11-21", "unrevoked", serial_of(2), None, "I")
    assert census(path) == before
    check_books(path)


def test_a_newer_list_with_the_same_entries_changes_no_row(path: Path) -> None:
    revoke(path, arrival(2))
    before = ask(path, "SELECT * FROM certificate"), journal(path), held_digest(path)
    assert revoke(path, arrival(2, number=2)) == []
    assert (ask(path, "SELECT * FROM certificate"), journal(path), held_digest(path)) == before


def test_another_revocation_date_is_not_a_change(path: Path) -> None:
    revoke(path, arrival(2))
    lines = journal(path)
    assert revoke(path, arrival(2, number=2, since=SINCE - 60)) == []
    assert revoked(path) == {serial_of(2): (0, "2025-11-21T04:39:00Z")}
    assert journal(path) == lines
    check_books(path)


def test_lists_of_two_keys_are_both_in_force(path: Path) -> None:
    revoke(path, arrival(1, 2))
    revoke(path, arrival(2, key=OTHER_KEY, since=SINCE + 60))
    assert revoked(path) == {serial_of(1): (0, SINCE_TEXT), serial_of(2): (0, SINCE_TEXT)}
    revoke(path, arrival(number=2))
    assert revoked(path) == {serial_of(2): (0, "2025-11-21T04:41:00Z")}
    check_books(path)


def test_a_repeated_entry_revokes_once(path: Path) -> None:
    assert len(revoke(path, arrival(2, 2))) == 1
    check_books(path)


def test_a_replaced_list_is_kept_without_its_content(path: Path) -> None:
    revoke(path, arrival(2))
    revoke(path, arrival(2, number=2))
    rows = ask(path, "SELECT number, in_force, der IS NULL FROM revocation_list ORDER BY id")
    assert rows == [("1", 0, 1), ("2", 1, 0)]


def test_a_number_of_20_bytes_is_stored(path: Path) -> None:
    revoke(path, arrival(2, number=2**159 - 1))
    with open_mirror(path) as db:
        (held,) = revocation.read_lists(db)
    assert held.number == 2**159 - 1


def test_signer_in_use_is_false_when_the_signer_is_unknown(path: Path) -> None:
    signer = arrival().list.issuer
    revoke(path, arrival(1))
    apply(path, november(11), [entry(0x41, kind=Kind.OCA, subject=signer)])
    key = f"{0x41:016X}"
    with MirrorStore(path) as store:
        store.apply_list(arrival(2, key=type(OTHER_KEY)(key)), day=november(20))
    with open_mirror(path) as db:
        assert [(held.key_id, held.signer_in_use) for held in revocation.read_lists(db)] == [
            (key, True),
            (arrival().signer, False),
        ]


def test_a_resync_keeps_the_lists(path: Path, tmp_path: Path) -> None:
    revoke(path, arrival(2, 3, 4))
    new = tmp_path / "000002.db"
    lines = journal(path)
    build(new, [entry(1), SUPPLIER, entry(3, issuer=OTHER_ISSUER)], day=november(16), old=path)
    assert list(revoked(new)) == list(revoked(path)) == [serial_of(2), serial_of(4)]
    assert journal(new) == lines
    for table in ("revocation", "revocation_list"):
        assert ask(new, f"SELECT * FROM {table}") == ask(path, f"SELECT * FROM {table}")
    check_books(new)


def test_a_revoked_certificate_is_withdrawn_when_it_is_unlisted(path: Path, tmp_path: Path) -> None:
    revoke(path, arrival(2))
    new = tmp_path / "000002.db"
    build(new, [entry(1), entry(3, issuer=OTHER_ISSUER)], day=november(16), old=path)
    assert ask(new, "SELECT withdrawn, revoked FROM certificates WHERE serial = ?", serial_of(2)) == [
        ("2026-11-16", SINCE_TEXT)
    ]
    assert dict(census(new).by_status) == {"I": 2, "N": 1, "withdrawn": 1}
    check_books(new)


def test_a_resync_revokes_new_certificates(path: Path, tmp_path: Path) -> None:
    revoke(path, arrival(7, 8))
    new = tmp_path / "000002.db"
    build(
        new,
        [entry(1), SUPPLIER, entry(7)],
        day=november(16),
        old=path,
        overlap=[(november(15), [entry(8)]), (november(16), [entry(8), entry(2, "N")])],
    )
    assert list(revoked(new)) == [serial_of(7), serial_of(8)]
    assert [line[1:3] for line in journal(new)[-2:]] == [("revoked", serial_of(7)), ("revoked", serial_of(8))]
    check_books(new)


def test_apply_list_changes_nothing_when_it_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(path)

    def broken(*_: object, **__: object) -> None:
        raise MirrorDamaged("the disk")

    monkeypatch.setattr("smki_sync.mirror.set_digest.write_state", broken)
    with pytest.raises(MirrorDamaged):
        revoke(path, arrival(1, 2))
    assert dump(path) == before


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (11, ["added", "revoked", "added"]),
        (12, ["revoked", "added"]),
        (20, ["revoked", "added"]),
        (21, []),
    ],
)
def test_the_journal_by_date_contains_revocations(path: Path, day: int, expected: list[str]) -> None:
    apply(path, november(11), [entry(7)])
    revoke(path, arrival(7), day=20)
    apply(path, november(12), [entry(9)])
    with open_mirror(path) as db:
        start = start_after(db, read_journal(db), FromDate(day=november(day)))
        assert isinstance(start, int)
        assert [line.change for line in read_changes(db, start)] == expected


def test_the_journal_orders_revocations(path: Path) -> None:
    revoke(path, arrival(2))
    with open_mirror(path) as db:
        known = read_journal(db)
        assert start_after(db, known, AfterLine(sequence=known.last)) == known.last
        last = list(read_changes(db, known.last - 1))
    assert [(line.change, line.file, line.serial) for line in last] == [("revoked", "CRL.gz", serial_of(2))]


# Names and serial numbers.


@pytest.mark.parametrize("issuer", ["CN=e357", "CN= E357 ", "CN=\uff25357"])
def test_a_list_revokes_certificates_with_an_equal_issuer_name(path: Path, issuer: str) -> None:
    """RFC 5280 7.1. Whether the certificate comes before or after the list does not matter."""
    apply(path, november(11), [entry(5, issuer=issuer)])
    revoke(path, arrival(5, 6))
    assert revoked(path) == {serial_of(5): (0, SINCE_TEXT)}
    apply(path, november(12), [entry(6, issuer=issuer)])
    assert list(revoked(path)) == [serial_of(5), serial_of(6)]
    assert ask(path, "SELECT DISTINCT revoked_by FROM certificates WHERE revoked IS NOT NULL") == [
        ("CRL.gz number 1",)
    ]
    check_books(path)


def test_a_newer_list_replaces_one_with_an_equal_issuer_name(path: Path) -> None:
    revoke(path, arrival(1, 2))
    revoke(path, arrival(2, issuer="CN=e357", number=2))
    assert list(revoked(path)) == [serial_of(2)]
    revoke(path, arrival(number=3))
    assert revoked(path) == {}
    check_books(path)


def test_a_resync_keeps_revocations_of_equal_issuer_names(path: Path, tmp_path: Path) -> None:
    revoke(path, arrival(5))
    new = tmp_path / "000002.db"
    build(new, [entry(1), entry(5, issuer="CN=e357")], day=november(16), old=path)
    assert list(revoked(new)) == [serial_of(5)]


def test_a_negative_serial_number_is_another_one(path: Path) -> None:
    negative, positive = Serial("-01"), Serial("FF")
    both = [
        entry(n)._replace(facts=entry(n).facts._replace(serial=serial), der=b"body %d" % n)
        for n, serial in ((7, negative), (8, positive))
    ]
    apply(path, november(11), both)
    assert ask(path, "SELECT count(*) FROM certificates WHERE serial IN ('-01', 'FF')") == [(2,)]
    one = arrival()
    crl = replace(one, list=replace(one.list, revoked=(Revoked(negative, SINCE),)))
    revoke(path, crl)
    assert list(revoked(path)) == [negative]


# Scopes, and forgotten lists.


def test_lists_of_different_scopes_are_in_force_together(path: Path) -> None:
    revoke(path, arrival(1, 2, number=5))
    partial = arrival(number=9)
    revoke(path, replace(partial, list=replace(partial.list, scope="3003820101")))
    assert list(revoked(path)) == [serial_of(1), serial_of(2)]
    with open_mirror(path) as db:
        assert sorted(held.scope for held in revocation.read_lists(db)) == ["", "3003820101"]
    revoke(path, arrival(2, number=6))
    assert list(revoked(path)) == [serial_of(2)]


def test_a_forgotten_list_stays_in_force_until_it_is_replaced(path: Path) -> None:
    revoke(path, arrival(1, 2, number=99))
    with MirrorStore(path) as store:
        assert store.mark_lists_forgotten("CN=other") == 0
        assert store.mark_lists_forgotten(ISSUER.lower().replace("cn", "CN")) == 1
    assert list(revoked(path)) == [serial_of(1), serial_of(2)]
    with open_mirror(path) as db:
        assert [held.forgotten for held in revocation.read_lists(db)] == [True]
    revoke(path, arrival(2, number=1))
    with MirrorStore(path) as store:
        assert store.drop_forgotten_lists(day=november(20), at=NOW) == []
    assert list(revoked(path)) == [serial_of(2)]
    assert journal(path)[-1] == ("2026-11-20", "unrevoked", serial_of(1), None, "I")
    check_books(path)


def test_a_forgotten_list_without_successor_is_dropped(path: Path) -> None:
    revoke(path, arrival(2, number=99))
    with MirrorStore(path) as store:
        assert store.mark_lists_forgotten(str(KEY).lower()) == 1
        changed = store.drop_forgotten_lists(day=november(21), at=NOW)
        assert store.drop_forgotten_lists(day=november(21), at=NOW) == []
    assert [one.change for one in changed] == ["unrevoked"]
    assert revoked(path) == {}
    assert journal(path)[-2:] == [
        ("2026-11-20", "revoked", serial_of(2), "I", None),
        ("2026-11-21", "unrevoked", serial_of(2), None, "I"),
    ]
    check_books(path)


def test_drop_forgotten_lists_does_nothing_without_lists(path: Path) -> None:
    with MirrorStore(path) as store:
        assert store.drop_forgotten_lists(day=november(21), at=NOW) == []


# Revoked authorities.

AUTHORITY_KEY = f"{0x41:016X}"


def authority(status: str = "I", *, issuer: str = OTHER_ISSUER) -> Entry:
    return entry(0x41, status, kind=Kind.OCA, role=7, subject=ISSUER, issuer=issuer)


def issuer_revoked(path: Path) -> list[str]:
    rows = ask(path, "SELECT serial FROM certificates WHERE issuer_revoked IS NOT NULL ORDER BY serial")
    return [serial for (serial,) in rows]


@pytest.mark.parametrize("by", ["status", "list"])
def test_a_revoked_authority_marks_what_is_below_it(path: Path, by: str) -> None:
    apply(path, november(11), [authority()])
    assert issuer_revoked(path) == []
    if by == "status":
        apply(path, november(12), [authority("R")])
    else:
        revoke(path, arrival(0x41, issuer=OTHER_ISSUER))
    below = [serial_of(1), serial_of(2), serial_of(4)]
    assert issuer_revoked(path) == below
    assert ask(path, "SELECT count(*) FROM certificate WHERE revoked IS NOT NULL") == [(by == "list",)]
    with open_mirror(path) as db:
        (impact,) = revocation.count_below_revoked(db)
        above = revocation.revoked_above(db, serial_of(1), ISSUER)
        assert revocation.revoked_above(db, serial_of(3), OTHER_ISSUER) is None
    assert (impact.subject, impact.serial, impact.certificates) == (ISSUER, serial_of(0x41), 2)
    assert above is not None
    assert (above.subject, above.serial, above.since) == (ISSUER, serial_of(0x41), impact.since)
    assert [line[1] for line in journal(path)][-1] in ("status", "revoked")
    check_books(path)


def test_an_authority_in_use_again_clears_the_mark(path: Path) -> None:
    apply(path, november(11), [authority("R")])
    assert issuer_revoked(path)
    apply(path, november(12), [authority("I")])
    assert issuer_revoked(path) == []
    with open_mirror(path) as db:
        assert revocation.count_below_revoked(db) == ()


def test_a_revoked_root_marks_what_is_below_its_authorities(path: Path) -> None:
    root = entry(0x42, "R", kind=Kind.OCA, role=0, subject=OTHER_ISSUER, issuer=OTHER_ISSUER)
    apply(path, november(11), [authority(), root])
    assert set(issuer_revoked(path)) >= {serial_of(1), serial_of(2), serial_of(0x41)}
    assert ask(path, "SELECT DISTINCT serial FROM revoked_authority") == [(serial_of(0x42),)]


def test_a_resync_keeps_the_mark(path: Path, tmp_path: Path) -> None:
    apply(path, november(11), [authority("R")])
    new = tmp_path / "000002.db"
    build(new, [entry(1), SUPPLIER], day=november(16), old=path)
    assert set(issuer_revoked(new)) >= {serial_of(1), serial_of(2)}


def test_only_certificates_of_the_revoked_key_are_marked(tmp_path: Path) -> None:
    """Real certificates, whose authority key identifiers tell two keys of one name apart."""
    ours, theirs = (PKI.dca, signer(PKI.dca.name))
    bodies = [certified(ours, PKI.dca_root), certified(theirs, PKI.dca_root)]
    bodies += [made(Plan(), ours), made(Plan(), theirs), made(Plan(aki=None), theirs)]
    records = [
        parse_record(n, Claims(body=b64encode(der).decode(), status="R" if n == 1 else "I"))
        for n, der in enumerate(bodies, 1)
    ]
    path = tmp_path / "000001.db"
    build(path, records)
    marked = ask(path, "SELECT der FROM certificates WHERE issuer_revoked IS NOT NULL ORDER BY rowid")
    assert {der for (der,) in marked} == {bodies[2], bodies[4]}  # the last one names no key


# The rule, in SQL and in Python.


def list_until(path: Path, **other: object) -> dict[str, str | None]:
    """Bring a list into force; return ``revocation_until`` by serial number."""
    revoke(path, replace(arrival(0x77), **other))  # type: ignore[arg-type]  # as the test names them
    rows = ask(path, "SELECT serial, revocation_until FROM certificates ORDER BY serial")
    return dict(rows)


def test_revocation_until_is_next_update_of_the_issuers_list(path: Path) -> None:
    apply(path, november(11), [authority(), entry(0x43, kind=Kind.ORGANISATION, issuer=OTHER_ISSUER)])
    assert not any(dict(ask(path, "SELECT serial, revocation_until FROM certificates")).values())
    until = list_until(path)
    assert until[serial_of(2)] is not None
    assert until == {serial: until[serial_of(2)] if serial == serial_of(2) else None for serial in until}


def test_revocation_until_ignores_a_partial_list(path: Path) -> None:
    assert list_until(path)[serial_of(2)] is not None
    with closing(connect(path)) as db:
        db.execute("UPDATE revocation_list SET complete = 0")
    assert ask(path, "SELECT revocation_until FROM certificates WHERE kind = 'organisation'") == [(None,)]


def test_list_is_stored_as_partial_if_its_scope_is(path: Path) -> None:
    found = arrival(0x77)
    scope = "3003" + "8201FF"
    revoke(path, replace(found, list=replace(found.list, scope=scope)))
    assert ask(path, "SELECT complete FROM revocation_list") == [(0,)]


def test_view_gives_the_reason_that_the_rule_gives(path: Path) -> None:
    today = datetime.now(UTC)
    past, later = today - timedelta(days=9), today + timedelta(days=9)
    apply(path, november(11), [authority("R"), *(entry(0x50 + n, s) for n, s in enumerate("PINERI"))])
    apply(path, november(12), [entry(0x60 + n, issuer=OTHER_ISSUER) for n in range(4)])
    revoke(path, arrival(0x60, issuer=OTHER_ISSUER))
    with closing(connect(path)) as db:
        for n, column, moment in ((0x61, "not_after", past), (0x62, "not_before", later)):
            sql = f"UPDATE certificate SET {column} = ? WHERE serial = ?"
            db.execute(sql, (int(moment.timestamp()), serial_of(n)))
        db.execute("UPDATE certificate SET withdrawn = 20000 WHERE serial = ?", (serial_of(0x63),))
    in_view: dict[str, str | None] = dict(ask(path, "SELECT serial, unusable FROM certificates"))
    with open_mirror(path) as db:
        found = find(db, CertificateFilter(any_status=True), rule_at(today))
        assert {c.serial: c.unusable for c in found} == in_view
    expected = {*UnusableReason, None} - {UnusableReason.REVOCATION_UNKNOWN, UnusableReason.SIGNATURE_FALSE}
    assert set(in_view.values()) == expected


# Times that cannot be written.


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (253_402_300_799 + 86_399, "9999-12-31T23:59:59Z"),
        (-62_167_219_200, "0000-01-01T00:00:00Z"),
        (-62_167_219_201, "0000-01-01T00:00:00Z"),
        (10**17, "9999-12-31T23:59:59Z"),
    ],
)
def test_every_stored_time_is_displayed(path: Path, stored: int, shown: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE certificate SET not_before = ?1, not_after = ?1, revoked = ?1", (stored,))
    rows = ask(path, "SELECT DISTINCT not_before, not_after, revoked FROM certificates")
    assert rows == [(shown, shown, shown)]


# Upgrade.


def test_upgrade_lists_fills_scope_and_equal_names(path: Path) -> None:
    user = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    crl = read_list(octets(ISSUING, Form(extensions=((user, True),))))
    revoke(path, replace(arrival(), list=crl))
    revoke(path, arrival(5))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO issuer (name) VALUES ('CN=e357')")
        db.execute("UPDATE revocation_list SET scope = ''")
        db.execute("UPDATE issuer SET same_as = NULL")
    with closing(connect(path)) as mirror, mirror:
        revocation.upgrade_lists(mirror)
    assert {scope for (scope,) in ask(path, "SELECT scope FROM revocation_list")} == {crl.scope, ""}
    assert crl.scope
    assert ask(path, "SELECT count(*) FROM issuer WHERE same_as IS NOT NULL") == [(1,)]


# Companion files.


def companion(name: str = "CRL.gz", content: bytes = b"content") -> revocation.StoredCompanion:
    return revocation.StoredCompanion(file=RemoteFile(name=name, size=len(content)), content=content)


REFUSAL = Refusal(code=NoticeCode.LIST_UNREADABLE, why="no")
AT = "2026-11-20T00:00:00Z"


def test_remove_other_companions_deletes_what_is_no_longer_offered(path: Path) -> None:
    with MirrorStore(path) as store:
        for name in ("a", "b", "c"):
            store.store_companion(companion(name), at=AT)
        store.remove_other_companions({"b"})
    assert ask(path, "SELECT name FROM companion") == [("b",)]
    with open_mirror(path) as db:
        assert revocation.read_companion(db, "a") is None
        assert revocation.read_companion(db, "b") == companion("b")


def test_store_refused_bounds_the_evidence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "EVIDENCE_BYTES", 100)
    monkeypatch.setattr(revocation, "EVIDENCE_COUNT", 3)
    with MirrorStore(path) as store:
        for n in range(5):
            store.store_refused_companion(companion(content=b"%d" % n), REFUSAL, at=AT)
        assert ask(path, "SELECT content FROM refused_companion") == [(b"2",), (b"3",), (b"4",)]
        store.store_refused_companion(companion(content=b"x" * 99), REFUSAL, at=AT)
        assert ask(path, "SELECT length(content) FROM refused_companion") == [(1,), (99,)]
        store.store_refused_companion(companion(content=b"x" * 999), REFUSAL, at=AT)
    assert ask(path, "SELECT length(content) FROM refused_companion") == [(999,)]


def test_known_refusal_remembers_bytes_of_this_parser_version(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MirrorStore(path) as store:
        store.store_refused_companion(companion(), REFUSAL, at=AT)
    with open_mirror(path) as db:
        assert revocation.known_refusal(db, companion(), REFUSAL.code) == "no"
        assert revocation.known_refusal(db, companion(content=b"other"), REFUSAL.code) is None
        monkeypatch.setattr(revocation, "PARSER_VERSION", 99)
        assert revocation.known_refusal(db, companion(), REFUSAL.code) is None
