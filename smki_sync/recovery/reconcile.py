"""Compare with the newest full, once a week or on request."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from smki_sync.catalogue import read_catalogue
from smki_sync.download import DownloadedFile, ReconnectingSource, download
from smki_sync.errors import (
    BadExtract,
    Locked,
    MirrorDamaged,
    MirrorError,
    MirrorNotWritable,
    SmkiSyncError,
    SourceError,
    SourceMissing,
)
from smki_sync.events import Building, Detail, Listing
from smki_sync.mirror.directory import hold_lock
from smki_sync.mirror.history import ComparisonRecord, History, StoredListing
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import check_schema, open_mirror, read_counts, read_position
from smki_sync.mirror.reconcile import Drift, DriftDifference, DriftDifferences, MirrorComparator
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.extract import Catalogue, Extract, ExtractKind
from smki_sync.model.plan import MirrorState, Position, ReconcilePolicy
from smki_sync.model.report import ChangeCounts, Notice, NoticeCode, SyncReport
from smki_sync.policy import OutsideWindow
from smki_sync.sync import SyncJob
from smki_sync.sync.apply import Archiver, RecordReader
from smki_sync.sync.decision import inspect_mirror

EXAMPLES: Final = 10
"""Differences of each sort that a report shows; a list has all of them."""

Keep = Callable[[Iterable[DriftDifference]], None]
"""Takes every difference, for whoever keeps the whole list."""


def forget(_all: Iterable[DriftDifference]) -> None:
    """Keep none."""


class RepairRefused(BadExtract):
    """The mirror was compared, and a repair by this full would cost it too much: nothing was repaired."""

    next_step = (
        "Ask the DCC whether that full is right. If it is, `smki-sync sync --full --accept-shrink` builds the"
        " mirror from it."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileResult:
    """What a comparison has shown, in certificates. ``position``: as of when the mirror was compared.

    ``explained``: differences that deltas explain, and so no drift. ``quarantined``: records of the full
    that could not be understood. ``repaired``: what a repair has done, ``None`` where there was none.
    """

    full: str
    position: date
    compared: int
    missing: int
    unexpected: int
    differing: int
    explained: int
    quarantined: int
    examples: tuple[DriftDifference, ...]
    repaired: ChangeCounts | None = None

    @property
    def found(self) -> int:
        """How many certificates differed."""
        return self.missing + self.unexpected + self.differing

    @property
    def drift(self) -> int:
        """How many differ still."""
        return 0 if self.repaired else self.found

    @property
    def agrees(self) -> bool:
        """Whether nothing differs, or nothing does any more."""
        return not self.drift


def reconcile(job: SyncJob, *, repair: bool = False, keep: Keep = forget) -> ReconcileResult:
    """Compare the mirror with the newest full that it has caught up with.

    ``repair``: make what differs good, in one transaction. ``keep``: given every difference.
    Raises :class:`SourceMissing` where no full on offer can be compared, :class:`MirrorDamaged` where there
    is no healthy mirror, :class:`OtherSchema` for another version's, :class:`RepairRefused` where a repair
    would go beyond ``job.bounds``, and what fetching and reading raise. What was found is remembered even so.
    """
    job.directory.prepare()
    with hold_lock(job.directory.lock, since=job.clock()):
        held = inspect_mirror(job.directory)
        if held.state in {MirrorState.OLDER_SCHEMA, MirrorState.NEWER_SCHEMA}:
            check_schema(job.directory.link)
        if held.generation is None or held.position is None:
            raise MirrorDamaged(
                f"there is no healthy mirror in {job.directory.root}: {held.state}",
                hint="Run `smki-sync sync`.",
            )
        with ReconnectingSource(job.open_source, terms=job.terms, hear=job.hear) as source:
            job.hear.hear(Listing(source=source.title))
            full = choose(read_catalogue(source.fetch_listing(), job.names), held.position)
            fetched = download(source, full, job.directory.downloads, job.hear, job.terms)
        with DriftDifferences(job.directory.root / "reconcile.tmp") as found:
            result = _compare(job, fetched, held.position, found)
            keep(found)
            _remember(job, held.generation.name, result)
            if repair and not result.agrees:
                result = replace(result, repaired=_repair(job, held.generation, fetched, found))
                _remember(job, held.generation.name, result)
        Archiver(job).let_go(fetched, held.generation)
        return result


def _repair(job: SyncJob, generation: Path, fetched: DownloadedFile, found: DriftDifferences) -> ChangeCounts:
    try:
        with MirrorStore(generation, bounds=job.bounds) as store:
            return store.repair(fetched.file, found, clock=job.clock)
    except BadExtract as error:
        raise RepairRefused(f"{error.message}. Nothing was repaired", code=error.reason) from error


def _remember(job: SyncJob, generation: str, result: ReconcileResult) -> None:
    """Keep what was found; a comparison never fails because that cannot be kept."""
    row = ComparisonRecord(full=result.full, at=utc(job.clock()), generation=generation, drift=result.drift)
    try:
        History(job.directory.history).record_comparison(row)
    except MirrorError as error:
        job.hear.hear(Detail(text=f"the comparison could not be remembered: {error.message}"))


def choose(catalogue: Catalogue, position: Position) -> Extract:
    """The newest full that the mirror has caught up with; raises :class:`SourceMissing`."""
    fit = [full for full in catalogue.fulls if position.full <= full.day <= position.day]
    if fit:
        return fit[-1]
    offered = ", ".join(full.name for full in catalogue.fulls) or "none"
    raise SourceMissing(
        f"no full on offer lies between {position.full}, from which the mirror started, and its position"
        f" {position.day}; on offer: {offered}",
        hint="Run `smki-sync sync` first, or name an archive with --source.",
        code="no-full-to-compare",
    )


def _compare(
    job: SyncJob, fetched: DownloadedFile, position: Position, found: DriftDifferences
) -> ReconcileResult:
    extract = fetched.file.extract
    since = extract.day - timedelta(days=job.policy.full_overlap_days)
    with open_mirror(job.directory.link) as db:
        examiner = MirrorComparator(db, found, since=since)
        rejected = sum(_take(job, examiner, fetched))
        job.hear.hear(Building(file=extract.name, step="looking for what it does not list"))
        examiner.finish(lambda _done, _total: None)
    return ReconcileResult(
        full=extract.name,
        position=position.day,
        compared=examiner.compared,
        missing=found.counts[Drift.MISSING],
        unexpected=found.counts[Drift.UNEXPECTED],
        differing=found.counts[Drift.DIFFERING],
        explained=examiner.explained,
        quarantined=rejected,
        examples=tuple(example for drift in Drift for example in found.first(drift, EXAMPLES)),
    )


def _take(job: SyncJob, examiner: MirrorComparator, fetched: DownloadedFile) -> Iterator[int]:
    """Let the examiner see every row; how many records of each batch could not be understood."""
    intake = RecordReader(job)
    intake.check_inner_name(fetched)
    for batch in intake.batches(fetched):
        examiner.take(batch.rows)
        yield len(batch.rejected)


_NOT_MADE: Final = (SourceError, BadExtract, Locked, MirrorNotWritable)
"""What keeps a comparison from being made, and says nothing of the mirror."""


def reconcile_new_full(job: SyncJob, report: SyncReport, policy: ReconcilePolicy) -> SyncReport:
    """Add to a run's report what a comparison with a new full has shown, where one is due.

    Drift that was found and not made good is said by every run until it is, or the mirror is built anew.
    Raises :class:`MirrorDamaged` where the mirror turns out to be that.
    """
    if policy is ReconcilePolicy.NEVER or job.directory.current() is None:
        return report
    history = History(job.directory.history)
    try:
        offer, known = history.offer(), history.comparisons()
    except MirrorError as error:
        return _with(report, _unknown(error))
    full = _due(job, offer, known)
    if full is None:
        return _with(report, *_standing(job, known))
    if not job.agreement.holds(job.now) and job.agreement.outside is OutsideWindow.WAIT:
        put_off = f"that waits for what was agreed with the DCC ({job.agreement.words})"
        return _with(report, *_standing(job, known), _not_made(full, put_off))
    return _held(job, report, full, known, repair=policy is ReconcilePolicy.REPAIR)


def _held(
    job: SyncJob, report: SyncReport, full: Extract, known: Sequence[ComparisonRecord], *, repair: bool
) -> SyncReport:
    """The report of a run in which a comparison was due."""
    try:
        found = reconcile(job, repair=repair)
    except RepairRefused as error:
        return _with(report, _not_repaired(full, error))
    except _NOT_MADE as error:
        return _with(report, *_standing(job, known), _not_made(full, _sentence(error)))
    return _compared(job, report, full, found)


def _compared(job: SyncJob, report: SyncReport, full: Extract, found: ReconcileResult) -> SyncReport:
    """The report of a run in which a comparison was made."""
    with open_mirror(job.directory.link) as db:
        report = replace(report, census=read_counts(db))
    return _with(
        report,
        *([_drifted(found.full, found.drift)] if found.drift else []),
        *([_repaired(found)] if found.repaired else []),
        *([] if job.agreement.holds(job.now) else [_outside(job, full)]),
    )


def _due(job: SyncJob, offer: StoredListing | None, known: Sequence[ComparisonRecord]) -> Extract | None:
    """The newest full on offer that the mirror has caught up with, if it is news."""
    with open_mirror(job.directory.link) as db:
        position = read_position(db)
    offered = offer.extracts if offer else ()
    fulls = [x for x in offered if x.kind is ExtractKind.FULL and position.full < x.day <= position.day]
    newest = max(fulls, key=lambda x: x.day, default=None)
    return newest if newest and newest.name not in {comparison.full for comparison in known} else None


def _standing(job: SyncJob, known: Sequence[ComparisonRecord]) -> Iterator[Notice]:
    """What the last comparison of this generation has left."""
    current = job.directory.current()
    if known and known[-1].drift and current and known[-1].generation == current.name:
        yield _drifted(known[-1].full, known[-1].drift, at=known[-1].at)


def _drifted(full: str, drift: int, *, at: str | None = None) -> Notice:
    return Notice(
        code=NoticeCode.DRIFT,
        message=f"The mirror has drifted from {full}: {drift:,} certificates{f', as of {at}' if at else ''}.",
        hint="`smki-sync reconcile` shows where; with --repair it makes it good.",
    )


def _not_repaired(full: Extract, error: RepairRefused) -> Notice:
    return Notice(
        code=NoticeCode.DRIFT,
        message=f"The mirror has drifted from {full.name}, and was not made good: {_sentence(error)}.",
        hint=error.hint,
    )


def _unknown(error: MirrorError) -> Notice:
    return Notice(
        code=NoticeCode.RECONCILIATION_UNKNOWN,
        message=f"Nobody can say whether the mirror was held against the newest full: {_sentence(error)}.",
        hint=f"{error.hint} The next run then compares anew.",
    )


def _outside(job: SyncJob, full: Extract) -> Notice:
    return Notice(
        code=NoticeCode.FULL_OUTSIDE_AGREED,
        message=f"{full.name} was taken, to be held against the mirror, outside what was agreed with the DCC"
        f" ({job.agreement.words}).",
        hint="Tell the DCC. `policy.full_download_outside` can put that off instead.",
    )


def _repaired(found: ReconcileResult) -> Notice:
    return Notice(
        code=NoticeCode.DRIFT_REPAIRED,
        message=f"The mirror had drifted from {found.full} and was made good: {found.missing:,} missing,"
        f" {found.unexpected:,} unexpected, {found.differing:,} differing.",
        hint="Find out who changes it.",
    )


def _not_made(full: Extract, why: str) -> Notice:
    return Notice(
        code=NoticeCode.NOT_RECONCILED,
        message=f"The mirror was not held against {full.name}: {why}.",
        hint="The next run tries again.",
    )


def _sentence(error: SmkiSyncError) -> str:
    return error.message.removesuffix(".")


def _with(report: SyncReport, *attention: Notice) -> SyncReport:
    every = (*report.attention, *attention)
    return replace(report, attention=tuple(sorted(every, key=lambda a: a.code.is_note)))
