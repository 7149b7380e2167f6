"""Which way a restore goes: planned as if there were nothing, to the newest state or to that of a day.

For: :func:`decide`. From the mirror that is there, only what does not lie in the future is kept. Refuses: to
take a healthy mirror back in time unless told the date.
"""

from dataclasses import replace
from datetime import date

from smki_sync.catalogue import read_catalogue
from smki_sync.errors import SourceMissing, UsageError
from smki_sync.events import Listing, Planned
from smki_sync.model.extract import Catalogue
from smki_sync.model.plan import Action, MirrorState, Plan, Reason
from smki_sync.planner import plan
from smki_sync.sources.base import Source
from smki_sync.sync.decision import Decision, Held, look
from smki_sync.sync.job import Job


def as_of(job: Job, until: date | None) -> Job:
    """The job as of the day that is restored: nothing on offer then was late."""
    return replace(job, today=min(job.today, until or job.today))


def decide(job: Job, source: Source, until: date | None) -> Decision:
    """Plan as if there were no mirror; from what is there, keep only what does not lie in the future.

    Raises :class:`SourceMissing` (``nothing-to-restore-from``), and :class:`UsageError` where the way leads
    back and nobody said so.
    """
    held = look(job.directory)
    job.hear.hear(Listing(source=source.title))
    catalogue = _cut(read_catalogue(source.fetch_listing(), job.names), until)
    made = plan(
        state=MirrorState.ABSENT,
        position=None,
        catalogue=catalogue,
        policy=job.policy,
        today=as_of(job, until).today,
    )
    if made.action is not Action.FULL:
        raise SourceMissing(
            f"{source.title} offers no full to restore from{f' for {until}' if until else ''}: "
            f"{made.reason.words}",
            hint="Name another source with --source, or another date with --to.",
            code="nothing-to-restore-from",
        )
    made = replace(made, reason=Reason.REQUESTED)
    job.hear.hear(Planned(plan=made))
    back = _goes_back(held, made)
    if back and until is None:
        assert held.position is not None
        raise UsageError(
            f"{source.title} leads to {_reach(made)} only, and the mirror is as of {held.position.day}",
            hint=f"To go back all the same, say --to {_reach(made)}.",
        )
    kept = replace(held, generation=None, position=None) if back else held
    return Decision(held=kept, catalogue=catalogue, plan=made)


def _cut(catalogue: Catalogue, until: date | None) -> Catalogue:
    if until is None:
        return catalogue
    return replace(
        catalogue,
        fulls=tuple(full for full in catalogue.fulls if full.day <= until),
        deltas=tuple(delta for delta in catalogue.deltas if delta.day <= until),
    )


def _reach(made: Plan) -> date:
    assert made.full is not None
    return max([made.full.day, *(delta.day for delta in made.deltas)])


def _goes_back(held: Held, made: Plan) -> bool:
    return held.position is not None and _reach(made) < held.position.day
