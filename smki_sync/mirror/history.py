"""Runs, as rows: when, with what outcome, also of those that failed before there was a mirror.

For: ``status`` (last run, last success) and whoever asks later. Kept apart from the generations
because a run that could not build one must be remembered too. Refuses: to make a run fail; what
cannot be written is dropped by the caller.
"""

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlite_utils


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


class History:
    """The table of runs in ``history.db``."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is created by the first :meth:`record`."""
        self._path = path

    def record(self, run: Run) -> None:
        """Append one run, durably."""
        with closing(sqlite_utils.Database(self._path)) as db:
            db.table("run").insert(asdict(run))

    def last(self, *, outcome: str | None = None) -> Run | None:
        """The newest run, or the newest with that outcome; ``None`` where there is none."""
        if not self._path.exists():
            return None
        where, args = ("outcome = ?", [outcome]) if outcome else (None, [])
        with closing(sqlite_utils.Database(self._path)) as db:
            if "run" not in db.table_names():
                return None
            rows = list(db.table("run").rows_where(where, args, order_by="rowid desc", limit=1))
        return Run(**rows[0]) if rows else None
