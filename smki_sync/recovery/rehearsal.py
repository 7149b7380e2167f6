"""Rehearse a restore in a temporary directory, and compare the result with the live mirror.

The live mirror is only read. A rehearsal that fails because the mirror, an extract or a disk is damaged, or
the Repository did not answer, has a result too: it has found what rehearsals are made to find.
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
from smki_sync.mirror.queries import Stamp, open_mirror, read_position, read_stamp
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.recovery.restore import RestoreResult, restore
from smki_sync.recovery.restore_checks import ExpectedDigest
from smki_sync.sync.job import SyncJob
from smki_sync.verify.manifest import ManifestComparison, compare_manifests, open_manifest_source


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalResult:
    """One rehearsal.

    ``live``: the state of the mirror when it began. ``machine``: where it ran, name to value.
    ``difference``: the differences, ``None`` if the two are equal.
    """

    began: datetime
    ended: datetime
    live: Stamp
    restored: RestoreResult
    machine: Mapping[str, str]
    difference: ManifestComparison | None

    @property
    def agrees(self) -> bool:
        """Whether the restored mirror equals the live one, and passed every check that was made."""
        return self.difference is None and all(check.passed is not False for check in self.restored.checks)

    @property
    def recovery_seconds(self) -> float:
        """Duration from nothing to a mirror that was checked."""
        return sum(phase.seconds for phase in self.restored.phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalFailed:
    """A rehearsal that failed. ``error``: why. ``live``: the state of the mirror, if it could be read."""

    began: datetime
    ended: datetime
    live: Stamp | None
    machine: Mapping[str, str]
    error: SmkiSyncError


def rehearse_restore(
    job: SyncJob, scratch: Path, *, anchors: tuple[bytes, ...] = ()
) -> RehearsalResult | RehearsalFailed:
    """Restore into ``scratch``, which must not exist or be empty, to the position of the live mirror.

    Raises :class:`UsageError` for a directory that is in use, :class:`Locked` if another rehearsal uses it.
    """
    began = job.clock()
    live: Stamp | None = None
    try:
        _claim(scratch, began)
        try:
            with open_mirror(job.directory.link) as db:
                live = read_stamp(db)
            return _rehearse(job, scratch, anchors, began, live=live)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except (SourceError, BadExtract, MirrorError) as error:
        return RehearsalFailed(began=began, ended=job.clock(), live=live, machine=machine(), error=error)


def _rehearse(
    job: SyncJob, scratch: Path, anchors: tuple[bytes, ...], began: datetime, *, live: Stamp
) -> RehearsalResult:
    with open_mirror(job.directory.link) as db:
        position = read_position(db)
    known = ExpectedDigest(
        position=live.position,
        digest=live.digest,
        source="the live mirror",
        is_proven=position.unproven is None,
    )
    scratch_job = replace(job, directory=MirrorDirectory(scratch), archive=None)
    restored = restore(
        scratch_job,
        until=live.position,
        anchors=anchors,
        known=known,
        must_complete=True,
        newest_full=position.full,
    )
    must_agree = any(check.name == "digest" and check.passed is not None for check in restored.checks)
    return RehearsalResult(
        began=began,
        ended=job.clock(),
        live=live,
        restored=restored,
        machine=machine(),
        difference=_differs(job.directory, scratch_job.directory) if must_agree else None,
    )


MARK: Final = ".drill"
"""In a temporary directory: a rehearsal created it, and its content is not needed."""


def _claim(scratch: Path, now: datetime) -> None:
    """Create the directory; raises :class:`Locked` if another rehearsal uses it."""
    with disk_errors(scratch):
        if (scratch / MARK).is_file():
            with hold_lock(MirrorDirectory(scratch).lock, since=now):
                shutil.rmtree(scratch)
        if scratch.exists() and (not scratch.is_dir() or any(scratch.iterdir())):
            raise UsageError(
                f"{scratch} is in use",
                hint="Name a directory that is empty or does not exist. It is removed afterwards.",
            )
        scratch.mkdir(mode=0o750, parents=True, exist_ok=True)
        (scratch / MARK).touch()


def _differs(live: MirrorDirectory, restored: MirrorDirectory) -> ManifestComparison | None:
    """Return the differences; none if a delta has moved the live mirror meanwhile, which is no error."""
    with open_manifest_source(restored.root) as there, open_manifest_source(live.root) as here:
        found = compare_manifests(here, there)
        return None if found.equal or here.position != there.position else found


def machine() -> dict[str, str]:
    """Describe this machine."""
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
