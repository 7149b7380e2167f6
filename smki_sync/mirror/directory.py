"""Mirror directory layout, atomic publish, writer lock."""

import fcntl
import json
import os
import re
import shlex
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
from smki_sync.files import check_file_system, open_own_file, sync_directory, user_name
from smki_sync.mirror.connection import disk_errors, no_file

_GENERATION: Final = re.compile(r"(\d{6})\.db")
BUILDING: Final = ".building"
"""Behind the name of a generation that is not finished."""

_SORTING: Final = "etilqs_"
"""How SQLite names the files that it sorts in; they lose their name as soon as they are open."""

_SIDE_FILES: Final = ("", "-wal", "-shm", "-journal", "-damaged")


_RUN_SYNC: Final = "Run `smki-sync sync`. It repairs or rebuilds the mirror."

P = ParamSpec("P")
Found = TypeVar("Found")
_Method = Callable[Concatenate["MirrorDirectory", P], Found]


def _translated_errors(method: _Method[P, Found]) -> _Method[P, Found]:
    """Name the faults of the disk that a method meets, wherever it touches it."""

    @wraps(method)
    def careful(directory: "MirrorDirectory", /, *args: P.args, **more: P.kwargs) -> Found:
        with disk_errors(directory.root):
            return method(directory, *args, **more)

    return careful


@dataclass(frozen=True, slots=True)
class MirrorDirectory:
    """The paths below one mirror directory, and the moves between them."""

    root: Path

    @property
    def link(self) -> Path:
        """What readers open: ``mirror.db``."""
        return self.root / "mirror.db"

    @property
    def generations(self) -> Path:
        """Where generations lie."""
        return self.root / "generations"

    @property
    def downloads(self) -> Path:
        """Where fetched files wait."""
        return self.root / "downloads"

    @property
    def history(self) -> Path:
        """The record of runs."""
        return self.root / "history.db"

    @property
    def proofs(self) -> Path:
        """The memory of proven signatures."""
        return self.root / "trust.db"

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.root / "lock"

    @property
    def _rooms(self) -> tuple[Path, ...]:
        """The directories that a run writes in."""
        return self.root, self.generations, self.downloads

    @property
    def _next_link(self) -> Path:
        """The link that is about to take over."""
        return self.root / ".mirror.db.next"

    @_translated_errors
    def prepare(self) -> None:
        """Create missing directories, private to the owner and its group, and check who owns them.

        Before the first generation exists, it also checks that the file system has what a mirror needs.
        """
        self.check_owner()
        for path in self._rooms:
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
        for path in self._rooms:
            if path.exists() and (owner := path.stat().st_uid) != os.geteuid():
                raise ResourceError(
                    f"{path} belongs to user {user_name(owner)}, but this run is user"
                    f" {user_name(os.geteuid())}.",
                    hint=f"Run smki-sync as user {user_name(owner)}, or use another mirror directory.",
                    code="wrong-user",
                )

    @_translated_errors
    def check_closed(self) -> None:
        """Refuse a room in which everybody may write: who can could put another mirror, or a link, there.

        Raises :class:`ResourceError` (``mirror-open``).
        """
        for path in self._rooms:
            if path.is_dir() and path.stat().st_mode & stat.S_IWOTH:
                raise ResourceError(
                    f"{path} is world-writable, so any user could replace the mirror",
                    hint=f"See who has, then `chmod o-w {path}`; `smki-sync verify` looks at what is there.",
                    code="mirror-open",
                )

    @_translated_errors
    def current(self) -> Path | None:
        """The generation that readers see; ``None`` before the first full.

        Raises :class:`MirrorDamaged` where the link is none or points at nothing, or where damage was found
        earlier.
        """
        target = self.linked()
        if target and _marker(target).exists():
            raise MirrorDamaged(f"{target} was found damaged earlier", hint=_RUN_SYNC)
        return target

    @_translated_errors
    def linked(self) -> Path | None:
        """The same generation, whether or not it was found damaged."""
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
        pointed = self.link.readlink()
        if pointed.parent != Path(self.generations.name):
            raise MirrorDamaged(
                f"{self.link} points to {pointed}, which is not a generation of this mirror",
                hint="Remove the link and run `smki-sync sync`. It links the newest generation here.",
            )
        target = self.root / pointed
        if not target.is_file():
            raise no_file(self.link)
        return target

    @_translated_errors
    def is_link_lost(self) -> bool:
        """Whether there are generations, and no link to one."""
        return not self.link.is_symlink() and not self.link.exists() and bool(self._numbers())

    @_translated_errors
    def newest_first(self) -> tuple[Path, ...]:
        """Return the generations that were not found damaged, the newest first."""
        paths = (self._path(number) for number in reversed(self._numbers()))
        return tuple(path for path in paths if path.is_file() and not _marker(path).exists())

    @_translated_errors
    def mark_damaged(self, generation: Path | None = None) -> None:
        """Remember that a generation is damaged where a first look does not see it.

        The current one, unless another is given. One that is gone meanwhile needs no mark.
        """
        found = generation or self.link.resolve()
        if found.is_file():
            _marker(found).touch()

    @_translated_errors
    def next_generation(self) -> Path:
        """A path that no generation has used and nothing points to."""
        return self.generations / f"{max(self._numbers(), default=0) + 1:06d}.db"

    @_translated_errors
    def publish(self, generation: Path) -> None:
        """Let a finished generation take over in one step, durably."""
        aside = self._next_link
        aside.unlink(missing_ok=True)
        aside.symlink_to(generation.relative_to(self.root))
        sync_directory(generation.parent)
        if self.link.exists() and not self.link.is_symlink():  # somebody put a copy there: theirs to judge
            self.link.replace(self.link.with_name("mirror.db.set-aside"))
        aside.replace(self.link)
        sync_directory(self.root)

    @_translated_errors
    def discard(self, generation: Path) -> None:
        """Remove one generation with its side files; never the current one."""
        if self.link.exists() and generation.exists() and self.link.samefile(generation):
            raise AssertionError(f"{generation} is current")
        for suffix in _SIDE_FILES:
            generation.with_name(generation.name + suffix).unlink(missing_ok=True)

    @_translated_errors
    def discard_unfinished(self) -> tuple[Path, ...]:
        """Remove what a killed build left; where the link is broken, only what was never finished."""
        half = tuple(sorted(self._unfinished()))
        for path in half:
            path.unlink(missing_ok=True)
        sound = self.link.is_symlink() and self.link.exists()
        linked = self._linked_number() if sound else max(self._numbers(), default=0)
        newer = tuple(self._path(n) for n in self._numbers() if n > linked)
        for generation in newer:
            self.discard(generation)
        return (*half, *newer)

    def _unfinished(self) -> Iterator[Path]:
        """Builds, files that an index was sorted in, and a link that never took over."""
        yield from self.generations.glob(f"*{BUILDING}*")
        yield from self.generations.glob(f"{_SORTING}*")
        if self._next_link.is_symlink():
            yield self._next_link

    @_translated_errors
    def discard_superseded(self, *, keep: int) -> tuple[Path, ...]:
        """Remove generations older than the current one but for the newest ``keep``."""
        current = self._linked_number()
        older = [self._path(n) for n in sorted(self._numbers()) if n < current]
        gone = tuple(older[: max(len(older) - keep, 0)])
        for generation in gone:
            self.discard(generation)
        return gone

    @_translated_errors
    def discard_downloads(self, *, keep: Collection[Path] = ()) -> tuple[Path, ...]:
        """Remove every file in ``downloads`` but for ``keep``, when all that was fetched is applied."""
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


_CARD_BYTES: Final = 4_096  # of a card that is read: ours has a tenth of that
_WORDS: Final = 200  # characters of a command line that are kept: enough to tell a `--full` from a daily run


@contextmanager
def hold_lock(path: Path, *, since: datetime) -> Iterator[None]:
    """Hold the lock at ``path``; :class:`Locked` says who holds it since when, and what it does."""
    with disk_errors(path):
        handle = open_own_file(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        _take(handle, path)
        with disk_errors(path):
            os.truncate(handle, 0)
            os.pwrite(handle, _lock_record(since), 0)
        yield
        with suppress(OSError):  # the lock itself ends with the descriptor
            os.truncate(handle, 0)
    finally:
        os.close(handle)


def find_holder(path: Path) -> str | None:
    """Say who holds the lock, ``None`` where nobody does; writes nothing."""
    with disk_errors(path):
        if not path.exists():
            return None
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(os.pread(handle, _CARD_BYTES, 0))
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
            f"Another run holds the mirror {path.parent}: {_holder(os.pread(handle, _CARD_BYTES, 0))}",
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
    """Who holds it. No option of this program is a secret, so the command line may stand here."""
    card = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": shlex.join(sys.argv[1:])[:_WORDS],
    }
    return json.dumps(card).encode()


def _holder(octets: bytes) -> str:
    try:
        card = json.loads(octets)
        who = f"process {card['pid']} on {card['host']}, since {card['since']}"
        doing = f" ({card['command']})" if card.get("command") else ""
        return "it has just started" if _is_gone(card) else who + doing
    except (ValueError, KeyError, TypeError):
        return "it has just started"


def _is_gone(card: dict[str, Any]) -> bool:
    """Whether this is the card of a killed run, and whoever holds the lock has not yet written its own."""
    return bool(card["host"] == os.uname().nodename) and not Path(f"/proc/{card['pid']:d}").exists()
