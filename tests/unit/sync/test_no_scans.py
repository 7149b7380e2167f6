"""A day's work touches what the day brought: no statement reads the certificates from end to end.

At 200 million rows one pass takes as long as reading 124 GB does. SQLite chooses such a pass by itself where
it looks cheaper, so what counts is what it did: the rows that a statement stepped through without an index.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import apsw
import pytest

from smki_sync.cli.app import run as command_line
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.model.plan import Action
from smki_sync.model.report import SyncReport
from smki_sync.simulator.repository import Repository
from smki_sync.sources.base import Limits
from smki_sync.sources.directory import DirectorySource
from smki_sync.sync import SyncJob, run

DEVICES = 400
"""Some 800 certificates: more than there are rows in any other table of such a mirror."""


@contextmanager
def watched() -> Iterator[dict[str, int]]:
    """Rows that each statement of every connection stepped through without an index."""
    stepped: dict[str, int] = {}

    def note(event: dict[str, Any]) -> None:
        steps = event["stmt_status"]["SQLITE_STMTSTATUS_FULLSCAN_STEP"]
        stepped[event["sql"]] = max(steps, stepped.get(event["sql"], 0))

    def hook(db: apsw.Connection) -> None:
        db.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)

    apsw.connection_hooks.append(hook)
    try:
        yield stepped
    finally:
        apsw.connection_hooks.remove(hook)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "repository", devices=DEVICES, days=3, start=date(2026, 3, 2), seed=4)


def sync(repository: Repository, mirror: Path) -> SyncReport:
    source = DirectorySource(repository.path, limits=Limits())
    return run(SyncJob(directory=MirrorDirectory(mirror), open_source=lambda: source, today=repository.today))


def test_a_delta_with_new_lists_reads_no_certificate_that_it_does_not_name(
    repository: Repository, tmp_path: Path
) -> None:
    held = sync(repository, tmp_path / "mirror").counts.total
    repository.advance()
    with watched() as stepped:
        report = sync(repository, tmp_path / "mirror")
    assert report.plan.action is Action.DELTAS
    assert {outcome.state.value for outcome in report.lists} == {"applied"}
    assert {sql: steps for sql, steps in stepped.items() if steps > held / 4} == {}
    assert any("INTO certificate" in sql for sql in stepped)


def test_a_run_that_finds_nothing_new_reads_none(repository: Repository, tmp_path: Path) -> None:
    held = sync(repository, tmp_path / "mirror").counts.total
    with watched() as stepped:
        assert sync(repository, tmp_path / "mirror").plan.action is Action.NONE
    assert {sql: steps for sql, steps in stepped.items() if steps > held / 4} == {}


def test_a_resync_compares_what_has_changed_and_passes_once_through_the_index_of_what_was_held(
    repository: Repository, tmp_path: Path
) -> None:
    held = sync(repository, tmp_path / "mirror").counts.total
    repository.advance(days=9)
    with watched() as stepped:
        report = sync(repository, tmp_path / "mirror")
    assert report.plan.action is Action.FULL
    long = [sql for sql, steps in stepped.items() if steps > held / 4]
    assert [sql.split("(")[0].strip() for sql in long] == ["INSERT INTO certificate"]
    assert "NOT EXISTS" in long[0]


@pytest.mark.parametrize(
    "words", [["status"], ["changes", "--since", "2026-03-04"], ["anchors"], ["report", "--output"]]
)
def test_what_is_asked_every_day_reads_none(
    repository: Repository, tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mirror = tmp_path / "mirror"
    held = sync(repository, mirror).counts.total
    more = [str(tmp_path / "report.html")] if words[-1] == "--output" else []
    with watched() as stepped:
        command_line([*words, *more, "--mirror", str(mirror)])
    assert capsys.readouterr().out
    assert stepped
    assert {sql: steps for sql, steps in stepped.items() if steps > held / 4} == {}


def test_a_pass_through_the_certificates_would_be_seen(repository: Repository, tmp_path: Path) -> None:
    held = sync(repository, tmp_path / "mirror").counts.total
    with watched() as stepped, apsw.Connection(str(tmp_path / "mirror" / "mirror.db")) as db:
        db.execute("SELECT sum(length(der)) FROM certificate").fetchall()
    assert max(stepped.values()) >= held - 1
