"""What a delta does to a mirror: all of it once, or nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.mirror_builders import (
    FULL_DAY,
    ISSUER,
    NOW,
    OTHER_ISSUER,
    Record,
    apply,
    ask,
    build,
    clock,
    delta,
    der_of,
    digest_anew,
    dump,
    entry,
    eui_of,
    failing_after,
    full,
    held_digest,
    journal,
    november,
    rejected,
    serial_of,
    statuses,
)

from smki_sync.errors import BadExtract, InternalError, MirrorDamaged
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Flag, RejectReason, Usage
from smki_sync.model.extract import ExtractKind
from smki_sync.model.report import ChangeCounts

NEXT = november(10)
TODAY = "2026-11-10"


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Certificates 1 and 2 in use, 3 not in use; position 9 November."""
    path = tmp_path / "000001.db"
    build(path, [entry(1), entry(2), entry(3, "N")])
    return path


def test_an_unknown_certificate_is_inserted_and_journaled_as_added(mirror: Path) -> None:
    assert apply(mirror, NEXT, [entry(4)]) == ChangeCounts(records=1, inserted=1)
    assert statuses(mirror)[serial_of(4)] == "I"
    assert journal(mirror) == [(TODAY, "added", serial_of(4), None, "I")]


def test_a_changed_status_is_an_update_and_journaled_from_and_to(mirror: Path) -> None:
    assert apply(mirror, NEXT, [entry(1, "R")]) == ChangeCounts(records=1, updated=1)
    assert statuses(mirror)[serial_of(1)] == "R"
    assert journal(mirror) == [(TODAY, "status", serial_of(1), "I", "R")]
    changed = ask(mirror, "SELECT first_seen, last_changed, file FROM certificates WHERE status = 'R'")
    assert changed == [("2026-11-09", TODAY, "SMKIKR_DELT_2026-11-10.xml.gz")]


def test_a_certificate_that_comes_into_use_joins_the_digest(mirror: Path) -> None:
    apply(mirror, NEXT, [entry(3, "I")])
    assert held_digest(mirror) == digest_anew(mirror)
    assert len(ask(mirror, "SELECT 1 FROM certificates WHERE in_use")) == 3


def test_confirmation_is_stored_as_the_last_statement_and_changes_nothing_else(mirror: Path) -> None:
    columns = "status, withdrawn, first_seen, last_changed, extract"
    before = ask(mirror, f"SELECT {columns} FROM certificate ORDER BY id")
    assert apply(mirror, NEXT, [entry(1), entry(3, "N")]) == ChangeCounts(records=2, unchanged=2)
    assert ask(mirror, f"SELECT {columns} FROM certificate ORDER BY id") == before
    delta_id = ask(mirror, "SELECT max(id) FROM extract")[0][0]
    assert ask(mirror, "SELECT stated FROM certificate ORDER BY id") == [(delta_id,), (None,), (delta_id,)]
    assert journal(mirror) == []


@pytest.mark.parametrize(
    "record",
    [
        entry(1, eui=eui_of(99)),
        entry(1, role=2),
        entry(1, usage=Usage.KEY_AGREEMENT),
        entry(1, manufacturing=True),
        entry(1, flags=Flag.USAGE_CLAIM_DIFFERS),
    ],
    ids=["eui", "role", "usage", "manufacturing", "flags"],
)
def test_other_claims_update_the_row_and_are_journaled_as_claims(mirror: Path, record: Record) -> None:
    before, digest = ask(mirror, "SELECT * FROM certificate WHERE id = 1"), held_digest(mirror)
    assert apply(mirror, NEXT, [record]) == ChangeCounts(records=1, updated=1)
    assert ask(mirror, "SELECT * FROM certificate WHERE id = 1") != before
    assert ask(mirror, "SELECT last_changed FROM certificates WHERE serial = ?", serial_of(1)) == [(TODAY,)]
    assert journal(mirror) == [(TODAY, "claims", serial_of(1), "I", "I")]
    assert held_digest(mirror) == digest


def test_the_same_serial_of_another_issuer_is_another_certificate(mirror: Path) -> None:
    assert apply(mirror, NEXT, [entry(1, "E", issuer=OTHER_ISSUER)]) == ChangeCounts(records=1, inserted=1)
    found = ask(mirror, "SELECT issuer, status FROM certificates WHERE serial = ? ORDER BY 1", serial_of(1))
    assert found == [(ISSUER, "I"), (OTHER_ISSUER, "E")]


def test_another_body_under_a_known_identity_goes_to_the_quarantine(mirror: Path) -> None:
    counts = apply(mirror, NEXT, [entry(1, "R", body=b"another", number=7)])
    assert counts == ChangeCounts(records=1, quarantined=1)
    assert ask(mirror, "SELECT der, status FROM certificates WHERE serial = ?", serial_of(1)) == [
        (der_of(1), "I")
    ]
    number, reason, xml = ask(mirror, "SELECT number, reason, xml FROM quarantine")[0]
    assert (number, reason) == (7, RejectReason.IDENTITY_CONFLICT)
    assert b"YW5vdGhlcg==" in xml
    assert b"<CertificateStatus>R<" in xml
    assert journal(mirror) == []
    assert held_digest(mirror) == digest_anew(mirror)


def test_of_two_bodies_in_one_delta_the_first_stands(mirror: Path) -> None:
    counts = apply(mirror, NEXT, [entry(4), entry(4, body=b"another", number=5)])
    assert counts == ChangeCounts(records=2, inserted=1, quarantined=1)
    assert ask(mirror, "SELECT der FROM certificates WHERE serial = ?", serial_of(4)) == [(der_of(4),)]


def test_a_certificate_twice_in_a_delta_ends_with_its_last_record(mirror: Path) -> None:
    counts = apply(mirror, NEXT, [entry(4, "P"), entry(4, "I"), entry(1, "N"), entry(1, "I")])
    assert counts == ChangeCounts(records=4, inserted=1, updated=3, contradicted=2)
    assert statuses(mirror)[serial_of(4)] == "I"
    assert statuses(mirror)[serial_of(1)] == "I"
    assert [line[1:] for line in journal(mirror)] == [
        ("added", serial_of(4), None, "P"),
        ("status", serial_of(4), "P", "I"),
        ("status", serial_of(1), "I", "N"),
        ("status", serial_of(1), "N", "I"),
    ]
    assert held_digest(mirror) == digest_anew(mirror)


@pytest.mark.parametrize(
    ("records", "contradicted"),
    [
        ([entry(1, "N"), entry(1, "I")], 1),
        ([entry(1, "I"), entry(1, "N")], 1),
        ([entry(8, "P"), entry(8, "I"), entry(8, "N")], 2),
        ([entry(1, "N"), entry(1, "N")], 0),
        ([entry(1, "I"), entry(1, "I"), entry(2, "N")], 0),
    ],
)
def test_records_that_contradict_an_earlier_one_of_the_same_delta_are_counted(
    mirror: Path, records: list[Record], contradicted: int
) -> None:
    assert apply(mirror, november(10), records).contradicted == contradicted


def test_what_another_delta_said_before_is_no_contradiction(mirror: Path) -> None:
    apply(mirror, november(10), [entry(1, "N")])
    assert apply(mirror, november(11), [entry(1, "I")]).contradicted == 0


def test_a_record_that_was_not_understood_is_kept_as_it_stood(mirror: Path) -> None:
    assert apply(mirror, NEXT, [rejected(3)]) == ChangeCounts(records=1, quarantined=1)
    kept = ask(
        mirror, "SELECT x.name, number, reason, detail, xml FROM quarantine JOIN extract x ON x.id = extract"
    )
    assert kept == [
        ("SMKIKR_DELT_2026-11-10.xml.gz", 3, "body-missing", "no body", b"<CertificateResponse/>")
    ]


def test_a_new_issuer_gets_an_id_once(mirror: Path) -> None:
    apply(mirror, NEXT, [entry(1, issuer=OTHER_ISSUER), entry(2, issuer=OTHER_ISSUER)])
    assert ask(mirror, "SELECT id, name FROM issuer ORDER BY id") == [(1, ISSUER), (2, OTHER_ISSUER)]


def test_the_ledger_remembers_the_delta_with_all_its_counts(mirror: Path) -> None:
    modified = datetime(2026, 11, 10, 3, 0, 0, 5000, tzinfo=UTC)
    file = delta(NEXT, modified=modified)
    ticks = iter([NOW, NOW.replace(minute=31)])
    with MirrorStore(mirror) as store:
        store.apply_delta(file, [entry(4), entry(1, "R"), entry(2), rejected(4)], clock=lambda: next(ticks))
        assert [one.extract for one in store.position().applied] == [
            full().extract,
            *(delta(november(day)).extract for day in (7, 8, 9)),
            file.extract,
        ]
    assert ask(
        mirror,
        "SELECT name, kind, day, size, sha256, records, inserted, updated, unchanged, withdrawn,"
        " quarantined, committed, seconds FROM extract WHERE id = 5",
    ) == [
        (file.extract.name, "delta", TODAY, 1234, file.sha256, 4, 1, 1, 1, 0, 1, "2026-11-20T07:31:00Z", 60.0)
    ]


def test_the_position_is_the_day_of_the_delta_that_was_applied(mirror: Path) -> None:
    apply(mirror, NEXT, [])
    with MirrorStore(mirror) as store:
        assert store.position().day == NEXT
        assert store.position().full == FULL_DAY


def test_a_delta_a_second_time_changes_nothing(mirror: Path) -> None:
    records: list[Record] = [entry(4), entry(1, "R"), entry(2, body=b"another"), rejected(4)]
    apply(mirror, NEXT, records)
    before = dump(mirror)
    assert apply(mirror, NEXT, records) == ChangeCounts(records=4, unchanged=4)
    assert dump(mirror) == before


@pytest.mark.parametrize("day", [6, 10, 13], ids=["before the overlap", "other bytes", "a day is skipped"])
def test_delta_is_refused_unread_when_it_does_not_follow(mirror: Path, day: int) -> None:
    apply(mirror, NEXT, [])
    apply(mirror, november(11), [])
    before = dump(mirror)
    with pytest.raises(InternalError, match="does not follow the position 2026-11-11"):
        apply(mirror, november(day), _never(), content="other bytes")
    assert dump(mirror) == before


def test_a_delta_of_a_known_day_with_other_bytes_is_refused(mirror: Path) -> None:
    apply(mirror, NEXT, [entry(4)])
    before = dump(mirror)
    with pytest.raises(InternalError, match="does not follow"):
        apply(mirror, NEXT, _never(), content="other bytes")
    assert dump(mirror) == before


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A full of 9 November without any delta."""
    path = tmp_path / "000001.db"
    build(path, [entry(1), entry(2), entry(3, "N")], bare=True)
    return path


def unproven(path: Path) -> tuple[str, str] | None:
    found = ask(path, "SELECT unproven_since, missing FROM mirror")[0]
    return found if found[0] else None


def marked(path: Path) -> list[str]:
    return [serial for (serial,) in ask(path, "SELECT serial FROM certificates WHERE unproven")]


def test_full_leads_to_the_day_before_and_is_unproven_without_its_deltas(bare: Path) -> None:
    with MirrorStore(bare) as store:
        position = store.position()
    assert (position.day, position.full) == (november(8), FULL_DAY)
    assert unproven(bare) == ("2026-11-09", "2026-11-07 2026-11-08 2026-11-09")


def test_late_delta_wins_over_the_full_and_does_not_move_the_position(bare: Path) -> None:
    assert apply(bare, november(7), [entry(1, "R"), entry(4)]) == ChangeCounts(
        records=2, inserted=1, updated=1
    )
    with MirrorStore(bare) as store:
        assert store.position().day == november(8)
    assert statuses(bare) == {serial_of(1): "R", serial_of(2): "I", serial_of(3): "N", serial_of(4): "I"}
    assert marked(bare) == [serial_of(1), serial_of(4)]
    assert held_digest(bare) == digest_anew(bare)


def test_marks_disappear_when_the_last_missing_delta_arrives(bare: Path) -> None:
    apply(bare, november(7), [entry(1, "R")])
    apply(bare, november(9), [])
    assert (unproven(bare), marked(bare)) == (("2026-11-09", "2026-11-08"), [serial_of(1)])
    apply(bare, november(8), [])
    assert (unproven(bare), marked(bare)) == (None, [])


def test_late_delta_loses_to_a_later_statement_even_if_that_changed_nothing(bare: Path) -> None:
    apply(bare, november(9), [entry(1)])
    assert apply(bare, november(8), [entry(1, "R")]) == ChangeCounts(records=1, unchanged=1)
    assert statuses(bare)[serial_of(1)] == "I"


def test_late_delta_lowers_first_seen(bare: Path) -> None:
    apply(bare, november(9), [entry(1)])
    apply(bare, november(7), [entry(1), entry(2)])
    seen = ask(bare, "SELECT first_seen FROM certificates ORDER BY serial")
    assert seen == [("2026-11-07",), ("2026-11-07",), ("2026-11-09",)]


@pytest.mark.parametrize("order", [(7, 8, 9), (9, 8, 7), (8, 9, 7)])
def test_order_of_arrival_does_not_matter(tmp_path: Path, order: tuple[int, ...]) -> None:
    path = tmp_path / "000001.db"
    build(path, [entry(1), entry(2), entry(3)], bare=True)
    files = {
        7: [entry(1, "R"), entry(2, manufacturing=True), entry(5)],
        8: [entry(1), entry(3, "N"), entry(5, "P")],
        9: [entry(2), entry(6)],
    }
    for day in order:
        apply(path, november(day), files[day])
    columns = "serial, status, in_use, manufacturing, first_seen, unproven"
    assert ask(path, f"SELECT {columns} FROM certificates ORDER BY serial") == [
        (serial_of(1), "I", 1, None, "2026-11-07", 0),
        (serial_of(2), "I", 1, None, "2026-11-07", 0),
        (serial_of(3), "N", 0, None, "2026-11-08", 0),
        (serial_of(5), "P", 0, None, "2026-11-07", 0),
        (serial_of(6), "I", 1, None, "2026-11-09", 0),
    ]
    assert unproven(path) is None
    assert held_digest(path) == digest_anew(path)


def test_delta_after_the_full_may_follow_when_that_of_the_full_is_gone(bare: Path) -> None:
    apply(bare, november(10), [entry(1, "R")])
    with MirrorStore(bare) as store:
        assert store.position().day == november(10)
    assert unproven(bare) == ("2026-11-09", "2026-11-07 2026-11-08 2026-11-09")


RECORDS: list[Record] = [
    entry(4),
    entry(1, "R"),
    entry(5, issuer=OTHER_ISSUER),
    rejected(4),
    entry(2, body=b"another"),
    entry(3, "I"),
]


@pytest.mark.parametrize("k", range(len(RECORDS) + 1))
def test_a_delta_that_turns_out_bad_at_any_record_leaves_everything_as_before(mirror: Path, k: int) -> None:
    before = dump(mirror)
    with pytest.raises(BadExtract, match="gone bad"):
        apply(mirror, NEXT, failing_after(RECORDS, k, BadExtract("gone bad")))
    assert dump(mirror) == before
    assert apply(mirror, NEXT, RECORDS) == ChangeCounts(records=6, inserted=2, updated=2, quarantined=2)


def test_a_bad_delta_leaves_the_store_fit_to_go_on(mirror: Path) -> None:
    with MirrorStore(mirror) as store:
        with pytest.raises(BadExtract):
            store.apply_delta(delta(NEXT), failing_after(RECORDS, 3, BadExtract("gone bad")), clock=clock)
        store.apply_delta(delta(NEXT), RECORDS, clock=clock)
        assert store.position().day == NEXT
    assert held_digest(mirror) == digest_anew(mirror)


def test_the_census_equals_what_sql_counts(mirror: Path) -> None:
    apply(mirror, NEXT, RECORDS)
    with MirrorStore(mirror) as store:
        census = store.counts()
    assert census.total == ask(mirror, "SELECT count(*) FROM certificates")[0][0] == 5
    assert census.in_use == ask(mirror, "SELECT count(*) FROM certificates WHERE in_use")[0][0] == 4
    assert census.by_kind == dict(ask(mirror, "SELECT kind, count(*) FROM certificates GROUP BY 1"))
    assert census.by_status == dict(ask(mirror, "SELECT status, count(*) FROM certificates GROUP BY 1"))
    assert census.quarantined == 2


def test_an_accepted_quarantine_stays_as_evidence_and_no_longer_counts(mirror: Path) -> None:
    apply(mirror, NEXT, [rejected(1)])
    with MirrorStore(mirror) as store:
        store.accept_quarantine(NOW)
        assert store.counts().quarantined == 0
        store.accept_quarantine(NOW.replace(hour=9))
    assert ask(mirror, "SELECT accepted FROM quarantine") == [("2026-11-20T07:30:00Z",)]
    apply(mirror, november(11), [rejected(1)])
    with MirrorStore(mirror) as store:
        assert store.counts().quarantined == 0
    apply(mirror, november(12), [rejected(1, RejectReason.STATUS_MISSING)])
    with MirrorStore(mirror) as store:
        assert store.counts().quarantined == 1


def test_another_time_for_the_same_bytes_is_remembered(mirror: Path) -> None:
    apply(mirror, NEXT, [])
    later = delta(NEXT, modified=NOW).extract
    with MirrorStore(mirror) as store:
        store.note_modified(later)
        assert store.position().applied[-1].extract == later
        store.note_modified(delta(NEXT).extract)
        assert store.position().applied[-1].extract == later


def test_an_incident_is_remembered_from_when_it_was_first_seen(mirror: Path) -> None:
    with MirrorStore(mirror) as store:
        store.note_incidents({delta(FULL_DAY).extract.key: None}, NOW)
        both = {delta(FULL_DAY).extract.key: "ab", full().extract.key: None, (ExtractKind.DELTA, NEXT): None}
        store.note_incidents(both, NOW.replace(hour=9))
    assert ask(mirror, "SELECT * FROM incident ORDER BY kind") == [
        ("delta", "2026-11-09", "2026-11-20T07:30:00Z", delta(FULL_DAY).sha256, "ab"),
        ("full", "2026-11-09", "2026-11-20T09:30:00Z", full().sha256, None),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mirror SET position = NULL",
        "UPDATE mirror SET full_day = NULL",
        "UPDATE mirror SET position = 'soon'",
        "UPDATE mirror SET full_day = 5",
        "UPDATE mirror SET digest = x'00'",
        "UPDATE mirror SET digest = 'text'",
        "DELETE FROM mirror",
    ],
)
def test_a_mirror_without_a_sound_position_is_damaged(mirror: Path, statement: str) -> None:
    with MirrorStore(mirror) as store:
        store._db.execute(statement)
        with pytest.raises(MirrorDamaged, match="position"):
            store.position()
        with pytest.raises(MirrorDamaged, match="position"):
            store.apply_delta(delta(NEXT), _never(), clock=clock)


def _never() -> Iterator[Record]:
    return map(_refuse, [entry(1)])


def _refuse(_record: Record) -> Record:
    pytest.fail("a record was asked for")
