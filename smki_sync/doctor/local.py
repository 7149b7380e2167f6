"""The result of a check; checks of the mirror directory, disk space, lock, mirror and SQLite."""

import os
import stat
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never

from smki_sync.errors import Locked, MirrorDamaged, MirrorError, MirrorNotWritable, SmkiSyncError
from smki_sync.files import check_file_system as require_file_system
from smki_sync.files import free_bytes, user_name
from smki_sync.mirror.connection import disk_errors, sqlite_version
from smki_sync.mirror.directory import MirrorDirectory, find_holder
from smki_sync.mirror.queries import check_schema
from smki_sync.model.plan import MirrorState, Policy
from smki_sync.status import days_left
from smki_sync.sync.decision import MirrorSnapshot, inspect_mirror
from smki_sync.sync.runner import BUILD_FACTOR, RESERVE_BYTES


class CheckOutcome(StrEnum):
    """``WARN``: a sync would succeed, but something needs attention. ``SKIPPED``: an earlier check failed."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check.

    Args:
        check: The name of the check.
        message: What was found.
        fix: What to do; empty if there is nothing to do.
        error: The error of a sync, only with ``FAIL``.
    """

    check: str
    outcome: CheckOutcome
    message: str
    fix: str = ""
    error: SmkiSyncError | None = None


def passed(check: str, message: str) -> CheckResult:
    """Return the result of a check that passed."""
    return CheckResult(check=check, outcome=CheckOutcome.OK, message=message)


def warned(check: str, message: str, fix: str) -> CheckResult:
    """Return a warning."""
    return CheckResult(check=check, outcome=CheckOutcome.WARN, message=message, fix=fix)


def failed(check: str, error: SmkiSyncError) -> CheckResult:
    """Return a failure: a sync would fail with this error."""
    return CheckResult(
        check=check, outcome=CheckOutcome.FAIL, message=error.message, fix=error.hint, error=error
    )


def skipped(check: str, reason: str) -> CheckResult:
    """Return the result of a check that was not made."""
    return CheckResult(check=check, outcome=CheckOutcome.SKIPPED, message=reason)


_MB: Final = 1_000_000
SAFE_SQLITE: Final = (3, 51, 3)
"""The first version of SQLite without the WAL-reset bug (docs/decisions/0001-architecture.md)."""


def check_directory(directory: MirrorDirectory) -> CheckResult:
    """Check that this user can write to the mirror directory or create it, and that no other user can."""
    existing = _nearest_existing(directory.root)
    try:
        directory.check_owner()
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            return failed("mirror directory", _not_writable(existing))
        directory.check_closed()
    except MirrorError as error:
        return failed("mirror directory", error)
    if existing != directory.root:
        return passed("mirror directory", f"{directory.root} can be created")
    return (
        _check_content(directory)
        or _check_group(existing)
        or passed("mirror directory", f"{existing} is writable")
    )


def _not_writable(path: Path) -> MirrorNotWritable:
    return MirrorNotWritable(
        f"{path} is not writable for this user.",
        hint="Give the directory to the user that runs smki-sync, or change mirror.path.",
    )


def _check_content(directory: MirrorDirectory) -> CheckResult | None:
    """Find a file that another user, often root, has created and that this user cannot write."""
    paths = (directory.downloads, directory.generations, directory.history, directory.lock, directory.link)
    for path in paths:  # the link means the current generation, so it comes after its directory
        if os.access(path, os.F_OK) and not os.access(path, os.W_OK):
            return failed(
                "mirror directory",
                MirrorNotWritable(
                    f"{path} belongs to user {user_name(path.stat().st_uid)}. User"
                    f" {user_name(os.geteuid())} cannot write to it.",
                    hint=f"As root, run `chown -R {directory.root.stat().st_uid}: {directory.root}`. Then run"
                    " smki-sync only as that user.",
                ),
            )
    return None


def _check_group(path: Path) -> CheckResult | None:
    """Warn if the group can replace the mirror."""
    found = path.stat()
    if found.st_mode & stat.S_IWGRP:
        return warned(
            "mirror directory",
            f"{path} is writable for group {found.st_gid}, so its members could replace the mirror",
            f"If this is not intended, run `chmod g-w {path}`. Readers do not need write access.",
        )
    return None


def check_file_system(directory: MirrorDirectory) -> CheckResult:
    """Check that the file system has what a mirror needs."""
    existing = _nearest_existing(directory.root)
    try:
        require_file_system(existing)
    except MirrorError as error:
        return failed("file system", error)
    return passed("file system", f"{existing} has locks, links, rename and shared memory")


def check_disk_space(directory: MirrorDirectory, full_bytes: int | None) -> CheckResult:
    """Check that the next full fits. ``full_bytes``: its size, or ``None`` if it is not known."""
    try:
        with disk_errors(directory.root):
            return _check_disk_space(directory, full_bytes)
    except MirrorError as error:
        return failed("space", error)


def _check_disk_space(directory: MirrorDirectory, full_bytes: int | None) -> CheckResult:
    if full_bytes is None:
        return warned(
            "space",
            f"{_megabytes(free_bytes(_nearest_existing(directory.root)))} free; size of the next full extract"
            " unknown",
            "Run doctor again when the Repository lists a full extract.",
        )
    needed: dict[int, int] = defaultdict(int)
    paths: dict[int, Path] = {}
    for path, size in (
        (directory.downloads, full_bytes),
        (directory.generations, int(BUILD_FACTOR * full_bytes)),
    ):
        existing = _nearest_existing(path)
        device = existing.stat().st_dev
        needed[device] += size
        paths.setdefault(device, existing)
    messages = []
    for device, size in needed.items():
        free = free_bytes(paths[device])
        messages.append(
            f"{paths[device]} needs {_megabytes(size + RESERVE_BYTES)} for a full extract;"
            f" {_megabytes(free)} are free"
        )
        if free is not None and free < size + RESERVE_BYTES:
            hint = "Free space there, or move the mirror to a larger disk."
            return failed("space", MirrorNotWritable(f"{messages[-1]}.", hint=hint, code="no-space"))
    return passed("space", "; ".join(messages))


def _megabytes(size: int | None) -> str:
    return "an unknown number of MB" if size is None else f"{size / _MB:,.0f} MB"


def check_lock(directory: MirrorDirectory) -> CheckResult:
    """Check that no other run holds the mirror."""
    try:
        holder = find_holder(directory.lock)
    except MirrorError as error:
        return failed("lock", error)
    if holder is None:
        return passed("lock", "free")
    return failed(
        "lock",
        Locked(
            f"Another run holds the mirror: {holder}.",
            hint="Wait until it has ended. Queries work during a run.",
        ),
    )


def check_mirror(directory: MirrorDirectory) -> tuple[CheckResult, MirrorSnapshot | None]:
    """Check that the mirror is usable, in the same way as a sync."""
    try:
        snapshot = inspect_mirror(directory)
        if snapshot.state is MirrorState.NEWER_SCHEMA:
            check_schema(directory.link)
    except MirrorError as error:
        return failed("mirror", error), None
    return _mirror_result(directory, snapshot), snapshot


def _mirror_result(directory: MirrorDirectory, snapshot: MirrorSnapshot) -> CheckResult:
    match snapshot.state:
        case MirrorState.ABSENT:
            return passed("mirror", "does not exist yet; the first sync loads a full extract")
        case MirrorState.HEALTHY:
            position = f"position {snapshot.position.day}" if snapshot.position else "without a position"
            return passed("mirror", f"{directory.link} is readable, {position}")
        case MirrorState.DAMAGED:
            hint = "Run `smki-sync sync`, which rebuilds the mirror from a full extract. Check the disk."
            return failed("mirror", MirrorDamaged(f"{directory.link} is damaged.", hint=hint))
        case MirrorState.OLDER_SCHEMA | MirrorState.NEWER_SCHEMA:  # check_schema() rejects a newer one
            return warned(
                "mirror",
                "an earlier version of smki-sync wrote it, with another schema",
                "The next sync rebuilds it from a full extract. Check that there is space and time for that.",
            )
        case _:
            assert_never(snapshot.state)


def check_age(snapshot: MirrorSnapshot | None, policy: Policy, now: datetime) -> CheckResult:
    """Check the age of the mirror, and the days until the next delta may be removed (MP147: seven days)."""
    if snapshot is None or snapshot.position is None:
        return passed("age", "there is no mirror yet")
    day = snapshot.position.day
    left = days_left(day, policy.window_days, now.date())
    age = (now.date() - day).days
    message = (
        f"position {day}; {left} day{'s' * (left != 1)} left until delta {day + timedelta(days=1)} may be"
        " removed"
    )
    if left == 0:
        return warned(
            "age", message, "Run `smki-sync sync` now. If the delta is missing, it loads a full extract."
        )
    if age > policy.late_after_days + 1:
        return warned(
            "age",
            message,
            "Run `smki-sync sync`. Run `smki-sync status` to see why no run has succeeded since then.",
        )
    return passed("age", message)


def check_sqlite() -> CheckResult:
    """Check that this version of SQLite does not lose commits."""
    version = sqlite_version()
    if tuple(map(int, version.split("."))) < SAFE_SQLITE:
        required = ".".join(map(str, SAFE_SQLITE))
        return warned(
            "sqlite",
            f"{version}: a rare race can lose a commit",
            f"Install an apsw package with SQLite {required} or later.",
        )
    return passed("sqlite", version)


def _nearest_existing(path: Path) -> Path:
    """Return the nearest directory that this user can see. ``Path.exists`` fails without access."""
    return next(place for place in (path, *path.absolute().parents) if os.access(place, os.F_OK))
