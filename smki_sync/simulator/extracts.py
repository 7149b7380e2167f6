"""Which certificates a full, a delta and an anchor-slot file hold, as records to be written.

For: the definitions of SEC Appendix O 2.3.3 as amended by MP147, in one place. Refuses: to write.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random

from smki_sync.model.certificate import Kind, Status
from smki_sync.simulator.file_format import Record
from smki_sync.simulator.founding import DAY, WAN_PROVIDER
from smki_sync.simulator.issued import Certificate, status_at
from smki_sync.simulator.population import Registry
from smki_sync.simulator.settings import begin, end

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
