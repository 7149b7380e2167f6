"""Compare the mirror with the newest full, on request or when a run needs it, and merge the full."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
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
from smki_sync.merge import Baseline
from smki_sync.mirror.directory import hold_lock
from smki_sync.mirror.history import ComparisonRecord, History, StoredListing
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import check_schema, open_mirror, read_counts, read_position
from smki_sync.mirror.reconcile import Drift, DriftDifference, DriftDifferences, MirrorComparator
from smki_sync.model.extract import Catalogue, Extract, ExtractKind
from smki_sync.model.plan import MirrorState, Position, ReconcilePolicy
from smki_sync.model.report import ChangeCounts, Notice, NoticeCode, SyncReport
from smki_sync.planner import CLOCK_TOLERANCE
from smki_sync.policy import OutsideWindow
from smki_sync.sync import SyncJob
from smki_sync.sync.apply import Archiver, RecordReader, open_store
from smki_sync.sync.decision import MirrorSnapshot, inspect_mirror
from smki_sync.sync.notices import unproven_notice
from smki_sync.sync.runner import prepare_mirror, remember_journal
from smki_sync.sync.signature_gate import SignatureGate, authorities_in_file, signature_gate

EXAMPLES: Final = 10
"""Differences of each sort that a report shows; a list has all of them."""

Keep = Callable[[Iterable[DriftDifference]], None]
"""Receives every difference, for a complete list."""


def forget(_all: Iterable[DriftDifference]) -> None:
    """Keep no list."""


class RepairRefused(BadExtract):
    """The mirror was compared, and a repair by this full would remove too much: nothing was repaired."""

    next_step = (
        "Ask the DCC whether that full is right. If it is, run `smki-sync sync --full --accept-shrink`. It"
        " rebuilds the mirror from it."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileResult:
    """What a comparison found, in certificates. ``position``: of the mirror that was compared.

    ``explained``: differences that deltas explain, which are not drift. ``quarantined``: records of the full
    that are not served. ``repaired``: what a repair has done, ``None`` if there was none.
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
        """Number of certificates that differed."""
        return self.missing + self.unexpected + self.differing

    @property
    def drift(self) -> int:
        """Number of certificates that still differ."""
        return 0 if self.repaired else self.found

    @property
    def agrees(self) -> bool:
        """Whether nothing differs, or nothing does any more."""
        return not self.drift


def reconcile(
    job: SyncJob, *, repair: bool = False, adopt: bool = False, keep: Keep = forget
) -> ReconcileResult:
    """Compare the mirror with the newest full that is not ahead of it.

    Args:
        job: the mirror, the source and the rules.
        repair: repair the differences, in one transaction, and make the full the newest one used.
        adopt: do that only if nothing differs.
        keep: receives every difference.

    Raises :class:`SourceMissing` if no such full is available, :class:`MirrorDamaged` if there is no healthy
    mirror, :class:`OtherSchema` for another schema, :class:`RepairRefused` if a repair exceeds the limits,
    and the errors of downloading and reading. The result is recorded in each case.
    """
    job.directory.prepare()
    with hold_lock(job.directory.lock, since=job.clock()):
        prepare_mirror(job)
        held = inspect_mirror(job.directory)
        if held.state in {MirrorState.OLDER_SCHEMA, MirrorState.NEWER_SCHEMA}:
            check_schema(job.directory.link)
        if held.generation is None or held.position is None:
            raise MirrorDamaged(
                f"There is no healthy mirror in {job.directory.root}: {held.state}",
                hint="Run `smki-sync sync`.",
            )
        with ReconnectingSource(job.open_source, options=job.download_options, events=job.events) as source:
            job.events.emit(Listing(source=source.title))
            full = choose(read_catalogue(source.fetch_listing(), job.names), held.position, job.today)
            fetched = download(source, full, job.directory.downloads, job.events, job.download_options)
        with (
            signature_gate(job, held.generation) as gate,
            DriftDifferences(job.directory.root / "reconcile.tmp") as found,
        ):
            result = _compare(job, held, fetched, found, gate)
            keep(found)
            _remember(job, held, result)
            if repair or (adopt and result.agrees):
                done = _merge(job, held, fetched, found, gate)
                if repair and not result.agrees:
                    result = replace(result, repaired=done)
                    _remember(job, held, result)
        remember_journal(job, held.generation)
        Archiver(job).release(fetched, held.generation)
        return result


def _merge(
    job: SyncJob,
    held: MirrorSnapshot,
    fetched: DownloadedFile,
    found: DriftDifferences,
    gate: SignatureGate | None,
) -> ChangeCounts:
    """Merge the full, unless the mirror has already used it and nothing differs."""
    assert held.generation is not None
    assert held.position is not None
    if fetched.file.extract.day == held.position.full and not any(found.counts.values()):
        return ChangeCounts()
    try:
        with open_store(job, held.generation, gate) as store:
            return store.repair(
                fetched.file, found, overlap_days=job.policy.full_overlap_days, clock=job.clock
            )
    except BadExtract as error:
        raise RepairRefused(f"{error.message}. Nothing was repaired", code=error.reason) from error


def _remember(job: SyncJob, held: MirrorSnapshot, result: ReconcileResult) -> None:
    """Record the result; an error there does not fail the comparison."""
    assert held.generation is not None
    row = ComparisonRecord(
        full=result.full, at=utc(job.clock()), generation=held.generation.name, drift=result.drift
    )
    try:
        History(job.directory.history).record_comparison(row)
    except MirrorError as error:
        job.events.emit(Detail(text=f"the comparison could not be recorded: {error.message}"))


def choose(catalogue: Catalogue, position: Position, today: date) -> Extract:
    """Return the newest full that the mirror has caught up with; raises :class:`SourceMissing`."""
    latest = min(position.day, today + CLOCK_TOLERANCE)
    fit = [full for full in catalogue.fulls if position.full <= full.day <= latest]
    if fit:
        return fit[-1]
    offered = ", ".join(full.name for full in catalogue.fulls) or "none"
    raise SourceMissing(
        f"No full is available from {position.full}, which the mirror has used, to its position"
        f" {position.day}."
        f" Available: {offered}",
        hint="Run `smki-sync sync` first, or name an archive with --source.",
        code="no-full-to-compare",
    )


def _compare(
    job: SyncJob,
    held: MirrorSnapshot,
    fetched: DownloadedFile,
    found: DriftDifferences,
    gate: SignatureGate | None,
) -> ReconcileResult:
    extract = fetched.file.extract
    assert held.position is not None
    baseline = Baseline(full=extract.day, overlap_days=job.policy.full_overlap_days)
    reader = RecordReader(job)
    reader.check_inner_name(fetched)
    if gate:
        gate.open_file(lambda: authorities_in_file(job, fetched))
    with open_mirror(job.directory.link) as db:
        comparator = MirrorComparator(db, found, baseline=baseline, gate=gate)
        for batch in reader.batches(fetched):
            comparator.compare(batch.rows, batch.rejected)
        job.events.emit(Building(file=extract.name, step="looking for certificates that it does not list"))
        comparator.finish(lambda _done, _total: None)
    counts = found.counts
    return ReconcileResult(
        full=extract.name,
        position=held.position.day,
        compared=comparator.compared,
        missing=counts[Drift.MISSING],
        unexpected=counts[Drift.UNEXPECTED],
        differing=counts[Drift.DIFFERING],
        explained=comparator.explained,
        quarantined=comparator.rejected,
        examples=tuple(example for drift in Drift for example in found.first(drift, EXAMPLES)),
    )


_NOT_MADE: Final = (SourceError, BadExtract, Locked, MirrorNotWritable)
"""Errors that prevent a comparison, and say nothing about the mirror."""


def reconcile_new_full(job: SyncJob, report: SyncReport, policy: ReconcilePolicy) -> SyncReport:
    """Compare the mirror with a new full if that is due after a run, and add the result to its report.

    An unproven mirror is compared, repaired and so proven with the next full, unless the policy only reports.
    Drift that was not repaired is reported by every run until it is repaired, or the mirror is rebuilt.
    Raises :class:`MirrorDamaged` if the mirror is damaged.
    """
    if policy is ReconcilePolicy.NEVER or report.position is None:
        return report
    history = History(job.directory.history)
    try:
        offer, known = history.offer(), history.comparisons()
    except MirrorError as error:
        if policy is ReconcilePolicy.WHEN_NEEDED and report.counts.unproven is None:
            return report  # a proven mirror needs no comparison
        return _with(report, _unknown(error))
    full = _due(job, report, offer, known, policy)
    if full is None:
        return _with(report, *_standing_drift(job, known))
    if not job.download_window.holds(job.now) and job.download_window.outside is OutsideWindow.WAIT:
        put_off = f"it waits for the time agreed with the DCC ({job.download_window.words})"
        return _with(report, *_standing_drift(job, known), _not_made(full, put_off))
    return _reconciled(job, report, full, known, policy)


def _reconciled(
    job: SyncJob,
    report: SyncReport,
    full: Extract,
    known: Sequence[ComparisonRecord],
    policy: ReconcilePolicy,
) -> SyncReport:
    """Return the report of a run after a comparison that was due."""
    repairs = policy is ReconcilePolicy.REPAIR or (
        policy is ReconcilePolicy.WHEN_NEEDED and report.counts.unproven is not None
    )
    try:
        found = reconcile(job, repair=repairs, adopt=True)
    except RepairRefused as error:
        return _with(report, _not_repaired(full, error))
    except _NOT_MADE as error:
        return _with(report, *_standing_drift(job, known), _not_made(full, _sentence(error)))
    return _compared(job, report, full, found)


def _compared(job: SyncJob, report: SyncReport, full: Extract, found: ReconcileResult) -> SyncReport:
    """Return the report of a run in which a comparison was made."""
    with open_mirror(job.directory.link) as db:
        counts, position = read_counts(db), read_position(db)
    kept = tuple(notice for notice in report.attention if notice.code is not NoticeCode.UNPROVEN)
    return _with(
        replace(report, counts=counts, position=position.day, attention=kept),
        *unproven_notice(counts),
        *([_drifted(found.full, found.drift)] if found.drift else []),
        *([_repaired(found)] if found.repaired else []),
        *([] if job.download_window.holds(job.now) else [_outside(job, full)]),
    )


def _due(
    job: SyncJob,
    report: SyncReport,
    offer: StoredListing | None,
    known: Sequence[ComparisonRecord],
    policy: ReconcilePolicy,
) -> Extract | None:
    """Return the newest full that was listed, if it must be compared."""
    with open_mirror(job.directory.link) as db:
        position = read_position(db)
    offered = offer.extracts if offer else ()
    latest = min(position.day, job.today + CLOCK_TOLERANCE)
    fulls = [x for x in offered if x.kind is ExtractKind.FULL and position.full < x.day <= latest]
    newest = max(fulls, key=lambda x: x.day, default=None)
    current = job.directory.current()
    # A comparison with a generation that a restore has replaced says nothing about this one.
    of_this = {one.full: one for one in known if current and one.generation == current.name}
    done = of_this.get(newest.name) if newest else None
    needed = policy is not ReconcilePolicy.WHEN_NEEDED or position.unproven is not None
    # A comparison that was made is repeated only if a late delta may explain what it found.
    is_due = needed and (done is None or (done.drift > 0 and bool(report.plan.overlap)))
    return newest if is_due else None


def _standing_drift(job: SyncJob, known: Sequence[ComparisonRecord]) -> Iterator[Notice]:
    """Return the drift that the last comparison of this generation found."""
    current = job.directory.current()
    if known and known[-1].drift and current and known[-1].generation == current.name:
        yield _drifted(known[-1].full, known[-1].drift, at=known[-1].at)


def _drifted(full: str, drift: int, *, at: str | None = None) -> Notice:
    return Notice(
        code=NoticeCode.DRIFT,
        message=f"The mirror differs from {full}: {drift:,} certificates{f', as of {at}' if at else ''}.",
        hint="Run `smki-sync reconcile` to list them, and `smki-sync reconcile --repair` to repair them.",
    )


def _not_repaired(full: Extract, error: RepairRefused) -> Notice:
    return Notice(
        code=NoticeCode.DRIFT,
        message=f"The mirror differs from {full.name}, and was not repaired: {_sentence(error)}.",
        hint=error.hint,
    )


def _unknown(error: MirrorError) -> Notice:
    return Notice(
        code=NoticeCode.RECONCILIATION_UNKNOWN,
        message="It is not known whether the mirror has been compared with the newest full:"
        f" {_sentence(error)}.",
        hint=f"{error.hint} The next run then compares again.",
    )


def _outside(job: SyncJob, full: Extract) -> Notice:
    return Notice(
        code=NoticeCode.FULL_OUTSIDE_AGREED,
        message=f"{full.name} was downloaded for a comparison outside the time agreed with the DCC"
        f" ({job.download_window.words}).",
        hint="Tell the DCC. Set `policy.full_download_outside` to wait instead.",
    )


def _repaired(found: ReconcileResult) -> Notice:
    return Notice(
        code=NoticeCode.DRIFT_REPAIRED,
        message=f"The mirror differed from {found.full} and was repaired: {found.missing:,} missing,"
        f" {found.unexpected:,} unexpected, {found.differing:,} differing.",
        hint="If no delta was missing, find out who changes the mirror.",
    )


def _not_made(full: Extract, why: str) -> Notice:
    return Notice(
        code=NoticeCode.NOT_RECONCILED,
        message=f"The mirror was not compared with {full.name}: {why}.",
        hint="The next run tries again.",
    )


def _sentence(error: SmkiSyncError) -> str:
    return error.message.removesuffix(".")


def _with(report: SyncReport, *notices: Notice) -> SyncReport:
    every = (*report.attention, *notices)
    return replace(report, attention=tuple(sorted(every, key=lambda notice: notice.code.is_note)))
