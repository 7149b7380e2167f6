"""The restore: list, plan as if there were nothing, fetch, build aside, look through, take over.

For: :func:`restore`. The mirror that is there is read where it can be (its journal goes on, its digest
is held against the new one) and is not needed. The revocation lists on offer are in force before
anybody sees the new one, also where it is made as of an earlier day: what is revoked is never served
again. Refuses: to take a healthy mirror back in time unless told the date, to publish what it has not
looked through.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Final

from smki_sync.catalogue import read_catalogue
from smki_sync.errors import SourceMissing, UsageError
from smki_sync.events import Building, Detail, Listing, Planned
from smki_sync.fetch import PatientSource
from smki_sync.mirror.lock import hold
from smki_sync.mirror.queries import open_mirror, read_census, read_position, read_stamp
from smki_sync.model.extract import Catalogue
from smki_sync.model.plan import Action, MirrorState, Plan, Reason
from smki_sync.model.report import Attention, AttentionCode, SyncReport
from smki_sync.planner import plan
from smki_sync.restore.checks import Check, Known, known_digest, look_through
from smki_sync.sources.base import Source
from smki_sync.sync.ahead import fetch_all
from smki_sync.sync.archivist import Archivist
from smki_sync.sync.attention import attend
from smki_sync.sync.carry import Carrier, loading_ahead
from smki_sync.sync.companions import Settled, gather, settle
from smki_sync.sync.decide import Decision, Held, look
from smki_sync.sync.job import Job
from smki_sync.sync.space import check_space


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One part of a restore, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did: its report, how long each phase took, what was checked before it took over."""

    report: SyncReport
    phases: tuple[Phase, ...]
    checks: tuple[Check, ...]


@dataclass(slots=True)
class _Watch:
    """Times phases."""

    job: Job
    phases: list[Phase] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = self.job.clock()
        yield
        self.phases.append(Phase(name=name, seconds=(self.job.clock() - began).total_seconds()))


def restore(
    job: Job,
    *,
    until: date | None = None,
    anchors: tuple[bytes, ...] = (),
    known: Known | None = None,
    chance: Random | None = None,
) -> Restored:
    """Make the mirror anew from what the source offers, to the newest state or to that of ``until``.

    ``anchors``: trust anchors as DER. ``known``: the digest to hold the result against; that of the mirror
    that is there, unless given. Raises the errors of :mod:`smki_sync.errors`; then what was there stands.
    """
    job.directory.prepare()
    watch = _Watch(job)
    with hold(job.directory.lock, since=job.clock()):
        for left in job.directory.discard_unfinished():
            job.hear.hear(Detail(text=f"removed {left.name}, which a killed run left unfinished"))
        random = chance or Random()  # noqa: S311 - a sample
        checks: list[Check] = []
        settled: list[Settled] = []

        def inspect(generation: Path, *, first: bool) -> None:
            with open_mirror(generation) as db:
                unlisted = read_stamp(db).digest
            settled.append(settle(job, generation, beside, ground=first))
            with watch.phase("check"):
                found = _checked(
                    job, generation, known=known, unlisted=unlisted, anchors=anchors, chance=random
                )
                checks.extend(found)

        with ExitStack() as ending:
            with PatientSource(job.open_source, terms=job.terms, hear=job.hear) as source:
                with watch.phase("list"):
                    decision = _decide(job, source, until)
                check_space(job, decision.plan)
                ahead = ending.enter_context(loading_ahead(job, decision))
                with watch.phase("fetch"):
                    files = fetch_all(job, source, decision.plan.extracts, ahead)
                    beside = gather(job, source, decision)
            carrier = Carrier(job, files, Archivist(job), all_aside=True, inspect=inspect, ahead=ahead)
            began = job.clock()
            generation = carrier.carry_out(decision)
            _time_build(watch, began, job.clock())
        assert generation is not None  # the plan has a full
        report = _report(_on(job, until), decision, carrier, generation, settled[0])
        attention = (*_doubts(checks), *_in_the_past(report, job, until), *report.attention)
        report = replace(report, attention=attention)
    return Restored(report=report, phases=tuple(watch.phases), checks=tuple(checks))


def _decide(job: Job, source: Source, until: date | None) -> Decision:
    """Plan as if there were no mirror; from what is there, keep only what does not lie in the future."""
    held = look(job.directory)
    job.hear.hear(Listing(source=source.title))
    catalogue = _cut(read_catalogue(source.fetch_listing(), job.names), until)
    made = plan(
        state=MirrorState.ABSENT,
        position=None,
        catalogue=catalogue,
        policy=job.policy,
        today=_on(job, until).today,
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


def _checked(
    job: Job,
    generation: Path,
    *,
    known: Known | None,
    unlisted: str,
    anchors: tuple[bytes, ...],
    chance: Random,
) -> tuple[Check, ...]:
    def step(words: str) -> None:
        job.hear.hear(Building(file=generation.name, step=words))

    def find(position: date) -> Known | None:
        return known or known_digest(job.directory, position)

    return look_through(
        generation,
        known=find,
        unlisted=unlisted,
        anchors=anchors,
        at=job.clock(),
        step=step,
        chance=chance,
    )


def _time_build(watch: _Watch, began: datetime, ended: datetime) -> None:
    """The build is what was neither fetched nor checked."""
    checked = sum(phase.seconds for phase in watch.phases if phase.name == "check")
    built = Phase(name="build", seconds=(ended - began).total_seconds() - checked)
    watch.phases.insert(_BEFORE_CHECK, built)


_BEFORE_CHECK: Final = 2
"""Where the build stands among the phases: after list and fetch."""


def _on(job: Job, until: date | None) -> Job:
    """The job as of the day that is restored: nothing on offer then was late."""
    return replace(job, today=min(job.today, until or job.today))


def _report(job: Job, decision: Decision, carrier: Carrier, generation: Path, settled: Settled) -> SyncReport:
    with open_mirror(generation) as db:
        position, census = read_position(db), read_census(db)
    attention = attend(
        job,
        decision,
        position=position,
        census=census,
        oddities=carrier.oddities,
        history_lost=carrier.history_lost,
        beside=(*settled.attention, *carrier.archivist.attention()),
    )
    return SyncReport(
        plan=decision.plan,
        position=position.day,
        applied=tuple(carrier.applied),
        census=census,
        attention=attention,
        lists=settled.lists,
    )


def _in_the_past(report: SyncReport, job: Job, until: date | None) -> Iterator[Attention]:
    if until and until < job.today:
        yield Attention(
            code=AttentionCode.RESTORED_TO_DATE,
            message=f"The mirror stands at {report.position}, as was asked for.",
            hint="`smki-sync sync` takes it forward again.",
        )


_DOUBTS: Final = {
    "digest": (AttentionCode.OTHER_DIGEST, "Find out which certificates with `smki-sync compare`."),
    "chains": (AttentionCode.CHAINS_BROKEN, "`smki-sync verify` names every certificate."),
}


def _doubts(checks: list[Check]) -> Iterator[Attention]:
    for check in checks:
        if check.passed is False:
            code, hint = _DOUBTS[check.name]
            yield Attention(code=code, message=f"Restored, but {check.name}: {check.detail}.", hint=hint)
