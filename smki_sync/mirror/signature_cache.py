"""The cache of verified signatures (``trust.db`` in the mirror directory), so that each is checked only once.

A verified signature is stored as a *mark*: eight bytes of BLAKE2b over the certificate's DER. The hash is
personalised with the issuer's key (its SPKI) and keyed with a secret of this file, so that an attacker cannot
make a certificate that appears verified. A mark is valid for these bytes and this key in every generation.
The cache does not store failed signatures, or anything about dates, status or anchors. The file may be
deleted: it is created again when needed (``docs/decisions/0006-certificates-and-trust.md``).
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
_PERSON_BYTES: Final = 16
_BUSY_MS: Final = 60_000
_APPLICATION_ID: Final = 0x534D4B54  # "SMKT"
_VERSION: Final = 1

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS secret (one INTEGER PRIMARY KEY CHECK (one = 1), key BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS proof (mark INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS verification (  -- the last whole one, for `status`
    one INTEGER PRIMARY KEY CHECK (one = 1), document TEXT NOT NULL);
"""

SignatureKey = Callable[[bytes], int]
"""A function that returns the mark of a certificate (DER) under one issuer's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastVerification:
    """The last verification of a whole mirror. ``at``: UTC, ISO 8601. ``position``: that of the mirror.

    ``generation`` is the name of the verified file. It is empty if an earlier version stored the record.
    """

    at: str
    position: str
    certificates: int
    errors: int
    warnings: int
    anchored: bool
    generation: str = ""


class SignatureCache:
    """An open signature cache. Several threads may read and write it.

    A cache that is found damaged is removed and then behaves as empty. The next open creates a new one.
    """

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        """Wrap a prepared database. ``path`` is its name in errors."""
        self._db = db
        self._path = path
        self._lock = Lock()
        self._is_lost = False
        self._key: bytes = db.execute("SELECT key FROM secret").get

    def marker(self, spki: bytes) -> SignatureKey:
        """Return the function that marks certificates as signed by the key ``spki``."""
        person = sha256(spki).digest()[:_PERSON_BYTES]
        keyed = blake2b(digest_size=MARK_OCTETS, key=self._key, person=person)

        def mark(der: bytes) -> int:
            digest = keyed.copy()
            digest.update(der)
            return int.from_bytes(digest.digest(), signed=True)

        return mark

    def known(self, marks: Collection[int]) -> set[int]:
        """Return those of ``marks`` that are stored."""
        query = f"SELECT mark FROM proof WHERE mark IN ({', '.join('?' * len(marks))})"
        try:
            with self._lock, mirror_errors(self._path):
                if self._is_lost:
                    return set()
                return {mark for (mark,) in self._db.execute(query, tuple(marks))}
        except MirrorDamaged:
            self._remove()
            return set()

    def add(self, marks: Iterable[int]) -> None:
        """Store marks, in the order of the B-tree, because neighbours share a page."""
        self._write("INSERT OR IGNORE INTO proof VALUES (?)", [(m,) for m in sorted(marks)])

    def note(self, done: LastVerification) -> None:
        """Store the result of a whole verification."""
        self._write("REPLACE INTO verification VALUES (1, ?)", [(json.dumps(asdict(done)),)])

    def _write(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            with self._lock, mirror_errors(self._path), self._db:
                if not self._is_lost:
                    self._db.executemany(sql, rows)
        except MirrorDamaged:
            self._remove()

    def _remove(self) -> None:
        with disk_errors(self._path):
            self._path.unlink(missing_ok=True)
        self._is_lost = True


@contextmanager
def open_signature_cache(path: Path) -> Iterator[SignatureCache]:
    """Open the cache at ``path``. Create it again if it is missing or damaged.

    Raises:
        MirrorError: The file cannot be written.
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
    """Open a cache in memory, which is not stored."""
    db = apsw.Connection(":memory:")
    _prepare(db)
    try:
        yield SignatureCache(db, Path(":memory:"))
    finally:
        db.close()


@contextmanager
def signature_cache_at(path: Path) -> Iterator[tuple[SignatureCache, str]]:
    """Open the cache at ``path``. If that fails, give a cache in memory and the error message."""
    with ExitStack() as stack:
        try:
            cache, why = stack.enter_context(open_signature_cache(path)), ""
        except MirrorError as error:
            cache, why = stack.enter_context(empty_signature_cache()), error.message
        yield cache, why


def last_verification(path: Path) -> LastVerification | None:
    """Return the result of the last whole verification, or ``None`` if none is stored or readable."""
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
        # Only the owner may read the secret, because it allows marks to be made.
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
    """Create the tables and the secret if they are missing.

    Raises:
        MirrorDamaged: The file belongs to another program or version.
    """
    known = db.pragma("application_id")
    if known not in (0, _APPLICATION_ID) or db.pragma("user_version") not in (0, _VERSION):
        raise MirrorDamaged(f"{db.filename} is no memory of proofs of this version")
    with db:
        db.execute(_TABLES)
        db.pragma("application_id", _APPLICATION_ID)
        db.pragma("user_version", _VERSION)
        secret: tuple[Any, ...] = (os.urandom(SECRET_OCTETS),)
        db.execute("INSERT OR IGNORE INTO secret VALUES (1, ?)", secret)
