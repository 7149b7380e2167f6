"""The memory of proven signatures, so that each is worked out once: ``trust.db`` in the mirror directory.

For: verification that costs what is new. A proof says that a certificate's signature is good under an
issuer's key. It is remembered as a *mark*: eight octets of BLAKE2b over the certificate's DER, personal to
the issuer's key (its SPKI) and keyed with a secret of this file, so that nobody can make a certificate that
looks proven. A mark holds for these octets and this key, in whatever generation they stand. What did not
prove is not remembered, and neither is anything about dates, status or anchors. Refuses: to be the only
place of anything; the file may be deleted, and is made anew (``docs/decisions/0006-certificates-and-trust.md``).
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final

import apsw

from smki_sync.errors import MirrorDamaged, MirrorError
from smki_sync.mirror.connection import disk_errors, mirror_errors

MARK_OCTETS: Final = 8
SECRET_OCTETS: Final = 32
_PERSON_OCTETS: Final = 16
_BUSY_MS: Final = 60_000
_APPLICATION_ID: Final = 0x534D4B54  # "SMKT"
_VERSION: Final = 1

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS secret (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS proof (mark INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS verification (  -- the last whole one, for `status`
    one INTEGER PRIMARY KEY CHECK (one = 1), document TEXT NOT NULL);
"""

Marker = Callable[[bytes], int]
"""Gives the mark of a certificate under one issuer's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastVerification:
    """The last verification of a whole mirror. ``at``: when, UTC, ISO 8601; ``position``: of the mirror.

    ``generation``: name of the file that was verified; empty where an earlier version has noted it.
    """

    at: str
    position: str
    certificates: int
    errors: int
    warnings: int
    anchored: bool
    generation: str = ""


class SignatureCache:
    """An open memory. Safe to ask and to tell from several threads.

    One that turns out to be damaged knows nothing, and is removed: whoever opens it next makes it anew.
    """

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        """Wrap a database that was made ready; ``path`` names it in errors."""
        self._db = db
        self._path = path
        self._lock = Lock()
        self._lost = False
        self._key: bytes = db.execute("SELECT key FROM secret").get

    def marker(self, spki: bytes) -> Marker:
        """What marks certificates as signed by the key ``spki``."""
        person = sha256(spki).digest()[:_PERSON_OCTETS]
        keyed = blake2b(digest_size=MARK_OCTETS, key=self._key, person=person)

        def mark(der: bytes) -> int:
            one = keyed.copy()
            one.update(der)
            return int.from_bytes(one.digest(), signed=True)

        return mark

    def known(self, marks: Collection[int]) -> set[int]:
        """Those of ``marks`` that are remembered."""
        wanted = f"SELECT mark FROM proof WHERE mark IN ({', '.join('?' * len(marks))})"
        try:
            with self._lock, mirror_errors(self._path):
                if self._lost:
                    return set()
                return {mark for (mark,) in self._db.execute(wanted, tuple(marks))}
        except MirrorDamaged:
            self._lose()
            return set()

    def add(self, marks: Iterable[int]) -> None:
        """Remember, in the order of the tree: neighbours share a page."""
        self._write("INSERT OR IGNORE INTO proof VALUES (?)", [(m,) for m in sorted(marks)])

    def note(self, done: LastVerification) -> None:
        """Remember how a whole verification ended."""
        self._write("REPLACE INTO verification VALUES (1, ?)", [(json.dumps(asdict(done)),)])

    def _write(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            with self._lock, mirror_errors(self._path), self._db:
                if not self._lost:
                    self._db.executemany(sql, rows)
        except MirrorDamaged:
            self._lose()

    def _lose(self) -> None:
        with disk_errors(self._path):
            self._path.unlink(missing_ok=True)
        self._lost = True


@contextmanager
def open_signature_cache(path: Path) -> Iterator[SignatureCache]:
    """Open the memory at ``path``, made anew where there is none, or where it cannot be read as one.

    Raises :class:`MirrorError` where it cannot be written.
    """
    try:
        db = _open(path)
    except MirrorDamaged:
        with disk_errors(path):
            path.unlink(missing_ok=True)
        db = _open(path)
    try:
        yield SignatureCache(db, path)
    finally:
        db.close()


@contextmanager
def empty_signature_cache() -> Iterator[SignatureCache]:
    """A memory that nobody keeps."""
    db = apsw.Connection(":memory:")
    _prepare(db)
    try:
        yield SignatureCache(db, Path(":memory:"))
    finally:
        db.close()


@contextmanager
def signature_cache_at(path: Path) -> Iterator[tuple[SignatureCache, str]]:
    """The memory at ``path``; where it cannot be kept there, one that nobody keeps, and why."""
    with ExitStack() as stack:
        try:
            proofs, why = stack.enter_context(open_signature_cache(path)), ""
        except MirrorError as error:
            proofs, why = stack.enter_context(empty_signature_cache()), error.message
        yield proofs, why


def last_verification(path: Path) -> LastVerification | None:
    """How the last whole verification ended; ``None`` where none is known or may be read."""
    with suppress(MirrorError, OSError, ValueError, TypeError), disk_errors(path):
        if not path.exists():
            return None
        db = apsw.Connection(str(path.absolute()), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            document = db.execute("SELECT document FROM verification").get
        finally:
            db.close()
        return LastVerification(**json.loads(document)) if document else None
    return None


def _open(path: Path) -> apsw.Connection:
    with disk_errors(path):
        # Nobody else reads the secret: without it no mark can be made.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = apsw.Connection(str(path.absolute()), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.set_busy_timeout(_BUSY_MS)
            _prepare(db)
        except BaseException:
            db.close()
            raise
    return db


def _prepare(db: apsw.Connection) -> None:
    """Make the tables and the secret, unless they are there; :class:`MirrorDamaged` for another's file."""
    known = db.pragma("application_id")
    if known not in (0, _APPLICATION_ID) or db.pragma("user_version") not in (0, _VERSION):
        raise MirrorDamaged(f"{db.filename} is no memory of proofs of this version")
    with db:
        db.execute(_TABLES)
        db.pragma("application_id", _APPLICATION_ID)
        db.pragma("user_version", _VERSION)
        secret: tuple[Any, ...] = (os.urandom(SECRET_OCTETS),)
        db.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", secret)
