"""A certificate as the values of its row, and batches of them.

For: one flat form between whoever reads an extract, in this process or in another, and the tables. A
row is a plain tuple of numbers, texts and octets, so that it crosses a process boundary as it is.
Refuses: to know issuer ids, dates and ledger entries; those are the generation's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Final, NamedTuple

from smki_sync.mirror.schema import KINDS
from smki_sync.model.certificate import Entry, Rejected, Status, Usage

BATCH: Final = 500
"""Records in a batch: some 300 kB, enough that handing it over costs little for each."""

KIND_NUMBER: Final = {kind: number for number, kind in enumerate(KINDS)}


_EPOCH: Final = date(1970, 1, 1).toordinal()


_TEXTS: Final = {word: word.value for word in (*Status, *Usage)}


class Row(NamedTuple):
    """What an extract says of one certificate; ``number``: its place in the file, from 1.

    ``issuer``: its RFC 4514 name. ``kind``: index of :data:`~.schema.KINDS`. ``subject``: ``None`` where
    empty. Times in seconds since 1970, UTC. The fields but the last stand as in :data:`INSERT`.
    """

    serial: str
    issuer: str
    eui: str | None
    kind: int
    role: int | None
    usage: str | None
    status: str
    subject: str | None
    not_before: int
    not_after: int
    ski: str | None
    manufacturing: int | None
    flags: int
    der: bytes
    number: int


INSERT: Final = (
    f"INSERT INTO certificate ({', '.join(Row._fields[:-1])}, first_seen, last_changed, extract)"
    f" VALUES ({', '.join('?' * (len(Row._fields) + 2))})"
)
"""Takes the values of :func:`values_of`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some records of an extract, in the file's order within each list."""

    rows: list[Row]
    rejected: list[Rejected]


def row_of(entry: Entry) -> Row:
    """Flatten a record."""
    facts, made = entry.facts, entry.manufacturing
    return Row(
        facts.serial,
        facts.issuer,
        entry.eui,
        KIND_NUMBER[facts.kind],
        entry.role,
        entry.usage and _TEXTS[entry.usage],
        _TEXTS[entry.status],
        facts.subject or None,
        facts.not_before,
        facts.not_after,
        facts.ski,
        None if made is None else int(made),
        int(entry.flags),
        entry.der,
        entry.number,
    )


def days(day: date) -> int:
    """A date as days since 1970, as the rows hold it."""
    return day.toordinal() - _EPOCH


def values_of(row: Row, issuer: int, *, first: int, changed: int, extract: int) -> tuple[object, ...]:
    """The values that ``INSERT`` takes. ``first``, ``changed``: days since 1970."""
    return (row.serial, issuer, *row[2:-1], first, changed, extract)


def said_by(row: Row) -> tuple[object, ...]:
    """What the Repository may change its word on: status, claims, flags; and the body."""
    return (row.status, row.eui, row.role, row.usage, row.manufacturing, row.flags, row.der)


def batches_of(records: Iterable[Entry | Rejected]) -> Iterator[Batch]:
    """Flatten records, some at a time."""
    rest = iter(records)
    while some := list(islice(rest, BATCH)):
        yield Batch(
            rows=[row_of(record) for record in some if isinstance(record, Entry)],
            rejected=[record for record in some if isinstance(record, Rejected)],
        )
