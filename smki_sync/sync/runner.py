"""run(): lock, plan, download, apply, report; disk-space check."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from smki_sync.catalogue import read_offered
from smki_sync.download import ReconnectingSource, TransferRecord, discard_other_partial_files, room_left
from smki_sync.errors import BadExtract, MirrorDamaged, MirrorError, MirrorNotWritable, SourceError
from smki_sync.events import Detail
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.directory import hold_lock
from smki_sync.mirror.history import Download, History
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror, read_counts, read_position
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import CertificateCounts, SyncReport
from smki_sync.sync.apply import Archiver, PlanExecutor, RecordReader, streaming_load
from smki_sync.sync.companions import (
    CompanionsResult,
    DownloadedCompanions,
    apply_companions,
    check_lists,
    download_companions,
)
from smki_sync.sync.decision import Decision, decide, inspect_mirror
from smki_sync.sync.job import SyncJob
from smki_sync.sync.notices import ReadStatistics, collect_notices
from smki_sync.sync.signature_gate import signature_gate, verified
from smki_sync.sync.streaming_load import download_all


@dataclass(frozen=True, slots=True)
class DownloadLedger:
    """Told of each attempt as it ends."""

    job: SyncJob

    def __call__(self, transfer: TransferRecord) -> None:
        """Write it down."""
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
            self.job.hear.hear(Detail(text=f"a download could not be recorded: {error.message}"))


BUILD_FACTOR: Final = 4.5
"""Octets of a generation in the making for each octet of its full as .gz: a record takes about 200 there,
620 in the mirror with its indexes, and some 200 while they are sorted (docs/contributing.md)."""

DEVICE_INDEX_FACTOR: Final = 1.0
"""The same for the indexes of ``mirror.index_devices``: 104 octets a certificate, and as much while they are
sorted."""

DELTA_FACTOR: Final = 100
"""The same for a delta: its rows lie scattered, and each page that they touch stands in the write-ahead
log as a whole."""

RESERVE_BYTES: Final = 64 << 20
"""Left over on any file system that is written to: the ledger, the history and others' files."""

_UNITS: Final = 1_000_000


def check_space(job: SyncJob, plan: Plan) -> None:
    """Raise :class:`MirrorNotWritable` (``no-space``) where a file system is too full for the plan."""
    needs: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for path, octets in _needs(job, plan):
        with disk_errors(path):
            device = path.stat().st_dev
        needs[device] += octets
        places.setdefault(device, path)
    for device, octets in needs.items():
        _check(places[device], octets)


def _needs(job: SyncJob, plan: Plan) -> list[tuple[Path, int]]:
    held = job.directory.downloads
    fetched = sum(room_left(held / extract.name, extract) for extract in plan.extracts)
    factor = BUILD_FACTOR + DEVICE_INDEX_FACTOR * job.index_devices
    built = factor * plan.full.size if plan.full else 0
    applied = DELTA_FACTOR * max((x.size for x in (*plan.overlap, *plan.deltas)), default=0)
    return [(held, fetched), (job.directory.generations, int(max(built, applied)))]


def _check(path: Path, octets: int) -> None:
    with disk_errors(path):
        free = shutil.disk_usage(path).free
    needed = octets + RESERVE_BYTES
    if free < needed:
        raise MirrorNotWritable(
            f"{path} needs {needed / _UNITS:,.0f} MB for this run, and {free / _UNITS:,.0f} MB are free",
            hint="Free space there, or move the mirror to a larger disk. Nothing was fetched or changed.",
            code="no-space",
        )


def run(job: SyncJob, *, full: bool = False) -> SyncReport:
    """Bring the mirror up to date. ``full``: take the newest full whatever the position.

    Raises the errors of :mod:`smki_sync.errors`; then the mirror is as the last committed file left it.
    """
    job.directory.prepare()
    job = replace(job, terms=replace(job.terms, clock=job.clock, ledger=DownloadLedger(job)))
    with hold_lock(job.directory.lock, since=job.clock()), _marking_damage(job):
        archivist = Archiver(job)
        for left in job.directory.discard_unfinished():
            job.hear.hear(Detail(text=f"removed {left.name}, which a killed run left unfinished"))
        with ExitStack() as ending:
            with ReconnectingSource(job.open_source, terms=job.terms, hear=job.hear) as source:
                decision = decide(job, source, full=full, compare=True)
                _remember(job, decision)
                _remember_offer(job, decision)
                beside = download_companions(job, source, decision)
                _make_room(job, decision.plan)
                ahead = ending.enter_context(streaming_load(job, decision))
                with _lists_even_so(job, beside):
                    files = download_all(job, source, _fetch_order(decision), ahead)
            ending.enter_context(_lists_even_so(job, beside))
            keeper = ending.enter_context(signature_gate(job, decision.held.generation))
            ground: list[CompanionsResult] = []

            def inspect(generation: Path, *, first: bool) -> None:
                if first:  # what is revoked is never served, not for a moment
                    ground.append(apply_companions(job, generation, beside, ground=True))

            carrier = PlanExecutor(
                job, files, archivist, RecordReader(job, keeper), inspect=inspect, ahead=ahead
            )
            generation = carrier.carry_out(decision)
            settled = _settle(job, generation, beside)
            settled = settled.after(ground[0]) if ground else settled
            carrier.oddities.unproven = keeper.unproven if keeper else 0
            carrier.oddities.verification = verified(job) if generation else None
        archivist.catch_up(generation)
        _tidy(job, decision.plan, archivist)
        return _report(job, decision, carrier, generation, settled)


@contextmanager
def _lists_even_so(job: SyncJob, beside: DownloadedCompanions) -> Iterator[None]:
    """What holds the extracts up holds no revocation up: lists come into force all the same."""
    try:
        yield
    except (BadExtract, SourceError):
        _settle(job, inspect_mirror(job.directory).generation, beside)
        raise


def _settle(job: SyncJob, generation: Path | None, beside: DownloadedCompanions) -> CompanionsResult:
    """Lists and slots onto the generation that readers see; without any, say what is not on offer."""
    if generation and beside.contents:
        return apply_companions(job, generation, beside)
    return CompanionsResult(attention=(*beside.missed, *check_lists(job, generation, beside.offered)))


def _make_room(job: SyncJob, plan: Plan) -> None:
    """Two generations need room, never three; then see whether the rest fits."""
    if plan.full:
        job.directory.discard_superseded(keep=0)
        for left in discard_other_partial_files(job.directory.downloads, plan.extracts):
            job.hear.hear(Detail(text=f"removed {left.name}, of a file that is not needed any more"))
    check_space(job, plan)


@contextmanager
def _marking_damage(job: SyncJob) -> Iterator[None]:
    """Damage that is met deep inside the mirror makes the next run rebuild it."""
    try:
        yield
    except MirrorDamaged:
        job.directory.mark_damaged()
        raise


def dry_run(job: SyncJob, *, full: bool = False) -> SyncReport:
    """Say what a run would do: one listing, nothing fetched, nothing written, no lock."""
    with ReconnectingSource(job.open_source, terms=job.terms, hear=job.hear) as source:
        decision = decide(job, source, full=full, compare=False)
    position = decision.held.position
    census = _census(decision.held.generation)
    offered = read_offered(decision.catalogue.companions, job.names)
    beside = tuple(check_lists(job, decision.held.generation, offered))
    return SyncReport(
        plan=decision.plan,
        position=position.day if position else None,
        census=census,
        attention=collect_notices(
            job, decision, position=position, census=census, oddities=ReadStatistics(), beside=beside
        ),
        dry_run=True,
    )


def _remember(job: SyncJob, decision: Decision) -> None:
    """Write down what the comparison with the offer has shown, before anything is fetched or applied."""
    news = decision.changed - decision.held.incidents
    if decision.held.generation and (news or decision.unchanged):
        with MirrorStore(decision.held.generation) as store:
            store.note_incidents(sorted(news), job.clock())
            for extract in decision.unchanged:
                store.note_modified(extract)


def _remember_offer(job: SyncJob, decision: Decision) -> None:
    """Keep what was on offer for those who ask offline; a run never fails because that cannot be kept."""
    offered = (*decision.catalogue.fulls, *decision.catalogue.deltas)
    try:
        History(job.directory.history).remember_offer(utc(job.clock()), offered)
    except MirrorError as error:
        job.hear.hear(Detail(text=f"the offer could not be remembered: {error.message}"))


def _fetch_order(decision: Decision) -> list[Extract]:
    """Deltas first: they leave the window while a full of many gigabytes is on its way."""
    return sorted(decision.plan.extracts, key=lambda x: (x.kind is ExtractKind.FULL, x.day))


def _tidy(job: SyncJob, plan: Plan, archivist: Archiver) -> None:
    """Remove what no run will need again: older generations, and files that were never applied.

    What is blocked may go on tomorrow with what has come of a full.
    """
    for old in job.directory.discard_superseded(keep=int(job.keep_previous)):
        job.hear.hear(Detail(text=f"removed the superseded generation {old.name}"))
    if plan.action is Action.BLOCKED:
        return
    archivist.prune()
    for left in job.directory.discard_downloads(keep=archivist.waiting):
        job.hear.hear(Detail(text=f"removed {left.name}, which was fetched and is not needed any more"))


def _report(
    job: SyncJob,
    decision: Decision,
    carrier: PlanExecutor,
    generation: Path | None,
    settled: CompanionsResult,
) -> SyncReport:
    position, census = None, CertificateCounts()
    if generation:
        with open_mirror(generation) as db:
            position, census = read_position(db), read_counts(db)
    attention = collect_notices(
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
        position=position.day if position else None,
        applied=tuple(carrier.applied),
        census=census,
        attention=attention,
        lists=settled.lists,
    )


def _census(generation: Path | None) -> CertificateCounts:
    if generation is None:
        return CertificateCounts()
    with open_mirror(generation) as db:
        return read_counts(db)
