"""Compare a generation with a full; repair the differences."""

import marshal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror import ledger, revocation, rows
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.integrity import digest_of_rows
from smki_sync.mirror.journal import ChangeKind, JournalEntry, JournalWriter
from smki_sync.mirror.ledger import SetDigest
from smki_sync.mirror.queries import Connection, Told, slices
from smki_sync.mirror.rows import INSERT, Issuers, Row, days, values_of
from smki_sync.mirror.schema import KINDS
from smki_sync.model.certificate import Status
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import ChangeCounts

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
class DriftDifference:
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


class DriftDifferences:
    """The differences found, in a scratch file; a context manager that removes it."""

    def __init__(self, path: Path) -> None:
        """``path``: where no file is worth keeping."""
        self._path = path
        self.counts = dict.fromkeys(Drift, 0)

    def __enter__(self) -> Self:
        """Begin with none."""
        with disk_errors(self._path):
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

    def add(self, found: DriftDifference) -> None:
        """Take one in."""
        self.counts[found.drift] += 1
        record = None if found.record is None else marshal.dumps(tuple(found.record))
        values = (found.drift, found.row, found.kind, found.eui, found.serial, found.issuer)
        with disk_errors(self._path):
            self._db.execute(
                "INSERT INTO difference VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values, found.held, found.listed, " ".join(found.what), record),
            )

    def __iter__(self) -> Iterator[DriftDifference]:
        """All of them, in the order in which they were found."""
        return map(_difference, self._db.execute("SELECT * FROM difference ORDER BY rowid"))

    def first(self, drift: Drift, number: int) -> list[DriftDifference]:
        """The first of one sort."""
        found = self._db.execute(
            "SELECT * FROM difference WHERE drift = ? ORDER BY rowid LIMIT ?", (drift, number)
        )
        return [*map(_difference, found)]


def _difference(values: tuple[Any, ...]) -> DriftDifference:
    drift, row, kind, eui, serial, issuer, held, listed, what, record = values
    return DriftDifference(
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


_REPLACE: Final = (
    f"UPDATE certificate SET {', '.join(f'{name} = ?' for name in Row._fields[2:-1])},"
    " withdrawn = NULL, last_changed = ?, extract = ? WHERE id = ?"
)
_BODY: Final = "SELECT der FROM certificate WHERE id = ?"
_WITHDRAW: Final = "UPDATE certificate SET withdrawn = ?, last_changed = ?, extract = ? WHERE id = ?"
_CENSUS: Final = """
INSERT INTO census SELECT kind, status, withdrawn IS NOT NULL, count(*) FROM certificate GROUP BY 1, 2, 3
"""


class RepairWriter:
    """Makes differences good. ``counts``: in certificates."""

    def __init__(self, db: apsw.Connection, *, extract: int, day: date) -> None:
        """``extract``: ledger id of the repair. ``day``: the full's date."""
        self._db = db
        self._extract = extract
        self._day = days(day)
        self._issuers = Issuers(db)
        self._hash_devices = rows.holds_devices(db)
        self._journal = JournalWriter(db, extract, day)
        self._done: Counter[str] = Counter()

    def take_all(self, differences: Iterable[DriftDifference]) -> ChangeCounts:
        """Make every one good; what was done."""
        for found in differences:
            self._take(found)
        done = self._done
        return ChangeCounts(
            records=done.total(),
            inserted=done["inserted"],
            updated=done["updated"],
            withdrawn=done["withdrawn"],
        )

    def _take(self, found: DriftDifference) -> None:
        if found.record is None:
            assert found.row is not None  # what is neither listed nor held is no difference
            self._withdraw(found.row, found.held)
        elif found.row is None:
            self._insert(found.record)
        else:
            self._replace(found.row, found.record, found)

    def _withdraw(self, row: int, held: str | None) -> None:
        self._db.execute(_WITHDRAW, (self._day, self._day, self._extract, row))
        self._journal.write(JournalEntry(row=row, change=ChangeKind.WITHDRAWN, before=held, after=None))
        self._done["withdrawn"] += 1

    def _insert(self, record: Row) -> None:
        issuer = self._issuers[record.issuer]
        stamp = {"first": self._day, "changed": self._day, "extract": self._extract}
        self._db.execute(INSERT, values_of(record, issuer, **stamp))
        row = self._db.last_insert_rowid()
        self._hash(row, record)
        self._journal.write(JournalEntry(row=row, change=ChangeKind.ADDED, before=None, after=record.status))
        self._done["inserted"] += 1

    def _replace(self, row: int, record: Row, found: DriftDifference) -> None:
        if "der" in found.what:
            rows.remove(self._db, self._db.execute(_BODY, (row,)).get)
            self._hash(row, record)
        self._db.execute(_REPLACE, (*record[2:-1], self._day, self._extract, row))
        change = (
            ChangeKind.REINSTATED
            if found.held is None and found.drift is not Drift.DIFFERING
            else ChangeKind.STATUS
        )
        if found.held != record.status or "der" in found.what:
            self._journal.write(JournalEntry(row=row, change=change, before=found.held, after=record.status))
        self._done["updated"] += 1

    def _hash(self, row: int, record: Row) -> None:
        if self._hash_devices or record.kind != rows.DEVICE:
            rows.add(self._db, row, record.der)


def repair(
    db: apsw.Connection, file: AppliedFile, differences: Iterable[DriftDifference]
) -> tuple[int, ChangeCounts]:
    """Make differences from the full ``file`` good; the caller owns the transaction. Entry and counts.

    Raises :class:`MirrorDamaged` where rows were changed outside this program that the full has no word on.
    """
    carried, found = ledger.read_digest(db), digest_of_rows(db)
    entry = ledger.open_repair(db, file)
    counts = RepairWriter(db, extract=entry, day=file.extract.day).take_all(differences)
    db.execute("DELETE FROM census")
    db.execute(_CENSUS)
    digest = digest_of_rows(db)
    journalist = JournalWriter(db, entry, file.extract.day)
    for moved in revocation.enforce(db, digest):
        journalist.write(moved.changed)
    if found.hex != carried.hex:
        _check_whole(digest, carried)
    position, _, _ = ledger.read_state(db)
    ledger.write_state(db, position=position, digest=digest)
    return entry, counts


def _check_whole(digest: SetDigest, carried: SetDigest) -> None:
    """Rows were changed by hand: what they made before is what they have to make again."""
    if digest.hex != carried.hex:
        raise MirrorDamaged(
            "rows were lost or changed outside this program, and the full cannot make all of them good: what"
            " deltas have brought since is damaged, too. Nothing was repaired",
            hint="`smki-sync sync --full` builds the mirror anew.",
            code="digest-differs",
        )


_STATED: Final = Row._fields[2:-1]
"""What a row of the mirror has of its own, besides serial number and issuer."""
_STATUS: Final = _STATED.index("status")
_DER: Final = _STATED.index("der")

_HELD: Final = (
    f"SELECT {', '.join(_STATED)}, id, withdrawn, extract FROM certificate WHERE serial = ? AND issuer = ?"
)
_EXPLAINING: Final = "SELECT id FROM extract WHERE kind = 'delta' AND day >= ?"
_LISTABLE: Final = """
SELECT c.id, c.extract, c.serial, i.name, c.eui, c.kind, c.status
  FROM certificate AS c JOIN issuer AS i ON i.id = c.issuer
 WHERE c.id BETWEEN ? AND ? AND c.status = 'I' AND c.withdrawn IS NULL
"""


class MirrorComparator:
    """Holds the rows of one full against a generation. ``explained``: differences that a delta explains."""

    def __init__(self, db: Connection, found: DriftDifferences, *, since: date) -> None:
        """``db``: one snapshot. ``since``: the word of deltas of this date and later stands."""
        self._db = db
        self._found = found
        self._issuers: dict[str, int] = dict(db.execute("SELECT name, id FROM issuer"))
        self._deltas = {row for (row,) in db.execute(_EXPLAINING, (since.isoformat(),))}
        last: int = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
        self._listed = bytearray(last // 8 + 1)
        self.compared = self.explained = 0

    def take(self, rows: Iterable[Row]) -> None:
        """Look some rows of the full up."""
        for row in rows:
            self.compared += 1
            issuer = self._issuers.get(row.issuer)
            held = None if issuer is None else self._db.execute(_HELD, (row.serial, issuer)).fetchone()
            if held is None:
                self._note(row, Drift.MISSING, None, None)
            else:
                self._compare(row, held)

    def finish(self, told: Told) -> None:
        """Find what is held In-Use and was not listed; ``told``: how far that is, in rows."""
        for low, high in slices(self._db, told):
            for number, extract, serial, issuer, eui, kind, status in self._db.execute(
                _LISTABLE, (low, high)
            ):
                if self._listed[number >> 3] & 1 << (number & 7):
                    continue
                if extract in self._deltas:
                    self.explained += 1
                    continue
                self._found.add(
                    DriftDifference(
                        drift=Drift.UNEXPECTED,
                        row=number,
                        kind=KINDS[kind],
                        eui=eui,
                        serial=serial,
                        issuer=issuer,
                        held=status,
                        listed=None,
                    )
                )

    def _compare(self, row: Row, held: tuple[Any, ...]) -> None:
        *stated, number, withdrawn, extract = held
        self._listed[number >> 3] |= 1 << (number & 7)
        if withdrawn is None and tuple(stated) == row[2:-1]:
            return
        same_body = stated[_DER] == row.der
        if same_body and extract in self._deltas:
            self.explained += 1
            return
        status = None if withdrawn is not None else stated[_STATUS]
        here, there = status == Status.IN_USE, row.status == Status.IN_USE
        drift = (
            Drift.MISSING
            if there and not here
            else Drift.UNEXPECTED
            if here and not there
            else Drift.DIFFERING
        )
        what = [name for name, a, b in zip(_STATED, stated, row[2:-1], strict=True) if a != b]
        self._note(row, drift, number, status, what=("withdrawn",) * (withdrawn is not None) + tuple(what))

    def _note(
        self, row: Row, drift: Drift, number: int | None, held: str | None, *, what: tuple[str, ...] = ()
    ) -> None:
        self._found.add(
            DriftDifference(
                drift=drift,
                row=number,
                kind=KINDS[row.kind],
                eui=row.eui,
                serial=row.serial,
                issuer=row.issuer,
                held=held,
                listed=row.status,
                what=what,
                record=row,
            )
        )
