"""Small values to fill a mirror with, and plain eyes to look at it: sqlite3, never the code under test."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from smki_sync.mirror.apply import CertificateGate
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.set_digest import SetDigest
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import (
    Entry,
    Eui,
    Facts,
    Flag,
    KeyId,
    Kind,
    Rejected,
    RejectReason,
    Serial,
    Status,
    Usage,
)
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile
from smki_sync.model.report import ChangeCounts
from smki_sync.policy import ChangeLimits

ISSUER = "CN=E357"
OTHER_ISSUER = "CN=E358"
ANY_FULL = ChangeLimits(not_in_use_share=1)
"""Of fulls made by hand, some are empty."""

NOW = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)
FULL_DAY = date(2026, 11, 9)

Record = Entry | Rejected
Row = tuple[Any, ...]


def clock() -> datetime:
    return NOW


def clock_on(day: date) -> Callable[[], datetime]:
    """A clock that stands at 07:30 of a day."""
    return lambda: datetime.combine(day, time(7, 30), UTC)


def november(day: int) -> date:
    return date(2026, 11, day)


def entry(
    n: int,
    status: str = "I",
    *,
    number: int | None = None,
    issuer: str = ISSUER,
    body: bytes | None = None,
    kind: Kind = Kind.DEVICE,
    eui: Eui | None = None,
    role: int | None = None,
    usage: Usage | None = Usage.DIGITAL_SIGNING,
    subject: str = "",
    manufacturing: bool | None = None,
    flags: Flag = Flag(0),  # noqa: B008  an immutable value
    not_after: int = 253_402_300_799,
) -> Entry:
    """The record of certificate ``n``; its body is any octets, for the mirror never looks into it."""
    name = eui or eui_of(n)
    facts = Facts(
        serial=serial_of(n),
        issuer=issuer,
        subject=subject,
        not_before=1_762_000_000,
        not_after=not_after,
        kind=kind,
        eui=name,
        role=role,
        usage=usage,
        ski=KeyId(f"{n:016X}"),
        aki=None,
    )
    return Entry(
        number=number or n,
        der=body if body is not None else der_of(n, issuer),
        facts=facts,
        eui=name,
        role=role,
        usage=usage,
        status=Status(status),
        manufacturing=manufacturing,
        flags=flags,
    )


def der_of(n: int, issuer: str = ISSUER) -> bytes:
    return f"certificate {n} of {issuer}".encode()


def serial_of(n: int) -> Serial:
    return Serial(f"{0x1A00 + n:04X}")


def eui_of(n: int) -> Eui:
    return Eui(f"00-DB-12-34-56-78-{n // 256:02X}-{n % 256:02X}")


def rejected(number: int, reason: RejectReason = RejectReason.BODY_MISSING) -> Rejected:
    return Rejected(number=number, reason=reason, detail="no body", xml=b"<CertificateResponse/>")


def full(day: date = FULL_DAY, *, content: str = "") -> AppliedFile:
    return _file(ExtractKind.FULL, "FULL", day, content)


def delta(day: date, *, content: str = "", modified: datetime | None = None) -> AppliedFile:
    return _file(ExtractKind.DELTA, "DELT", day, content, modified)


def _file(
    kind: ExtractKind, word: str, day: date, content: str, modified: datetime | None = None
) -> AppliedFile:
    name = f"SMKIKR_{word}_{day}.xml.gz"
    extract = Extract(kind=kind, day=day, name=name, size=1234, modified=modified)
    return AppliedFile(extract=extract, size=1234, sha256=sha256((name + content).encode()).hexdigest())


def build(
    path: Path,
    records: Iterable[Record],
    *,
    day: date = FULL_DAY,
    old: Path | None = None,
    overlap: Sequence[tuple[date, Iterable[Record]]] = (),
    bare: bool = False,
    step: Callable[[str], None] = lambda _: None,
    gate: CertificateGate | None = None,
) -> ChangeCounts:
    """A finished generation from a full of ``records``; the full's counts.

    The deltas of the overlap prove it, empty unless given; with ``bare`` only the given ones are applied.
    """
    given = dict(overlap)
    days = [] if bare else [day - timedelta(days=back) for back in (2, 1, 0)]
    with GenerationBuilder(
        path, full=day, old=old, clock=clock_on(day), step=step, limits=ANY_FULL
    ) as builder:
        builder.load(full(day), records, gate=gate)
        for one in sorted({*days, *given}):
            builder.apply_delta(delta(one), given.get(one, ()))
        return builder.finish()


def apply(path: Path, day: date, records: Iterable[Record], *, content: str = "") -> ChangeCounts:
    """One delta onto a finished generation."""
    with MirrorStore(path) as store:
        return store.apply_delta(delta(day, content=content), records, clock=clock_on(day))


def ask(path: Path, sql: str, *values: object) -> list[Row]:
    """What plain sqlite3 finds, read-only."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(sql, values).fetchall()


def dump(path: Path) -> list[str]:
    """Every table, row by row, as SQL: equal dumps, equal mirrors."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return list(db.iterdump())


def statuses(path: Path) -> dict[str, str]:
    """Serial to status, ``withdrawn`` for those that are."""
    return dict(ask(path, "SELECT serial, iif(withdrawn IS NULL, status, 'withdrawn') FROM certificates"))


def journal(path: Path) -> list[Row]:
    """Date, change, serial, from, to; in the order in which they were written."""
    return ask(path, 'SELECT date, change, serial, "from", "to" FROM changes ORDER BY sequence')


def digest_anew(path: Path) -> bytes:
    """The digest's state, computed from the In-Use rows alone."""
    digest = SetDigest()
    for (der,) in ask(path, "SELECT der FROM certificates WHERE in_use"):
        digest.add(der)
    return digest.dump()


def held_digest(path: Path) -> bytes:
    """The digest's state that the mirror has kept."""
    return bytes(ask(path, "SELECT digest FROM mirror")[0][0])


def failing_after(records: Sequence[Record], k: int, error: Exception) -> Iterator[Record]:
    """The first ``k`` records, then the error."""
    yield from records[:k]
    raise error
