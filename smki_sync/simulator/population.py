"""The simulator's private memory: authorities with their keys, certificates, every change of status.

For: one SQLite file in the hidden directory, readable by its owner alone, that answers what any
certificate's status was at any instant. Refuses: to be published, and to forget.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from smki_sync.model.certificate import Kind, Status, Usage
from smki_sync.model.identity import Eui, Serial
from smki_sync.simulator.issued import Certificate, History, Subject
from smki_sync.simulator.pki import Authority

_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE authorities (label TEXT PRIMARY KEY, name TEXT NOT NULL, key BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE certificates (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, eui TEXT, name TEXT, role INTEGER, usage TEXT,
    manufacturing INTEGER NOT NULL, signer TEXT NOT NULL, issuer TEXT NOT NULL, serial TEXT NOT NULL,
    expires INTEGER NOT NULL, der BLOB NOT NULL, status TEXT);
CREATE INDEX certificates_status ON certificates (kind, status);
CREATE TABLE history (certificate INTEGER, at INTEGER, status TEXT NOT NULL,
    PRIMARY KEY (certificate, at)) WITHOUT ROWID;
CREATE INDEX history_at ON history (at);
"""
_INSERT = "INSERT INTO certificates VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)"
_ONE = "SELECT * FROM certificates WHERE id = ?"
_LIVES = "SELECT c.*, h.at, h.status FROM certificates c JOIN history h ON h.certificate = c.id "
_IN_ORDER = " ORDER BY c.id, h.at"
_OF_KIND = "WHERE c.kind = ?"
_TOUCHED = "WHERE c.id IN (SELECT certificate FROM history WHERE at >= ? AND at < ?)"


class Registry:
    """The open memory, within one transaction; comes from :meth:`create` or :meth:`open`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Wrap an open database."""
        self._db = database

    @classmethod
    @contextmanager
    def create(cls, path: Path) -> Iterator[Self]:
        """Make an empty one that only its owner can read; ``FileExistsError`` where one is."""
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(_connect(path)) as database, database:
            database.executescript(_SCHEMA)
            yield cls(database)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open one for a single transaction: kept if the block ends, forgotten if it raises."""
        with closing(_connect(path)) as database, database:
            yield cls(database)

    def write_setting(self, name: str, value: object) -> None:
        """Keep a JSON value under a name."""
        self._db.execute("REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))

    def read_settings(self) -> dict[str, Any]:
        """All kept values by name."""
        return {name: json.loads(value) for name, value in self._db.execute("SELECT * FROM settings")}

    def keep_authority(self, authority: Authority) -> None:
        """Keep an authority with its private key."""
        key = authority.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        row = (authority.label, authority.name.rfc4514_string(), key)
        self._db.execute("INSERT INTO authorities VALUES (?, ?, ?)", row)

    def authorities(self) -> Mapping[str, Authority]:
        """All authorities by label."""
        rows = self._db.execute("SELECT * FROM authorities ORDER BY label")
        return {label: _authority(label, name, key) for label, name, key in rows}

    def keep(self, certificate: Certificate, at: int, status: Status) -> int:
        """Keep a new certificate; returns its number."""
        c, s = certificate, certificate.subject
        who = (s.kind, s.eui, s.name, s.role, s.usage, s.manufacturing)
        what = (c.signer, c.issuer, c.serial, c.expires, c.der)
        number = self._db.execute(_INSERT, (*who, *what)).lastrowid
        assert number is not None
        self.change(number, at, status)
        return number

    def change(self, number: int, at: int, status: Status) -> None:
        """Give a certificate a new status from an instant on."""
        self._db.execute("INSERT INTO history VALUES (?, ?, ?)", (number, at, status))
        self._db.execute("UPDATE certificates SET status = ? WHERE id = ?", (status, number))

    def numbers(self, kind: Kind, status: Status) -> list[int]:
        """Numbers of the certificates of a kind that have a status now, in order of issue."""
        query = "SELECT id FROM certificates WHERE kind = ? AND status = ? ORDER BY id"
        return [number for (number,) in self._db.execute(query, (kind, status))]

    def certificate(self, number: int) -> Certificate:
        """One certificate by its number."""
        return _certificate(self._db.execute(_ONE, (number,)).fetchone())

    def lives(self) -> Iterator[tuple[Certificate, History]]:
        """Every certificate with its whole history, in order of issue."""
        return _grouped(self._db.execute(_LIVES + _IN_ORDER))

    def lives_of(self, kind: Kind) -> Iterator[tuple[Certificate, History]]:
        """The same of one kind."""
        return _grouped(self._db.execute(_LIVES + _OF_KIND + _IN_ORDER, (kind,)))

    def lives_touched(self, since: int, until: int) -> Iterator[tuple[Certificate, History]]:
        """The same of which something changed in since <= instant < until."""
        return _grouped(self._db.execute(_LIVES + _TOUCHED + _IN_ORDER, (since, until)))


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file without waiting for the disk: a simulation that a power cut ends is made anew."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    return database


def _grouped(rows: sqlite3.Cursor) -> Iterator[tuple[Certificate, History]]:
    for _, group in groupby(rows, key=lambda row: row[0]):
        moments = list(group)
        yield _certificate(moments[0][:-2]), tuple((row[-2], Status(row[-1])) for row in moments)


def _authority(label: str, name: str, key: bytes) -> Authority:
    private = load_der_private_key(key, password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return Authority(label=label, name=x509.Name.from_rfc4514_string(name), key=private)


def _certificate(row: tuple[Any, ...]) -> Certificate:
    number, kind, eui, name, role, usage, manufacturing, signer, issuer, serial, expires, der, _ = row
    subject = Subject(
        kind=Kind(kind),
        eui=None if eui is None else Eui(eui),
        name=name,
        role=role,
        usage=None if usage is None else Usage(usage),
        manufacturing=bool(manufacturing),
    )
    return Certificate(
        number=number,
        subject=subject,
        signer=signer,
        issuer=issuer,
        serial=Serial(serial),
        expires=expires,
        der=der,
    )
