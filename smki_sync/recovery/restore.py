"""restore(): rebuild from the repository or an archive."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Final

from smki_sync.catalogue import read_catalogue
from smki_sync.download import ReconnectingSource
from smki_sync.errors import MirrorDamaged, MirrorError, SourceMissing, UsageError
from smki_sync.events import Building, Detail, Listing, Planned
from smki_sync.mirror.directory import MirrorDirectory, hold_lock
from smki_sync.mirror.inspection import read_rows, read_sample
from smki_sync.mirror.integrity import CountCheck, Damage, check_indexes, check_pages
from smki_sync.mirror.ledger import read_digest_of
from smki_sync.mirror.queries import (
    Connection,
    EuiIs,
    SerialIs,
    find_certificates,
    open_mirror,
    read_counts,
    read_position,
    read_stamp,
)
from smki_sync.mirror.revocation import read_lists
from smki_sync.mirror.signature_cache import empty_signature_cache
from smki_sync.model.certificate import Eui, Serial
from smki_sync.model.extract import Catalogue
from smki_sync.model.plan import Action, MirrorState, Plan, Reason
from smki_sync.model.report import Notice, NoticeCode, SyncReport
from smki_sync.planner import plan
from smki_sync.policy import DownloadWindow, is_outside
from smki_sync.sources.base import Source
from smki_sync.sync.apply import Archiver, PlanExecutor, RecordReader, streaming_load
from smki_sync.sync.companions import CompanionsResult, apply_companions, download_companions
from smki_sync.sync.decision import Decision, MirrorSnapshot, inspect_mirror
from smki_sync.sync.job import SyncJob
from smki_sync.sync.notices import collect_notices
from smki_sync.sync.runner import check_space
from smki_sync.sync.streaming_load import download_all
from smki_sync.verify.inspector import Inspector, chain_validator


def as_of(job: SyncJob, until: date | None) -> SyncJob:
    """The job as of the day that is restored: nothing on offer then was late."""
    return replace(job, today=min(job.today, until or job.today))


def plan_restore(job: SyncJob, source: Source, until: date | None) -> Decision:
    """Plan as if there were no mirror; from what is there, keep only what does not lie in the future.

    Raises :class:`SourceMissing` (``nothing-to-restore-from``), and :class:`UsageError` where the way leads
    back and nobody said so.
    """
    held = inspect_mirror(job.directory)
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


def _goes_back(held: MirrorSnapshot, made: Plan) -> bool:
    return held.position is not None and _reach(made) < held.position.day


SAMPLE: Final = 200
"""Certificates by chance that are asked for and verified: enough to meet any fault that is not rare."""

Step = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedDigest:
    """A digest that a mirror is known to have had at ``position``, and ``source``: who knows it."""

    position: date
    digest: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCheck:
    """One check. ``passed``: ``None`` where it could not be made; ``detail``: what was seen."""

    name: str
    passed: bool | None
    detail: str


def expected_digest(directory: MirrorDirectory, position: date) -> ExpectedDigest | None:
    """The digest that the mirror that is there had at a position, if it can still say so."""
    try:
        if directory.current() is None:
            return None
        with open_mirror(directory.link) as db:
            stamp = read_stamp(db)
            digest = stamp.digest if stamp.position == position else read_digest_of(db, position)
    except MirrorError:
        return None
    return (digest and ExpectedDigest(position=position, digest=digest, source="the mirror before")) or None


def check_generation(
    generation: Path,
    *,
    known: Callable[[date], ExpectedDigest | None],
    unlisted: str,
    anchors: tuple[bytes, ...],
    at: datetime,
    step: Step,
    chance: Random,
) -> tuple[RestoreCheck, ...]:
    """Check a generation; raises :class:`MirrorDamaged` where it contradicts itself or does not answer.

    ``known``: gives the digest that is known for a position. ``unlisted``: the digest before the lists on
    offer were applied: what is known may be older than they are. ``at``: time that chains are judged by.
    """
    with open_mirror(generation) as db:
        step("looking it through")
        damages = [*check_pages(db), *check_indexes(db), *_recounted(db)]
        if damages:
            raise _unfit(generation, damages[0].detail)
        stamp = read_stamp(db)
        step("asking it")
        asked = _ask(generation, db, chance)
        return (
            RestoreCheck(
                name="file", passed=True, detail="pages, indexes, counts and digest agree with the rows"
            ),
            RestoreCheck(name="queries", passed=True, detail=f"{asked} certificates asked for and answered"),
            _against(known(stamp.position), stamp.digest, unlisted),
            _chains(db, anchors, at, chance),
        )


def _recounted(db: Connection) -> Iterator[Damage]:
    recount = CountCheck()
    for row in read_rows(db):
        recount.take(row)
    yield from recount.against(db)


def _ask(generation: Path, db: Connection, chance: Random) -> int:
    rows = read_sample(db, SAMPLE, chance, any_status=False)
    for row in rows:
        by_serial, by_eui = SerialIs(serials=(Serial(row.serial),)), EuiIs(eui=Eui(row.eui or ""))
        for identity in (by_serial, by_eui) if row.eui else (by_serial,):
            if row.der not in {found.der for found in find_certificates(db, identity)}:
                raise _unfit(generation, f"it does not answer for serial {row.serial}")
    return len(rows)


def _against(known: ExpectedDigest | None, digest: str, unlisted: str) -> RestoreCheck:
    if known is None:
        return RestoreCheck(name="digest", passed=None, detail="none is known for this position")
    same = known.digest in (digest, unlisted)
    detail = f"{'the same as' if same else 'another than'} that of {known.source} at {known.position}"
    return RestoreCheck(name="digest", passed=same, detail=detail)


def _chains(db: Connection, anchors: tuple[bytes, ...], at: datetime, chance: Random) -> RestoreCheck:
    if not anchors:
        return RestoreCheck(name="chains", passed=None, detail="no trust anchors are configured")
    rows = read_sample(db, SAMPLE, chance, any_status=False)
    with empty_signature_cache() as proofs:
        tally = Inspector(chain_validator(db, anchors, at), proofs).inspect(rows).tally
    detail = f"{tally.checked - tally.faulty} of {tally.checked} certificates lead to a trust anchor"
    return RestoreCheck(name="chains", passed=not tally.faulty, detail=detail)


def _unfit(generation: Path, why: str) -> MirrorDamaged:
    return MirrorDamaged(
        f"the restored generation {generation.name} is not sound: {why}",
        hint="It was removed; what was there before stands. Look at the disk's health, then run again.",
        code="restore-unsound",
    )


_HERE: Final = "file:"
"""How the address of a source begins that is a directory: an archive, or a medium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFacts:
    """A restore that is done. ``source``: whence; ``until``: the day that was asked for."""

    job: SyncJob
    source: str
    until: date | None
    decision: Decision
    carrier: PlanExecutor
    generation: Path
    settled: CompanionsResult
    checks: Sequence[RestoreCheck]


def build_report(done: RestoreFacts) -> SyncReport:
    """The report: doubts first, then what a run would say of the day that was restored."""
    with open_mirror(done.generation) as db:
        position, census, lists = read_position(db), read_counts(db), read_lists(db)
    attention = collect_notices(
        replace(as_of(done.job, done.until), agreement=DownloadWindow()),  # that was then; see _outside
        done.decision,
        position=position,
        census=census,
        oddities=done.carrier.oddities,
        history_lost=done.carrier.history_lost,
        beside=(*done.settled.attention, *done.carrier.archivist.attention()),
    )
    return SyncReport(
        plan=done.decision.plan,
        position=position.day,
        applied=tuple(done.carrier.applied),
        census=census,
        attention=(
            *_doubts(done.checks),
            *_in_the_past(done, position.day, has_lists=bool(lists)),
            *attention,
            *_outside(done.job, done.decision.plan, done.source),
        ),
        lists=done.settled.lists,
    )


def _in_the_past(done: RestoreFacts, position: date, *, has_lists: bool) -> Iterator[Notice]:
    if done.until and done.until < done.job.today:
        lists = (
            " The revocation lists in it are those of today and not of that day: what has been revoked since"
            " is out of use in it, too."
        )
        yield Notice(
            code=NoticeCode.RESTORED_TO_DATE,
            message=f"The mirror stands at {position}, as was asked for.{lists if has_lists else ''}",
            hint="`smki-sync sync` takes it forward again.",
        )


def _outside(job: SyncJob, plan: Plan, source: str) -> Iterator[Notice]:
    """A restore never waits for the agreed day (Code of Connection); a full that lay here was no download."""
    origin = (plan.full.origin if plan.full else None) or source
    if is_outside(plan, job.agreement, job.now) and not origin.startswith(_HERE):
        yield Notice(
            code=NoticeCode.FULL_OUTSIDE_AGREED,
            message="A full was taken for the restore outside what was agreed with the DCC"
            f" ({job.agreement.words}).",
            hint="Tell the DCC. From an archive (`--source file:///…`) no download is needed.",
        )


_DOUBTS: Final = {
    "digest": (NoticeCode.OTHER_DIGEST, "Run `smki-sync manifest --compare OTHER`."),
    "chains": (NoticeCode.CHAINS_BROKEN, "`smki-sync verify` names every certificate."),
}


def _doubts(checks: Sequence[RestoreCheck]) -> Iterator[Notice]:
    for check in checks:
        if check.passed is False:
            code, hint = _DOUBTS[check.name]
            yield Notice(code=code, message=f"Restored, but {check.name}: {check.detail}.", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One part of a restore, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did: its report, how long each phase took, what was checked before it took over."""

    report: SyncReport
    phases: tuple[Phase, ...]
    checks: tuple[RestoreCheck, ...]


@dataclass(slots=True)
class _Watch:
    """Times phases."""

    job: SyncJob
    phases: list[Phase] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = self.job.clock()
        yield
        self.phases.append(Phase(name=name, seconds=(self.job.clock() - began).total_seconds()))


def restore(
    job: SyncJob,
    *,
    until: date | None = None,
    anchors: tuple[bytes, ...] = (),
    known: ExpectedDigest | None = None,
    chance: Random | None = None,
) -> RestoreResult:
    """Make the mirror anew from what the source offers, to the newest state or to that of ``until``.

    ``anchors``: trust anchors as DER. ``known``: the digest to hold the result against; that of the mirror
    that is there, unless given. Raises the errors of :mod:`smki_sync.errors`; then what was there stands.
    """
    job.directory.prepare()
    watch = _Watch(job)
    with hold_lock(job.directory.lock, since=job.clock()):
        for left in job.directory.discard_unfinished():
            job.hear.hear(Detail(text=f"removed {left.name}, which a killed run left unfinished"))
        random = chance or Random()  # noqa: S311 - a sample
        checks: list[RestoreCheck] = []
        settled: list[CompanionsResult] = []

        def inspect(generation: Path, *, first: bool) -> None:
            with open_mirror(generation) as db:
                unlisted = read_stamp(db).digest
            settled.append(apply_companions(job, generation, beside, ground=first))
            with watch.phase("check"):
                found = _checked(
                    job, generation, known=known, unlisted=unlisted, anchors=anchors, chance=random
                )
                checks.extend(found)

        with ExitStack() as ending:
            with ReconnectingSource(job.open_source, terms=job.terms, hear=job.hear) as source:
                with watch.phase("list"):
                    decision, title = plan_restore(job, source, until), source.title
                check_space(job, decision.plan)
                ahead = ending.enter_context(streaming_load(job, decision))
                with watch.phase("fetch"):
                    files = download_all(job, source, decision.plan.extracts, ahead)
                    beside = download_companions(job, source, decision)
            carrier = PlanExecutor(
                job, files, Archiver(job), RecordReader(job), all_aside=True, inspect=inspect, ahead=ahead
            )
            began = job.clock()
            generation = carrier.carry_out(decision)
            _time_build(watch, began, job.clock())
        assert generation is not None  # the plan has a full
        report = build_report(
            RestoreFacts(
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
    return RestoreResult(report=report, phases=tuple(watch.phases), checks=tuple(checks))


def _checked(
    job: SyncJob,
    generation: Path,
    *,
    known: ExpectedDigest | None,
    unlisted: str,
    anchors: tuple[bytes, ...],
    chance: Random,
) -> tuple[RestoreCheck, ...]:
    def step(words: str) -> None:
        job.hear.hear(Building(file=generation.name, step=words))

    def find(position: date) -> ExpectedDigest | None:
        return known or expected_digest(job.directory, position)

    return check_generation(
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
