"""One operator's mornings: a run in this process, or as the command that cron calls."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from support.plain_reader import Mirror, beside_a_writer, read

from smki_sync.events import Committed, Event, EventListener, NullListener
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.model.report import SyncReport
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sync import SyncJob, run


@dataclass(slots=True)
class Witness:
    """A listener that looks at the mirror each time that a file is said to be committed."""

    directory: Path
    seen: list[tuple[str, Mirror]] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        if isinstance(event, Committed):
            mirror = read(self.directory, beside_a_writer)
            assert mirror is not None
            self.seen.append((event.applied.file, mirror))


@dataclass(slots=True)
class Operator:
    """Who runs ``sync`` on one mirror from one directory.

    ``witness``: of every commit so far. ``listener``: who is told; the witness unless another is set.
    """

    mirror: Path
    files: Path
    witness: Witness = field(init=False)
    listener: EventListener = field(init=False)

    def __post_init__(self) -> None:
        self.listener = self.witness = Witness(self.mirror)

    def sync(self, today: date, *, full: bool = False) -> SyncReport:
        source = open_source(self.files.as_uri(), login=SftpLogin(), limits=Limits(), events=NullListener())
        job = SyncJob(
            directory=MirrorDirectory(self.mirror),
            open_source=lambda: source,
            today=today,
            events=self.listener,
        )
        return run(job, full=full)

    def held(self) -> Mirror:
        """The mirror as it is; it must be there."""
        mirror = read(self.mirror)
        assert mirror is not None
        return mirror


def environment(today: date | None = None, **more: str) -> dict[str, str]:
    """This process's environment without any setting of the program, and the date of a rehearsal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMKI_SYNC_")}
    day = {"SMKI_SYNC_TODAY": today.isoformat()} if today else {}
    return kept | day | more


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "smki_sync", *map(str, words)]


def call(*words: str | Path, today: date | None = None, **more: str) -> tuple[int, dict[str, Any]]:
    """Run one command with ``--json``: its exit code and its one document."""
    done = subprocess.run(
        command(*words, "--json"), env=environment(today, **more), capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document
