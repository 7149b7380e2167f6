"""Who exists and what changes each day; persisted state."""

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


DAY = 86_400
QUIET_DAYS = 31
DEVICE_YEARS = 5
WAN_PROVIDER = 6
MANUFACTURING = 0.1
"""Share of devices whose certificates carry the manufacturing flag."""

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
"""Role and common name; the ampersands must survive XML."""

BYGONE = {1: (pki.OCA_RETIRING, Status.NOT_IN_USE), 2: (pki.OCA, Status.REVOKED)}
"""Places in the list above whose holder had certificates before: who signed them, how they ended."""

PAST = {Status.IN_USE: 0.93, Status.NOT_IN_USE: 0.04, Status.EXPIRED: 0.01, Status.PENDING: 0.02}
"""What became of device certificates before the first day, by share."""


def create_population(registry: Registry, rng: Random, quirks: Quirks, *, devices: int, start: int) -> None:
    """Fill an empty registry. ``start``: seconds since 1970 at which the first day begins."""
    desk = CertificateIssuer(rng=rng, quirks=quirks, authorities=_authorities(quirks))
    _found_authorities(registry, desk, start)
    _found_organisations(registry, desk, start)
    for _ in range(devices):
        _found_device(registry, desk, start - QUIET_DAYS * DAY)


def new_device(rng: Random) -> Eui:
    """The EUI-64 of a device that was not there before."""
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


def _found_authorities(registry: Registry, desk: CertificateIssuer, start: int) -> None:
    roots = {"oca": desk.authorities[pki.OCA_ROOT], "dca": desk.authorities[pki.DCA_ROOT]}
    for label, authority in desk.authorities.items():
        registry.keep_authority(authority)
        root = roots[label[:3]]
        role = ROOT_ROLE if root is authority else ISSUING_ROLE
        at = start - (4000 if root is authority else 3900) * DAY
        registry.keep(desk.certify(authority, root, role, at), at, Status.IN_USE)


def _found_organisations(registry: Registry, desk: CertificateIssuer, start: int) -> None:
    """Two certificates each, and for some two more that have had their time."""
    oldest = pki.ORGANISATION_LIFE.days - 10
    for place, (role, name) in enumerate(ORGANISATIONS):
        eui = eui_of(b"\x90\xb3\xd5\x1f\x30" + desk.rng.randbytes(3))
        for usage in Usage:
            holder = Subject(kind=Kind.ORGANISATION, eui=eui, name=name, role=role, usage=usage)
            at = start - desk.rng.randint(QUIET_DAYS, oldest) * DAY
            registry.keep(desk.issue(holder, at), at, Status.IN_USE)
            if place in BYGONE:
                signer, status = BYGONE[place]
                before = registry.keep(desk.issue(holder, at - DAY, signer), at - DAY, Status.IN_USE)
                registry.change(before, at, status)


def _found_device(registry: Registry, desk: CertificateIssuer, latest: int) -> None:
    eui, manufacturing = new_device(desk.rng), desk.rng.random() < MANUFACTURING
    for usage in Usage:
        at = latest - desk.rng.randrange(DEVICE_YEARS * 365 * DAY) - DAY
        holder = Subject(kind=Kind.DEVICE, eui=eui, usage=usage, manufacturing=manufacturing)
        (status,) = desk.rng.choices(list(PAST), list(PAST.values()))
        began = Status.PENDING if status is Status.PENDING else Status.IN_USE
        number = registry.keep(desk.issue(holder, at), at, began)
        if status is not began:
            registry.change(number, at + DAY, status)


RETIREMENT_DAY = 4
"""On this day of its life the retiring authority is revoked: the one line of the ARL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyRates:
    """How much happens in a day: shares of the certificates concerned, and chances of one event.

    Above zero, a share is at least one certificate.
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

AT_LEAST_ONE = 1e-9
"""A share that rounds to one certificate."""

STANDSTILL = DailyRates(
    joins=0, replaced=0, expired=0, activated=0, returned=0, organisation_replaced=0, organisation_revoked=0
)
"""Nothing happens but what time itself brings: empty deltas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDay:
    """One day: ``number`` from 1, ``begin`` in seconds since 1970; ``touched`` have had their change."""

    registry: Registry
    desk: CertificateIssuer
    number: int
    begin: int
    touched: set[int] = field(default_factory=set)

    def live(self, pace: DailyRates) -> None:
        """Let the day happen."""
        self._expire_in_time()
        self._turn(Status.PENDING, Status.IN_USE, pace.activated)
        self._turn(Status.NOT_IN_USE, Status.IN_USE, pace.returned)
        self._turn(Status.IN_USE, Status.EXPIRED, pace.expired)
        for certificate in self._pick(Kind.DEVICE, Status.IN_USE, pace.replaced):
            self._succeed(certificate, Status.NOT_IN_USE)
        self._disturb_organisations(pace)
        self._join(pace.joins)
        if self.number == RETIREMENT_DAY:
            self._retire_authority()

    def _expire_in_time(self) -> None:
        """Organisation certificates whose ten years end today, each with its successor."""
        for number in self.registry.numbers(Kind.ORGANISATION, Status.IN_USE):
            certificate = self.registry.certificate(number)
            if certificate.expires < self.begin + DAY:
                self._succeed(certificate, Status.EXPIRED)

    def _turn(self, old: Status, new: Status, share: float) -> None:
        """Give a share of the device certificates of one status another."""
        for certificate in self._pick(Kind.DEVICE, old, share):
            self._change(certificate, self._instant(), new)

    def _disturb_organisations(self, pace: DailyRates) -> None:
        rng = self.desk.rng
        if rng.random() < pace.organisation_replaced:
            self._succeed(self._any_organisation(), Status.NOT_IN_USE)
        if rng.random() < pace.organisation_revoked:
            self._succeed(self._any_organisation(), Status.REVOKED)

    def _any_organisation(self) -> Certificate:
        (certificate,) = self._pick(Kind.ORGANISATION, Status.IN_USE, AT_LEAST_ONE)
        return certificate

    def _join(self, share: float) -> None:
        """New devices, each with two certificates; some are still pending."""
        rng = self.desk.rng
        for _ in range(_count(1 + len(self.registry.numbers(Kind.DEVICE, Status.IN_USE)), share)):
            eui, manufacturing, at = new_device(rng), rng.random() < MANUFACTURING, self._instant()
            for usage in Usage:
                status = Status.PENDING if rng.random() < JOINS_PENDING else Status.IN_USE
                device = Subject(kind=Kind.DEVICE, eui=eui, usage=usage, manufacturing=manufacturing)
                self._keep(self.desk.issue(device, at), at, status)

    def _retire_authority(self) -> None:
        for number in self.registry.numbers(Kind.OCA, Status.IN_USE):
            certificate = self.registry.certificate(number)
            if certificate.subject.name == RETIRING_NAME:
                self._change(certificate, self._instant(), Status.REVOKED)

    def _succeed(self, certificate: Certificate, status: Status) -> None:
        """End a certificate and issue its successor in the same second."""
        at = self._instant()
        self._change(certificate, at, status)
        self._keep(self.desk.issue(certificate.subject, at), at, Status.IN_USE)

    def _pick(self, kind: Kind, status: Status, share: float) -> list[Certificate]:
        free = [n for n in self.registry.numbers(kind, status) if n not in self.touched]
        return [self.registry.certificate(n) for n in self.desk.rng.sample(free, _count(len(free), share))]

    def _change(self, certificate: Certificate, at: int, status: Status) -> None:
        self.registry.change(certificate.number, at, status)
        self.touched.add(certificate.number)

    def _keep(self, certificate: Certificate, at: int, status: Status) -> None:
        self.touched.add(self.registry.keep(certificate, at, status))

    def _instant(self) -> int:
        return self.begin + self.desk.rng.randrange(DAY)


def _count(among: int, share: float) -> int:
    return min(among, max(1, round(among * share))) if share > 0 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``late``: dates of deltas that are to come a day late. The rest as ``Repository.create`` says."""

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
        """Read them back."""
        kept = registry.read_settings()
        return cls(
            start=date.fromisoformat(kept["start"]),
            today=date.fromisoformat(kept["today"]),
            seed=kept["seed"],
            shapes=Shapes(kept["shapes"]),
            full_lag_days=kept["full_lag_days"],
            fulls_kept=kept["fulls_kept"],
            quirks=Quirks(**kept["quirks"]),
            pace=DailyRates(**kept["pace"]),
            late=tuple(map(date.fromisoformat, kept["late"])),
        )

    def save(self, registry: Registry) -> None:
        """Keep them."""
        for name, value in asdict(self).items():
            registry.write_setting(name, _plain(value))

    def rng(self, purpose: str) -> Random:
        """The random source of one purpose: the same for the same seed, whatever happened before."""
        return Random(f"{self.seed} {purpose}")

    def is_full_day(self, day: date) -> bool:
        """Whether a full falls due: the first day, and every seventh after it."""
        return (day - self.start).days % 7 == 0

    def next_day(self) -> Self:
        """The clock one day on."""
        return replace(self, today=self.today + timedelta(days=1))

    def with_late(self, late: tuple[date, ...]) -> Self:
        """With other deltas on their way."""
        return replace(self, late=late)


def begin(day: date) -> int:
    """When a day begins, in seconds since 1970, UTC."""
    return int(datetime.combine(day, time(), UTC).timestamp())


def end(day: date) -> int:
    """The last second of a day, in seconds since 1970, UTC."""
    return begin(day + timedelta(days=1)) - 1


def _plain(value: object) -> object:
    match value:
        case date():
            return value.isoformat()
        case tuple():
            return [_plain(part) for part in value]
        case _:
            return value
