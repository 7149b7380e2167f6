"""The door that a run puts before the mirror, as ``policy.verify`` asks for.

For: :func:`guarding`. Refuses: to verify; :mod:`smki_sync.verify` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from smki_sync.download import Fetched
from smki_sync.errors import MirrorDamaged
from smki_sync.events import Detail
from smki_sync.mirror.held import read_authorities
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.signature_cache import proofs_at
from smki_sync.model.certificate import Entry, Kind
from smki_sync.model.door import VerifyPolicy
from smki_sync.sync.job import Job
from smki_sync.sync.reading import read_records
from smki_sync.sync.signature_gate import Keeper
from smki_sync.trust.anchors import anchors_of
from smki_sync.trust.authorities import Authority, Standing, authority_of
from smki_sync.verify import Verification, VerifyJob, verify
from smki_sync.verify.judges import authorities_in


@contextmanager
def guarding(job: Job, generation: Path | None) -> Iterator[Keeper | None]:
    """Who is asked during a run; ``None`` where the operator wants nobody asked."""
    if job.verify is VerifyPolicy.OFF:
        yield None
        return
    known = _authorities_of(generation)
    with proofs_at(job.directory.proofs) as (proofs, lost):
        if lost:
            job.hear.hear(Detail(text=f"proofs are not remembered: {lost}"))
        yield Keeper(known, anchors_of(job.anchors), proofs)


def _authorities_of(generation: Path | None) -> list[Authority]:
    """Authorities that the mirror holds; none where there is none, or where it cannot be read."""
    if generation is None:
        return []
    try:
        with open_mirror(generation) as db:
            return list(authorities_in(read_authorities(db)))
    except MirrorDamaged:  # it is about to be built anew
        return []


def verified(job: Job) -> Verification | None:
    """The whole mirror, verified after a run, where the operator asks for that."""
    if job.verify is not VerifyPolicy.ALL:
        return None
    at = datetime.combine(job.today, job.clock().timetz())
    return verify(
        VerifyJob(directory=job.directory, at=at, anchors=job.anchors, hear=job.hear, clock=job.clock)
    )


def authorities_in_file(job: Job, fetched: Fetched) -> Iterator[Authority]:
    """Authorities that a file brings, by reading it to its end."""

    def told(_records: int, _done: int) -> None:
        """Nobody is told: the file is read again, and then somebody is."""

    for record in read_records(fetched, job.limits, told, lambda _near: None):
        if isinstance(record, Entry) and record.facts.kind in (Kind.OCA, Kind.DCA):
            yield authority_of(record.der, Standing.IN_USE)
