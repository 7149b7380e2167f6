"""Differences from a full, made good in one transaction.

For: ``reconcile --repair``. Rows take the full's word, the journal says what has changed for those who
follow it, and census and digest are counted anew from the rows: what was changed by hand has left them
wrong. Refuses: to touch a row that does not differ, to move the position, and to count anew what a full
cannot make good: a row that a later delta brought and a hand took away would be forgotten by that.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Final

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror import fingerprints, ledger, revocation, state
from smki_sync.mirror.differences import Difference, Drift
from smki_sync.mirror.digest import SetDigest
from smki_sync.mirror.issuers import Issuers
from smki_sync.mirror.journal import Change, Changed, Journalist
from smki_sync.mirror.rows import INSERT, Row, days, values_of
from smki_sync.mirror.shards import digest_of_rows
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import Counts

_REPLACE: Final = (
    f"UPDATE certificate SET {', '.join(f'{name} = ?' for name in Row._fields[2:-1])},"
    " withdrawn = NULL, last_changed = ?, extract = ? WHERE id = ?"
)
_BODY: Final = "SELECT der FROM certificate WHERE id = ?"
_WITHDRAW: Final = "UPDATE certificate SET withdrawn = ?, last_changed = ?, extract = ? WHERE id = ?"
_CENSUS: Final = """
INSERT INTO census SELECT kind, status, withdrawn IS NOT NULL, count(*) FROM certificate GROUP BY 1, 2, 3
"""


class Mender:
    """Makes differences good. ``counts``: in certificates."""

    def __init__(self, db: apsw.Connection, *, extract: int, day: date) -> None:
        """``extract``: ledger id of the repair. ``day``: the full's date."""
        self._db = db
        self._extract = extract
        self._day = days(day)
        self._issuers = Issuers(db)
        self._hash_devices = fingerprints.holds_devices(db)
        self._journal = Journalist(db, extract, day)
        self._done: Counter[str] = Counter()

    def take_all(self, differences: Iterable[Difference]) -> Counts:
        """Make every one good; what was done."""
        for found in differences:
            self._take(found)
        done = self._done
        return Counts(
            records=done.total(),
            inserted=done["inserted"],
            updated=done["updated"],
            withdrawn=done["withdrawn"],
        )

    def _take(self, found: Difference) -> None:
        if found.record is None:
            assert found.row is not None  # what is neither listed nor held is no difference
            self._withdraw(found.row, found.held)
        elif found.row is None:
            self._insert(found.record)
        else:
            self._replace(found.row, found.record, found)

    def _withdraw(self, row: int, held: str | None) -> None:
        self._db.execute(_WITHDRAW, (self._day, self._day, self._extract, row))
        self._journal.write(Changed(row=row, change=Change.WITHDRAWN, before=held, after=None))
        self._done["withdrawn"] += 1

    def _insert(self, record: Row) -> None:
        issuer = self._issuers[record.issuer]
        stamp = {"first": self._day, "changed": self._day, "extract": self._extract}
        self._db.execute(INSERT, values_of(record, issuer, **stamp))
        row = self._db.last_insert_rowid()
        self._hash(row, record)
        self._journal.write(Changed(row=row, change=Change.ADDED, before=None, after=record.status))
        self._done["inserted"] += 1

    def _replace(self, row: int, record: Row, found: Difference) -> None:
        if "der" in found.what:
            fingerprints.remove(self._db, self._db.execute(_BODY, (row,)).get)
            self._hash(row, record)
        self._db.execute(_REPLACE, (*record[2:-1], self._day, self._extract, row))
        change = (
            Change.REINSTATED if found.held is None and found.drift is not Drift.DIFFERING else Change.STATUS
        )
        if found.held != record.status or "der" in found.what:
            self._journal.write(Changed(row=row, change=change, before=found.held, after=record.status))
        self._done["updated"] += 1

    def _hash(self, row: int, record: Row) -> None:
        if self._hash_devices or record.kind != fingerprints.DEVICE:
            fingerprints.add(self._db, row, record.der)


def mend(db: apsw.Connection, file: AppliedFile, differences: Iterable[Difference]) -> tuple[int, Counts]:
    """Make differences from the full ``file`` good; the caller owns the transaction. Entry and counts.

    Raises :class:`MirrorDamaged` where rows were changed outside this program that the full has no word on.
    """
    carried, found = state.read_digest(db), digest_of_rows(db)
    entry = ledger.open_repair(db, file)
    counts = Mender(db, extract=entry, day=file.extract.day).take_all(differences)
    db.execute("DELETE FROM census")
    db.execute(_CENSUS)
    digest = digest_of_rows(db)
    journalist = Journalist(db, entry, file.extract.day)
    for moved in revocation.enforce(db, digest):
        journalist.write(moved.changed)
    if found.hex != carried.hex:
        _check_whole(digest, carried)
    position, _, _ = state.read_state(db)
    state.write_state(db, position=position, digest=digest)
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
