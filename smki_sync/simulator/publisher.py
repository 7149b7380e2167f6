"""Publish the files of a day and remove old ones."""

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
    """One entry: a serial number and the time of revocation."""

    serial: int
    since: datetime


def revocation_list(
    authority: Authority, revoked: Iterable[Revoked], *, number: int, issued: datetime, life: timedelta
) -> bytes:
    """Return a CRL in DER. ``number``: its crlNumber, which increases with every issue."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.name)
        .last_update(issued)
        .next_update(issued + life)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(authority.key_id, None, None), critical=False)
    )
    for revocation in revoked:
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(revocation.serial)
            .revocation_date(revocation.since)
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def signed_by_another(der: bytes) -> bytes:
    """Return the same list with the signature of an unknown key."""
    tbs, algorithm, _ = pki.split_signed(der)
    return pki.join_signed(tbs, algorithm, new_key().sign(tbs, ec.ECDSA(hashes.SHA256())))


HIDDEN = ".simulator"
"""Directory of unpublished files. A file is written there and then renamed."""

ARL = "SMKIKR_ARL.crl.gz"
CRL = "SMKIKR_CRL.crl.gz"
ANCHORS_NORTH = "SMKIKR_ANCHOR_SLOTS_NORTH.xml.gz"
ANCHORS_CENTRAL_SOUTH = "SMKIKR_ANCHOR_SLOTS_CENTRAL_SOUTH.xml.gz"
TEMPORARY = ".part"

_STEMS = {ExtractKind.FULL: "SMKIKR_FULL_", ExtractKind.DELTA: "SMKIKR_DELT_"}
_NAME = re.compile(r"SMKIKR_(?:FULL|DELT)_(\d{4}-\d\d-\d\d)\.xml\.gz")


def extract_name(kind: ExtractKind, day: date) -> str:
    """Return the name of a full or a delta (Appendix O 2.3.3)."""
    return f"{_STEMS[kind]}{day.isoformat()}.xml.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedDirectory:
    """The published directory. To publish a file, its hidden directory must exist."""

    path: Path

    def put(self, name: str, chunks: Iterable[bytes], modified: int) -> None:
        """Publish a file in one step. ``modified``: its modification time, in seconds since 1970."""
        temporary = self.path / HIDDEN / f"{name}.temporary"
        with temporary.open("wb") as file:
            file.writelines(chunks)
        os.utime(temporary, (modified, modified))
        temporary.replace(self.path / name)

    def read(self, name: str) -> bytes:
        """Return the content of a published file.

        Raises:
            FileNotFoundError: It is not published.
        """
        return (self.path / name).read_bytes()

    def remove(self, name: str) -> None:
        """Remove a file.

        Raises:
            FileNotFoundError: It is not published.
        """
        (self.path / name).unlink()

    def names(self) -> tuple[str, ...]:
        """Return the names of published files, sorted."""
        return tuple(sorted(p.name for p in self.path.iterdir() if p.is_file() and p.name[0] != "."))

    def days(self, kind: ExtractKind) -> tuple[date, ...]:
        """Return the dates of the published fulls or deltas, oldest first."""
        found = []
        for name in self.names():
            match = _NAME.fullmatch(name)
            if match and name.startswith(_STEMS[kind]):
                with suppress(ValueError):  # 30 February, published as a fault
                    found.append(date.fromisoformat(match[1]))
        return tuple(sorted(found))


SUPPLIER = 2
BASE_ROLES = frozenset({1, 4, 5})
"""Recovery, access control broker, transitional CoS: in the anchor slots of a new device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracts:
    """The records of the extracts of a registry."""

    registry: Registry

    def full(self, day: date, lag_days: int, rng: Random) -> Iterator[Record]:
        """Return every certificate In-Use at the end of ``day``.

        A full is not a snapshot of one time. Each certificate has its status at a random time up to
        ``lag_days`` before the end of the day.
        """
        for certificate, history in self.registry.histories():
            lag = rng.randrange(lag_days * DAY) if lag_days else 0
            if status_at(history, end(day) - lag) is Status.IN_USE:
                yield record(certificate, Status.IN_USE)

    def delta(self, day: date) -> Iterator[Record]:
        """Return every certificate issued or changed on ``day``, with its status at the end of the day."""
        for certificate, history in self.registry.histories_changed(begin(day), end(day) + 1):
            status = status_at(history, end(day))
            assert status is not None
            yield record(certificate, status)

    def anchors(self, day: date, wan_provider: str) -> Iterator[Record]:
        """Return organisation authorities, and organisations of the base roles with one WAN provider."""
        for kind in (Kind.OCA, Kind.ORGANISATION):
            for certificate, history in self.registry.histories_of(kind):
                if status_at(history, end(day)) is Status.IN_USE and _is_base(certificate, wan_provider):
                    yield record(certificate, Status.IN_USE)

    def supplier(self, day: date) -> Record:
        """Return an In-Use certificate of a supplier, which does not belong in an anchor slot."""
        return record(in_use_supplier(self.registry, day), Status.IN_USE)


def in_use_supplier(registry: Registry, day: date) -> Certificate:
    """Return the first certificate of a supplier that is In-Use at the end of a day."""
    return next(
        certificate
        for certificate, history in registry.histories_of(Kind.ORGANISATION)
        if certificate.subject.role == SUPPLIER and status_at(history, end(day)) is Status.IN_USE
    )


def _is_base(certificate: Certificate, wan_provider: str) -> bool:
    subject = certificate.subject
    is_wan_provider = subject.role == WAN_PROVIDER and subject.name == wan_provider
    return subject.kind is Kind.OCA or subject.role in BASE_ROLES or is_wan_provider


def record(certificate: Certificate, status: Status) -> Record:
    """Return a certificate as the Repository writes it: claims and a body."""
    subject = certificate.subject
    is_authority = subject.kind in {Kind.OCA, Kind.DCA}
    is_device = subject.kind is Kind.DEVICE
    return Record(
        alt_name=subject.eui if is_device else None,
        name=None if is_device else subject.name if is_authority else subject.eui,
        serial=certificate.serial,
        status=status,
        body=certificate.der,
        role=None if subject.role is None else str(subject.role),
        usage="DS" if is_authority else subject.usage,
        manufacturing=subject.manufacturing,
        authority=is_authority,
    )


BACK = timedelta(days=2)
"""Age of a CRL that is published again."""

Faults = frozenset[Fault]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPublisher:
    """Creates the revocation lists of a registry for ``settings.today``."""

    registry: Registry
    settings: Settings

    def arl(self, _faults: Faults) -> bytes:
        """Return the list of revoked authorities, signed by the root."""
        root = self.registry.authorities()[OCA_ROOT]
        lines = self._lines(OCA_ROOT, Kind.OCA, self.settings.today)
        return self._list(root, lines, self.settings.today, ARL_LIFE)

    def crl(self, faults: Faults) -> bytes:
        """Return the list of revoked organisations, signed by the issuing authority or by another one."""
        day = self.settings.today - (BACK if Fault.OLDER_CRL in faults else timedelta())
        authority = self.registry.authorities()[OCA]
        lines = self._lines(OCA, Kind.ORGANISATION, day)
        if Fault.LISTED_ALONE in faults:
            serial = in_use_supplier(self.registry, day).serial
            lines.append(Revoked(serial=int(serial, 16), since=datetime.fromtimestamp(end(day), UTC)))
        if Fault.STRANGER_CRL in faults:
            name = pki.oca_name("OCA Issuing S9", pki.ISSUING_ROLE)
            authority = Authority(label="stranger", name=name, key=new_key())
        der = self._list(authority, lines, day, CRL_LIFE)
        return signed_by_another(der) if Fault.FORGED_CRL in faults else der

    def _lines(self, label: str, kind: Kind, day: date) -> list[Revoked]:
        """Return what an authority has revoked by the end of a day."""
        return [
            Revoked(serial=int(certificate.serial, 16), since=datetime.fromtimestamp(at, UTC))
            for certificate, history in self.registry.histories_of(kind)
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
"""Days that a delta stays published (MP147)."""

FAR_FUTURE = date(2099, 1, 1)
STRANGE = "SMKIKR_DELT_latest.xml.gz"
IMPOSSIBLE = "SMKIKR_DELT_2026-02-30.xml.gz"

NO_FAULTS: Faults = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Publisher:
    """Publishes the files of ``registry`` in ``directory`` for ``settings.today``."""

    registry: Registry
    settings: Settings
    directory: PublishedDirectory

    def publish(self, faults: Faults) -> tuple[date, ...]:
        """Publish all files of the day; return the dates of deltas to publish late."""
        today = self.settings.today
        self._remove_temporary_files()
        for day in self.settings.late:
            self.delta(day)
        self._change_published(faults)
        if self.settings.is_full_day(today) and Fault.WITHHOLD_FULL not in faults:
            self.full(today, faults & ON_FULLS)
        if not faults & {Fault.WITHHOLD_DELTA, Fault.LATE_DELTA}:
            self.delta(today, faults - ON_FULLS)
        self._publish_unexpected(faults)
        self._companions(faults)
        self._remove_old()
        return (today,) if Fault.LATE_DELTA in faults else ()

    def full(self, day: date, faults: Faults = NO_FAULTS, name: str | None = None) -> str:
        """Publish the full of a day, by its own name or another; return the name."""
        name = name or extract_name(ExtractKind.FULL, day)
        lag, rng = self.settings.full_lag_days, self.settings.rng(f"lag {day}")
        records = Extracts(registry=self.registry).full(day, lag, rng)
        self._put(name, self._file_chunks(name, records, self._shape(name), faults))
        return name

    def delta(self, day: date, faults: Faults = NO_FAULTS, name: str | None = None) -> str:
        """Publish the delta of a day, by its own name or another; return the name."""
        name = name or extract_name(ExtractKind.DELTA, day)
        self._put(name, self._delta(name, day, self._shape(name), faults))
        return name

    def _delta(self, name: str, day: date, shape: FileShape, faults: Faults = NO_FAULTS) -> Iterable[bytes]:
        return self._file_chunks(name, Extracts(registry=self.registry).delta(day), shape, faults)

    def _file_chunks(
        self, name: str, records: Iterable[Record], shape: FileShape, faults: Faults = NO_FAULTS
    ) -> Iterable[bytes]:
        """Return a file with its faults. A file without faults is streamed."""
        for fault in filter(faults.__contains__, ON_RECORDS):
            records = ON_RECORDS[fault](records)
        xml: Iterable[bytes] = file_format.xml_chunks(records, shape.xml, self.settings.rng(f"order {name}"))
        for fault in filter(faults.__contains__, ON_XML):
            xml = [ON_XML[fault](b"".join(xml))]
        data: Iterable[bytes] = file_format.gzip_chunks(xml, shape.gz, name.removesuffix(".gz"))
        for fault in filter(faults.__contains__, ON_FILES):
            data = [ON_FILES[fault](b"".join(data))]
        return data

    def _put(self, name: str, chunks: Iterable[bytes]) -> None:
        self.directory.put(name, chunks, end(self.settings.today))

    def _shape(self, name: str) -> FileShape:
        return shape_for(self.settings.shapes, self.settings.rng(f"shape {name}"))

    def _change_published(self, faults: Faults) -> None:
        """Replace the newest delta by other bytes with the same meaning."""
        changes = faults & {Fault.CHANGE_AFTER_PUBLICATION, Fault.SAME_SIZE_CHANGE}
        if not changes:
            return
        published = self.directory.days(ExtractKind.DELTA)
        if not published:
            raise UsageError("No delta is published that could be changed.")
        name = extract_name(ExtractKind.DELTA, published[-1])
        shape = self._shape(name)
        container = replace(shape.gz, modified=end(self.settings.today))
        if Fault.CHANGE_AFTER_PUBLICATION in changes:
            container = replace(container, comment=not container.comment)
        self._put(name, self._delta(name, published[-1], replace(shape, gz=container)))

    def _publish_unexpected(self, faults: Faults) -> None:
        """Publish files that do not belong there."""
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
        """Publish the revocation lists and the two anchor-slot files of today."""
        today, extracts = self.settings.today, Extracts(registry=self.registry)
        for name, provider in ((ANCHORS_NORTH, NORTH), (ANCHORS_CENTRAL_SOUTH, CENTRAL_SOUTH)):
            records = list(extracts.anchors(today, provider))
            if Fault.SLOTS_DIFFER in faults and name == ANCHORS_NORTH:
                records.append(extracts.supplier(today))
            self._put(name, self._file_chunks(name, records, self._shape(name)))
        list_publisher = ListPublisher(registry=self.registry, settings=self.settings)
        for name, make in ((ARL, list_publisher.arl), (CRL, list_publisher.crl)):
            if Fault.WITHHOLD_LISTS not in faults:
                whole = b"".join(
                    file_format.gzip_chunks([make(faults)], self._shape(name).gz, name.removesuffix(".gz"))
                )
                is_corrupt = Fault.CORRUPT_CRL in faults and name == CRL
                self._put(name, [ON_FILES[Fault.CORRUPT](whole) if is_corrupt else whole])
            elif name in self.directory.names():
                self.directory.remove(name)

    def _remove_temporary_files(self) -> None:
        """Remove the incomplete files of yesterday."""
        for name in self.directory.names():
            if name.endswith(TEMPORARY):
                self.directory.remove(name)

    def _remove_old(self) -> None:
        """Remove deltas older than seven days, and fulls except the newest ones up to today."""
        today = self.settings.today
        fulls = [day for day in self.directory.days(ExtractKind.FULL) if day <= today]
        for day in fulls[: -self.settings.fulls_kept]:
            self.directory.remove(extract_name(ExtractKind.FULL, day))
        for day in self.directory.days(ExtractKind.DELTA):
            if day <= today - timedelta(days=WINDOW_DAYS):
                self.directory.remove(extract_name(ExtractKind.DELTA, day))
