"""The healing run: the next full proves an unproven mirror without an operator (``policy.reconcile``)."""

from dataclasses import replace
from datetime import date

import pytest
from support.extract_directory import Party, Shelf, november

from smki_sync.mirror.queries import open_mirror, read_position
from smki_sync.model.plan import ReconcilePolicy
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.policy import ChangeLimits, DownloadWindow, OutsideWindow, Weekday
from smki_sync.recovery.reconcile import reconcile_new_full
from smki_sync.sync import run
from smki_sync.sync.job import SyncJob

LISTED = dict.fromkeys(range(8), "I")
NEXT = LISTED | {8: "I"}
"""What the full of the 16th lists: the missing delta has added a certificate."""
NEXT_FULL = "SMKIKR_FULL_2026-11-16.xml.gz"


@pytest.fixture(autouse=True)
def unproven_mirror(shelf: Shelf, party: Party) -> None:
    """A mirror at the 16th, from the full of the 9th. The delta of the 8th was never published."""
    shelf.delta(7)
    shelf.full(9, LISTED)
    shelf.deltas(*range(9, 17))
    run(party.job(16))
    assert missing(party) == (november(8),)
    shelf.full(16, NEXT)
    party.source.fetched.clear()


def missing(party: Party) -> tuple[date, ...] | None:
    with open_mirror(party.directory.link) as db:
        unproven = read_position(db).unproven
        return unproven.missing if unproven else None


def run_and_heal(job: SyncJob, policy: ReconcilePolicy = ReconcilePolicy.WHEN_NEEDED) -> SyncReport:
    return reconcile_new_full(job, run(job), policy)


def codes(report: SyncReport) -> set[NoticeCode]:
    return {notice.code for notice in report.attention}


def test_next_full_repairs_and_proves_the_mirror_in_the_same_run(party: Party) -> None:
    report = run_and_heal(party.job(16))
    assert missing(party) is None
    assert report.counts.unproven is None
    assert (report.counts.in_use, report.position, report.outcome) == (9, november(16), Outcome.CURRENT)
    assert NoticeCode.DRIFT_REPAIRED in codes(report)
    assert NoticeCode.UNPROVEN not in codes(report)


def test_healed_mirror_downloads_no_full_in_the_next_run(party: Party) -> None:
    run_and_heal(party.job(16))
    assert party.source.fetched == [NEXT_FULL]
    run_and_heal(party.job(16))
    assert party.source.fetched == [NEXT_FULL]


def test_full_that_agrees_proves_the_mirror_without_a_repair(shelf: Shelf, party: Party) -> None:
    shelf.full(16, LISTED)
    report = run_and_heal(party.job(16))
    assert missing(party) is None
    assert report.outcome is Outcome.CURRENT
    assert NoticeCode.DRIFT_REPAIRED not in codes(report)


def test_mirror_stays_unproven_when_the_policy_only_reports(party: Party) -> None:
    report = run_and_heal(party.job(16), ReconcilePolicy.REPORT)
    assert missing(party) == (november(8),)
    assert codes(report) >= {NoticeCode.UNPROVEN, NoticeCode.DRIFT}
    assert report.outcome is not Outcome.CURRENT


def test_mirror_stays_unproven_when_the_repair_exceeds_the_limits(shelf: Shelf, party: Party) -> None:
    shelf.full(16, {0: "I"})
    report = run_and_heal(replace(party.job(16), change_limits=ChangeLimits(shrink_allowance=2)))
    assert missing(party) == (november(8),)
    assert codes(report) >= {NoticeCode.UNPROVEN, NoticeCode.DRIFT}
    assert report.counts.in_use == len(LISTED)


def test_healing_waits_for_the_agreed_day(shelf: Shelf, party: Party) -> None:
    """The 16th is a Monday."""
    tuesday = DownloadWindow(day=Weekday.TUESDAY, outside=OutsideWindow.WAIT)
    report = run_and_heal(replace(party.job(16), download_window=tuesday))
    assert codes(report) >= {NoticeCode.UNPROVEN, NoticeCode.NOT_RECONCILED}
    assert not party.source.fetched
    shelf.delta(17)
    run_and_heal(replace(party.job(17), download_window=tuesday))
    assert missing(party) is None


def test_damaged_full_is_tried_again_when_its_bytes_are_good(shelf: Shelf, party: Party) -> None:
    path = shelf.path / NEXT_FULL
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    report = run_and_heal(party.job(16))
    assert missing(party) == (november(8),)
    assert codes(report) >= {NoticeCode.UNPROVEN, NoticeCode.NOT_RECONCILED}
    path.write_bytes(content)
    shelf.stamp(path, 16, hour=5)
    run_and_heal(party.job(16))
    assert missing(party) is None
