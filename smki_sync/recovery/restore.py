"""The restore: list, plan as if there were nothing, fetch, build aside, look through, take over.

For: :func:`restore`. The mirror that is there is read where it can be (its journal goes on, its digest
is held against the new one) and is not needed. The revocation lists on offer are in force before
anybody sees the new one, also where it is made as of an earlier day: what is revoked is never served
again. It does not wait for the day on which fulls may be downloaded, and says so. Refuses: to publish what it
has not looked through.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Final

from smki_sync.download import PatientSource
from smki_sync.events import Building, Detail
from smki_sync.mirror.lock import hold
from smki_sync.mirror.queries import open_mirror, read_stamp
from smki_sync.model.report import SyncReport
from smki_sync.restore.checks import Check, Known, known_digest, look_through
from smki_sync.restore.told import Done, tell
from smki_sync.restore.way import decide
from smki_sync.sync.ahead import fetch_all
from smki_sync.sync.apply import Carrier, loading_ahead
from smki_sync.sync.archivist import Archivist
from smki_sync.sync.companions import Settled, gather, settle
from smki_sync.sync.intake import Intake
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
                    decision, title = decide(job, source, until), source.title
                check_space(job, decision.plan)
                ahead = ending.enter_context(loading_ahead(job, decision))
                with watch.phase("fetch"):
                    files = fetch_all(job, source, decision.plan.extracts, ahead)
                    beside = gather(job, source, decision)
            carrier = Carrier(
                job, files, Archivist(job), Intake(job), all_aside=True, inspect=inspect, ahead=ahead
            )
            began = job.clock()
            generation = carrier.carry_out(decision)
            _time_build(watch, began, job.clock())
        assert generation is not None  # the plan has a full
        report = tell(
            Done(
                job=job,
                source=title,
                until=until,
                decision=decision,
                carrier=carrier,
                generation=generation,
                settled=settled[0],
                checks=checks,
            )
        )
    return Restored(report=report, phases=tuple(watch.phases), checks=tuple(checks))


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
