"""The ARL and the CRL of a day, with the day's faults.

For: lists that say what the registry says, signed by the authority concerned, or wrong in one named way.
Refuses: to publish.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from smki_sync.model.certificate import Kind, Status
from smki_sync.simulator import lists, profiles
from smki_sync.simulator.extracts import in_use_supplier
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.issuing import OCA, OCA_ROOT
from smki_sync.simulator.lists import Revoked
from smki_sync.simulator.pki import Authority, new_key
from smki_sync.simulator.population import Registry
from smki_sync.simulator.settings import Settings, end

BACK = timedelta(days=2)
"""How old a CRL is that is published again."""

Faults = frozenset[Fault]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPress:
    """Makes lists from ``registry``; the day is ``settings.today``."""

    registry: Registry
    settings: Settings

    def arl(self, _faults: Faults) -> bytes:
        """Revoked authorities, signed by the root."""
        root = self.registry.authorities()[OCA_ROOT]
        lines = self._lines(OCA_ROOT, Kind.OCA, self.settings.today)
        return self._list(root, lines, self.settings.today, lists.ARL_LIFE)

    def crl(self, faults: Faults) -> bytes:
        """Revoked organisations, signed by the issuing authority, or by somebody else."""
        day = self.settings.today - (BACK if Fault.OLDER_CRL in faults else timedelta())
        authority = self.registry.authorities()[OCA]
        lines = self._lines(OCA, Kind.ORGANISATION, day)
        if Fault.LISTED_ALONE in faults:
            serial = in_use_supplier(self.registry, day).serial
            lines.append(Revoked(serial=int(serial, 16), since=datetime.fromtimestamp(end(day), UTC)))
        if Fault.STRANGER_CRL in faults:
            name = profiles.oca_name("OCA Issuing S9", profiles.ISSUING_ROLE)
            authority = Authority(label="stranger", name=name, key=new_key())
        octets = self._list(authority, lines, day, lists.CRL_LIFE)
        return lists.signed_by_another(octets) if Fault.FORGED_CRL in faults else octets

    def _lines(self, label: str, kind: Kind, day: date) -> list[Revoked]:
        """What one authority has revoked by the end of a day."""
        return [
            Revoked(serial=int(certificate.serial, 16), since=datetime.fromtimestamp(at, UTC))
            for certificate, history in self.registry.lives_of(kind)
            for at, status in history
            if status is Status.REVOKED and certificate.signer == label and at <= end(day)
        ]

    def _list(self, authority: Authority, lines: list[Revoked], day: date, life: timedelta) -> bytes:
        return lists.revocation_list(
            authority,
            lines,
            number=max(1, (day - self.settings.start).days + 1),
            issued=datetime.fromtimestamp(end(day), UTC),
            life=life,
        )
