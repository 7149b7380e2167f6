"""Devices, organisations and authorities; what changes each day; the stored state."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from random import Random
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from smki_sync.model.certificate import Eui, Kind, Serial, Status, Usage, eui_of
from smki_sync.simulator import pki
from smki_sync.simulator.file_format import Shapes
from smki_sync.simulator.pki import (
    ISSUING_ROLE,
    RETIRING_NAME,
    ROOT_ROLE,
    Authority,
    Certificate,
    CertificateIssuer,
    History,
    Quirks,
    Subject,
    new_key,
)

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
_HISTORIES = "SELECT c.*, h.at, h.status FROM certificates c JOIN history h ON h.certificate = c.id "
_IN_ORDER = " ORDER BY c.id, h.at"
_OF_KIND = "WHERE c.kind = ?"
_CHANGED = "WHERE c.id IN (SELECT certificate FROM history WHERE at >= ? AND at < ?)"


class Registry:
    """The open database, in one transaction. Use :meth:`create` or :meth:`open`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Wrap an open database."""
        self._db = database

    @classmethod
    @contextmanager
    def create(cls, path: Path) -> Iterator[Self]:
        """Create an empty database that only its owner can read.

        Raises:
            FileExistsError: It exists.
        """
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with closing(_connect(path)) as database, database:
            database.executescript(_SCHEMA)
            yield cls(database)

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open a database for one transaction: committed if the block ends, rolled back if it raises."""
        with closing(_connect(path)) as database, database:
            yield cls(database)

    def store_setting(self, name: str, value: object) -> None:
        """Store a JSON value under a name."""
        self._db.execute("REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))

    def read_settings(self) -> dict[str, Any]:
        """Return all stored values by name."""
        return {name: json.loads(value) for name, value in self._db.execute("SELECT * FROM settings")}

    def store_authority(self, authority: Authority) -> None:
        """Store an authority with its private key."""
        key = authority.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        row = (authority.label, authority.name.rfc4514_string(), key)
        self._db.execute("INSERT INTO authorities VALUES (?, ?, ?)", row)

    def authorities(self) -> Mapping[str, Authority]:
        """Return all authorities by label."""
        rows = self._db.execute("SELECT * FROM authorities ORDER BY label")
        return {label: _authority(label, name, key) for label, name, key in rows}

    def keep(self, certificate: Certificate, at: int, status: Status) -> int:
        """Store a new certificate; return its number."""
        c, s = certificate, certificate.subject
        who = (s.kind, s.eui, s.name, s.role, s.usage, s.manufacturing)
        what = (c.signer, c.issuer, c.serial, c.expires, c.der)
        number = self._db.execute(_INSERT, (*who, *what)).lastrowid
        assert number is not None
        self.change(number, at, status)
        return number

    def change(self, number: int, at: int, status: Status) -> None:
        """Set the status of a certificate from a time on."""
        self._db.execute("INSERT INTO history VALUES (?, ?, ?)", (number, at, status))
        self._db.execute("UPDATE certificates SET status = ? WHERE id = ?", (status, number))

    def numbers(self, kind: Kind, status: Status) -> list[int]:
        """Return the numbers of certificates of a kind with a present status, in order of issue."""
        query = "SELECT id FROM certificates WHERE kind = ? AND status = ? ORDER BY id"
        return [number for (number,) in self._db.execute(query, (kind, status))]

    def certificate(self, number: int) -> Certificate:
        """Return a certificate by its number."""
        return _certificate(self._db.execute(_ONE, (number,)).fetchone())

    def histories(self) -> Iterator[tuple[Certificate, History]]:
        """Return every certificate with its complete history, in order of issue."""
        return _grouped(self._db.execute(_HISTORIES + _IN_ORDER))

    def histories_of(self, kind: Kind) -> Iterator[tuple[Certificate, History]]:
        """Return the same for one kind."""
        return _grouped(self._db.execute(_HISTORIES + _OF_KIND + _IN_ORDER, (kind,)))

    def histories_changed(self, since: int, until: int) -> Iterator[tuple[Certificate, History]]:
        """Return the same for certificates that changed at ``since`` <= time < ``until``."""
        return _grouped(self._db.execute(_HISTORIES + _CHANGED + _IN_ORDER, (since, until)))


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file without waiting for the disk. A simulation does not need to survive a power cut."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = OFF")
    return database


def _grouped(rows: sqlite3.Cursor) -> Iterator[tuple[Certificate, History]]:
    for _, group in groupby(rows, key=lambda row: row[0]):
        entries = list(group)
        yield _certificate(entries[0][:-2]), tuple((row[-2], Status(row[-1])) for row in entries)


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


DAY = 86_400
QUIET_DAYS = 31
DEVICE_YEARS = 5
WAN_PROVIDER = 6
MANUFACTURING = 0.1
"""Share of devices whose certificates have the manufacturing flag."""

NORTH, CENTRAL_SOUTH = "WAN North", "WAN Central & South"

ORGANISATIONS: tuple[tuple[int, str | None], ...] = (
    (1, "Recovery"),
    (2, "Ash & Elm Energy"),
    (2, "Harbour Power"),
    (2, None),
    (3, "Fenland Networks"),
    (3, None),
    (4, "Access Control Broker"),
    (5, "Transitional CoS"),
    (WAN_PROVIDER, NORTH),
    (WAN_PROVIDER, CENTRAL_SOUTH),
    (8, "Load & Balance"),
    (127, None),
    (135, "XML Sign"),
)
"""Role and common name. The ampersands test the escaping in XML."""

EARLIER_CERTIFICATES = {1: (pki.OCA_RETIRING, Status.NOT_IN_USE), 2: (pki.OCA, Status.REVOKED)}
"""Positions in the list above whose holder had earlier certificates: their signer and final status."""

PAST = {Status.IN_USE: 0.93, Status.NOT_IN_USE: 0.04, Status.EXPIRED: 0.01, Status.PENDING: 0.02}
"""Status of device certificates before the first day, by share."""


def create_population(registry: Registry, rng: Random, quirks: Quirks, *, devices: int, start: int) -> None:
    """Fill an empty registry. ``start``: start of the first day, in seconds since 1970."""
    issuer = CertificateIssuer(rng=rng, quirks=quirks, authorities=_authorities(quirks))
    _create_authorities(registry, issuer, start)
    _create_organisations(registry, issuer, start)
    for _ in range(devices):
        _create_device(registry, issuer, start - QUIET_DAYS * DAY)


def new_device(rng: Random) -> Eui:
    """Return the EUI-64 of a new device."""
    return eui_of(b"\x00\xdb\x12" + rng.randbytes(5))


def _authorities(quirks: Quirks) -> dict[str, Authority]:
    oca, dca = pki.oca_name, pki.dca_name
    names = {
        pki.OCA_ROOT: oca("OCA Root R1", ROOT_ROLE),
        pki.OCA: oca("OCA Issuing S2", ISSUING_ROLE),
        pki.OCA_RETIRING: oca(pki.RETIRING_NAME, ISSUING_ROLE),
        pki.DCA_ROOT: dca("D0C4"),
        pki.DCA: dca("E357"),
    }
    if quirks.second_key:
        names[pki.DCA_SECOND] = names[pki.DCA]
    return {label: Authority(label=label, name=name, key=new_key()) for label, name in names.items()}


def _create_authorities(registry: Registry, issuer: CertificateIssuer, start: int) -> None:
    roots = {"oca": issuer.authorities[pki.OCA_ROOT], "dca": issuer.authorities[pki.DCA_ROOT]}
    for label, authority in issuer.authorities.items():
        registry.store_authority(authority)
        root = roots[label[:3]]
        role = ROOT_ROLE if root is authority else ISSUING_ROLE
        at = start - (4000 if root is authority else 3900) * DAY
        registry.keep(issuer.certify(authority, root, role, at), at, Status.IN_USE)


def _create_organisations(registry: Registry, issuer: CertificateIssuer, start: int) -> None:
    """Create two certificates for each organisation, and two earlier ones for some."""
    oldest = pki.ORGANISATION_LIFE.days - 10
    for place, (role, name) in enumerate(ORGANISATIONS):
        eui = eui_of(b"\x90\xb3\xd5\x1f\x30" + issuer.rng.randbytes(3))
        for usage in Usage:
            holder = Subject(kind=Kind.ORGANISATION, eui=eui, name=name, role=role, usage=usage)
            at = start - issuer.rng.randint(QUIET_DAYS, oldest) * DAY
            registry.keep(issuer.issue(holder, at), at, Status.IN_USE)
            if place in EARLIER_CERTIFICATES:
                signer, status = EARLIER_CERTIFICATES[place]
                before = registry.keep(issuer.issue(holder, at - DAY, signer), at - DAY, Status.IN_USE)
                registry.change(before, at, status)


def _create_device(registry: Registry, issuer: CertificateIssuer, latest: int) -> None:
    eui, manufacturing = new_device(issuer.rng), issuer.rng.random() < MANUFACTURING
    for usage in Usage:
        at = latest - issuer.rng.randrange(DEVICE_YEARS * 365 * DAY) - DAY
        holder = Subject(kind=Kind.DEVICE, eui=eui, usage=usage, manufacturing=manufacturing)
        (status,) = issuer.rng.choices(list(PAST), list(PAST.values()))
        initial = Status.PENDING if status is Status.PENDING else Status.IN_USE
        number = registry.keep(issuer.issue(holder, at), at, initial)
        if status is not initial:
            registry.change(number, at + DAY, status)


RETIREMENT_DAY = 4
"""Day of the simulation on which an authority is revoked: the only entry of the ARL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyRates:
    """Changes in a day: shares of the certificates concerned, and probabilities of one event.

    A share above zero is at least one certificate.
    """

    joins: float = 0.005
    replaced: float = 0.01
    expired: float = 0.002
    activated: float = 0.5
    returned: float = 0.02
    organisation_replaced: float = 0.3
    organisation_revoked: float = 0.2


JOINS_PENDING = 0.3
"""Share of new certificates that are pending at first."""

ONE_CERTIFICATE = 1e-9
"""A share that is rounded to one certificate."""

NO_CHANGES = DailyRates(
    joins=0, replaced=0, expired=0, activated=0, returned=0, organisation_replaced=0, organisation_revoked=0
)
"""Nothing changes except by expiry: empty deltas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDay:
    """One day.

    Args:
        number: The number of the day, from 1.
        begin: Its start, in seconds since 1970.
        changed: Numbers of the certificates that have changed today.
    """

    registry: Registry
    issuer: CertificateIssuer
    number: int
    begin: int
    changed: set[int] = field(default_factory=set)

    def run(self, rates: DailyRates) -> None:
        """Make all changes of the day."""
        self._expire_in_time()
        self._change_status(Status.PENDING, Status.IN_USE, rates.activated)
        self._change_status(Status.NOT_IN_USE, Status.IN_USE, rates.returned)
        self._change_status(Status.IN_USE, Status.EXPIRED, rates.expired)
        for certificate in self._pick(Kind.DEVICE, Status.IN_USE, rates.replaced):
            self._replace(certificate, Status.NOT_IN_USE)
        self._change_organisations(rates)
        self._add_devices(rates.joins)
        if self.number == RETIREMENT_DAY:
            self._retire_authority()

    def _expire_in_time(self) -> None:
        """Replace organisation certificates that expire today."""
        for number in self.registry.numbers(Kind.ORGANISATION, Status.IN_USE):
            certificate = self.registry.certificate(number)
            if certificate.expires < self.begin + DAY:
                self._replace(certificate, Status.EXPIRED)

    def _change_status(self, old: Status, new: Status, share: float) -> None:
        """Change the status of a share of the device certificates."""
        for certificate in self._pick(Kind.DEVICE, old, share):
            self._change(certificate, self._random_time(), new)

    def _change_organisations(self, rates: DailyRates) -> None:
        rng = self.issuer.rng
        if rng.random() < rates.organisation_replaced:
            self._replace(self._random_organisation(), Status.NOT_IN_USE)
        if rng.random() < rates.organisation_revoked:
            self._replace(self._random_organisation(), Status.REVOKED)

    def _random_organisation(self) -> Certificate:
        (certificate,) = self._pick(Kind.ORGANISATION, Status.IN_USE, ONE_CERTIFICATE)
        return certificate

    def _add_devices(self, share: float) -> None:
        """Add devices with two certificates each. Some are pending."""
        rng = self.issuer.rng
        for _ in range(_count(1 + len(self.registry.numbers(Kind.DEVICE, Status.IN_USE)), share)):
            eui, manufacturing, at = new_device(rng), rng.random() < MANUFACTURING, self._random_time()
            for usage in Usage:
                status = Status.PENDING if rng.random() < JOINS_PENDING else Status.IN_USE
                device = Subject(kind=Kind.DEVICE, eui=eui, usage=usage, manufacturing=manufacturing)
                self._keep(self.issuer.issue(device, at), at, status)

    def _retire_authority(self) -> None:
        for number in self.registry.numbers(Kind.OCA, Status.IN_USE):
            certificate = self.registry.certificate(number)
            if certificate.subject.name == RETIRING_NAME:
                self._change(certificate, self._random_time(), Status.REVOKED)

    def _replace(self, certificate: Certificate, status: Status) -> None:
        """End a certificate and issue another one in the same second."""
        at = self._random_time()
        self._change(certificate, at, status)
        self._keep(self.issuer.issue(certificate.subject, at), at, Status.IN_USE)

    def _pick(self, kind: Kind, status: Status, share: float) -> list[Certificate]:
        free = [n for n in self.registry.numbers(kind, status) if n not in self.changed]
        return [self.registry.certificate(n) for n in self.issuer.rng.sample(free, _count(len(free), share))]

    def _change(self, certificate: Certificate, at: int, status: Status) -> None:
        self.registry.change(certificate.number, at, status)
        self.changed.add(certificate.number)

    def _keep(self, certificate: Certificate, at: int, status: Status) -> None:
        self.changed.add(self.registry.keep(certificate, at, status))

    def _random_time(self) -> int:
        return self.begin + self.issuer.rng.randrange(DAY)


def _count(among: int, share: float) -> int:
    return min(among, max(1, round(among * share))) if share > 0 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of ``Repository.create``, and ``late``: dates of deltas to publish a day late."""

    start: date
    today: date
    seed: int
    shapes: Shapes
    full_lag_days: int
    fulls_kept: int
    quirks: Quirks
    pace: DailyRates
    late: tuple[date, ...] = ()

    @classmethod
    def load(cls, registry: Registry) -> Self:
        """Read the stored settings."""
        stored = registry.read_settings()
        return cls(
            start=date.fromisoformat(stored["start"]),
            today=date.fromisoformat(stored["today"]),
            seed=stored["seed"],
            shapes=Shapes(stored["shapes"]),
            full_lag_days=stored["full_lag_days"],
            fulls_kept=stored["fulls_kept"],
            quirks=Quirks(**stored["quirks"]),
            pace=DailyRates(**stored["pace"]),
            late=tuple(map(date.fromisoformat, stored["late"])),
        )

    def save(self, registry: Registry) -> None:
        """Store the settings."""
        for name, value in asdict(self).items():
            registry.store_setting(name, _json_value(value))

    def rng(self, purpose: str) -> Random:
        """Return the random numbers for one purpose. They depend on the seed only."""
        return Random(f"{self.seed} {purpose}")

    def is_full_day(self, day: date) -> bool:
        """Whether a full is due: on the first day, and every seventh day after it."""
        return (day - self.start).days % 7 == 0

    def next_day(self) -> Self:
        """Return the settings of the next day."""
        return replace(self, today=self.today + timedelta(days=1))

    def with_late(self, late: tuple[date, ...]) -> Self:
        """Return the settings with other late deltas."""
        return replace(self, late=late)


def begin(day: date) -> int:
    """Return the start of a day in UTC, in seconds since 1970."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def end(day: date) -> int:
    """Return the last second of a day in UTC, in seconds since 1970."""
    return begin(day + timedelta(days=1)) - 1


def _json_value(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case tuple():
            return [_json_value(part) for part in value]
        case _:
            return value
