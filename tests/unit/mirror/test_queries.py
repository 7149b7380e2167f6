"""The view made for people, its indexes, and every question that can be asked of it."""

import os
from collections.abc import Callable
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from support.mirror_builders import (
    ISSUER,
    NOW,
    OTHER_ISSUER,
    apply,
    ask,
    build,
    der_of,
    entry,
    eui_of,
    november,
    rejected,
    serial_of,
)

from smki_sync.errors import MirrorDamaged, MirrorNotWritable, ResourceError
from smki_sync.mirror.queries import (
    Certificate,
    EuiIs,
    Fingerprint,
    Identity,
    SerialIs,
    SkiIs,
    find_certificates,
    open_mirror,
    read_counts,
    read_incidents,
    read_position,
    read_quarantine,
)
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Flag, KeyId, Kind, RejectReason, Serial, Usage
from smki_sync.usability import RevocationState, UsabilityRule

DELTA_17 = "SMKIKR_DELT_2026-11-17.xml.gz"
SHA1 = sha1(der_of(2), usedforsecurity=False).digest()
PROMISED = [
    "eui",
    "kind",
    "role",
    "usage",
    "status",
    "in_use",
    "serial",
    "issuer",
    "subject",
    "not_before",
    "not_after",
    "ski",
    "manufacturing",
    "first_seen",
    "last_changed",
    "withdrawn",
    "der",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Device 1 has two in use; 2 is an organisation's; 3 withdrawn; 4 expired; 5 of another issuer."""
    first, found = tmp_path / "000001.db", tmp_path / "000002.db"
    supplier = entry(2, kind=Kind.ORGANISATION, role=2, subject="OU=02", manufacturing=False)
    device = [entry(1), entry(11, eui=eui_of(1), usage=Usage.KEY_AGREEMENT, manufacturing=True)]
    build(first, [*device, supplier, entry(3), entry(4), entry(1, issuer=OTHER_ISSUER, eui=eui_of(5))])
    others = [supplier, entry(1, issuer=OTHER_ISSUER, eui=eui_of(5))]
    build(found, [*device, *others], day=november(16), old=first, overlap=[(november(16), [entry(4, "E")])])
    apply(found, november(17), [entry(6, "P", flags=Flag.STRICT_PARSER_REFUSES), rejected(2)])
    return found


RULE = UsabilityRule(at="2026-11-22T00:00:00Z")


def find(path: Path, identity: Identity, **narrowed: object) -> list[Certificate]:
    with open_mirror(path) as db:
        return find_certificates(db, identity, RULE, **narrowed)  # type: ignore[arg-type]  # as the test names them


def test_the_view_has_the_promised_columns_first_and_in_order(path: Path) -> None:
    columns = [name for _, name, *_ in ask(path, "PRAGMA table_info(certificates)")]
    assert columns[: len(PROMISED)] == PROMISED
    later = [*("flags", "file", "revoked", "revoked_by", "revocation_reason", "unproven", "issuer_revoked")]
    later += ["revoked_authority", "revocation_until", "unusable"]
    assert columns[len(PROMISED) :] == later


def test_a_device_reads_in_the_field_s_notation(path: Path) -> None:
    row = ask(path, "SELECT * FROM certificates WHERE serial = ? AND issuer = ?", "1A01", ISSUER)
    assert row == [
        (
            "00-DB-12-34-56-78-00-01",
            "device",
            None,
            "DS",
            "I",
            1,
            "1A01",
            "CN=E357",
            "",
            "2025-11-01T12:26:40Z",
            "9999-12-31T23:59:59Z",
            "0000000000000001",
            None,
            "2026-11-09",
            "2026-11-09",
            None,
            der_of(1),
            0,
            "SMKIKR_FULL_2026-11-09.xml.gz",
            None,
            None,
            None,
            0,
            None,
            None,
            None,
            None,
        )
    ]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_is_shown_by_its_name(tmp_path: Path, kind: Kind) -> None:
    found = tmp_path / "000001.db"
    build(found, [entry(1, kind=kind)])
    apply(found, november(10), [entry(2, kind=kind)])
    assert ask(found, "SELECT DISTINCT kind FROM certificates") == [(kind.value,)]
    assert ask(found, "SELECT kind FROM changes") == [(kind.value,)]


@pytest.mark.parametrize(
    ("status", "in_use"), [("P", 0), ("I", 1), ("N", 0), ("E", 0), ("R", 0)], ids=list("PINER")
)
def test_only_status_i_is_in_use(tmp_path: Path, status: str, in_use: int) -> None:
    found = tmp_path / "000001.db"
    build(found, [entry(1, status)])
    assert ask(found, "SELECT status, in_use FROM certificates") == [(status, in_use)]


def test_a_withdrawn_one_shows_since_when(path: Path) -> None:
    row = ask(path, "SELECT status, in_use, withdrawn FROM certificates WHERE serial = ?", serial_of(3))
    assert row == [("I", 0, "2026-11-16")]


def test_the_journal_reads_in_the_contract_s_words(path: Path) -> None:
    columns = [name for _, name, *_ in ask(path, "PRAGMA table_info(changes)")]
    promised = ["sequence", "date", "change", "kind", "eui", "serial", "issuer", "from", "to", "file"]
    assert columns == [*promised, "recorded"]
    known = ", ".join(f'"{name}"' for name in columns[:-1])
    assert ask(path, f"SELECT {known} FROM changes WHERE change = 'added'") == [
        (3, "2026-11-17", "added", "device", eui_of(6), serial_of(6), ISSUER, None, "P", DELTA_17)
    ]


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("eui = '00-DB-12-34-56-78-00-01'", "certificate_eui"),
        ("serial = '1A01'", "certificate_identity"),
        ("serial IN ('1A01', '1A02')", "certificate_identity"),
        ("eui = '00-DB-12-34-56-78-00-01' AND in_use AND usage = 'DS'", "certificate_eui"),
    ],
)
@pytest.mark.parametrize("columns", ["*", "der", "count(*)"])
def test_a_look_up_by_eui_or_serial_uses_its_index(
    path: Path, condition: str, index: str, columns: str
) -> None:
    sql = f"SELECT {columns} FROM certificates WHERE {condition}"
    plan = [row[-1] for row in ask(path, f"EXPLAIN QUERY PLAN {sql}")]
    with open_mirror(path) as db:
        ours = [row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    for steps in (plan, ours):
        assert any(index in step for step in steps), steps
        assert not any(step.startswith("SCAN") for step in steps), steps


@pytest.mark.parametrize(
    ("identity", "serials"),
    [
        (EuiIs(eui=eui_of(1)), ["1A01", "1A0B"]),
        (SerialIs(serials=(serial_of(2),)), ["1A02"]),
        (SerialIs(serials=(serial_of(1),)), ["1A01", "1A01"]),
        (SerialIs(serials=(serial_of(2), serial_of(11))), ["1A02", "1A0B"]),
        (SerialIs(serials=(Serial("FF"),)), []),
        (SerialIs(serials=()), []),
        (SkiIs(ski=KeyId("0000000000000002")), ["1A02"]),
        (Fingerprint(algorithm="sha1", digest=SHA1), ["1A02"]),
        (Fingerprint(algorithm="sha256", digest=sha256(der_of(2)).digest()), ["1A02"]),
        (Fingerprint(algorithm="sha256", digest=SHA1), []),
    ],
    ids=repr,
)
def test_a_certificate_is_found_by_every_identity(path: Path, identity: Identity, serials: list[str]) -> None:
    assert sorted(c.serial for c in find(path, identity)) == serials


@pytest.mark.parametrize("n", [3, 4, 6], ids=["withdrawn", "expired", "pending"])
def test_what_is_not_in_use_is_found_only_when_asked_for(path: Path, n: int) -> None:
    assert find(path, EuiIs(eui=eui_of(n))) == []
    (found,) = find(path, EuiIs(eui=eui_of(n)), any_status=True)
    assert (found.serial, found.in_use) == (serial_of(n), False)


def test_usage_and_role_narrow_what_is_found(path: Path) -> None:
    device, supplier = EuiIs(eui=eui_of(1)), EuiIs(eui=eui_of(2))
    assert [c.serial for c in find(path, device, usage="KA")] == ["1A0B"]
    assert [c.serial for c in find(path, supplier, role=2)] == ["1A02"]
    assert find(path, supplier, role=3) == []
    assert find(path, device, role=2) == []


def test_the_certificate_in_use_comes_first_then_the_newest(path: Path) -> None:
    apply(path, november(18), [entry(21, eui=eui_of(4)), entry(22, "N", eui=eui_of(4))])
    found = find(path, EuiIs(eui=eui_of(4)), any_status=True)
    assert [c.serial for c in found] == [serial_of(21), serial_of(22), serial_of(4)]


def test_a_found_certificate_is_typed(path: Path) -> None:
    (found,) = find(path, EuiIs(eui=eui_of(2)))
    assert found == Certificate(
        eui=eui_of(2),
        kind="organisation",
        role=2,
        usage="DS",
        status="I",
        in_use=True,
        serial="1A02",
        issuer=ISSUER,
        subject="OU=02",
        not_before="2025-11-01T12:26:40Z",
        not_after="9999-12-31T23:59:59Z",
        ski="0000000000000002",
        manufacturing=False,
        first_seen="2026-11-09",
        last_changed="2026-11-09",
        withdrawn=None,
        flags=Flag(0),
        file="SMKIKR_FULL_2026-11-09.xml.gz",
        der=der_of(2),
        revocation=RevocationState.UNKNOWN,
    )
    (odd,) = find(path, EuiIs(eui=eui_of(6)), any_status=True)
    assert odd.flags is Flag.STRICT_PARSER_REFUSES
    assert odd.manufacturing is None


def test_position_and_census_are_read_as_the_store_has_them(path: Path) -> None:
    with MirrorStore(path) as store, open_mirror(path) as db:
        assert read_position(db) == store.position()
        assert read_counts(db) == store.counts()
        assert read_position(db).day == november(17)


def test_the_quarantine_since_the_last_full_is_read_in_order(path: Path) -> None:
    apply(path, november(18), [rejected(1), entry(2, body=b"another", number=2)])
    with MirrorStore(path) as store:
        store.accept_quarantine(NOW)
    apply(path, november(19), [rejected(9, RejectReason.STATUS_MISSING)])
    with open_mirror(path) as db:
        found = read_quarantine(db)
    assert [(q.file[12:22], q.number, q.reason, q.accepted) for q in found] == [
        ("2026-11-17", 2, "body-missing", "2026-11-20T07:30:00Z"),
        ("2026-11-18", 1, "body-missing", "2026-11-20T07:30:00Z"),
        ("2026-11-18", 2, "identity-conflict", "2026-11-20T07:30:00Z"),
        ("2026-11-19", 9, "status-missing", None),
    ]
    assert found[0].xml == b"<CertificateResponse/>"


def test_incidents_are_read_by_kind_and_date(path: Path) -> None:
    with MirrorStore(path) as store:
        key = store.position().applied[-1].extract.key
        store.note_incidents({key: None}, NOW)
    with open_mirror(path) as db:
        assert read_incidents(db) == {key}


def test_a_reader_of_ours_cannot_write(path: Path) -> None:
    with pytest.raises(MirrorNotWritable), open_mirror(path) as db:
        db.execute("DELETE FROM certificate")


def pipe_instead(target: Path) -> None:
    target.unlink()
    os.mkfifo(target)


def directory_instead(target: Path) -> None:
    target.unlink()
    target.mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda target: target.unlink(), "points at .*, which is not there"),
        (pipe_instead, "points at .*, which is no file"),
        (directory_instead, "points at .*, which is no file"),
    ],
    ids=["nothing", "a pipe", "a directory"],
)
def test_a_link_that_leads_to_no_file_is_told_and_waited_for_by_nobody(
    path: Path, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with open_mirror(link):
        spoil(path)
    with pytest.raises(MirrorDamaged, match=said) as caught, open_mirror(link):
        pass
    assert "smki-sync restore" in caught.value.hint


def test_a_mirror_that_this_user_may_not_read_is_not_said_to_be_damaged(path: Path) -> None:
    path.chmod(0)
    path.parent.chmod(0o711)
    if child := os.fork():
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        return
    os.chdir(path.parent)
    if os.getuid() == 0:
        os.setuid(65534)  # root may read everything
    try:
        with open_mirror(Path(path.name)):
            os._exit(1)
    except ResourceError as error:
        os._exit("cannot be read by this user" not in error.message)


def test_a_fault_of_the_caller_is_not_taken_for_the_mirror_s(path: Path) -> None:
    with pytest.raises(BrokenPipeError), open_mirror(path):
        raise BrokenPipeError(32, "Broken pipe")


def test_a_mirror_whose_directory_is_gone_is_not_called_damaged(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    with pytest.raises(MirrorNotWritable, match="is not there") as caught, open_mirror(path):
        pass
    assert "Check that the directory exists" in caught.value.hint
