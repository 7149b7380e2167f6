"""CheckResult; disk space, lock, mirror, SQLite."""

import os
import shutil
import stat
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never

from smki_sync.errors import Locked, MirrorDamaged, MirrorError, MirrorNotWritable, SmkiSyncError
from smki_sync.mirror.connection import sqlite_version
from smki_sync.mirror.directory import MirrorDirectory, find_holder
from smki_sync.mirror.queries import check_schema
from smki_sync.model.plan import MirrorState, Policy
from smki_sync.status import days_left
from smki_sync.sync.decision import MirrorSnapshot, inspect_mirror
from smki_sync.sync.runner import BUILD_FACTOR, RESERVE_BYTES


class CheckOutcome(StrEnum):
    """``WARN``: a sync works and somebody should look. ``SKIPPED``: something before it stands in the way."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """``check``: what was looked at. ``seen``: in a sentence. ``mend``: what to do; empty where all is well.

    ``error``: what a sync would fail with, for ``FAIL`` alone.
    """

    check: str
    verdict: CheckOutcome
    seen: str
    mend: str = ""
    error: SmkiSyncError | None = None


def passed(check: str, seen: str) -> CheckResult:
    """All is well."""
    return CheckResult(check=check, verdict=CheckOutcome.OK, seen=seen)


def warned(check: str, seen: str, mend: str) -> CheckResult:
    """Somebody should look."""
    return CheckResult(check=check, verdict=CheckOutcome.WARN, seen=seen, mend=mend)


def failed(check: str, error: SmkiSyncError) -> CheckResult:
    """A sync would fail with this."""
    return CheckResult(
        check=check, verdict=CheckOutcome.FAIL, seen=error.message, mend=error.hint, error=error
    )


def skipped(check: str, why: str) -> CheckResult:
    """Something before it stands in the way."""
    return CheckResult(check=check, verdict=CheckOutcome.SKIPPED, seen=why)


_MB: Final = 1_000_000
SAFE_SQLITE: Final = (3, 51, 3)
"""The first SQLite without the WAL-reset bug (docs/decisions/0001-architecture.md)."""


def check_directory(directory: MirrorDirectory) -> CheckResult:
    """Whether the mirror directory can be written, or made."""
    place = _existing(directory.root)
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return failed(
            "mirror directory",
            MirrorNotWritable(
                f"{place} cannot be written by this user",
                hint="Give the directory to the user that runs smki-sync, or configure another mirror.path.",
            ),
        )
    try:
        directory.check_closed()
    except MirrorError as error:
        return failed("mirror directory", error)
    if place != directory.root:
        return passed("mirror directory", f"{directory.root} can be made")
    return (
        _left_by_another(directory)
        or _who_else(place)
        or passed("mirror directory", f"{place} can be written")
    )


def _left_by_another(directory: MirrorDirectory) -> CheckResult | None:
    """Whether a run of another user, often root, has left what this one may not write to."""
    rooms = (directory.downloads, directory.generations, directory.history, directory.lock, directory.link)
    for path in rooms:  # the link, whose generation is meant, after the directory that holds that
        if os.access(path, os.F_OK) and not os.access(path, os.W_OK):
            return failed(
                "mirror directory",
                MirrorNotWritable(
                    f"{path} belongs to user {path.stat().st_uid}, and this user, {os.geteuid()}, may not"
                    " write to it",
                    hint=f"As root: `chown -R {directory.root.stat().st_uid}: {directory.root}`; then run"
                    " smki-sync as that user alone.",
                ),
            )
    return None


def _who_else(place: Path) -> CheckResult | None:
    """Whether others than this user decide what the mirror is."""
    found = place.stat()
    if found.st_uid != os.geteuid():
        return warned(
            "mirror directory",
            f"{place} belongs to user {found.st_uid}, and this is user {os.geteuid()}",
            "Run smki-sync as the user that the mirror belongs to: files of another get in its way.",
        )
    if found.st_mode & stat.S_IWGRP:
        return warned(
            "mirror directory",
            f"group {found.st_gid} may write in {place}, and so replace the mirror",
            f"If that is not meant: `chmod g-w {place}`; readers need no right to write.",
        )
    return None


def check_disk_space(directory: MirrorDirectory, full: int | None) -> CheckResult:
    """Whether the next full fits; ``full``: its size in bytes, ``None`` where nobody knows one."""
    if full is None:
        free = shutil.disk_usage(_existing(directory.root)).free
        return warned(
            "space",
            f"{free / _MB:,.0f} MB free; how large the next full is, is not known",
            "Run doctor again when the Repository lists a full.",
        )
    needs: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for path, octets in ((directory.downloads, full), (directory.generations, int(BUILD_FACTOR * full))):
        place = _existing(path)
        needs[place.stat().st_dev] += octets
        places.setdefault(place.stat().st_dev, place)
    told = []
    for device, octets in needs.items():
        free, needed = shutil.disk_usage(places[device]).free, octets + RESERVE_BYTES
        told.append(
            f"{places[device]} needs {needed / _MB:,.0f} MB for a full, {free / _MB:,.0f} MB are free"
        )
        if free < needed:
            hint = "Free space there, or move the mirror to a larger disk."
            return failed("space", MirrorNotWritable(told[-1], hint=hint, code="no-space"))
    return passed("space", "; ".join(told))


def check_lock(directory: MirrorDirectory) -> CheckResult:
    """Whether another run holds the mirror now."""
    try:
        holder = find_holder(directory.lock)
    except MirrorError as error:
        return failed("lock", error)
    if holder is None:
        return passed("lock", "free")
    return failed(
        "lock",
        Locked(
            f"another run holds the mirror: {holder}",
            hint="Wait until it has ended; queries are served meanwhile.",
        ),
    )


def check_mirror(directory: MirrorDirectory) -> tuple[CheckResult, MirrorSnapshot | None]:
    """Whether the mirror can be used, by the same look that a sync takes."""
    try:
        held = inspect_mirror(directory)
        if held.state is MirrorState.NEWER_SCHEMA:
            check_schema(directory.link)
    except MirrorError as error:
        return failed("mirror", error), None
    return _mirror(directory, held), held


def _mirror(directory: MirrorDirectory, held: MirrorSnapshot) -> CheckResult:
    match held.state:
        case MirrorState.ABSENT:
            return passed("mirror", "none yet; the first sync takes a full")
        case MirrorState.HEALTHY:
            return passed(
                "mirror",
                f"{directory.link} can be read, as of {held.position.day if held.position else 'nothing'}",
            )
        case MirrorState.DAMAGED:
            hint = "Run `smki-sync sync`: it rebuilds the mirror from a full. Look at the disk."
            return failed("mirror", MirrorDamaged(f"{directory.link} is damaged", hint=hint))
        case MirrorState.OLDER_SCHEMA | MirrorState.NEWER_SCHEMA:  # a newer one has been refused
            seen = "it was written by a version of this program with an earlier schema"
            return warned(
                "mirror", seen, "The next sync rebuilds it from a full; see that there is room and time."
            )
        case _:
            assert_never(held.state)


def check_age(held: MirrorSnapshot | None, policy: Policy, now: datetime) -> CheckResult:
    """How old the mirror is, and how long until the next delta may be gone (MP147: seven days)."""
    if held is None or held.position is None:
        return passed("age", "no mirror, so no age")
    day = held.position.day
    left = days_left(day, policy.window_days, now.date())
    age = (now.date() - day).days
    count = f"{left} day{'s' * (left != 1)}"
    seen = f"as of {day}; {count} left until the delta of {day + timedelta(days=1)} may be gone"
    if left == 0:
        return warned("age", seen, "Run `smki-sync sync` now; if the delta is gone, it takes a full.")
    if age > policy.late_after_days + 1:
        return warned(
            "age", seen, "Run `smki-sync sync`, and see why none has succeeded since: `smki-sync status`."
        )
    return passed("age", seen)


def check_sqlite() -> CheckResult:
    """Whether SQLite is one that does not lose a commit."""
    version = sqlite_version()
    if tuple(map(int, version.split("."))) < SAFE_SQLITE:
        least = ".".join(map(str, SAFE_SQLITE))
        return warned(
            "sqlite",
            f"{version}: it can lose a commit in a rare race",
            f"Install an apsw with SQLite {least} or newer.",
        )
    return passed("sqlite", version)


def _existing(path: Path) -> Path:
    """The nearest directory that this user can see; ``Path.exists`` raises where one may not be entered."""
    return next(place for place in (path, *path.absolute().parents) if os.access(place, os.F_OK))
