"""A list in force takes certificates out of In-Use, whatever their rows say, and however they came."""

from pathlib import Path

import pytest
from support.list_builders import OTHER_KEY, SINCE, SINCE_TEXT, arrival, revoke
from support.mirror_builders import (
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
from smki_sync.mirror.journal import AfterLine, FromDate, read_changes, read_journal, start_after
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Kind
from smki_sync.model.report import CertificateCounts

SUPPLIER = entry(2, kind=Kind.ORGANISATION, role=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """1 a device, 2 a supplier, 3 of another issuer, 4 no longer In-Use."""
    found = tmp_path / "000001.db"
    build(found, [entry(1), SUPPLIER, entry(3, issuer=OTHER_ISSUER)])
    apply(found, november(10), [entry(4, "N")])
    return found


def revoked(path: Path) -> dict[str, tuple[int, str]]:
    """Serial to In-Use and since when, of those that a list revokes."""
    rows = ask(path, "SELECT serial, in_use, revoked FROM certificates WHERE revoked IS NOT NULL")
    return {serial: (in_use, since) for serial, in_use, since in rows}


def census(path: Path) -> CertificateCounts:
    with MirrorStore(path) as store:
        return store.census()


def check_books(path: Path) -> None:
    """Digest and counts are those of the rows."""
    assert held_digest(path) == digest_anew(path)
    counted = ask(path, "SELECT count(*), coalesce(sum(in_use), 0) FROM certificates")
    known = census(path)
    assert counted == [(known.total, known.in_use)]
    assert sum(known.by_status.values()) == known.total
    assert known.by_status.get("I", 0) == known.in_use


def test_a_revoked_certificate_is_not_in_use_whatever_its_status_says(path: Path) -> None:
    before = census(path)
    revoke(path, arrival(2))
    assert revoked(path) == {serial_of(2): (0, SINCE_TEXT)}
    assert ask(path, "SELECT status FROM certificates WHERE serial = ?", serial_of(2)) == [("I",)]
    after = census(path)
    assert (after.total, after.in_use) == (before.total, before.in_use - 1)
    assert dict(after.by_status) == {"I": 2, "N": 1, "revoked": 1}
    assert after.digest != before.digest
    check_books(path)


def test_the_position_and_the_ledger_are_untouched_by_a_list(path: Path) -> None:
    with MirrorStore(path) as store:
        before = store.position()
        store.apply_list(arrival(2), day=november(20))
        assert store.position() == before


def test_the_journal_says_what_a_list_revoked_and_which_list(path: Path) -> None:
    ground = journal(path)
    revoke(path, arrival(2, 4))
    assert journal(path) == [
        *ground,
        ("2026-11-20", "revoked", serial_of(2), "I", None),
        ("2026-11-20", "revoked", serial_of(4), "N", None),
    ]
    assert ask(path, "SELECT DISTINCT file FROM changes WHERE change = 'revoked'") == [("CRL.gz",)]


def test_a_serial_number_of_another_issuer_is_another_certificate(path: Path) -> None:
    revoke(path, arrival(3))
    assert revoked(path) == {}
    revoke(path, arrival(3, issuer=OTHER_ISSUER))
    assert list(revoked(path)) == [serial_of(3)]


def test_a_row_that_comes_later_for_a_revoked_serial_number_is_born_revoked(path: Path) -> None:
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
def test_what_a_delta_says_of_a_revoked_certificate_does_not_bring_it_back(path: Path, status: str) -> None:
    revoke(path, arrival(2, 4))
    apply(path, november(11), [entry(2, status, kind=Kind.ORGANISATION, role=2), entry(4, "I")])
    assert {serial: used for serial, (used, _) in revoked(path).items()} == {serial_of(2): 0, serial_of(4): 0}
    assert ask(path, "SELECT status FROM certificates WHERE serial = ?", serial_of(2)) == [(status,)]
    check_books(path)


def test_what_a_newer_list_no_longer_names_is_usable_again(path: Path) -> None:
    before = census(path)
    revoke(path, arrival(2))
    revoke(path, arrival(number=2), day=21)
    assert revoked(path) == {}
    assert journal(path)[-1] == ("2026-11-21", "unrevoked", serial_of(2), None, "I")
    assert census(path) == before
    check_books(path)


def test_a_newer_list_that_names_the_same_changes_no_row(path: Path) -> None:
    revoke(path, arrival(2))
    before = ask(path, "SELECT * FROM certificate"), journal(path), held_digest(path)
    assert revoke(path, arrival(2, number=2)) == []
    assert (ask(path, "SELECT * FROM certificate"), journal(path), held_digest(path)) == before


def test_another_time_on_a_newer_list_is_shown_and_is_no_change(path: Path) -> None:
    revoke(path, arrival(2))
    lines = journal(path)
    assert revoke(path, arrival(2, number=2, since=SINCE - 60)) == []
    assert revoked(path) == {serial_of(2): (0, "2025-11-21T04:39:00Z")}
    assert journal(path) == lines
    check_books(path)


def test_lists_of_two_keys_under_one_name_are_both_in_force(path: Path) -> None:
    revoke(path, arrival(1, 2))
    revoke(path, arrival(2, key=OTHER_KEY, since=SINCE + 60))
    assert revoked(path) == {serial_of(1): (0, SINCE_TEXT), serial_of(2): (0, SINCE_TEXT)}
    revoke(path, arrival(number=2))
    assert revoked(path) == {serial_of(2): (0, "2025-11-21T04:41:00Z")}
    check_books(path)


def test_a_serial_number_that_stands_twice_on_a_list_is_revoked_once(path: Path) -> None:
    assert len(revoke(path, arrival(2, 2))) == 1
    check_books(path)


def test_the_list_that_was_replaced_is_remembered_without_its_bytes(path: Path) -> None:
    revoke(path, arrival(2))
    revoke(path, arrival(2, number=2))
    rows = ask(path, "SELECT number, in_force, der IS NULL FROM revocation_list ORDER BY id")
    assert rows == [("1", 0, 1), ("2", 1, 0)]


def test_a_number_of_twenty_octets_is_kept_whole(path: Path) -> None:
    revoke(path, arrival(2, number=2**159 - 1))
    with open_mirror(path) as db:
        (held,) = revocation.read_lists(db)
    assert held.number == 2**159 - 1


def test_a_list_whose_signer_the_mirror_does_not_hold_in_use_says_so(path: Path) -> None:
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


def test_a_resync_carries_the_lists_over_and_says_nothing_new(path: Path, tmp_path: Path) -> None:
    revoke(path, arrival(2, 3, 4))
    new = tmp_path / "000002.db"
    lines = journal(path)
    build(new, [entry(1), SUPPLIER, entry(3, issuer=OTHER_ISSUER)], day=november(16), old=path)
    assert list(revoked(new)) == list(revoked(path)) == [serial_of(2), serial_of(4)]
    assert journal(new) == lines
    for table in ("revocation", "revocation_list"):
        assert ask(new, f"SELECT * FROM {table}") == ask(path, f"SELECT * FROM {table}")
    check_books(new)


def test_a_revoked_certificate_that_a_full_no_longer_lists_is_withdrawn_too(
    path: Path, tmp_path: Path
) -> None:
    revoke(path, arrival(2))
    new = tmp_path / "000002.db"
    build(new, [entry(1), entry(3, issuer=OTHER_ISSUER)], day=november(16), old=path)
    assert ask(new, "SELECT withdrawn, revoked FROM certificates WHERE serial = ?", serial_of(2)) == [
        ("2026-11-16", SINCE_TEXT)
    ]
    assert dict(census(new).by_status) == {"I": 2, "N": 1, "withdrawn": 1}
    check_books(new)


def test_what_a_full_or_its_overlap_brings_for_a_revoked_serial_number_is_born_revoked(
    path: Path, tmp_path: Path
) -> None:
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


def test_a_list_that_breaks_in_the_middle_leaves_everything_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(path)

    def broken(*_: object, **__: object) -> None:
        raise MirrorDamaged("the disk")

    monkeypatch.setattr("smki_sync.mirror.ledger.write_state", broken)
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
def test_whoever_follows_the_journal_by_date_misses_no_revocation(
    path: Path, day: int, expected: list[str]
) -> None:
    apply(path, november(11), [entry(7)])
    revoke(path, arrival(7), day=20)
    apply(path, november(12), [entry(9)])
    with open_mirror(path) as db:
        start = start_after(db, read_journal(db), FromDate(day=november(day)))
        assert isinstance(start, int)
        assert [line.change for line in read_changes(db, start)] == expected


def test_a_line_of_a_list_has_its_place_among_the_others(path: Path) -> None:
    revoke(path, arrival(2))
    with open_mirror(path) as db:
        known = read_journal(db)
        assert start_after(db, known, AfterLine(sequence=known.last)) == known.last
        last = list(read_changes(db, known.last - 1))
    assert [(line.change, line.file, line.serial) for line in last] == [("revoked", "CRL.gz", serial_of(2))]
