"""Read and write ``history.db``: runs, downloads, the last listing and refused logins."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlite_utils

from smki_sync.errors import MirrorError, ResourceError
from smki_sync.model.extract import Extract, ExtractKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run. ``at``: start, UTC ISO 8601. ``exit``: the exit code. ``reason``: plan or error code."""

    at: str
    command: str
    outcome: str
    exit: int
    reason: str
    position: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredListing:
    """The extracts in the last listing of the Repository. ``at``: time of the listing, UTC ISO 8601."""

    at: str
    extracts: tuple[Extract, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An attempt to download a file. ``started`` and ``ended`` are UTC, ISO 8601.

    ``begin`` and ``end`` are the byte offsets that this attempt downloaded between; ``size`` is the size of
    the file. ``outcome`` is ``whole`` or an error code.
    """

    file: str
    size: int
    started: str
    ended: str
    begin: int
    end: int
    outcome: str


_MEASURED: Final = 100  # downloads used for the rate: a few weeks of deltas, and the full extracts among them


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRecord:
    """A comparison with a full extract. ``at``: UTC ISO 8601. ``generation``: name of the compared file.

    ``drift`` is the number of certificates that still differ after the repair.
    """

    full: str
    at: str
    generation: str
    drift: int


_COLUMNS: Final = {"position": str}  # the first run may have no position, so the column needs a type
_END_OF_TIME: Final = "9999"
"""Later than any stored time."""
_OFFER: Final = {"name": str, "kind": str, "day": str, "size": int, "modified": str, "at": str}


@contextmanager
def history_errors(path: Path) -> Iterator[None]:
    """Translate errors of SQLite and of the disk into :class:`MirrorError` or :class:`ResourceError`."""
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        on_disk = isinstance(exc, (OSError, sqlite3.OperationalError))
        kind = ResourceError if on_disk else MirrorError
        raise kind(
            f"{path} cannot be used: {exc}", hint="It holds only the record of runs: move it away."
        ) from exc


class History:
    """The tables of runs, downloads, listings and comparisons in ``history.db``."""

    def __init__(self, path: Path) -> None:
        """Set the path of the file. The first record creates the file."""
        self._path = path

    def record(self, run: Run) -> None:
        """Append a run, durably. Raises :class:`MirrorError`."""
        with history_errors(self._path), closing(sqlite_utils.Database(self._path)) as db:
            # SQLite does not accept enumerations, so convert them to plain strings.
            values = {name: str(v) if isinstance(v, str) else v for name, v in asdict(run).items()}
            db.table("run").insert(values, columns=_COLUMNS)

    def record_download(self, download: Download) -> None:
        """Append a download attempt, durably. Raises :class:`MirrorError`."""
        with history_errors(self._path), closing(sqlite_utils.Database(self._path)) as db:
            db.table("download").insert(asdict(download))

    def last(self, *, outcome: str | None = None, until: str = _END_OF_TIME) -> Run | None:
        """Return the newest run, or the newest run with ``outcome``; ``None`` if there is none.

        Args:
            outcome: The outcome of the run, or ``None`` for any.
            until: ISO 8601, UTC. Later runs are ignored: they were recorded while the clock was wrong.

        Raises:
            MirrorError: The file cannot be read as a history.
        """
        with history_errors(self._path):
            if not self._path.exists():
                return None
        condition, args = "at <= ?", [until]
        if outcome:
            condition, args = f"{condition} AND outcome = ?", [until, outcome]
        with history_errors(self._path), closing(sqlite_utils.Database(self._path)) as db:
            if "run" not in db.table_names():
                return None
            rows = list(db.table("run").rows_where(condition, args, order_by="rowid desc", limit=1))
        return _known(Run, rows[0]) if rows else None

    def runs(self, *, since: str) -> tuple[Run, ...]:
        """Return the runs that began at ``since`` (ISO 8601, UTC) or later, oldest first.

        Raises:
            MirrorError: The file cannot be read as a history.
        """
        rows = self._rows("run", "at >= ?", [since])
        return tuple(_known(Run, row) for row in rows)

    def remember_offer(self, at: str, extracts: Iterable[Extract]) -> None:
        """Replace the stored listing, durably. Raises :class:`MirrorError`."""
        rows = [
            {
                "name": x.name,
                "kind": x.kind.value,
                "day": x.day.isoformat(),
                "size": x.size,
                "modified": x.modified.isoformat() if x.modified else None,
                "at": at,
            }
            for x in extracts
        ]
        with history_errors(self._path), closing(sqlite_utils.Database(self._path)) as db, db.atomic():
            table = db.table("offer").create(_OFFER, if_not_exists=True)
            table.delete_where()
            table.insert_all(rows)

    def offer(self) -> StoredListing | None:
        """Return the last listing, or ``None`` if none is stored. Raises :class:`MirrorError`."""
        rows = self._rows("offer", None, [])
        extracts = tuple(
            Extract(
                kind=ExtractKind(row["kind"]),
                day=date.fromisoformat(row["day"]),
                name=row["name"],
                size=row["size"],
                modified=datetime.fromisoformat(row["modified"]) if row["modified"] else None,
            )
            for row in rows
        )
        return StoredListing(at=rows[0]["at"], extracts=extracts) if rows else None

    def record_comparison(self, comparison: ComparisonRecord) -> None:
        """Append a comparison with a full extract, durably. Raises :class:`MirrorError`."""
        with history_errors(self._path), closing(sqlite_utils.Database(self._path)) as db:
            db.table("comparison").insert(asdict(comparison))

    def comparisons(self) -> tuple[ComparisonRecord, ...]:
        """Return the comparisons with full extracts, oldest first. Raises :class:`MirrorError`."""
        return tuple(_known(ComparisonRecord, row) for row in self._rows("comparison", None, []))

    def remember_journal(self, lineage: str, sequence: int) -> None:
        """Store the end of the journal, durably. Raises :class:`MirrorError`."""
        with history_errors(self._path), closing(sqlite_utils.Database(self._path)) as db, db.atomic():
            table = db.table("journal_head").create({"lineage": str, "sequence": int}, if_not_exists=True)
            table.delete_where()
            table.insert({"lineage": lineage, "sequence": sequence})

    def journal(self) -> tuple[str, int] | None:
        """Return the lineage and the last line that the last run saw. Raises :class:`MirrorError`."""
        rows = self._rows("journal_head", None, [])
        return (rows[0]["lineage"], rows[0]["sequence"]) if rows else None

    def fetch_rate(self) -> float | None:
        """Return the rate of the last downloads in bytes per second, or ``None`` without data.

        Raises :class:`MirrorError`.
        """
        ends = [
            (row["end"] - row["begin"], row["started"], row["ended"])
            for row in self._rows("download", None, [])
        ]
        measured = [
            (size, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
            for size, start, end in ends[-_MEASURED:]
        ]
        # A negative duration means that the clock was set back during the download.
        measured = [(size, seconds) for size, seconds in measured if seconds >= 0]
        total_bytes, seconds = sum(size for size, _ in measured), sum(seconds for _, seconds in measured)
        return total_bytes / seconds if seconds else None

    def _rows(self, table: str, where: str | None, values: list[str]) -> list[dict[str, Any]]:
        with history_errors(self._path):
            if not self._path.exists():
                return []
        with history_errors(self._path), closing(sqlite_utils.Database(self._path)) as db:
            if table not in db.table_names():
                return []
            return list(db.table(table).rows_where(where, values, order_by="rowid"))


Recorded = TypeVar("Recorded", Run, ComparisonRecord)


def _known(kind: type[Recorded], row: dict[str, Any]) -> Recorded:
    """Convert a row to a value. Ignores columns that a later version of this program has added."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})


@dataclass(frozen=True, slots=True)
class RefusedLogins:
    """The table ``refusal`` of the history at ``path``. Every method raises ``MirrorError``."""

    path: Path

    def refused(self, account: str, *, since: str) -> tuple[str, ...]:
        """Return the times since ``since`` when the account was refused (ISO 8601, UTC), oldest first."""
        with history_errors(self.path):
            if not self.path.exists():
                return ()
        with history_errors(self.path), closing(sqlite_utils.Database(self.path)) as db:
            if "refusal" not in db.table_names():
                return ()
            rows = db.table("refusal").rows_where(
                "account = ? AND at >= ?", [account, since], order_by="rowid"
            )
            return tuple(row["at"] for row in rows)

    def remember(self, account: str, *, at: str) -> None:
        """Append a refusal, durably."""
        with history_errors(self.path), closing(sqlite_utils.Database(self.path)) as db:
            db.table("refusal").insert({"account": account, "at": at}, columns={"account": str, "at": str})

    def forget(self, account: str) -> None:
        """Delete the refusals of an account, after a successful login."""
        if not self.refused(account, since=""):
            return
        with history_errors(self.path), closing(sqlite_utils.Database(self.path)) as db:
            db.table("refusal").delete_where("account = ?", [account])


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """The table ``request_limit`` of the history at ``path``.

    It stores the number of read requests in flight that each server accepts.
    Every method raises ``MirrorError``.
    """

    path: Path

    def requests(self, server: str, *, since: str, until: str) -> int | None:
        """Return the number stored for a server between two times (ISO 8601, UTC), or ``None``."""
        with history_errors(self.path):
            if not self.path.exists():
                return None
        with history_errors(self.path), closing(sqlite_utils.Database(self.path)) as db:
            if "request_limit" not in db.table_names():
                return None
            values = [server, since, until]
            rows = list(db.table("request_limit").rows_where("server = ? AND at BETWEEN ? AND ?", values))
            return int(rows[-1]["requests"]) if rows else None

    def remember(self, server: str, requests: int, *, at: str) -> None:
        """Replace the number for a server, durably."""
        with history_errors(self.path), closing(sqlite_utils.Database(self.path)) as db:
            row = {"server": server, "requests": requests, "at": at}
            db.table("request_limit").upsert(row, pk="server")
