"""Rebuild the mirror from the Repository or an archive."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final

from smki_sync.catalogue import read_catalogue
from smki_sync.download import ReconnectingSource
from smki_sync.errors import SourceError, SourceMissing, UsageError
from smki_sync.events import Building, Detail, Listing, Planned
from smki_sync.mirror.directory import hold_lock
from smki_sync.mirror.queries import (
    open_mirror,
    read_counts,
    read_position,
    read_stamp,
)
from smki_sync.mirror.revocation import read_lists
from smki_sync.model.extract import Catalogue, ExtractKind, FileKey
from smki_sync.model.plan import Action, MirrorState, Plan, Reason
from smki_sync.model.report import Notice, NoticeCode, SyncReport
from smki_sync.planner import DAY, plan
from smki_sync.policy import DownloadWindow, is_outside
from smki_sync.recovery.restore_checks import (
    ExpectedDigest,
    RestoreCheck,
    check_generation,
    expected_digest,
)
from smki_sync.sources.base import Source
from smki_sync.sync.apply import Archiver, ExecutionResult, PlanExecutor, RecordReader, streaming_load
from smki_sync.sync.companions import (
    CompanionsResult,
    DownloadedCompanions,
    apply_companions,
    download_companions,
)
from smki_sync.sync.decision import Decision, MirrorSnapshot, UnusableFile, inspect_mirror, with_hashes
from smki_sync.sync.job import SyncJob
from smki_sync.sync.notices import ReadStatistics, RunFacts, collect_notices
from smki_sync.sync.runner import check_space, prepare_mirror, remember_journal
from smki_sync.sync.signature_gate import signature_gate
from smki_sync.sync.streaming_load import download_all

_LAST: Final = time(23, 59, 59)
"""Files of a day are published until late in the evening."""


def as_of(job: SyncJob, until: date | None) -> SyncJob:
    """Return the job as of the day that is restored: on that day, nothing in the listing was late."""
    return replace(job, today=min(job.today, until or job.today))


def checking_time(job: SyncJob) -> datetime:
    """Return the time for which ``verify`` checks: now, or the end of the date that a rehearsal sets."""
    now = job.clock().astimezone(UTC)
    return now if job.today == now.date() else datetime.combine(job.today, _LAST, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What :func:`restore` was asked for."""

    job: SyncJob
    until: date | None
    newest_full: date | None
    anchors: tuple[bytes, ...]
    known: ExpectedDigest | None
    chance: Random


def plan_restore(request: _Request, source: Source, without: Collection[FileKey]) -> Decision:
    """Plan as if there were no mirror. The previous generation is merged unless the restore goes back.

    ``without``: fulls that cannot be used.

    Raises :class:`SourceMissing` (``nothing-to-restore-from``), and :class:`UsageError` if the restore would
    go back without a date.
    """
    job, until = request.job, request.until
    held = inspect_mirror(job.directory)
    job.events.emit(Listing(source=source.title))
    listed = read_catalogue(source.fetch_listing(), job.names)
    usable = tuple(full for full in listed.fulls if full.key not in without)
    catalogue = _until(replace(listed, fulls=usable), until, request.newest_full)
    made = _plan(job, catalogue, until, source.title)
    job.events.emit(Planned(plan=made))
    back = held.position is not None and _reach(made) < held.position.day
    if back and until is None:
        assert held.position is not None
        raise UsageError(
            f"{source.title} leads to {_reach(made)} only, and the mirror is at {held.position.day}",
            hint=f"To restore an older state deliberately, pass --to {_reach(made)}.",
        )
    kept = replace(held, generation=None, position=None) if back else held
    changed = dict.fromkeys(() if back else held.incidents)
    return Decision(held=kept, catalogue=catalogue, plan=_superseding(made, kept, changed), changed=changed)


def _plan(job: SyncJob, catalogue: Catalogue, until: date | None, title: str) -> Plan:
    made = plan(
        state=MirrorState.ABSENT,
        position=None,
        catalogue=catalogue,
        policy=job.policy,
        today=as_of(job, until).today,
    )
    if made.action is not Action.FULL:
        raise SourceMissing(
            f"{title} has no full to restore from{f' for {until}' if until else ''}: {made.reason.words}",
            hint="Name another source with --source, or another date with --to.",
            code="nothing-to-restore-from",
        )
    return replace(made, reason=Reason.REQUESTED)


def _superseding(made: Plan, held: MirrorSnapshot, changed: Collection[FileKey]) -> Plan:
    """Let the statements of deltas that were seen with other bytes not count."""
    if held.position is None or not changed:
        return made
    days = {day for kind, day in changed if kind is ExtractKind.DELTA}
    offered = {delta.day for delta in (*made.overlap, *made.deltas)}
    older = {day for day in held.position.applied_deltas if day < max(days, default=day)} - offered
    return replace(made, superseded=tuple(sorted(days | older)))


def _until(catalogue: Catalogue, until: date | None, newest_full: date | None) -> Catalogue:
    """Leave out what is later. A full of the day after leads to the date, if there is no earlier one.

    ``newest_full``: such a full is used even if there is an earlier one.
    """
    if until is None:
        return catalogue
    last = until + DAY if newest_full == until + DAY else until
    fulls = tuple(full for full in catalogue.fulls if full.day <= last)
    return replace(
        catalogue,
        fulls=fulls or tuple(full for full in catalogue.fulls if full.day == until + DAY),
        deltas=tuple(delta for delta in catalogue.deltas if delta.day <= until),
    )


def _reach(made: Plan) -> date:
    """Return the position after a plan."""
    assert made.full is not None
    return max([made.full.day - DAY, *(delta.day for delta in made.deltas)])


_LOCAL: Final = "file:"
"""Start of the address of a directory: an archive, or a medium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """What the check of the new generation found."""

    companions: CompanionsResult
    checks: tuple[RestoreCheck, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFacts:
    """A restore that is done. ``source``: its title; ``until``: the date that was requested."""

    job: SyncJob
    source: str
    until: date | None
    decision: Decision
    result: ExecutionResult[_Checked]
    statistics: ReadStatistics
    archiver: Archiver
    notices: tuple[Notice, ...] = ()

    @property
    def checked(self) -> _Checked:
        """What the check of the new generation found."""
        assert self.result.checked is not None  # the plan has a full
        return self.result.checked


def build_report(done: RestoreFacts) -> SyncReport:
    """Return the report: failed checks first, then the notices of a run on the day that was restored."""
    assert done.result.generation is not None
    with open_mirror(done.result.generation) as db:
        position, counts, lists = read_position(db), read_counts(db), read_lists(db)
    facts = RunFacts(
        plan=done.decision.plan,
        position=position,
        counts=counts,
        statistics=done.statistics,
        unusable=done.result.unusable,
        history_lost=done.result.history_lost,
        companions=(*done.notices, *done.checked.companions.attention, *done.archiver.notices()),
    )
    # The agreement of today does not apply to that day; see _outside.
    as_then = replace(as_of(done.job, done.until), download_window=DownloadWindow())
    return SyncReport(
        plan=done.decision.plan,
        position=position.day,
        applied=done.result.applied,
        counts=counts,
        attention=(
            *_failed_checks(done.checked.checks),
            *_restored_to_date(done, position.day, has_lists=bool(lists)),
            *_stopped(done, position.day),
            *collect_notices(as_then, done.decision, facts),
            *_outside(done.job, done.decision.plan, done.source),
        ),
        lists=done.checked.companions.lists,
    )


def _restored_to_date(done: RestoreFacts, position: date, *, has_lists: bool) -> Iterator[Notice]:
    if done.until is None or (done.until >= done.job.today and position == done.until):
        return
    asked = "as requested" if position == done.until else f"not {done.until}, because no file leads there"
    lists = (
        " Its revocation lists are those of today: certificates revoked since that day are out of use."
        if has_lists
        else ""
    )
    yield Notice(
        code=NoticeCode.RESTORED_TO_DATE,
        message=f"The mirror is at {position}, {asked}.{lists}",
        hint="Run `smki-sync sync` to bring it up to date.",
    )


def _stopped(done: RestoreFacts, position: date) -> Iterator[Notice]:
    """A delta that could not be used ended the restore before the last one."""
    missing = [one.extract.name for one in done.result.unusable if one.extract.day > position]
    if missing:
        yield Notice(
            code=NoticeCode.DELTAS_MISSING,
            message=f"The restore ends at {position}, because {missing[0]} cannot be used.",
            hint="Restore from another source, or run `smki-sync sync`.",
        )


def _outside(job: SyncJob, plan: Plan, source: str) -> Iterator[Notice]:
    """A restore never waits for the agreed day (Code of Connection). A local full was not downloaded."""
    origin = (plan.full.origin if plan.full else None) or source
    if is_outside(plan, job.download_window, job.now) and not origin.startswith(_LOCAL):
        yield Notice(
            code=NoticeCode.FULL_OUTSIDE_AGREED,
            message="A full was downloaded for the restore outside the time agreed with the DCC"
            f" ({job.download_window.words}).",
            hint="Tell the DCC. With an archive (`--source file:///…`) no download is needed.",
        )


_FAILED: Final = {
    "digest": (
        NoticeCode.OTHER_DIGEST,
        "Run `smki-sync manifest --compare OTHER` to list the certificates that differ.",
    ),
    "chains": (NoticeCode.CHAINS_BROKEN, "Run `smki-sync verify` to list the certificates."),
}


def _failed_checks(checks: Sequence[RestoreCheck]) -> Iterator[Notice]:
    for check in checks:
        if check.passed is False:
            code, hint = _FAILED[check.name]
            yield Notice(code=code, message=f"Restored, but {check.name}: {check.detail}.", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One part of a restore, and its duration."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreResult:
    """What a restore did: its report, the duration of each phase, the checks before it took over."""

    report: SyncReport
    phases: tuple[Phase, ...]
    checks: tuple[RestoreCheck, ...]


def restore(
    job: SyncJob,
    *,
    until: date | None = None,
    anchors: tuple[bytes, ...] = (),
    known: ExpectedDigest | None = None,
    chance: Random | None = None,
    must_complete: bool = False,
    newest_full: date | None = None,
) -> RestoreResult:
    """Rebuild the mirror from the source, to the newest state or to that of ``until``.

    Args:
        job: the mirror, the source and the rules.
        until: the last date to apply.
        anchors: trust anchors as DER.
        known: the digest to compare the result with; without it, that of the previous mirror.
        chance: chooses the sample.
        must_complete: raise the error of a delta that cannot be used and ends the restore early.
        newest_full: date of a full that is used even if it is later than ``until``: a mirror that has merged
            a full is at the day before it.

    If the newest full cannot be used, an older one is. Raises the errors of :mod:`smki_sync.errors`; then
    the mirror is unchanged.
    """
    job.directory.prepare()
    with hold_lock(job.directory.lock, since=job.clock()):
        for left in job.directory.discard_unfinished():
            job.events.emit(Detail(text=f"removed {left.name}, which a killed run left unfinished"))
        notices = prepare_mirror(job)
        request = _Request(
            job=job,
            until=until,
            newest_full=newest_full,
            anchors=anchors,
            known=known,
            chance=chance or Random(),  # noqa: S311 - a sample
        )
        archiver = Archiver(job)
        tried = _restore_from_newest_sound_full(request, archiver)
        result, times = tried.result, tried.times
        done = RestoreFacts(
            job=job,
            source=tried.source,
            until=until,
            decision=tried.decision,
            result=result,
            statistics=tried.statistics,
            archiver=archiver,
            notices=notices,
        )
        remember_journal(job, result.generation)
        report = build_report(done)
        late = [one for one in result.unusable if report.position and one.extract.day > report.position]
        if must_complete and late:
            raise late[0].error
    return RestoreResult(
        report=report, phases=_phases(times, done.checked.seconds), checks=done.checked.checks
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FullRestore:
    """A restore from one full. ``times``: before the listing, and after listing, downloads and build."""

    source: str
    decision: Decision
    result: ExecutionResult[_Checked]
    statistics: ReadStatistics
    times: Sequence[datetime]


def _restore_from_newest_sound_full(request: _Request, archiver: Archiver) -> _FullRestore:
    """Try the fulls from the newest one until one can be used; raise the error of the newest if none can."""
    unusable: dict[FileKey, UnusableFile] = {}
    while True:
        try:
            tried = _attempt(request, archiver, without=unusable.keys())
        except SourceMissing:
            if unusable:
                raise next(iter(unusable.values())).error from None
            raise
        if tried.result.checked is not None:
            found = (*unusable.values(), *tried.result.unusable)
            return replace(tried, result=replace(tried.result, unusable=found))
        full = tried.decision.plan.full
        assert full is not None  # a restore loads a full
        unusable[full.key] = tried.result.unusable[0]


def _attempt(request: _Request, archiver: Archiver, *, without: Collection[FileKey]) -> _FullRestore:
    """Restore from the newest full that is not in ``without``."""
    job, statistics = request.job, ReadStatistics()
    times = [job.clock()]
    with ExitStack() as ending:
        with ReconnectingSource(job.open_source, options=job.download_options, events=job.events) as source:
            decision, title = plan_restore(request, source, without), source.title
            times.append(job.clock())
            check_space(job, decision.plan)
            streaming = ending.enter_context(streaming_load(job, decision))
            files, damaged = download_all(job, source, decision.plan.extracts, streaming)
            for one in damaged:
                if isinstance(one.error, SourceError):
                    raise one.error
            companions = download_companions(job, source, decision)
        times.append(job.clock())

        def check(generation: Path, *, is_first: bool) -> _Checked:
            return _check(request, generation, companions, is_first=is_first)

        gate = ending.enter_context(signature_gate(job, decision.held.generation))
        executor = PlanExecutor(
            job=job,
            files=files,
            archiver=archiver,
            reader=RecordReader(job, gate, statistics),
            check=check,
            damaged=damaged,
            all_inside=True,
            streaming=streaming,
        )
        result = executor.execute(decision)
        statistics.unproven = gate.unproven if gate else 0
        times.append(job.clock())
    return _FullRestore(
        source=title,
        decision=with_hashes(decision, files),
        result=result,
        statistics=statistics,
        times=times,
    )


def _check(
    request: _Request, generation: Path, companions: DownloadedCompanions, *, is_first: bool
) -> _Checked:
    """Apply the revocation lists to a new generation, and check it before it takes over."""
    job = request.job
    began = job.clock()
    with open_mirror(generation) as db:
        unlisted = read_stamp(db).digest
    settled = apply_companions(job, generation, companions, initial_load=is_first)

    def step(words: str) -> None:
        job.events.emit(Building(file=generation.name, step=words))

    def find(position: date) -> ExpectedDigest | None:
        return request.known or expected_digest(job.directory, position)

    checks = check_generation(
        generation,
        known=find,
        unlisted=unlisted,
        anchors=request.anchors,
        at=checking_time(job),
        step=step,
        chance=request.chance,
    )
    seconds = (job.clock() - began).total_seconds()
    return _Checked(companions=settled, checks=checks, seconds=seconds)


def _phases(times: Sequence[datetime], checking: float) -> tuple[Phase, ...]:
    """Return the durations between the times. The check is a part of the build."""
    listing, downloading, building = ((b - a).total_seconds() for a, b in pairwise(times))
    return (
        Phase(name="list", seconds=listing),
        Phase(name="fetch", seconds=downloading),
        Phase(name="build", seconds=building - checking),
        Phase(name="check", seconds=checking),
    )
