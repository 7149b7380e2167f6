"""Runs, as rows: when, with what outcome, also of those that failed before there was a mirror.

For: ``status`` (last run, last success) and whoever asks later. Kept apart from the generations
because a run that could not build one must be remembered too. Refuses: to make a run fail; what
cannot be written is dropped by the caller.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import sqlite_utils

from smki_sync.errors import MirrorError


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run. ``at``: start, UTC ISO 8601. ``exit``: the exit code. ``reason``: plan or error code."""

    at: str
    command: str
    outcome: str
    exit: int
    reason: str
    position: str | None
    seconds: float


_COLUMNS: Final = {"position": str}  # the first run may have none, which would leave its type open


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn SQLite's own errors into ours."""
    try:
        yield
    except sqlite3.Error as exc:
        raise MirrorError(
            f"{path} cannot be used: {exc}", hint="It holds only the record of runs: move it away."
        ) from exc


class History:
    """The table of runs in ``history.db``."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created by the first :meth:`record`."""
        self._path = path

    def record(self, run: Run) -> None:
        """Append one run, durably; raises :class:`MirrorError`."""
        with _named(self._path), closing(sqlite_utils.Database(self._path)) as db:
            # Enumerations are texts to us and unknown types to SQLite.
            values = {name: str(v) if isinstance(v, str) else v for name, v in asdict(run).items()}
            db.table("run").insert(values, columns=_COLUMNS)

    def last(self, *, outcome: str | None = None) -> Run | None:
        """The newest run, or the newest with that outcome; ``None`` where there is none.

        Raises :class:`MirrorError` where the file cannot be read as a history.
        """
        if not self._path.exists():
            return None
        where, args = ("outcome = ?", [outcome]) if outcome else (None, [])
        with _named(self._path), closing(sqlite_utils.Database(self._path)) as db:
            if "run" not in db.table_names():
                return None
            rows = list(db.table("run").rows_where(where, args, order_by="rowid desc", limit=1))
        return Run(**rows[0]) if rows else None
