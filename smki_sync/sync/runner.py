"""Run a sync: lock, plan, download, apply, report; check the disk space."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from smki_sync.catalogue import read_offered
from smki_sync.download import (
    DownloadedFile,
    ReconnectingSource,
    TransferRecord,
    discard_other_partial_files,
    space_needed,
)
from smki_sync.errors import (
    BadExtract,
    MirrorDamaged,
    MirrorError,
    MirrorNotWritable,
    SourceError,
    SourceMissing,
    UsageError,
)
from smki_sync.events import Detail
from smki_sync.files import free_bytes
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.directory import hold_lock
from smki_sync.mirror.history import Download, History
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror, read_counts, read_position
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.mirror.store import (
    MirrorStore,
    check_schema_version,
    is_copy,
    read_journal_head,
    start_lineage,
    upgrade,
    was_published,
)
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import Action, MirrorState, Plan, Position, Reason
from smki_sync.model.report import CertificateCounts, Notice, NoticeCode, SyncReport
from smki_sync.sync.apply import Archiver, ExecutionResult, PlanExecutor, RecordReader, streaming_load
from smki_sync.sync.companions import (
    CompanionsResult,
    DownloadedCompanions,
    apply_companions,
    check_lists,
    download_companions,
    forget_lists,
)
from smki_sync.sync.decision import Decision, UnusableFile, decide, inspect_mirror, plan_again, with_hashes
from smki_sync.sync.job import SyncJob
from smki_sync.sync.notices import ReadStatistics, RunFacts, collect_notices
from smki_sync.sync.signature_gate import signature_gate, verified
from smki_sync.sync.streaming_load import StreamingLoad, download_all


@dataclass(frozen=True, slots=True)
class DownloadLedger:
    """Records each download attempt when it ends."""

    job: SyncJob

    def __call__(self, transfer: TransferRecord) -> None:
        """Record one attempt."""
        row = Download(
            file=transfer.file,
            size=transfer.size,
            started=utc(transfer.started),
            ended=utc(transfer.ended),
            begin=transfer.begin,
            end=transfer.end,
            outcome=transfer.outcome,
        )
        try:
            History(self.job.directory.history).record_download(row)
        except MirrorError as error:
            self.job.events.emit(Detail(text=f"a download could not be recorded: {error.message}"))


BUILD_FACTOR: Final = 4.5
"""Bytes of a new generation for each byte of its full as .gz: a record takes about 200 there, 620 in the
mirror with its indexes, and some 200 while they are sorted (docs/contributing.md)."""

DEVICE_INDEX_FACTOR: Final = 1.0
"""The same for the indexes of ``mirror.index_devices``: 104 bytes for each certificate, and as much while
they are sorted."""

DELTA_FACTOR: Final = 100
"""The same for a delta: its rows are scattered, and the write-ahead log has each changed page completely."""

RESERVE_BYTES: Final = 64 << 20
"""Kept free on each file system that is written to: for the history and for files of others."""

_UNITS: Final = 1_000_000


def check_space(job: SyncJob, plan: Plan) -> None:
    """Raise :class:`MirrorNotWritable` (``no-space``) if a file system has too little space for the plan."""
    needs: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for path, size in _needs(job, plan):
        with disk_errors(path):
            device = path.stat().st_dev
        needs[device] += size
        places.setdefault(device, path)
    for device, size in needs.items():
        _check(places[device], size)


def _needs(job: SyncJob, plan: Plan) -> list[tuple[Path, int]]:
    held = job.directory.downloads
    fetched = sum(space_needed(held / extract.name, extract) for extract in plan.extracts)
    factor = BUILD_FACTOR + DEVICE_INDEX_FACTOR * job.index_devices
    built = factor * plan.full.size if plan.full else 0
    applied = DELTA_FACTOR * max((x.size for x in (*plan.overlap, *plan.deltas)), default=0)
    return [(held, fetched), (job.directory.generations, int(max(built, applied)))]


def _check(path: Path, size: int) -> None:
    with disk_errors(path):
        free = free_bytes(path)
    needed = size + RESERVE_BYTES
    if free is not None and free < needed:
        raise MirrorNotWritable(
            f"{path} needs {needed / _UNITS:,.0f} MB for this run, and {free / _UNITS:,.0f} MB are free",
            hint="Free space there, or move the mirror to a larger disk. Nothing was downloaded or changed.",
            code="no-space",
        )


def run(job: SyncJob, *, full: bool = False, forget_list: str | None = None) -> SyncReport:
    """Bring the mirror up to date. ``full``: merge the newest full, even if deltas are available.

    ``forget_list``: RFC 4514 name or key identifier of an issuer whose lists any available list may replace.

    A file that cannot be used is a missing file: the deltas before it are applied, and another full is used
    if there is one. Otherwise the error of the earliest file is raised, except that a file which has
    disappeared is a notice. Raises the errors of :mod:`smki_sync.errors`; then the mirror is as the last
    committed file left it.
    """
    job.directory.prepare()
    job = replace(
        job, download_options=replace(job.download_options, clock=job.clock, on_transfer=DownloadLedger(job))
    )
    with hold_lock(job.directory.lock, since=job.clock()), _marking_damage(job):
        for left in job.directory.discard_unfinished():
            job.events.emit(Detail(text=f"removed {left.name}, which a killed run left unfinished"))
        notices = prepare_mirror(job)
        if forget_list is not None:
            _forget_lists(job, forget_list)
        return _Run(job, notices).run(full=full)


def _forget_lists(job: SyncJob, issuer: str) -> None:
    """Raise :class:`UsageError` if no list of the issuer is in force."""
    generation = job.directory.current()
    if generation is None or not forget_lists(generation, issuer):
        raise UsageError(
            f"The mirror has no list of the issuer {issuer!r} in force.",
            hint="Run `smki-sync sync --json` and use the issuer from its `lists`.",
        )


def prepare_mirror(job: SyncJob) -> tuple[Notice, ...]:
    """Restore a lost link, upgrade the schema in place, and recognise a copy or an older generation."""
    notices: list[Notice] = []
    if job.directory.is_link_lost():
        notices += _restore_link(job)
    with suppress(MirrorDamaged):  # then the plan rebuilds it
        generation = job.directory.current()
        if generation is None:
            return tuple(notices)
        if upgrade(generation):
            text = (
                f"upgraded {generation.name} to schema {SCHEMA_VERSION}; it is unproven until the next full"
            )
            job.events.emit(Detail(text=text))
        if check_schema_version(generation) is MirrorState.HEALTHY and _was_put_back(job, generation):
            start_lineage(generation)
            notices.append(_PUT_BACK)
    return tuple(notices)


def _restore_link(job: SyncJob) -> Iterator[Notice]:
    """Point the link to the newest healthy generation; one that readers have seen is preferred."""
    healthy = [
        path
        for path in job.directory.newest_first()
        if check_schema_version(path) in (MirrorState.HEALTHY, MirrorState.OLDER_SCHEMA)
    ]
    for path in sorted(healthy, key=lambda path: not was_published(path))[:1]:
        job.directory.publish(path)
        yield Notice(
            code=NoticeCode.LINK_RESTORED,
            message=f"{job.directory.link} was missing. It points to {path.name} again.",
            hint="Find out what removed it.",
        )


def _was_put_back(job: SyncJob, generation: Path) -> bool:
    """Whether a generation is a copy, or older than the one that the last run left."""
    if is_copy(generation):
        return True
    head = read_journal_head(generation)
    with suppress(MirrorError):
        known = History(job.directory.history).journal()
        return known is not None and known[0] == head.lineage and head.sequence < known[1]
    return False


_PUT_BACK: Final = Notice(
    code=NoticeCode.HISTORY_LOST,
    message="The mirror is a copy, or an older generation that was put back. Its change feed begins again.",
    hint="Consumers of the change feed must reload everything once.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Downloads:
    """The files of a plan by name, the deltas that cannot be used, and the full as far as it is loaded."""

    files: Mapping[str, DownloadedFile]
    damaged: Sequence[UnusableFile]
    streaming: StreamingLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """A plan that was carried out."""

    decision: Decision
    result: ExecutionResult[CompanionsResult | None]


class _Run:
    """A run that holds the lock."""

    def __init__(self, job: SyncJob, notices: tuple[Notice, ...]) -> None:
        self._job = job
        self._notices = notices
        self._archiver = Archiver(job)
        self._statistics = ReadStatistics()

    def run(self, *, full: bool) -> SyncReport:
        """Carry out the plan, and another one if a delta cannot be used and a full covers it.

        The connection is closed before files are applied.
        """
        job = self._job
        with ExitStack() as ending:
            with ReconnectingSource(
                job.open_source, options=job.download_options, events=job.events
            ) as source:
                decision = decide(job, source, full=full, compare=True)
                _remember_changes(job, decision)
                _remember_listing(job, decision)
                companions = download_companions(job, source, decision)
                ending.enter_context(_lists_even_so(job, companions))
                downloads = self._download(decision, source, ending)
            rounds = [self._apply(decision, downloads, companions)]
            while again := self._next_decision(rounds):
                with ReconnectingSource(
                    job.open_source, options=job.download_options, events=job.events
                ) as source:
                    downloads = self._download(again, source, ending)
                rounds.append(self._apply(again, downloads, companions))
        return self._finish(rounds, companions)

    def _download(self, decision: Decision, source: ReconnectingSource, ending: ExitStack) -> _Downloads:
        job = self._job
        _make_room(job, decision.plan)
        streaming = ending.enter_context(streaming_load(job, decision))
        files, damaged = download_all(job, source, _download_order(decision), streaming)
        return _Downloads(files=files, damaged=damaged, streaming=streaming)

    def _apply(self, decision: Decision, downloads: _Downloads, companions: DownloadedCompanions) -> _Round:
        job = self._job

        def check(generation: Path, *, is_first: bool) -> CompanionsResult | None:
            if not is_first:
                return None
            # What is revoked is never served, not for a moment.
            return apply_companions(job, generation, companions, initial_load=True)

        with signature_gate(job, decision.held.generation) as gate:
            executor = PlanExecutor(
                job=job,
                files=downloads.files,
                archiver=self._archiver,
                reader=RecordReader(job, gate, self._statistics),
                check=check,
                damaged=downloads.damaged,
                streaming=downloads.streaming,
            )
            result = executor.execute(decision)
            self._statistics.unproven += gate.unproven if gate else 0
        return _Round(decision=with_hashes(decision, downloads.files), result=result)

    def _next_decision(self, rounds: Sequence[_Round]) -> Decision | None:
        """Plan again if a file could not be used and another one helps."""
        last = rounds[-1]
        if not all(one.is_replaceable for one in last.result.unusable):
            return None
        news = {one.extract.key for one in last.result.unusable} - last.decision.unusable
        return plan_again(self._job, last.decision, news) if news else None

    def _finish(self, rounds: Sequence[_Round], companions: DownloadedCompanions) -> SyncReport:
        job, generation = self._job, rounds[-1].result.generation
        settled = _apply_companions(job, generation, companions)
        for done in rounds:
            settled = settled.after(done.result.checked) if done.result.checked else settled
        self._statistics.verification = verified(job) if generation else None
        self._archiver.catch_up(generation)
        remember_journal(job, generation)
        position, counts = _state(generation)
        unusable = {one.extract.key: one for done in rounds for one in done.result.unusable}
        plan = rounds[-1].decision.plan
        blocking = _blocking(rounds, unusable.values(), position)
        if blocking and not isinstance(blocking.error, SourceMissing):
            raise blocking.error
        if not blocking:
            _tidy(job, plan, self._archiver)
        notices = collect_notices(
            job,
            rounds[0].decision,
            RunFacts(
                plan=plan,
                position=position,
                counts=counts,
                statistics=self._statistics,
                unusable=tuple(unusable.values()),
                blocking=blocking,
                history_lost=any(done.result.history_lost for done in rounds),
                companions=(*self._notices, *settled.attention, *self._archiver.notices()),
            ),
        )
        return SyncReport(
            plan=plan,
            position=position.day if position else None,
            applied=tuple(applied for done in rounds for applied in done.result.applied),
            counts=counts,
            attention=notices,
            lists=settled.lists,
        )


def _blocking(
    rounds: Sequence[_Round], unusable: Iterable[UnusableFile], position: Position | None
) -> UnusableFile | None:
    """Return the earliest file without which the mirror cannot continue."""
    for one in sorted(unusable, key=lambda one: one.extract.day):
        if one.extract.kind is ExtractKind.FULL:
            blocks = _is_full_needed(rounds, one.extract)
        else:
            blocks = position is not None and one.extract.day > position.day
        if position is None or blocks:
            return one
    return None


def _is_full_needed(rounds: Sequence[_Round], full: Extract) -> bool:
    """Whether nothing replaces a full that cannot be used."""
    first, plan = rounds[0].decision.plan, rounds[-1].decision.plan
    applied = {done.kind for carried_out in rounds for done in carried_out.result.applied}
    if plan.full is not None or ExtractKind.FULL in applied:
        return plan.full == full
    if plan.missing:
        return full.day > plan.missing[0]  # it would have covered the missing delta
    return not applied or plan.action is Action.BLOCKED or first.reason is Reason.REQUESTED


def _state(generation: Path | None) -> tuple[Position | None, CertificateCounts]:
    if generation is None:
        return None, CertificateCounts()
    with open_mirror(generation) as db:
        return read_position(db), read_counts(db)


@contextmanager
def _lists_even_so(job: SyncJob, companions: DownloadedCompanions) -> Iterator[None]:
    """Apply revocation lists even if an extract cannot be downloaded or used."""
    try:
        yield
    except (BadExtract, SourceError):
        _apply_companions(job, inspect_mirror(job.directory).generation, companions)
        raise


def _apply_companions(
    job: SyncJob, generation: Path | None, companions: DownloadedCompanions
) -> CompanionsResult:
    """Apply lists and anchor slots to the current generation; if there are none, report which are missing."""
    if generation and companions.contents:
        return apply_companions(job, generation, companions)
    return CompanionsResult(attention=(*companions.missed, *check_lists(job, generation, companions.offered)))


def _make_room(job: SyncJob, plan: Plan) -> None:
    """Remove older generations, because there is space for two, and check the space for the plan."""
    if plan.full:
        job.directory.discard_superseded(keep=0)
        for left in discard_other_partial_files(job.directory.downloads, plan.extracts):
            job.events.emit(Detail(text=f"removed {left.name}, a part of a file that is not needed any more"))
    check_space(job, plan)


@contextmanager
def _marking_damage(job: SyncJob) -> Iterator[None]:
    """Let the next run rebuild the mirror if damage is found inside it."""
    try:
        yield
    except MirrorDamaged:
        job.directory.mark_damaged()
        raise


def dry_run(job: SyncJob, *, full: bool = False) -> SyncReport:
    """Return what a run would do: one listing, no download, no change, no lock."""
    with ReconnectingSource(job.open_source, options=job.download_options, events=job.events) as source:
        decision = decide(job, source, full=full, compare=False)
    _, counts = _state(decision.held.generation)
    position = decision.held.position
    offered = read_offered(decision.catalogue.companions, job.names)
    facts = RunFacts(
        plan=decision.plan,
        position=position,
        counts=counts,
        companions=tuple(check_lists(job, decision.held.generation, offered)),
    )
    return SyncReport(
        plan=decision.plan,
        position=position.day if position else None,
        counts=counts,
        attention=collect_notices(job, decision, facts),
        dry_run=True,
    )


def _remember_changes(job: SyncJob, decision: Decision) -> None:
    """Record which applied files have changed, before anything is downloaded or applied."""
    news = {
        key: sha256
        for key, sha256 in decision.changed.items()
        if sha256 or key not in decision.held.incidents
    }
    if decision.held.generation and (news or decision.unchanged):
        with MirrorStore(decision.held.generation) as store:
            store.note_incidents(news, job.clock())
            for extract in decision.unchanged:
                store.note_modified(extract)


def _remember_listing(job: SyncJob, decision: Decision) -> None:
    """Keep the listing for commands that work offline; an error there does not fail the run."""
    offered = (*decision.catalogue.fulls, *decision.catalogue.deltas)
    try:
        History(job.directory.history).remember_offer(utc(job.clock()), offered)
    except MirrorError as error:
        job.events.emit(Detail(text=f"the listing could not be stored: {error.message}"))


def remember_journal(job: SyncJob, generation: Path | None) -> None:
    """Store the end of the journal, to recognise an older generation; an error does not fail the run."""
    if generation is None:
        return
    head = read_journal_head(generation)
    try:
        History(job.directory.history).remember_journal(head.lineage, head.sequence)
    except MirrorError as error:
        job.events.emit(Detail(text=f"the end of the journal could not be stored: {error.message}"))


def _download_order(decision: Decision) -> list[Extract]:
    """Deltas first: they leave the window while a full of many gigabytes is downloaded."""
    return sorted(decision.plan.extracts, key=lambda x: (x.kind is ExtractKind.FULL, x.day))


def _tidy(job: SyncJob, plan: Plan, archiver: Archiver) -> None:
    """Remove what no run needs again: older generations, and files that were never applied.

    A blocked run may continue tomorrow with the part of a full that was downloaded.
    """
    for old in job.directory.discard_superseded(keep=int(job.keep_previous)):
        job.events.emit(Detail(text=f"removed the superseded generation {old.name}"))
    if plan.action is Action.BLOCKED:
        return
    archiver.prune()
    for left in job.directory.discard_downloads(keep=archiver.waiting):
        job.events.emit(Detail(text=f"removed {left.name}, which was downloaded and is not needed any more"))
