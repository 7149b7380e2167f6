"""Anchor slots on offer: taken into the history whole, or set aside, and compared with one another.

For: the files that a device manufacturer loads from. Refuses: a file with a record that cannot be
understood, for a device would lack what it held.
"""

from dataclasses import dataclass, field

from smki_sync.errors import BadExtract
from smki_sync.mirror.companions import Kept, Publication
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.store import Store
from smki_sync.model.certificate import Entry, Rejected
from smki_sync.model.report import AttentionCode
from smki_sync.sync.companions.unpack import records_in
from smki_sync.sync.job import Job
from smki_sync.trust.anchor_slots import Difference, SlotCertificate, differences, slot_of
from smki_sync.trust.revocation_lists import Refusal


@dataclass(slots=True)
class Slots:
    """One run's look. ``refusals``: by file, of what was not taken. ``regions``: what each is offered."""

    job: Job
    store: Store
    refusals: dict[str, Refusal] = field(default_factory=dict)
    regions: dict[str, tuple[SlotCertificate, ...]] = field(default_factory=dict)

    def take(self, region: str, kept: Kept) -> None:
        """Read one file, and keep what it holds."""
        try:
            certificates = _certificates(records_in(self.job, kept))
        except (BadExtract, ValueError) as error:
            why = str(error).removeprefix(f"{kept.file.name}: ")
            refusal = Refusal(code=AttentionCode.SLOTS_UNREADABLE, why=why)
            self.refusals[kept.file.name] = refusal
            self.store.set_aside_companion(kept, refusal, at=utc(self.job.clock()))
            return
        self.regions[region] = (*self.regions.get(region, ()), *certificates)
        publication = Publication(
            file=kept.file.name,
            region=region,
            day=self.job.today.isoformat(),
            sha256=kept.sha256,
            certificates=certificates,
        )
        self.store.publish_slots(publication)

    def differences(self) -> tuple[Difference, ...]:
        """What stands in some regions and not in all, the WAN provider's apart."""
        return differences(self.regions)


def _certificates(records: list[Entry | Rejected]) -> tuple[SlotCertificate, ...]:
    """Every certificate; raises ``ValueError`` for a record that is none, or for none at all."""
    bad = next((record for record in records if isinstance(record, Rejected)), None)
    if bad:
        raise ValueError(f"record {bad.number}: {bad.reason}: {bad.detail}")
    found = tuple(slot_of(record.der) for record in records if isinstance(record, Entry))
    if not found:
        raise ValueError("it holds no certificate")
    return found
