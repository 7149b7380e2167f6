"""run(): lock, plan, download, apply, report; disk-space check."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from smki_sync.catalogue import read_offered
from smki_sync.download import PatientSource, Transfer, discard_other_parts, room_left
from smki_sync.errors import BadExtract, MirrorDamaged, MirrorError, MirrorNotWritable, SourceError
from smki_sync.events import Detail
from smki_sync.mirror.connection import named
from smki_sync.mirror.directory import hold
from smki_sync.mirror.history import Download, History
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror, read_census, read_position
from smki_sync.mirror.store import Store
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import Action, Plan
from smki_sync.model.report import Census, SyncReport
from smki_sync.sync.apply import Archivist, Carrier, Intake, loading_ahead
from smki_sync.sync.companions import Gathered, Settled, gather, look_at_lists, settle
from smki_sync.sync.decision import Decision, decide, look
from smki_sync.sync.job import Job
from smki_sync.sync.notices import Oddities, attend
from smki_sync.sync.signature_gate import guarding, verified
from smki_sync.sync.streaming_load import fetch_all


@dataclass(frozen=True, slots=True)
class DownloadLedger:
    """Told of each attempt as it ends."""

    job: Job

    def __call__(self, transfer: Transfer) -> None:
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
620 in the mirror with its indexes, and some 200 while they are sorted (docs/benchmarks.md)."""

DEVICE_INDEX_FACTOR: Final = 1.0
"""The same for the indexes of ``mirror.index_devices``: 104 octets a certificate, and as much while they are
sorted."""

DELTA_FACTOR: Final = 100
"""The same for a delta: its rows lie scattered, and each page that they touch stands in the write-ahead
log as a whole."""

RESERVE_BYTES: Final = 64 << 20
"""Left over on any file system that is written to: the ledger, the history and others' files."""

_UNITS: Final = 1_000_000


def check_space(job: Job, plan: Plan) -> None:
    """Raise :class:`MirrorNotWritable` (``no-space``) where a file system is too full for the plan."""
    needs: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for path, octets in _needs(job, plan):
        with named(path):
            device = path.stat().st_dev
        needs[device] += octets
        places.setdefault(device, path)
    for device, octets in needs.items():
        _check(places[device], octets)


def _needs(job: Job, plan: Plan) -> list[tuple[Path, int]]:
    held = job.directory.downloads
    fetched = sum(room_left(held / extract.name, extract) for extract in plan.extracts)
    factor = BUILD_FACTOR + DEVICE_INDEX_FACTOR * job.index_devices
    built = factor * plan.full.size if plan.full else 0
    applied = DELTA_FACTOR * max((x.size for x in (*plan.overlap, *plan.deltas)), default=0)
    return [(held, fetched), (job.directory.generations, int(max(built, applied)))]


def _check(path: Path, octets: int) -> None:
    with named(path):
        free = shutil.disk_usage(path).free
    needed = octets + RESERVE_BYTES
    if free < needed:
        raise MirrorNotWritable(
            f"{path} needs {needed / _UNITS:,.0f} MB for this run, and {free / _UNITS:,.0f} MB are free",
            hint="Free space there, or move the mirror to a larger disk. Nothing was fetched or changed.",
            code="no-space",
        )


def run(job: Job, *, full: bool = False) -> SyncReport:
    """Bring the mirror up to date. ``full``: take the newest full whatever the position.

    Raises the errors of :mod:`smki_sync.errors`; then the mirror is as the last committed file left it.
    """
    job.directory.prepare()
    job = replace(job, terms=replace(job.terms, clock=job.clock, ledger=DownloadLedger(job)))
    with hold(job.directory.lock, since=job.clock()), _marking_damage(job):
        archivist = Archivist(job)
        for left in job.directory.discard_unfinished():
            job.hear.hear(Detail(text=f"removed {left.name}, which a killed run left unfinished"))
        with ExitStack() as ending:
            with PatientSource(job.open_source, terms=job.terms, hear=job.hear) as source:
                decision = decide(job, source, full=full, compare=True)
                _remember(job, decision)
                _remember_offer(job, decision)
                beside = gather(job, source, decision)
                _make_room(job, decision.plan)
                ahead = ending.enter_context(loading_ahead(job, decision))
                with _lists_even_so(job, beside):
                    files = fetch_all(job, source, _fetch_order(decision), ahead)
            ending.enter_context(_lists_even_so(job, beside))
            keeper = ending.enter_context(guarding(job, decision.held.generation))
            ground: list[Settled] = []

            def inspect(generation: Path, *, first: bool) -> None:
                if first:  # what is revoked is never served, not for a moment
                    ground.append(settle(job, generation, beside, ground=True))

            carrier = Carrier(job, files, archivist, Intake(job, keeper), inspect=inspect, ahead=ahead)
            generation = carrier.carry_out(decision)
            settled = _settle(job, generation, beside)
            settled = settled.after(ground[0]) if ground else settled
            carrier.oddities.unproven = keeper.unproven if keeper else 0
            carrier.oddities.verification = verified(job) if generation else None
        archivist.catch_up(generation)
        _tidy(job, decision.plan, archivist)
        return _report(job, decision, carrier, generation, settled)


@contextmanager
def _lists_even_so(job: Job, beside: Gathered) -> Iterator[None]:
    """What holds the extracts up holds no revocation up: lists come into force all the same."""
    try:
        yield
    except (BadExtract, SourceError):
        _settle(job, look(job.directory).generation, beside)
        raise


def _settle(job: Job, generation: Path | None, beside: Gathered) -> Settled:
    """Lists and slots onto the generation that readers see; without any, say what is not on offer."""
    if generation and beside.contents:
        return settle(job, generation, beside)
    return Settled(attention=(*beside.missed, *look_at_lists(job, generation, beside.offered)))


def _make_room(job: Job, plan: Plan) -> None:
    """Two generations need room, never three; then see whether the rest fits."""
    if plan.full:
        job.directory.discard_superseded(keep=0)
        for left in discard_other_parts(job.directory.downloads, plan.extracts):
            job.hear.hear(Detail(text=f"removed {left.name}, of a file that is not needed any more"))
    check_space(job, plan)


@contextmanager
def _marking_damage(job: Job) -> Iterator[None]:
    """Damage that is met deep inside the mirror makes the next run rebuild it."""
    try:
        yield
    except MirrorDamaged:
        job.directory.mark_damaged()
        raise


def rehearse(job: Job, *, full: bool = False) -> SyncReport:
    """Say what a run would do: one listing, nothing fetched, nothing written, no lock."""
    with PatientSource(job.open_source, terms=job.terms, hear=job.hear) as source:
        decision = decide(job, source, full=full, compare=False)
    position = decision.held.position
    census = _census(decision.held.generation)
    offered = read_offered(decision.catalogue.companions, job.names)
    beside = tuple(look_at_lists(job, decision.held.generation, offered))
    return SyncReport(
        plan=decision.plan,
        position=position.day if position else None,
        census=census,
        attention=attend(job, decision, position=position, census=census, oddities=Oddities(), beside=beside),
        dry_run=True,
    )


def _remember(job: Job, decision: Decision) -> None:
    """Write down what the comparison with the offer has shown, before anything is fetched or applied."""
    news = decision.changed - decision.held.incidents
    if decision.held.generation and (news or decision.unchanged):
        with Store(decision.held.generation) as store:
            store.note_incidents(sorted(news), job.clock())
            for extract in decision.unchanged:
                store.note_modified(extract)


def _remember_offer(job: Job, decision: Decision) -> None:
    """Keep what was on offer for those who ask offline; a run never fails because that cannot be kept."""
    offered = (*decision.catalogue.fulls, *decision.catalogue.deltas)
    try:
        History(job.directory.history).remember_offer(utc(job.clock()), offered)
    except MirrorError as error:
        job.hear.hear(Detail(text=f"the offer could not be remembered: {error.message}"))


def _fetch_order(decision: Decision) -> list[Extract]:
    """Deltas first: they leave the window while a full of many gigabytes is on its way."""
    return sorted(decision.plan.extracts, key=lambda x: (x.kind is ExtractKind.FULL, x.day))


def _tidy(job: Job, plan: Plan, archivist: Archivist) -> None:
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
    job: Job, decision: Decision, carrier: Carrier, generation: Path | None, settled: Settled
) -> SyncReport:
    position, census = None, Census()
    if generation:
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
        position=position.day if position else None,
        applied=tuple(carrier.applied),
        census=census,
        attention=attention,
        lists=settled.lists,
    )


def _census(generation: Path | None) -> Census:
    if generation is None:
        return Census()
    with open_mirror(generation) as db:
        return read_census(db)
