"""A day in the life of the Repository: who joins, what is replaced, expires, is revoked or returns.

For: changes of every kind, at random instants of a day, no certificate more than once a day. Refuses:
files and dates; it knows instants and the registry.
"""

from dataclasses import dataclass, field

from smki_sync.model.certificate import Kind, Status, Usage
from smki_sync.simulator.founding import DAY, MANUFACTURING, new_device
from smki_sync.simulator.issued import Certificate, Subject
from smki_sync.simulator.issuing import RETIRING_NAME, Desk
from smki_sync.simulator.population import Registry

RETIREMENT_DAY = 4
"""On this day of its life the retiring authority is revoked: the one line of the ARL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
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

STANDSTILL = Pace(
    joins=0, replaced=0, expired=0, activated=0, returned=0, organisation_replaced=0, organisation_revoked=0
)
"""Nothing happens but what time itself brings: empty deltas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day: ``number`` from 1, ``begin`` in seconds since 1970; ``touched`` have had their change."""

    registry: Registry
    desk: Desk
    number: int
    begin: int
    touched: set[int] = field(default_factory=set)

    def live(self, pace: Pace) -> None:
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

    def _disturb_organisations(self, pace: Pace) -> None:
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
