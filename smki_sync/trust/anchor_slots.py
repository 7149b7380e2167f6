"""Anchor slots: the certificates that a device gets before it is installed, one file for each region.

The files of all regions contain the same certificates, except those of the WAN provider (Appendix O 2.3.3).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from smki_sync.model.certificate import ROLE_NAMES
from smki_sync.x509 import read_facts

WAN_PROVIDER: Final = 6
"""Remote Party Role of the WAN provider (GBCS 12), in whose certificates regions differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCertificate:
    """One certificate of a slot file. ``issuer``, ``subject``: RFC 4514. ``sha256``: of its DER."""

    serial: str
    issuer: str
    subject: str
    role: int | None
    usage: str | None
    sha256: str
    der: bytes

    @property
    def label(self) -> str:
        """Role and serial number, for people."""
        role = "no role" if self.role is None else ROLE_NAMES.get(self.role, f"role {self.role}")
        return f"{role} {self.serial}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotDifference:
    """A certificate of another party than the WAN provider that only some regions have."""

    certificate: SlotCertificate
    present: tuple[str, ...]
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotChanges:
    """Certificates that a publication added and removed."""

    added: tuple[SlotCertificate, ...] = ()
    removed: tuple[SlotCertificate, ...] = ()


def slot_of(der: bytes) -> SlotCertificate:
    """Read a certificate of a slot file. Raises ``ValueError`` if it is not one."""
    facts = read_facts(der)
    return SlotCertificate(
        serial=facts.serial,
        issuer=facts.issuer,
        subject=facts.subject,
        role=facts.role,
        usage=facts.usage,
        sha256=sha256(der).hexdigest(),
        der=der,
    )


def differences(regions: Mapping[str, Iterable[SlotCertificate]]) -> tuple[SlotDifference, ...]:
    """Return each certificate that all regions should have and some lack, in a stable order."""
    shared = {name: _shared(certificates) for name, certificates in sorted(regions.items())}
    every = {found.sha256: found for some in shared.values() for found in some.values()}
    return tuple(
        SlotDifference(
            certificate=one,
            present=tuple(name for name, some in shared.items() if one.sha256 in some),
            absent=tuple(name for name, some in shared.items() if one.sha256 not in some),
        )
        for one in sorted(every.values(), key=_order)
        if any(one.sha256 not in some for some in shared.values())
    )


def changes(before: Iterable[SlotCertificate], after: Iterable[SlotCertificate]) -> SlotChanges:
    """Compare two publications of one region."""
    old, new = ({one.sha256: one for one in some} for some in (before, after))
    return SlotChanges(
        added=tuple(sorted((one for key, one in new.items() if key not in old), key=_order)),
        removed=tuple(sorted((one for key, one in old.items() if key not in new), key=_order)),
    )


def _shared(certificates: Iterable[SlotCertificate]) -> dict[str, SlotCertificate]:
    return {one.sha256: one for one in certificates if one.role != WAN_PROVIDER}


def _order(one: SlotCertificate) -> tuple[int, str, str]:
    return -1 if one.role is None else one.role, one.serial, one.sha256
