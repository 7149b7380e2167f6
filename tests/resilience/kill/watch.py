"""Where the moments come from: hooks of the interpreter and of SQLite, and a VFS between it and the disk.

For: :mod:`kill.moments`, in the process that is to be disturbed. Refuses: to be undone.
"""

import os
import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

import apsw

from smki_sync.cli.event_log import EventReporter
from smki_sync.events import Event

Act = Callable[[], None]

_FILES: Final = {"os.rename", "os.link", "os.remove", "os.symlink", "os.mkdir", "os.rmdir", "sqlite3.connect"}
_WORDS: Final = {"BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "CREATE", "ATTACH", "DETACH", "PRAGMA"}
_STATE: Final = "UPDATE mirror"
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Clock:
    """Counts the moments, and lets the one thing happen."""

    def __init__(self, *, kinds: Collection[str], at: int, act: Act) -> None:
        self.kinds = kinds
        self._at = at
        self._act = act
        self.names: list[str] = []

    def strike(self, kind: str, name: str, before: Act = lambda: None) -> None:
        """``before``: done first if this is the moment."""
        if kind not in self.kinds:
            return
        self.names.append(f"{kind} {name}")
        if len(self.names) == self._at:
            before()
            self._act()


def watch(clock: Clock, root: str) -> object:
    """Set everything up that strikes the clock; what must be kept for as long as the process lives."""
    sys.addaudithook(partial(_heard, clock, root))
    apsw.connection_hooks.append(partial(_trace, clock))
    hear = EventReporter.emit

    def tell(talk: EventReporter, event: Event) -> None:
        hear(talk, event)
        clock.strike("event", type(event).__name__)

    EventReporter.emit = tell  # type: ignore[method-assign,assignment]  # every command makes its own
    return _Disk(clock) if "disk" in clock.kinds else None


def _heard(clock: Clock, root: str, event: str, args: tuple[Any, ...]) -> None:
    if event == "open":
        path, _mode, flags = args
        if flags & _WRITING and _lies_in(root, path):
            clock.strike("file", f"open {path}")
    elif event in _FILES:
        if any(_lies_in(root, arg) for arg in args):
            clock.strike("file", f"{event} {args[-1]}")
    elif event == "subprocess.Popen":
        clock.strike("file", event)


def _lies_in(root: str, path: object) -> bool:
    return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(root)


def _trace(clock: Clock, db: apsw.Connection) -> None:
    def executed(_cursor: object, sql: str, _bindings: object) -> bool:
        if sql.split(maxsplit=1)[0].upper() in _WORDS or sql.startswith(_STATE):
            clock.strike("sql", " ".join(sql.split())[:40])
        return True

    db.exec_trace = executed


class _Disk(apsw.VFS):
    """Between SQLite and the disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__("moments", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        return _File(self._clock, name, flags)

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - SQLite's
        """Resolve links here: for this library, the answer that a path has a link is a failure."""
        return os.path.realpath(name)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        self._clock.strike("disk", f"delete {filename}")
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    """One file that SQLite has open."""

    def __init__(self, clock: Clock, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._clock = clock
        self._name = str(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary")
        super().__init__("unix", name, flags)

    def xLock(self, level: int) -> None:  # noqa: N802 - SQLite's
        """Who reads cannot lock for writing: SQLite expects that, and this library calls it a failure."""
        try:
            super().xLock(level)
        except apsw.IOError as exc:
            raise apsw.BusyError from exc

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802, ANN401 - SQLite's; any buffer
        def tear() -> None:
            apsw.VFSFile.xWrite(self, bytes(data)[: len(data) // 2], offset)

        self._clock.strike("disk", f"write {self._name}", tear)
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        self._clock.strike("disk", f"truncate {self._name}")
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        self._clock.strike("disk", f"sync {self._name}")
        super().xSync(flags)
