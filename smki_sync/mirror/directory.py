"""The layout of the mirror directory, atomic publishing and the writer lock."""

import fcntl
import json
import os
import re
import shlex
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from smki_sync.errors import Locked, MirrorDamaged, ResourceError
from smki_sync.files import CHECK_PREFIX, check_file_system, open_own_file, sync_directory, user_name
from smki_sync.mirror.connection import LINK_NAME, disk_errors, no_file

_GENERATION: Final = re.compile(r"(\d{6})\.db")
BUILDING: Final = ".building"
"""Suffix of the name of an unfinished generation."""

_SORTING: Final = "etilqs_"
"""Prefix of the temporary files that SQLite sorts in. SQLite unlinks them as soon as they are open."""

_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal", "-damaged")


_RUN_SYNC: Final = "Run `smki-sync sync`. It repairs or rebuilds the mirror."

P = ParamSpec("P")
Found = TypeVar("Found")
_Method = Callable[Concatenate["MirrorDirectory", P], Found]


def _translated_errors(method: _Method[P, Found]) -> _Method[P, Found]:
    """Translate the disk errors that a method raises."""

    @wraps(method)
    def wrapper(directory: "MirrorDirectory", /, *args: P.args, **kwargs: P.kwargs) -> Found:
        with disk_errors(directory.root):
            return method(directory, *args, **kwargs)

    return wrapper


@dataclass(frozen=True, slots=True)
class MirrorDirectory:
    """A mirror directory: its paths, and the operations on its generations."""

    root: Path

    @property
    def link(self) -> Path:
        """The link that readers open: ``mirror.db``."""
        return self.root / LINK_NAME

    @property
    def generations(self) -> Path:
        """The directory of the generations."""
        return self.root / "generations"

    @property
    def downloads(self) -> Path:
        """The directory of downloaded files that are not yet applied."""
        return self.root / "downloads"

    @property
    def history(self) -> Path:
        """The history of runs."""
        return self.root / "history.db"

    @property
    def signature_cache(self) -> Path:
        """The cache of verified signatures."""
        return self.root / "trust.db"

    @property
    def watch(self) -> Path:
        """The notices about our certificates that were accepted."""
        return self.root / "watch.json"

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.root / "lock"

    @property
    def _directories(self) -> tuple[Path, ...]:
        """The directories that a run writes to."""
        return self.root, self.generations, self.downloads

    @property
    def _next_link(self) -> Path:
        """The temporary name of a new link before it replaces :attr:`link`."""
        return self.root / ".mirror.db.next"

    @_translated_errors
    def prepare(self) -> None:
        """Create missing directories, private to the owner and its group, and check who owns them.

        Before the first generation exists, it also checks that the file system has what a mirror needs.
        """
        self.check_owner()
        for path in self._directories:
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.check_closed()
        if not self.link.is_symlink():
            check_file_system(self.root)

    @_translated_errors
    def check_owner(self) -> None:
        """Check that this user owns the directories.

        A run as another user would leave files that the owner cannot replace, and a directory of another
        user may contain links to files of this user.

        Raises:
            ResourceError: ``wrong-user``.
        """
        for path in self._directories:
            if path.exists() and (owner := path.stat().st_uid) != os.geteuid():
                raise ResourceError(
                    f"{path} belongs to user {user_name(owner)}, but this run is user"
                    f" {user_name(os.geteuid())}.",
                    hint=f"Run smki-sync as user {user_name(owner)}, or use another mirror directory.",
                    code="wrong-user",
                )

    @_translated_errors
    def check_closed(self) -> None:
        """Check that no directory is world-writable: other users could replace the mirror or add a link.

        Raises:
            ResourceError: ``mirror-open``.
        """
        for path in self._directories:
            if path.is_dir() and path.stat().st_mode & stat.S_IWOTH:
                raise ResourceError(
                    f"{path} is world-writable, so any user could replace the mirror",
                    hint=f"See who has, then `chmod o-w {path}`; `smki-sync verify` looks at what is there.",
                    code="mirror-open",
                )

    @_translated_errors
    def current(self) -> Path | None:
        """Return the generation that readers see, or ``None`` before the first full extract.

        Raises:
            MirrorDamaged: The link is missing, broken or not a link, or damage was found earlier.
        """
        target = self.linked()
        if target and _marker(target).exists():
            raise MirrorDamaged(f"{target} was found damaged earlier", hint=_RUN_SYNC)
        return target

    @_translated_errors
    def linked(self) -> Path | None:
        """Return the current generation, even if it was found damaged."""
        if not self.link.is_symlink():
            if self.link.exists():
                raise MirrorDamaged(
                    f"{self.link} is not the symbolic link that smki-sync created",
                    hint="Move it away and run `smki-sync sync`.",
                )
            if self._numbers():
                raise MirrorDamaged(
                    f"{self.link} is missing, and there are generations", hint=_RUN_SYNC, code="link-lost"
                )
            return None
        destination = self.link.readlink()
        if destination.parent != Path(self.generations.name):
            raise MirrorDamaged(
                f"{self.link} points to {destination}, which is not a generation of this mirror",
                hint="Remove the link and run `smki-sync sync`. It links the newest generation here.",
            )
        target = self.root / destination
        if not target.is_file():
            raise no_file(self.link)
        return target

    @_translated_errors
    def is_link_lost(self) -> bool:
        """Return whether generations exist but the link to the current one is missing."""
        return not self.link.is_symlink() and not self.link.exists() and bool(self._numbers())

    @_translated_errors
    def newest_first(self) -> tuple[Path, ...]:
        """Return the generations that were not found damaged, the newest first."""
        paths = (self._path(number) for number in reversed(self._numbers()))
        return tuple(path for path in paths if path.is_file() and not _marker(path).exists())

    @_translated_errors
    def mark_damaged(self, generation: Path | None = None) -> None:
        """Mark a generation (default: the current one) as damaged, for damage that opening does not detect.

        A generation that no longer exists is not marked.
        """
        damaged = generation or self.link.resolve()
        if damaged.is_file():
            _marker(damaged).touch()

    @_translated_errors
    def next_generation(self) -> Path:
        """Return a new path for a generation, higher than all existing ones."""
        return self.generations / f"{max(self._numbers(), default=0) + 1:06d}.db"

    @_translated_errors
    def publish(self, generation: Path) -> None:
        """Make a finished generation the current one, atomically and durably."""
        new_link = self._next_link
        new_link.unlink(missing_ok=True)
        new_link.symlink_to(generation.relative_to(self.root))
        sync_directory(generation.parent)
        if self.link.exists() and not self.link.is_symlink():  # a copy made by an operator: keep it
            self.link.replace(self.link.with_name("mirror.db.set-aside"))
        new_link.replace(self.link)
        sync_directory(self.root)

    @_translated_errors
    def discard(self, generation: Path) -> None:
        """Remove a generation and its side files. Never removes the current one."""
        if self.link.exists() and generation.exists() and self.link.samefile(generation):
            raise AssertionError(f"{generation} is current")
        for suffix in _SIDE_FILES:
            generation.with_name(generation.name + suffix).unlink(missing_ok=True)

    @_translated_errors
    def discard_unfinished(self) -> tuple[Path, ...]:
        """Remove what a killed run left, and return the paths of its files.

        If the link is broken, removes only unfinished files, not generations.
        """
        unfinished = tuple(sorted(self._unfinished()))
        for path in unfinished:
            path.unlink(missing_ok=True)
        for scratch in self.root.glob(f"{CHECK_PREFIX}*"):
            shutil.rmtree(scratch, ignore_errors=True)
        is_sound = self.link.is_symlink() and self.link.exists()
        linked = self._linked_number() if is_sound else max(self._numbers(), default=0)
        newer = tuple(self._path(n) for n in self._numbers() if n > linked)
        for generation in newer:
            self.discard(generation)
        return (*unfinished, *newer)

    def _unfinished(self) -> Iterator[Path]:
        """Yield unfinished builds, temporary sort files and an unused new link."""
        yield from self.generations.glob(f"*{BUILDING}*")
        yield from self.generations.glob(f"{_SORTING}*")
        if self._next_link.is_symlink():
            yield self._next_link

    @_translated_errors
    def discard_superseded(self, *, keep: int) -> tuple[Path, ...]:
        """Remove generations older than the current one, except the newest ``keep``. Return their paths."""
        current = self._linked_number()
        older = [self._path(n) for n in sorted(self._numbers()) if n < current]
        removed = tuple(older[: max(len(older) - keep, 0)])
        for generation in removed:
            self.discard(generation)
        return removed

    @_translated_errors
    def discard_downloads(self, *, keep: Collection[Path] = ()) -> tuple[Path, ...]:
        """Remove all files in ``downloads`` except ``keep``, when every download has been applied."""
        left = tuple(sorted({path for path in self.downloads.iterdir() if path.is_file()}.difference(keep)))
        for path in left:
            path.unlink(missing_ok=True)
        return left

    def _path(self, number: int) -> Path:
        return self.generations / f"{number:06d}.db"

    def _linked_number(self) -> int:
        if not self.link.is_symlink():
            return 0
        found = _GENERATION.fullmatch(self.link.readlink().name)
        return int(found[1]) if found else 0

    def _numbers(self) -> list[int]:
        if not self.generations.is_dir():
            return []
        names = (_GENERATION.match(entry.name) for entry in self.generations.iterdir())
        return sorted({int(found[1]) for found in names if found})


def _marker(generation: Path) -> Path:
    return generation.with_name(generation.name + "-damaged")


_RECORD_BYTES: Final = 4_096  # maximum read of a lock record: this program writes a tenth of that
_COMMAND_LENGTH: Final = 200  # characters stored of a command line: enough to show a `--full`


@contextmanager
def hold_lock(path: Path, *, since: datetime) -> Iterator[None]:
    """Hold the lock at ``path``. ``since`` is the start of this run.

    Raises:
        Locked: Another run holds the lock. The message names its process, start and command.
        ResourceError: The file system does not support locks.
    """
    with disk_errors(path):
        handle = open_own_file(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        _take(handle, path)
        with disk_errors(path):
            os.truncate(handle, 0)
            os.pwrite(handle, _lock_record(since), 0)
        yield
        with suppress(OSError):  # closing the descriptor releases the lock
            os.truncate(handle, 0)
    finally:
        os.close(handle)


def find_holder(path: Path) -> str | None:
    """Describe the holder of the lock, or return ``None`` if it is free. Writes nothing."""
    with disk_errors(path):
        if not path.exists():
            return None
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(os.pread(handle, _RECORD_BYTES, 0))
    except OSError as exc:
        raise _no_locks(path, exc) from exc
    finally:
        os.close(handle)
    return None


def _take(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise Locked(
            f"Another run holds the mirror {path.parent}: {_holder(os.pread(handle, _RECORD_BYTES, 0))}",
            hint="Wait until it has ended; queries are served all the while.",
        ) from exc
    except OSError as exc:
        raise _no_locks(path, exc) from exc


def _no_locks(path: Path, exc: OSError) -> ResourceError:
    return ResourceError(
        f"{path} cannot be locked: {exc.strerror}.",
        hint="Use a directory on a local file system such as ext4 or XFS (mirror.path).",
        code="file-system",
    )


def _lock_record(since: datetime) -> bytes:
    """Return the record of this run for the lock file. The command line never contains a secret."""
    record = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": shlex.join(sys.argv[1:])[:_COMMAND_LENGTH],
    }
    return json.dumps(record).encode()


def _holder(content: bytes) -> str:
    try:
        record = json.loads(content)
        process = f"process {record['pid']} on {record['host']}, since {record['since']}"
        command = f" ({record['command']})" if record.get("command") else ""
        return "it has just started" if _is_stale(record) else process + command
    except (ValueError, KeyError, TypeError):
        return "it has just started"


def _is_stale(record: dict[str, Any]) -> bool:
    """Return whether the record is from a killed run, because the holder has not written its own yet."""
    return bool(record["host"] == os.uname().nodename) and not Path(f"/proc/{record['pid']:d}").exists()
