"""Drift that is found each week without anybody asking: ``policy.reconcile``."""

from contextlib import closing
from dataclasses import replace

import apsw
import pytest
from support.extract_directory import NOW, Party, Shelf, november

from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import hold_lock
from smki_sync.mirror.history import ComparisonRecord, History
from smki_sync.mirror.queries import open_mirror, read_counts
from smki_sync.model.plan import ReconcilePolicy
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.policy import ChangeLimits, DownloadWindow, OutsideWindow, Weekday
from smki_sync.recovery.reconcile import reconcile, reconcile_new_full
from smki_sync.sync import run

LISTED = dict.fromkeys(range(8), "I")
WEEKLY = "SMKIKR_FULL_2026-11-16.xml.gz"


@pytest.fixture(autouse=True)
def two_weeks(shelf: Shelf, party: Party) -> None:
    """A mirror from the full of the 9th that stands at the 16th, where the next full is on offer."""
    shelf.deltas(7, 8)
    shelf.full(9, LISTED)
    shelf.deltas(*range(9, 17))
    run(party.job(16))
    shelf.full(16, LISTED)
    party.source.fetched.clear()


def spoil(party: Party) -> None:
    with closing(apsw.Connection(str(party.directory.link.resolve()))) as db:
        db.execute("UPDATE certificate SET ski = 'FF' WHERE id = 3")


def weekly(party: Party, policy: ReconcilePolicy) -> SyncReport:
    job = party.job(16)
    return reconcile_new_full(job, run(job), policy)


def codes(report: SyncReport) -> set[NoticeCode]:
    return {attention.code for attention in report.attention}


def test_a_new_full_is_held_against_the_mirror_once(party: Party) -> None:
    assert weekly(party, ReconcilePolicy.REPORT).outcome is Outcome.CURRENT
    assert party.source.fetched == [WEEKLY]
    weekly(party, ReconcilePolicy.REPORT)
    assert party.source.fetched == [WEEKLY]


def test_never_means_that_no_full_is_fetched(party: Party) -> None:
    spoil(party)
    assert weekly(party, ReconcilePolicy.NEVER).outcome is Outcome.CURRENT
    assert not party.source.fetched


def test_the_full_that_the_mirror_was_built_from_has_nothing_to_say(shelf: Shelf, party: Party) -> None:
    shelf.remove(WEEKLY)
    weekly(party, ReconcilePolicy.REPORT)
    assert not party.source.fetched


def test_drift_is_attention_until_somebody_repairs_it(party: Party) -> None:
    spoil(party)
    report = weekly(party, ReconcilePolicy.REPORT)
    assert report.outcome is Outcome.BEHIND
    assert NoticeCode.DRIFT in codes(report)
    again = weekly(party, ReconcilePolicy.REPORT)
    assert again.outcome is Outcome.BEHIND
    assert party.source.fetched == [WEEKLY]
    reconcile(party.job(16), repair=True)
    assert weekly(party, ReconcilePolicy.REPORT).outcome is Outcome.CURRENT


def test_drift_of_a_mirror_that_was_built_anew_since_is_forgotten(party: Party) -> None:
    spoil(party)
    weekly(party, ReconcilePolicy.REPORT)
    run(party.job(16), full=True)
    assert weekly(party, ReconcilePolicy.REPORT).outcome is Outcome.CURRENT


def test_drift_is_made_good_where_policy_says_so(party: Party) -> None:
    spoil(party)
    report = weekly(party, ReconcilePolicy.REPAIR)
    assert report.outcome is Outcome.CURRENT
    assert NoticeCode.DRIFT_REPAIRED in codes(report)
    with closing(apsw.Connection(str(party.directory.link.resolve()))) as db:
        assert db.execute("SELECT count(*) FROM certificate WHERE ski = 'FF'").get == 0


def test_a_full_that_would_take_too_much_repairs_nothing_and_is_attention_without_another_download(
    shelf: Shelf, party: Party
) -> None:
    before = in_use(party)
    shelf.full(16, {0: "I"})
    tight = replace(party.job(16), change_limits=ChangeLimits(shrink_allowance=2))
    for _ in range(2):
        report = reconcile_new_full(tight, run(tight), ReconcilePolicy.REPAIR)
        assert report.outcome is Outcome.BEHIND
        assert NoticeCode.DRIFT in codes(report)
        assert NoticeCode.DRIFT_REPAIRED not in codes(report)
    assert in_use(party) == before
    assert party.source.fetched == [WEEKLY]


def in_use(party: Party) -> int:
    with open_mirror(party.directory.link) as db:
        return read_counts(db).in_use


def test_a_full_that_cannot_be_read_makes_no_good_run_fail_and_is_tried_again(
    shelf: Shelf, party: Party
) -> None:
    path = shelf.path / WEEKLY
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    report = weekly(party, ReconcilePolicy.REPORT)
    assert report.outcome is Outcome.CURRENT
    assert NoticeCode.NOT_RECONCILED in codes(report)
    path.write_bytes(whole)
    shelf.stamp(path, 16, hour=5)
    assert NoticeCode.NOT_RECONCILED not in codes(weekly(party, ReconcilePolicy.REPORT))


@pytest.mark.parametrize("spoiled", ["noise", "a directory"])
def test_a_record_of_runs_that_cannot_be_read_is_said_and_makes_no_good_run_fail(
    party: Party, spoiled: str
) -> None:
    history = party.directory.history
    history.unlink(missing_ok=True)
    history.write_bytes(b"noise" * 999) if spoiled == "noise" else history.mkdir()
    report = weekly(party, ReconcilePolicy.REPORT)
    assert (report.outcome, report.position) == (Outcome.BEHIND, november(16))
    (attention,) = (one for one in report.attention if not one.code.is_note)
    assert attention.code is NoticeCode.RECONCILIATION_UNKNOWN
    assert "move it away" in attention.hint
    assert not party.source.fetched, "a full a day is not what was agreed"
    history.unlink() if spoiled == "noise" else history.rmdir()
    assert weekly(party, ReconcilePolicy.REPORT).outcome is Outcome.CURRENT
    assert party.source.fetched == [WEEKLY]


def test_drift_is_said_also_where_it_cannot_be_remembered(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_history: History, _row: ComparisonRecord) -> None:
        raise MirrorError("no space")

    spoil(party)
    monkeypatch.setattr(History, "record_comparison", full_disk)
    assert NoticeCode.DRIFT in codes(weekly(party, ReconcilePolicy.REPORT))


def test_a_mirror_that_another_run_has_taken_meanwhile_is_compared_by_the_next(party: Party) -> None:
    job = party.job(16)
    report = run(job)
    with hold_lock(party.directory.lock, since=NOW):
        report = reconcile_new_full(job, report, ReconcilePolicy.REPORT)
    assert report.outcome is Outcome.CURRENT
    assert NoticeCode.NOT_RECONCILED in codes(report)
    assert NoticeCode.NOT_RECONCILED not in codes(weekly(party, ReconcilePolicy.REPORT))


def test_on_another_day_than_was_agreed_the_comparison_is_told_or_put_off(party: Party) -> None:
    """The 16th is a Monday."""
    tuesday = replace(
        party.job(16), download_window=DownloadWindow(day=Weekday.TUESDAY, outside=OutsideWindow.WAIT)
    )
    report = reconcile_new_full(tuesday, run(tuesday), ReconcilePolicy.REPORT)
    assert codes(report) >= {NoticeCode.NOT_RECONCILED}
    assert not party.source.fetched
    told = replace(tuesday, download_window=DownloadWindow(day=Weekday.TUESDAY))
    report = reconcile_new_full(told, run(told), ReconcilePolicy.REPORT)
    assert report.outcome is Outcome.CURRENT
    assert NoticeCode.FULL_OUTSIDE_AGREED in codes(report)
    assert party.source.fetched == [WEEKLY]
