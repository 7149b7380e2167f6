"""What the Repository offered last is remembered beside the runs, and never makes a run fail."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from support.cli import Shell

from smki_sync.errors import MirrorError
from smki_sync.mirror.history import History, Run
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.simulator.repository import Repository

FULL = Extract(kind=ExtractKind.FULL, day=date(2026, 11, 9), name="full", size=900)
DELTA = Extract(
    kind=ExtractKind.DELTA,
    day=date(2026, 11, 10),
    name="delta",
    size=30,
    modified=datetime(2026, 11, 10, 3, tzinfo=UTC),
)


def test_the_last_listing_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    assert history.offer() is None
    history.remember_offer("2026-11-09T06:00:00Z", [FULL])
    history.remember_offer("2026-11-10T06:00:00Z", [FULL, DELTA])
    offer = history.offer()
    assert offer
    assert (offer.at, offer.extracts) == ("2026-11-10T06:00:00Z", (FULL, DELTA))
    assert history.last() is None


def test_runs_are_given_from_a_day_on_oldest_first(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    assert history.runs(since="2026-01-01") == ()
    runs = [
        Run(
            at=f"2026-11-{n:02}T06:00:00Z",
            command="sync",
            outcome="current",
            exit=0,
            reason="up-to-date",
            position=None,
            seconds=1.0,
        )
        for n in (8, 9, 10)
    ]
    for run in runs:
        history.record(run)
    assert history.runs(since="2026-11-09") == tuple(runs[1:])


def test_a_history_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"no database" * 1000)
    history = History(tmp_path / "history.db")
    for ask in (history.offer, lambda: history.runs(since="")):
        with pytest.raises(MirrorError, match=r"history\.db"):
            ask()


def test_a_sync_remembers_all_extracts_on_offer_and_a_dry_run_none(
    smki: Shell, tmp_path: Path, repository: Repository
) -> None:
    sync = ("sync", "--mirror", "mirror", "--source", repository.path.as_uri())
    smki(*sync, "--dry-run")
    assert not (tmp_path / "mirror").exists()
    assert smki(*sync).code == 0
    offer = History(tmp_path / "mirror" / "history.db").offer()
    assert offer
    names = {path.name for path in repository.path.glob("SMKIKR_[FD]*")}
    assert {extract.name for extract in offer.extracts} == names


def test_a_sync_goes_on_where_the_offer_cannot_be_remembered(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    (own_mirror / "history.db").write_bytes(b"no database" * 1000)
    repository.advance()
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri(), "--verbose", "--json")
    ran = smki(*sync, SMKI_SYNC_TODAY=repository.today.isoformat())
    assert ran.code == 0
    assert ran.document["position"] == repository.today.isoformat()
