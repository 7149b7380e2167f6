"""Write and remove the day's files."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from smki_sync.errors import UsageError
from smki_sync.model.certificate import Kind, Status
from smki_sync.model.extract import ExtractKind
from smki_sync.simulator import file_format, pki
from smki_sync.simulator.faults import ON_FILES, ON_FULLS, ON_RECORDS, ON_XML, Fault
from smki_sync.simulator.file_format import FileShape, Record, shape_for
from smki_sync.simulator.pki import OCA, OCA_ROOT, Authority, Certificate, new_key, status_at
from smki_sync.simulator.population import (
    CENTRAL_SOUTH,
    DAY,
    NORTH,
    WAN_PROVIDER,
    Registry,
    Settings,
    begin,
    end,
)

ARL_LIFE = timedelta(days=365)
CRL_LIFE = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One line: which serial number, since when."""

    serial: int
    since: datetime


def revocation_list(
    authority: Authority, revoked: Iterable[Revoked], *, number: int, issued: datetime, life: timedelta
) -> bytes:
    """A CRL in DER. ``number``: its crlNumber, to rise with every issue."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.name)
        .last_update(issued)
        .next_update(issued + life)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(authority.key_id, None, None), critical=False)
    )
    for line in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(line.serial).revocation_date(line.since)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def signed_by_another(octets: bytes) -> bytes:
    """The same list, with the signature of a key that nobody knows."""
    tbs, algorithm, _ = pki.split_signed(octets)
    return pki.join_signed(tbs, algorithm, new_key().sign(tbs, ec.ECDSA(hashes.SHA256())))


HIDDEN = ".simulator"
"""Where the simulator keeps what is not published; files are written there and then moved."""

ARL = "SMKIKR_ARL.crl.gz"
CRL = "SMKIKR_CRL.crl.gz"
ANCHORS_NORTH = "SMKIKR_ANCHOR_SLOTS_NORTH.xml.gz"
ANCHORS_CENTRAL_SOUTH = "SMKIKR_ANCHOR_SLOTS_CENTRAL_SOUTH.xml.gz"
TEMPORARY = ".part"

_STEMS = {ExtractKind.FULL: "SMKIKR_FULL_", ExtractKind.DELTA: "SMKIKR_DELT_"}
_NAME = re.compile(r"SMKIKR_(?:FULL|DELT)_(\d{4}-\d\d-\d\d)\.xml\.gz")


def extract_name(kind: ExtractKind, day: date) -> str:
    """The name of a full or a delta (Appendix O 2.3.3)."""
    return f"{_STEMS[kind]}{day.isoformat()}.xml.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDirectory:
    """The directory at ``path``; publishing needs its hidden directory."""

    path: Path

    def put(self, name: str, chunks: Iterable[bytes], modified: int) -> None:
        """Publish a file in one step. ``modified``: its time stamp, seconds since 1970."""
        aside = self.path / HIDDEN / f"{name}.aside"
        with aside.open("wb") as file:
            file.writelines(chunks)
        os.utime(aside, (modified, modified))
        aside.replace(self.path / name)

    def read(self, name: str) -> bytes:
        """A published file whole; ``FileNotFoundError`` where it is not there."""
        return (self.path / name).read_bytes()

    def remove(self, name: str) -> None:
        """Take a file away; ``FileNotFoundError`` where it is not there."""
        (self.path / name).unlink()

    def names(self) -> tuple[str, ...]:
        """What is published, in order."""
        return tuple(sorted(p.name for p in self.path.iterdir() if p.is_file() and p.name[0] != "."))

    def days(self, kind: ExtractKind) -> tuple[date, ...]:
        """Dates of the published fulls or deltas, the oldest first."""
        found = []
        for name in self.names():
            match = _NAME.fullmatch(name)
            if match and name.startswith(_STEMS[kind]):
                with suppress(ValueError):  # 30 February, published as a fault
                    found.append(date.fromisoformat(match[1]))
        return tuple(sorted(found))


SUPPLIER = 2
BASE_ROLES = frozenset({1, 4, 5})
"""Recovery, access control broker, transitional CoS: in a device's anchor slots before installation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracts:
    """The extracts of one registry."""

    registry: Registry

    def full(self, day: date, lag_days: int, rng: Random) -> Iterator[Record]:
        """Every certificate In-Use at the end of ``day``.

        A full is no snapshot of one instant: with ``lag_days`` each certificate is as it was at a
        random instant up to so many days before the end of the day.
        """
        for certificate, history in self.registry.lives():
            lag = rng.randrange(lag_days * DAY) if lag_days else 0
            if status_at(history, end(day) - lag) is Status.IN_USE:
                yield record(certificate, Status.IN_USE)

    def delta(self, day: date) -> Iterator[Record]:
        """Every certificate issued or changed on ``day``, with its status at the end of it."""
        for certificate, history in self.registry.lives_touched(begin(day), end(day) + 1):
            status = status_at(history, end(day))
            assert status is not None
            yield record(certificate, status)

    def anchors(self, day: date, wan_provider: str) -> Iterator[Record]:
        """Organisation authorities and the organisations of the base roles with one WAN provider."""
        for kind in (Kind.OCA, Kind.ORGANISATION):
            for certificate, history in self.registry.lives_of(kind):
                if status_at(history, end(day)) is Status.IN_USE and _is_base(certificate, wan_provider):
                    yield record(certificate, Status.IN_USE)

    def supplier(self, day: date) -> Record:
        """A supplier's certificate that is In-Use: what has no business among anchor slots."""
        return record(in_use_supplier(self.registry, day), Status.IN_USE)


def in_use_supplier(registry: Registry, day: date) -> Certificate:
    """The first supplier's certificate that is In-Use at the end of a day."""
    return next(
        certificate
        for certificate, history in registry.lives_of(Kind.ORGANISATION)
        if certificate.subject.role == SUPPLIER and status_at(history, end(day)) is Status.IN_USE
    )


def _is_base(certificate: Certificate, wan_provider: str) -> bool:
    who = certificate.subject
    chosen = who.role == WAN_PROVIDER and who.name == wan_provider
    return who.kind is Kind.OCA or who.role in BASE_ROLES or chosen


def record(certificate: Certificate, status: Status) -> Record:
    """A certificate as the Repository writes it: claims around a body."""
    who = certificate.subject
    is_authority = who.kind in {Kind.OCA, Kind.DCA}
    is_device = who.kind is Kind.DEVICE
    return Record(
        alt_name=who.eui if is_device else None,
        name=None if is_device else who.name if is_authority else who.eui,
        serial=certificate.serial,
        status=status,
        body=certificate.der,
        role=None if who.role is None else str(who.role),
        usage="DS" if is_authority else who.usage,
        manufacturing=who.manufacturing,
        authority=is_authority,
    )


BACK = timedelta(days=2)
"""How old a CRL is that is published again."""

FaultsList_Press = frozenset[Fault]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPublisher:
    """Makes lists from ``registry``; the day is ``settings.today``."""

    registry: Registry
    settings: Settings

    def arl(self, _faults: FaultsList_Press) -> bytes:
        """Revoked authorities, signed by the root."""
        root = self.registry.authorities()[OCA_ROOT]
        lines = self._lines(OCA_ROOT, Kind.OCA, self.settings.today)
        return self._list(root, lines, self.settings.today, ARL_LIFE)

    def crl(self, faults: FaultsList_Press) -> bytes:
        """Revoked organisations, signed by the issuing authority, or by somebody else."""
        day = self.settings.today - (BACK if Fault.OLDER_CRL in faults else timedelta())
        authority = self.registry.authorities()[OCA]
        lines = self._lines(OCA, Kind.ORGANISATION, day)
        if Fault.LISTED_ALONE in faults:
            serial = in_use_supplier(self.registry, day).serial
            lines.append(Revoked(serial=int(serial, 16), since=datetime.fromtimestamp(end(day), UTC)))
        if Fault.STRANGER_CRL in faults:
            name = pki.oca_name("OCA Issuing S9", pki.ISSUING_ROLE)
            authority = Authority(label="stranger", name=name, key=new_key())
        octets = self._list(authority, lines, day, CRL_LIFE)
        return signed_by_another(octets) if Fault.FORGED_CRL in faults else octets

    def _lines(self, label: str, kind: Kind, day: date) -> list[Revoked]:
        """What one authority has revoked by the end of a day."""
        return [
            Revoked(serial=int(certificate.serial, 16), since=datetime.fromtimestamp(at, UTC))
            for certificate, history in self.registry.lives_of(kind)
            for at, status in history
            if status is Status.REVOKED and certificate.signer == label and at <= end(day)
        ]

    def _list(self, authority: Authority, lines: list[Revoked], day: date, life: timedelta) -> bytes:
        return revocation_list(
            authority,
            lines,
            number=max(1, (day - self.settings.start).days + 1),
            issued=datetime.fromtimestamp(end(day), UTC),
            life=life,
        )


WINDOW_DAYS = 7
"""Deltas on offer (MP147)."""

FAR_FUTURE = date(2099, 1, 1)
STRANGE = "SMKIKR_DELT_latest.xml.gz"
IMPOSSIBLE = "SMKIKR_DELT_2026-02-30.xml.gz"

Faults = frozenset[Fault]
SOUND: Faults = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Publishes what ``registry`` holds on ``shelf``; the day is ``settings.today``."""

    registry: Registry
    settings: Settings
    shelf: PublishedDirectory

    def publish(self, faults: Faults) -> tuple[date, ...]:
        """Publish everything of the day; returns the dates of deltas that are to come late."""
        today = self.settings.today
        self._finish_uploads()
        for day in self.settings.late:
            self.delta(day)
        self._change_published(faults)
        if self.settings.is_full_day(today) and Fault.WITHHOLD_FULL not in faults:
            self.full(today, faults & ON_FULLS)
        if not faults & {Fault.WITHHOLD_DELTA, Fault.LATE_DELTA}:
            self.delta(today, faults - ON_FULLS)
        self._stray(faults)
        self._companions(faults)
        self._remove_old()
        return (today,) if Fault.LATE_DELTA in faults else ()

    def full(self, day: date, faults: Faults = SOUND, name: str | None = None) -> str:
        """Publish the full of a day, by its own name or another; returns the name."""
        name = name or extract_name(ExtractKind.FULL, day)
        lag, rng = self.settings.full_lag_days, self.settings.rng(f"lag {day}")
        records = Extracts(registry=self.registry).full(day, lag, rng)
        self._put(name, self._written(name, records, self._shape(name), faults))
        return name

    def delta(self, day: date, faults: Faults = SOUND, name: str | None = None) -> str:
        """Publish the delta of a day, by its own name or another; returns the name."""
        name = name or extract_name(ExtractKind.DELTA, day)
        self._put(name, self._delta(name, day, self._shape(name), faults))
        return name

    def _delta(self, name: str, day: date, shape: FileShape, faults: Faults = SOUND) -> Iterable[bytes]:
        return self._written(name, Extracts(registry=self.registry).delta(day), shape, faults)

    def _written(
        self, name: str, records: Iterable[Record], shape: FileShape, faults: Faults = SOUND
    ) -> Iterable[bytes]:
        """A file, damaged at its records, its XML and its octets in that order; a sound one is streamed."""
        for fault in filter(faults.__contains__, ON_RECORDS):
            records = ON_RECORDS[fault](records)
        xml: Iterable[bytes] = file_format.octets(records, shape.xml, self.settings.rng(f"order {name}"))
        for fault in filter(faults.__contains__, ON_XML):
            xml = [ON_XML[fault](b"".join(xml))]
        data: Iterable[bytes] = file_format.octets_gz(xml, shape.gz, name.removesuffix(".gz"))
        for fault in filter(faults.__contains__, ON_FILES):
            data = [ON_FILES[fault](b"".join(data))]
        return data

    def _put(self, name: str, chunks: Iterable[bytes]) -> None:
        self.shelf.put(name, chunks, end(self.settings.today))

    def _shape(self, name: str) -> FileShape:
        return shape_for(self.settings.shapes, self.settings.rng(f"shape {name}"))

    def _change_published(self, faults: Faults) -> None:
        """Replace the newest delta by other octets of the same meaning."""
        changes = faults & {Fault.CHANGE_AFTER_PUBLICATION, Fault.SAME_SIZE_CHANGE}
        if not changes:
            return
        published = self.shelf.days(ExtractKind.DELTA)
        if not published:
            raise UsageError("no delta is published that could be changed")
        name = extract_name(ExtractKind.DELTA, published[-1])
        shape = self._shape(name)
        container = replace(shape.gz, modified=end(self.settings.today))
        if Fault.CHANGE_AFTER_PUBLICATION in changes:
            container = replace(container, comment=not container.comment)
        self._put(name, self._delta(name, published[-1], replace(shape, gz=container)))

    def _stray(self, faults: Faults) -> None:
        """Publish what has no business there."""
        today = self.settings.today
        if Fault.HALF_WRITTEN in faults:
            name = extract_name(ExtractKind.DELTA, today + timedelta(days=1))
            whole = b"".join(self._delta(name, today, self._shape(name)))
            self._put(name + TEMPORARY, [whole[: len(whole) // 2]])
        if Fault.STRANGE_NAME in faults:
            self.delta(today, name=STRANGE)
        if Fault.IMPOSSIBLE_DATE in faults:
            self.delta(today, name=IMPOSSIBLE)
        if Fault.FUTURE_FULL in faults:
            self.full(today, name=extract_name(ExtractKind.FULL, FAR_FUTURE))

    def _companions(self, faults: Faults) -> None:
        """Lists of revoked certificates and the two anchor-slot files, as of today."""
        today, extracts = self.settings.today, Extracts(registry=self.registry)
        for name, provider in ((ANCHORS_NORTH, NORTH), (ANCHORS_CENTRAL_SOUTH, CENTRAL_SOUTH)):
            records = list(extracts.anchors(today, provider))
            if Fault.SLOTS_DIFFER in faults and name == ANCHORS_NORTH:
                records.append(extracts.supplier(today))
            self._put(name, self._written(name, records, self._shape(name)))
        lists_press = ListPublisher(registry=self.registry, settings=self.settings)
        for name, make in ((ARL, lists_press.arl), (CRL, lists_press.crl)):
            if Fault.WITHHOLD_LISTS not in faults:
                whole = b"".join(
                    file_format.octets_gz([make(faults)], self._shape(name).gz, name.removesuffix(".gz"))
                )
                is_corrupt = Fault.CORRUPT_CRL in faults and name == CRL
                self._put(name, [ON_FILES[Fault.CORRUPT](whole) if is_corrupt else whole])
            elif name in self.shelf.names():
                self.shelf.remove(name)

    def _finish_uploads(self) -> None:
        """Take away what stood half written yesterday."""
        for name in self.shelf.names():
            if name.endswith(TEMPORARY):
                self.shelf.remove(name)

    def _remove_old(self) -> None:
        """Keep the deltas of the newest seven dates, and the newest fulls that are not of the future."""
        today = self.settings.today
        fulls = [day for day in self.shelf.days(ExtractKind.FULL) if day <= today]
        for day in fulls[: -self.settings.fulls_kept]:
            self.shelf.remove(extract_name(ExtractKind.FULL, day))
        for day in self.shelf.days(ExtractKind.DELTA):
            if day <= today - timedelta(days=WINDOW_DAYS):
                self.shelf.remove(extract_name(ExtractKind.DELTA, day))
