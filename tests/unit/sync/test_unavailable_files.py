"""A file that cannot be used: those before it are applied, and the earliest one decides the exit code."""

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from support.extract_directory import Party, november

from smki_sync.cli.exit_codes import Exit, exit_of, exit_of_outcome
from smki_sync.errors import (
    SmkiSyncError,
    SourceNotReadable,
    SourceReadFailed,
    SourceRefused,
    SourceUnreachable,
)
from smki_sync.mirror.queries import open_mirror, read_position
from smki_sync.model.plan import Action
from smki_sync.model.report import NoticeCode, SyncReport
from smki_sync.sync import run

Failure = Callable[[Party, Path], None]


def before_download(action: Callable[[Path], None]) -> Failure:
    """Do something when the program is about to download the file."""

    def install(party: Party, path: Path) -> None:
        earlier = party.source.before_fetch

        def hook(name: str) -> None:
            earlier(name)
            if name == path.name and path.exists():
                action(path)

        party.source.before_fetch = hook

    return install


def raising(error: SmkiSyncError) -> Failure:
    def fail(_: Path) -> None:
        raise error

    return before_download(fail)


def truncate(_: Party, path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def state_wrong_checksum(_: Party, path: Path) -> None:
    path.with_name(f"{path.name}.sha256").write_text(f"{'0' * 64}  {path.name}\n")


FAILURES: dict[str, tuple[Failure, Exit]] = {
    "damaged": (truncate, Exit.BAD_EXTRACT),
    "wrong checksum": (state_wrong_checksum, Exit.BAD_EXTRACT),
    "lost connection": (raising(SourceUnreachable("lost", code="connection-lost")), Exit.UNREACHABLE),
    "total time": (raising(SourceUnreachable("too long", code="total-timeout")), Exit.UNREACHABLE),
    "server failure": (raising(SourceUnreachable("failed", code="server-failed")), Exit.UNREACHABLE),
    "refused": (raising(SourceRefused("no", code="permission-denied")), Exit.REFUSED),
    "no permission": (raising(SourceNotReadable("no")), Exit.RESOURCES),
    "read error": (raising(SourceReadFailed("input/output error")), Exit.RESOURCES),
    "missing": (before_download(Path.unlink), Exit.ATTENTION),
}


@pytest.fixture
def started(party: Party) -> Party:
    """A mirror at the 11th."""
    party.shelf.full(9, {0: "I"})
    party.shelf.deltas(7, 8, 9, 10, 11)
    run(party.job(today=11))
    party.source.fetched.clear()
    return party


def exit_code(party: Party, day: int) -> tuple[Exit, SyncReport | None]:
    try:
        report = run(party.job(today=day))
    except SmkiSyncError as error:
        return exit_of(error), None
    return exit_of_outcome(report.outcome), report


def position(party: Party) -> date:
    with open_mirror(party.directory.link) as db:
        return read_position(db).day


@pytest.mark.parametrize("failure", FAILURES)
def test_sync_applies_the_files_before_one_that_is_unavailable(started: Party, failure: str) -> None:
    fail, code = FAILURES[failure]
    started.shelf.deltas(12, 13, 15)
    fail(started, started.shelf.delta(14))
    assert exit_code(started, 15)[0] is code
    assert started.directory.current() is not None
    assert position(started) == november(13)


@pytest.mark.parametrize("failure", FAILURES)
def test_sync_continues_when_the_file_is_available_again(started: Party, failure: str) -> None:
    fail, _ = FAILURES[failure]
    fail(started, started.shelf.delta(12))
    exit_code(started, 12)
    started.source.before_fetch = lambda _: None
    (started.shelf.path / "SMKIKR_DELT_2026-11-12.xml.gz.sha256").unlink(missing_ok=True)
    started.shelf.delta(12)
    assert run(started.job(today=12)).position == november(12)


@pytest.mark.parametrize(("first", "second"), [*pairwise(FAILURES), *pairwise(reversed(FAILURES))])
def test_earliest_unavailable_file_decides_the_exit_code(started: Party, first: str, second: str) -> None:
    started.shelf.deltas(12)
    for day, failure in ((13, first), (14, second)):
        FAILURES[failure][0](started, started.shelf.delta(day))
    assert exit_code(started, 14)[0] is FAILURES[first][1]
    assert position(started) == november(12)


@pytest.mark.parametrize("failure", ["damaged", "wrong checksum", "no permission", "read error", "missing"])
def test_full_replaces_a_delta_that_is_unavailable(started: Party, failure: str) -> None:
    started.shelf.deltas(12, 13, 15, 16, 17)
    FAILURES[failure][0](started, started.shelf.delta(14))
    started.shelf.full(16, {0: "I", 1: "I"})
    code, report = exit_code(started, 17)
    assert report is not None
    assert (code, report.position) == (Exit.ATTENTION, november(17))
    assert report.plan.action is Action.FULL
    assert {NoticeCode.DELTA_DAMAGED, NoticeCode.UNPROVEN} <= {notice.code for notice in report.attention}


@pytest.mark.parametrize("failure", FAILURES)
def test_first_sync_without_its_full_ends_with_the_code_of_the_full(party: Party, failure: str) -> None:
    fail, code = FAILURES[failure]
    party.shelf.deltas(7, 8, 9, 10)
    fail(party, party.shelf.full(9, {0: "I"}))
    assert exit_code(party, 10)[0] is code
    assert party.directory.current() is None


def test_missing_file_is_named_in_a_notice(started: Party) -> None:
    FAILURES["missing"][0](started, started.shelf.delta(12))
    _, report = exit_code(started, 12)
    assert report is not None
    notices = {notice.code: notice.message for notice in report.attention}
    assert "SMKIKR_DELT_2026-11-12.xml.gz has disappeared" in notices[NoticeCode.DELTAS_MISSING]
    assert NoticeCode.DELTA_DAMAGED not in notices


def test_no_other_file_is_requested_after_the_connection_is_lost(started: Party) -> None:
    started.shelf.deltas(12, 14)
    FAILURES["lost connection"][0](started, started.shelf.delta(13))
    exit_code(started, 14)
    assert started.source.fetched == ["SMKIKR_DELT_2026-11-12.xml.gz"]


def test_later_files_are_kept_for_the_next_run(started: Party) -> None:
    started.shelf.deltas(13)
    FAILURES["read error"][0](started, started.shelf.delta(12))
    exit_code(started, 13)
    started.source.before_fetch = lambda _: None
    started.source.fetched.clear()
    assert run(started.job(today=13)).position == november(13)
    assert started.source.fetched == ["SMKIKR_DELT_2026-11-12.xml.gz"]
