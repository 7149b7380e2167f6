"""Runs, remembered whether there is a mirror or not."""

from dataclasses import replace
from pathlib import Path

import pytest

from smki_sync.errors import MirrorError
from smki_sync.mirror.history import Download, History, Run

RUN = Run(
    at="2026-11-20T07:30:00Z",
    command="sync",
    outcome="current",
    exit=0,
    reason="deltas-available",
    position="2026-11-19",
    seconds=1.5,
)


def test_before_the_first_run_there_is_none_and_no_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    assert History(path).last() is None
    assert not path.exists()


def test_a_run_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    failed = replace(RUN, outcome="failed", exit=4, reason="source-unreachable", position=None)
    history.record(RUN)
    history.record(failed)
    assert history.last() == failed
    assert history.last(outcome="current") == RUN
    assert history.last(outcome="behind") is None


def test_a_run_without_a_position_may_be_the_first(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    history.record(replace(RUN, position=None))
    history.record(RUN)
    assert history.last() == RUN


def test_the_newest_run_is_the_one_recorded_last_whatever_the_clock_said(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    history.record(RUN)
    earlier = replace(RUN, at="2020-01-01T00:00:00Z")
    history.record(earlier)
    assert history.last() == earlier


def test_an_empty_history_has_no_last_run(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"")
    assert History(path).last() is None


def test_a_damaged_history_is_a_named_fault(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_bytes(b"noise" * 1000)
    with pytest.raises(MirrorError):
        History(path).last()
    with pytest.raises(MirrorError):
        History(path).record(RUN)


def test_a_history_that_cannot_be_written_is_a_named_fault(tmp_path: Path) -> None:
    with pytest.raises(MirrorError):
        History(tmp_path / "gone" / "history.db").record(RUN)


def test_run_from_the_future_does_not_count(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    history.record(RUN)
    history.record(replace(RUN, at="2036-01-01T00:00:00Z"))
    assert history.last(until="2026-11-21T00:00:00Z") == RUN
    assert history.last(outcome="current", until="2026-11-21T00:00:00Z") == RUN
    assert history.last(outcome="current", until="2026-11-19T00:00:00Z") is None


def test_download_that_ended_before_it_began_has_no_rate(tmp_path: Path) -> None:
    history = History(tmp_path / "history.db")
    one = Download(
        file="f",
        size=9,
        started="2036-01-01T00:00:00Z",
        ended="2026-11-20T00:00:00Z",
        begin=0,
        end=9,
        outcome="whole",
    )
    history.record_download(one)
    assert history.fetch_rate() is None
    history.record_download(replace(one, started="2026-11-20T00:00:00Z", ended="2026-11-20T00:00:03Z"))
    assert history.fetch_rate() == 3
