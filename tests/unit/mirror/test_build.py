"""A generation from a full: bootstrap, repeats within the full, the overlap, and what a fault leaves."""

from pathlib import Path

import pytest
from support.mirror_builders import (
    FULL_DAY,
    ISSUER,
    OTHER_ISSUER,
    Record,
    apply,
    ask,
    build,
    clock,
    delta,
    der_of,
    digest_anew,
    entry,
    failing_after,
    full,
    held_digest,
    journal,
    november,
    rejected,
    serial_of,
    statuses,
)

from smki_sync.errors import BadExtract, MirrorNotWritable
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.store import MirrorStore, check_schema_version
from smki_sync.model.certificate import RejectReason
from smki_sync.model.plan import MirrorState
from smki_sync.model.report import ChangeCounts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "000001.db"


def test_a_full_makes_a_healthy_mirror_at_its_own_date(path: Path) -> None:
    assert build(path, [entry(1), entry(2)]) == ChangeCounts(records=2, inserted=2)
    assert check_schema_version(path) is MirrorState.HEALTHY
    with MirrorStore(path) as store:
        position = store.position()
    assert (position.day, position.full, position.unproven) == (FULL_DAY, FULL_DAY, None)
    assert position.applied == (full(), *(delta(november(day)) for day in (7, 8, 9)))
    assert held_digest(path) == digest_anew(path)


def test_the_first_full_is_the_ground_of_the_journal_and_no_entry_in_it(path: Path) -> None:
    build(path, [entry(1)], overlap=[(FULL_DAY, [entry(2), entry(1, "R")])])
    assert journal(path) == []


def test_an_empty_full_makes_an_empty_mirror(path: Path) -> None:
    assert build(path, []) == ChangeCounts()
    with MirrorStore(path) as store:
        assert store.counts().total == 0
        assert store.position().day == FULL_DAY


def test_a_full_of_many_batches_is_loaded_whole(path: Path) -> None:
    assert build(path, (entry(n) for n in range(1, 4502))) == ChangeCounts(records=4501, inserted=4501)
    assert ask(path, "SELECT count(*) FROM certificates WHERE in_use") == [(4501,)]


def test_the_ledger_remembers_the_full_with_its_counts(path: Path) -> None:
    build(path, [entry(1), rejected(2)])
    assert ask(
        path, "SELECT name, kind, records, inserted, quarantined, sha256, committed FROM extract LIMIT 1"
    ) == [("SMKIKR_FULL_2026-11-09.xml.gz", "full", 2, 1, 1, full().sha256, "2026-11-09T07:30:00Z")]


def test_a_rejected_record_of_a_full_is_kept_with_its_place_and_reason(path: Path) -> None:
    build(path, [entry(1), rejected(2, RejectReason.STATUS_UNKNOWN)])
    assert ask(path, "SELECT number, reason, detail, xml FROM quarantine") == [
        (2, "status-unknown", "no body", b"<CertificateResponse/>")
    ]


def test_a_certificate_twice_in_a_full_is_one_row_and_the_last_record_stands(path: Path) -> None:
    counts = build(path, [entry(1, "I"), entry(2), entry(1, "N", number=3)])
    assert counts == ChangeCounts(records=3, inserted=2, unchanged=1, contradicted=1)
    assert statuses(path) == {serial_of(1): "N", serial_of(2): "I"}
    _check_books(path)


def test_a_certificate_twice_in_a_full_alike_is_counted_once(path: Path) -> None:
    assert build(path, [entry(1), entry(1), entry(1)]) == ChangeCounts(records=3, inserted=1, unchanged=2)
    assert statuses(path) == {serial_of(1): "I"}
    _check_books(path)


def test_of_two_bodies_in_one_full_the_first_stands_and_the_others_are_kept_aside(path: Path) -> None:
    others = [entry(1, "N", body=b"another", number=2), entry(1, body=b"a third", number=3)]
    counts = build(path, [entry(1), *others])
    assert counts == ChangeCounts(records=3, inserted=1, quarantined=2)
    assert ask(path, "SELECT der, status FROM certificates") == [(der_of(1), "I")]
    assert ask(path, "SELECT reason, count(*) FROM quarantine GROUP BY 1") == [("identity-conflict", 2)]
    _check_books(path)


def test_a_conflict_within_a_full_is_quarantined_under_its_place_in_the_file(path: Path) -> None:
    build(path, [rejected(1), entry(1, number=2), entry(1, body=b"another", number=3), rejected(4)])
    conflict = "SELECT number FROM quarantine WHERE reason = 'identity-conflict'"
    assert ask(path, conflict) == [(3,)]


def test_the_same_serial_of_two_issuers_in_a_full_is_two_certificates(path: Path) -> None:
    assert build(path, [entry(1), entry(1, issuer=OTHER_ISSUER)]) == ChangeCounts(records=2, inserted=2)
    assert ask(path, "SELECT issuer FROM certificates ORDER BY 1") == [(ISSUER,), (OTHER_ISSUER,)]


def test_overlap_deltas_correct_the_full_before_anybody_sees_it(path: Path) -> None:
    overlap = [(november(8), [entry(1, "N"), entry(3)]), (FULL_DAY, [entry(1, "R")])]
    assert build(path, [entry(1), entry(2)], overlap=overlap) == ChangeCounts(records=2, inserted=2)
    assert statuses(path) == {serial_of(1): "R", serial_of(2): "I", serial_of(3): "I"}
    with MirrorStore(path) as store:
        assert store.position().day == FULL_DAY
        assert store.position().applied == (full(), *(delta(november(day)) for day in (7, 8, 9)))
    _check_books(path)


def test_an_overlap_delta_may_bring_an_issuer_that_the_full_does_not_have(path: Path) -> None:
    build(
        path, [entry(1)], overlap=[(FULL_DAY, [entry(2, issuer=OTHER_ISSUER), entry(3, issuer=OTHER_ISSUER)])]
    )
    assert ask(path, "SELECT name FROM issuer ORDER BY id") == [(ISSUER,), (OTHER_ISSUER,)]
    assert ask(path, "SELECT count(*) FROM certificates WHERE issuer = ?", OTHER_ISSUER) == [(2,)]


def test_overlap_deltas_have_ledger_entries_with_their_own_counts(path: Path) -> None:
    with GenerationBuilder(path, full=FULL_DAY, old=None, clock=clock, step=lambda _: None) as builder:
        builder.load(full(), [entry(1), entry(2)])
        records: list[Record] = [entry(1, "N"), entry(3), entry(2), entry(2, body=b"another"), rejected(5)]
        counts = builder.apply_delta(delta(FULL_DAY), records)
        builder.finish()
    assert counts == ChangeCounts(records=5, inserted=1, updated=1, unchanged=1, quarantined=2)
    columns = "kind, records, inserted, updated, unchanged, quarantined"
    assert ask(path, f"SELECT {columns} FROM extract ORDER BY id") == [
        ("full", 2, 2, 0, 0, 0),
        ("delta", 5, 1, 1, 1, 2),
    ]


def test_after_a_build_the_first_delta_of_the_next_day_follows(path: Path) -> None:
    build(path, [entry(1)], overlap=[(FULL_DAY, [])])
    assert apply(path, november(10), [entry(1, "R")]) == ChangeCounts(records=1, updated=1)


def test_a_build_says_what_it_is_doing(path: Path) -> None:
    heard: list[str] = []
    build(path, [entry(1)], step=heard.append)
    assert heard == ["indexing", "writing to disk"]
    heard.clear()
    build(path.with_name("000002.db"), [entry(1)], day=november(16), old=path, step=heard.append)
    assert heard == ["indexing", "comparing with the previous generation", "writing to disk"]


RECORDS: list[Record] = [entry(1), entry(2), rejected(3), entry(1, body=b"another")]


@pytest.mark.parametrize("k", range(len(RECORDS) + 1))
def test_a_full_that_turns_out_bad_at_any_record_leaves_no_file(path: Path, k: int) -> None:
    with pytest.raises(BadExtract, match="gone bad"):
        build(path, failing_after(RECORDS, k, BadExtract("gone bad")))
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("k", range(len(RECORDS) + 1))
def test_an_overlap_delta_that_turns_out_bad_leaves_no_file(path: Path, k: int) -> None:
    with pytest.raises(BadExtract, match="gone bad"):
        build(path, [entry(1)], overlap=[(FULL_DAY, failing_after(RECORDS, k, BadExtract("gone bad")))])
    assert list(path.parent.iterdir()) == []


def test_a_build_that_is_interrupted_while_finishing_leaves_no_mirror(path: Path) -> None:
    def interrupt(step: str) -> None:
        if step == "writing to disk":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(path, [entry(1)], step=interrupt)
    assert list(path.parent.iterdir()) == []


def test_an_abandoned_build_leaves_no_file(path: Path) -> None:
    with GenerationBuilder(path, full=FULL_DAY, old=None, clock=clock, step=lambda _: None) as builder:
        builder.load(full(), [entry(1)])
        assert not path.exists()  # nobody takes a half-built one for a mirror
    assert list(path.parent.iterdir()) == []


def test_a_build_into_a_directory_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(MirrorNotWritable):
        build(tmp_path / "gone" / "000001.db", [])


def _check_books(path: Path) -> None:
    """Digest and census are those of the rows."""
    assert held_digest(path) == digest_anew(path)
    with MirrorStore(path) as store:
        census = store.counts()
    rows = ask(path, "SELECT status, count(*) FROM certificates GROUP BY 1")
    assert dict(census.by_status) == dict(rows)
    assert census.in_use == ask(path, "SELECT count(*) FROM certificates WHERE in_use")[0][0]
