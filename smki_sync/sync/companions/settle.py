"""Everything beside the extracts, once the octets are here: kept, judged, in force; and what it calls for.

For: :func:`settle`, on the generation that readers see or are about to see. Position and ledger are not
touched. Refuses: to look at the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from smki_sync.mirror.companions import read_companions
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.revocation import read_lists
from smki_sync.mirror.store import Store
from smki_sync.model.lists import HeldList, ListKind, ListOutcome, ListState
from smki_sync.model.report import Attention
from smki_sync.sync.companions import words
from smki_sync.sync.companions.gather import Gathered
from smki_sync.sync.companions.lists import Lists
from smki_sync.sync.companions.slots import Slots
from smki_sync.sync.job import Job
from smki_sync.trust.lists.freshness import expected, why_stale
from smki_sync.trust.offered import Offered, OfferedList, OfferedSlots


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """``lists``: what became of each on offer. ``attention``: what an operator should know."""

    lists: tuple[ListOutcome, ...] = ()
    attention: tuple[Attention, ...] = ()

    def after(self, before: "Settled") -> "Settled":
        """The same, where ``before`` was settled earlier in the run: what was applied then was applied."""
        applied = {one.file: one for one in before.lists if one.state is ListState.APPLIED}
        lists = tuple(
            applied.get(one.file, one) if one.state is ListState.IN_FORCE else one for one in self.lists
        )
        return replace(self, lists=lists)


def settle(job: Job, generation: Path, gathered: Gathered, *, ground: bool = False) -> Settled:
    """Keep, judge and apply what was gathered.

    ``ground``: nobody has seen this generation, and its journal begins with what it holds: so with the lists.
    """
    with Store(generation) as store:
        _keep(job, store, gathered)
        lists, slots = Lists(job=job, store=store, ground=ground), Slots(job=job, store=store)
        on_offer = [one for one in gathered.offered if one.file.name in gathered.contents]
        contents = gathered.contents
        outcomes = lists.take(
            [(one.kind, contents[one.file.name]) for one in on_offer if isinstance(one, OfferedList)]
        )
        for one in on_offer:
            if isinstance(one, OfferedSlots):
                slots.take(one.region, contents[one.file.name])
    refusals = {**lists.refusals, **slots.refusals}
    return Settled(
        lists=outcomes,
        attention=(
            *gathered.missed,
            *(words.refused(name, refusal) for name, refusal in refusals.items()),
            *words.differ(slots.differences()),
            *look_at_lists(job, generation, gathered.offered),
        ),
    )


def _keep(job: Job, store: Store, gathered: Gathered) -> None:
    with open_mirror(store.path) as db:
        known = read_companions(db)
    for name, kept in gathered.contents.items():
        if known.get(name) != kept:
            store.keep_companion(kept, at=utc(job.clock()))


def look_at_lists(job: Job, generation: Path | None, offered: tuple[Offered, ...]) -> Iterator[Attention]:
    """Whether the lists in force are fresh and still on offer; also where nothing was fetched."""
    held: tuple[HeldList, ...] = ()
    if generation:
        with open_mirror(generation) as db:
            held = read_lists(db)
    for one in expected(held):
        why = why_stale(one, today=job.today, max_age_days=job.lists.max_age_days(one.kind))
        if why:
            yield words.stale(one, why)
    known = {one.kind for one in held}
    absent = set(ListKind) - {one.kind for one in offered if isinstance(one, OfferedList)}
    yield from (words.missing(kind) for kind in sorted(absent & known))
    if absent - known and job.lists.expected:
        yield words.none_ever(sorted(absent - known))
