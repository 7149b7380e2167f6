"""What differs between a generation and a full, however much it is, kept for as long as it is needed.

For: ``reconcile``, which finds differences (:mod:`.drift`), lists them and makes them good (:mod:`.mend`).
They lie in a scratch file. Refuses: to outlive the comparison.
"""

import marshal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import apsw

from smki_sync.mirror.connection import named
from smki_sync.mirror.rows import Row

_SCRATCH: Final = """
CREATE TABLE difference (drift TEXT, row INTEGER, kind TEXT, eui TEXT, serial TEXT, issuer TEXT, held TEXT,
                         listed TEXT, what TEXT, record BLOB)
"""


class Drift(StrEnum):
    """How a certificate differs. Stable: in JSON and in lists."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERING = "differing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One certificate that differs. ``row``: its id in the mirror, ``None`` where it is not held.

    ``held``, ``listed``: its status here and there; ``None`` where it is not held, or withdrawn, or not
    listed. ``what``: the columns that differ. ``record``: what the full says of it, ``None`` if nothing.
    """

    drift: Drift
    row: int | None
    kind: str
    eui: str | None
    serial: str
    issuer: str
    held: str | None
    listed: str | None
    what: tuple[str, ...] = ()
    record: Row | None = None


class Differences:
    """The differences found, in a scratch file; a context manager that removes it."""

    def __init__(self, path: Path) -> None:
        """``path``: where no file is worth keeping."""
        self._path = path
        self.counts = dict.fromkeys(Drift, 0)

    def __enter__(self) -> Self:
        """Begin with none."""
        with named(self._path):
            self._path.unlink(missing_ok=True)
            self._db = apsw.Connection(str(self._path))
            self._db.pragma("journal_mode", "OFF")
            self._db.pragma("synchronous", "OFF")
            self._db.execute(_SCRATCH)
            self._db.execute("BEGIN")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Forget them."""
        self._db.close()
        self._path.unlink(missing_ok=True)

    def add(self, found: Difference) -> None:
        """Take one in."""
        self.counts[found.drift] += 1
        record = None if found.record is None else marshal.dumps(tuple(found.record))
        values = (found.drift, found.row, found.kind, found.eui, found.serial, found.issuer)
        with named(self._path):
            self._db.execute(
                "INSERT INTO difference VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, found.held, found.listed, " ".join(found.what), record),
            )

    def __iter__(self) -> Iterator[Difference]:
        """All of them, in the order in which they were found."""
        return map(_difference, self._db.execute("SELECT * FROM difference ORDER BY rowid"))

    def first(self, drift: Drift, number: int) -> list[Difference]:
        """The first of one sort."""
        found = self._db.execute(
            "SELECT * FROM difference WHERE drift = ? ORDER BY rowid LIMIT ?", (drift, number)
        )
        return [*map(_difference, found)]


def _difference(values: tuple[Any, ...]) -> Difference:
    drift, row, kind, eui, serial, issuer, held, listed, what, record = values
    return Difference(
        drift=Drift(drift),
        row=row,
        kind=kind,
        eui=eui,
        serial=serial,
        issuer=issuer,
        held=held,
        listed=listed,
        what=tuple(what.split()),
        record=None if record is None else Row._make(marshal.loads(record)),  # noqa: S302 - our own file of this run
    )
