"""The mirror as any SQLite tool sees it: the standard library's ``sqlite3``, read-only, and SQL.

Shares nothing with the program: counts, digest and the journal's meaning are worked out here anew.

While a run in this process has the mirror open for writing, ``sqlite3`` must not touch it: two copies of
the SQLite library in one process undo each other's POSIX locks (sqlite.org/howtocorrupt.html, 2.2.1),
and a reader in another process then cuts the shared memory off under the writer (SIGBUS, seen). For
that moment there is ``beside_a_writer``, which goes through the writer's own copy.
"""

import hashlib
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import apsw

Key = tuple[str, str]
"""Issuer and serial: the identity of a certificate."""


class Row(NamedTuple):
    """One row of ``certificates``."""

    kind: str
    eui: str | None
    role: int | None
    usage: str | None
    status: str
    in_use: bool
    withdrawn: str | None
    revoked: str | None
    first_seen: str
    flags: int
    der: bytes


class Line(NamedTuple):
    """One row of ``changes``."""

    sequence: int
    date: str
    change: str
    key: Key
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Everything that one state of the mirror says."""

    position: date
    digest: bytes
    rows: dict[Key, Row]
    ledger: tuple[tuple[Any, ...], ...]
    journal: tuple[Line, ...]
    census: dict[tuple[int, str, int], int]
    lists: set[str]
    unproven: bool

    def revoked(self) -> set[bytes]:
        return {row.der for row in self.rows.values() if row.revoked}

    def in_use(self) -> set[bytes]:
        return {row.der for row in self.rows.values() if row.in_use}


_ROWS = (
    "SELECT issuer, serial, kind, eui, role, usage, status, in_use, withdrawn, revoked,"
    " first_seen, flags, der"
    " FROM certificates"
)
_JOURNAL = 'SELECT sequence, date, change, issuer, serial, "from", "to" FROM changes ORDER BY sequence'
_LEDGER = (  # all but the time on offer, which may be put right where the bytes are the same
    "SELECT id, name, kind, day, size, sha256, records, inserted, updated, unchanged, withdrawn, quarantined,"
    " committed, seconds FROM extract ORDER BY id"
)
_COUNTED = "SELECT kind, status, withdrawn IS NOT NULL, count(*) FROM certificate GROUP BY 1, 2, 3"


class Rows(Protocol):
    """What both libraries give for a query."""

    def fetchone(self) -> Any: ...  # noqa: ANN401 - a row of any columns
    def __iter__(self) -> Iterator[Any]: ...


class Database(Protocol):
    """What both libraries call a connection, as far as it is used here."""

    def execute(self, sql: str, /) -> Rows: ...
    def close(self) -> None: ...


Opener = Callable[[Path], AbstractContextManager[Database]]


@contextmanager
def opened(directory: Path) -> Iterator[sqlite3.Connection]:
    """Open ``mirror.db`` as a reader of the contract would, in one transaction."""
    with closing(sqlite3.connect(f"{(directory / 'mirror.db').as_uri()}?mode=ro", uri=True)) as db:
        db.execute("BEGIN")
        yield db


@contextmanager
def beside_a_writer(directory: Path) -> Iterator[Database]:
    """The same while this process writes."""
    with closing(apsw.Connection(str(directory / "mirror.db"), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        db.execute("BEGIN")
        yield db


def in_use(db: sqlite3.Connection) -> set[bytes]:
    return {der for (der,) in db.execute("SELECT der FROM certificates WHERE in_use")}


def read(directory: Path, how: Opener = opened) -> Mirror | None:
    """The state of the mirror now; ``None`` where there is none. Its own counts are checked on the way."""
    if not (directory / "mirror.db").exists():
        return None
    with how(directory) as db:
        position, digest, unproven = db.execute(
            "SELECT position, digest, unproven_since IS NOT NULL FROM mirror"
        ).fetchone()
        census = {
            tuple(sort): count
            for *sort, count in db.execute("SELECT kind, status, withdrawn, count FROM census WHERE count")
        }
        counted = {tuple(sort): count for *sort, count in db.execute(_COUNTED)}
        found = [
            ((issuer, serial), Row(kind, eui, role, usage, status, bool(used), *rest))
            for issuer, serial, kind, eui, role, usage, status, used, *rest in db.execute(_ROWS)
        ]
        journal = [Line(n, day, what, (i, s), b, a) for n, day, what, i, s, b, a in db.execute(_JOURNAL)]
        mirror = Mirror(
            position=date.fromisoformat(position),
            digest=digest,
            rows=dict(found),
            ledger=tuple(db.execute(_LEDGER)),
            journal=tuple(journal),
            census=census,
            lists={kind for (kind,) in db.execute("SELECT kind FROM revocation_list WHERE in_force")},
            unproven=bool(unproven),
        )
    assert len(mirror.rows) == len(found), "an identity stands twice"
    assert census == counted, "the census is not what SQL counts"
    assert digest == digest_state(mirror.in_use()), "the digest is not that of the rows"
    assert [line.sequence for line in journal] == list(range(1, len(journal) + 1)), "the journal has a gap"
    return mirror


def digest_state(ders: set[bytes]) -> bytes:
    """Count in 8 octets, then the sum of the certificates' SHAKE128 expansions in 256."""
    numbers = (int(hashlib.shake_128(der).hexdigest(256), 16) for der in ders)
    return struct.pack(">Q", len(ders)) + bytes.fromhex(f"{sum(numbers) % 2**2048:0512x}")


def digest_hex(ders: set[bytes]) -> str:
    """The digest of a set of certificates as the report states it."""
    return hashlib.sha256(b"smki-sync set digest 1\0" + digest_state(ders)).hexdigest()


def by_extracts(mirror: Mirror | None) -> object:
    """What a mirror says by its extracts alone: lists come into force beside them."""
    if mirror is None:
        return None
    rows = {
        key: row._replace(revoked=None, in_use=row.status == "I" and not row.withdrawn)
        for key, row in mirror.rows.items()
    }
    lines = [line[1:] for line in mirror.journal if line.change not in ("revoked", "unrevoked")]
    return mirror.position, rows, mirror.ledger, lines, mirror.census


Standing = tuple[str, bool, bool]
"""Status, whether withdrawn, whether revoked by a list."""


def standings(mirror: Mirror) -> dict[Key, Standing]:
    return {
        key: (row.status, row.withdrawn is not None, row.revoked is not None)
        for key, row in mirror.rows.items()
    }


def replay(ground: dict[Key, Standing], journal: tuple[Line, ...]) -> dict[Key, Standing]:
    """What a consumer of ``changes`` believes, who knew ``ground`` and has read every line since."""
    known = dict(ground)
    for line in journal:
        status, withdrawn, revoked = known.get(line.key, (None, False, False))
        assert line.before in {status, None}, f"{line} does not follow {status}"
        match line.change:
            case "withdrawn":
                assert line.after is None
                assert line.before is not None
                known[line.key] = (line.before, True, revoked)
            case "added" | "status" | "reinstated":
                assert line.after is not None
                assert (line.key in known) == (line.change != "added")
                known[line.key] = (line.after, False, revoked)
            case "revoked" | "unrevoked":
                assert status is not None
                assert revoked == (line.change == "unrevoked")
                assert (line.before, line.after) == ((status, None) if not revoked else (None, status))
                known[line.key] = (status, withdrawn, not revoked)
            case "claims" | "body":
                assert line.before == line.after
                assert line.key in known
            case other:
                raise AssertionError(other)
    return known
