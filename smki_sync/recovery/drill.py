"""A rehearsal of the worst day: a restore into a scratch place, held against the live mirror.

For: evidence that the mirror can be had again, from which files, how fast, and as of when. The live mirror is
read and nothing else. A drill that could not be carried out, because the mirror, an extract or a disk is
damaged or the repository did not answer, has found what drills are made to find: that is a value too. A
scratch copy that a killed drill has left is removed by the next, or a timer would fail from then on.
Refuses: to leave the scratch copy behind, to call a restore good whose digest is another than that of the
mirror.
"""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from smki_sync import __version__
from smki_sync.errors import BadExtract, MirrorError, SmkiSyncError, SourceError, UsageError
from smki_sync.mirror.connection import disk_errors, sqlite_version
from smki_sync.mirror.directory import MirrorDirectory, hold_lock
from smki_sync.mirror.queries import Stamp, open_mirror, read_stamp
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.recovery.restore import ExpectedDigest, RestoreResult, restore
from smki_sync.sync.job import SyncJob
from smki_sync.verify.manifest import ManifestComparison, compare_manifests, open_manifest_source


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalResult:
    """One drill. ``live``: what the mirror held when it began. ``machine``: what it ran on, name to value.

    ``parted``: where the two part, ``None`` where they are equal.
    """

    began: datetime
    ended: datetime
    live: Stamp
    restored: RestoreResult
    machine: Mapping[str, str]
    parted: ManifestComparison | None

    @property
    def agrees(self) -> bool:
        """Whether the restored mirror holds what the live one does, and passed every check that was made."""
        return self.parted is None and all(check.passed is not False for check in self.restored.checks)

    @property
    def recovery_seconds(self) -> float:
        """How long it took from nothing to a mirror that was looked through."""
        return sum(phase.seconds for phase in self.restored.phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalFailed:
    """A drill that came to no end. ``error``: why; ``live``: as far as the mirror could say what it held."""

    began: datetime
    ended: datetime
    live: Stamp | None
    machine: Mapping[str, str]
    error: SmkiSyncError


def rehearse_restore(
    job: SyncJob, scratch: Path, *, anchors: tuple[bytes, ...] = ()
) -> RehearsalResult | RehearsalFailed:
    """Restore into ``scratch``, which must not be there or be empty, to the live mirror's position.

    Raises :class:`UsageError` for a scratch place that is in use, :class:`Locked` where another drill is
    in it.
    """
    began, seen = job.clock(), list[Stamp]()
    try:
        _claim(scratch, began)
        try:
            with open_mirror(job.directory.link) as db:
                seen.append(read_stamp(db))
            return _carry_out(job, scratch, anchors, began, live=seen[0])
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except (SourceError, BadExtract, MirrorError) as error:
        live = seen[0] if seen else None
        return RehearsalFailed(began=began, ended=job.clock(), live=live, machine=machine(), error=error)


def _carry_out(
    job: SyncJob, scratch: Path, anchors: tuple[bytes, ...], began: datetime, *, live: Stamp
) -> RehearsalResult:
    known = ExpectedDigest(position=live.position, digest=live.digest, source="the live mirror")
    aside = replace(job, directory=MirrorDirectory(scratch), archive=None)
    restored = restore(aside, until=live.position, anchors=anchors, known=known)
    return RehearsalResult(
        began=began,
        ended=job.clock(),
        live=live,
        restored=restored,
        machine=machine(),
        parted=_differs(job.directory, aside.directory),
    )


MARK: Final = ".drill"
"""In a scratch place: a drill made it, and nothing in it is worth keeping."""


def _claim(scratch: Path, now: datetime) -> None:
    """Make the place; raises :class:`Locked` where another drill is in it."""
    with disk_errors(scratch):
        if (scratch / MARK).is_file():
            with hold_lock(MirrorDirectory(scratch).lock, since=now):
                shutil.rmtree(scratch)
        if scratch.exists() and (not scratch.is_dir() or any(scratch.iterdir())):
            raise UsageError(
                f"{scratch} is in use",
                hint="Name a directory that is empty or not there; it is removed afterwards.",
            )
        scratch.mkdir(mode=0o750, parents=True, exist_ok=True)
        (scratch / MARK).touch()


def _differs(live: MirrorDirectory, restored: MirrorDirectory) -> ManifestComparison | None:
    """Where the two part; also where a delta has moved the live mirror on meanwhile, which is no fault."""
    with open_manifest_source(restored.root) as there, open_manifest_source(live.root) as here:
        found = compare_manifests(here, there)
        return None if found.equal or here.position != there.position else found


def machine() -> dict[str, str]:
    """What this ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "host": platform.node(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 1e9:.1f} GB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite_version(),
        "smki-sync": __version__,
        "mirror schema": str(SCHEMA_VERSION),
    }
