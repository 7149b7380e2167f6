"""The mirror against the newest full: what is missing, what should not be there, what differs.

For: :func:`reconcile`. The full is streamed once against the mirror as it is; readers see nothing of it.
Refuses: to compare with a full that the mirror has not caught up with, or that is older than the one it
started from; there differences would mean nothing. To repair by a full that would take too much.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from smki_sync.catalogue import read_catalogue
from smki_sync.download import Fetched, PatientSource, fetch
from smki_sync.errors import BadExtract, MirrorDamaged, MirrorError, SourceMissing
from smki_sync.events import Building, Detail, Listing
from smki_sync.mirror.differences import Difference, Differences, Drift
from smki_sync.mirror.drift import Examiner
from smki_sync.mirror.history import HeldAgainst, History
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.lock import hold
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.queries.opening import check_schema
from smki_sync.mirror.store import Store
from smki_sync.model.extract import Catalogue, Extract
from smki_sync.model.plan import MirrorState, Position
from smki_sync.model.report import Counts
from smki_sync.sync.archivist import Archivist
from smki_sync.sync.decision import look
from smki_sync.sync.intake import Intake
from smki_sync.sync.job import Job

EXAMPLES: Final = 10
"""Differences of each sort that a report shows; a list has all of them."""

Keep = Callable[[Iterable[Difference]], None]
"""Takes every difference, for whoever keeps the whole list."""


def forget(_all: Iterable[Difference]) -> None:
    """Keep none."""


class RepairRefused(BadExtract):
    """The mirror was compared, and a repair by this full would cost it too much: nothing was repaired."""

    next_step = (
        "Ask the DCC whether that full is right. If it is, `smki-sync sync --full --accept-shrink` builds the"
        " mirror from it."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
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
    examples: tuple[Difference, ...]
    repaired: Counts | None = None

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


def reconcile(job: Job, *, repair: bool = False, keep: Keep = forget) -> Reconciled:
    """Compare the mirror with the newest full that it has caught up with.

    ``repair``: make what differs good, in one transaction. ``keep``: given every difference.
    Raises :class:`SourceMissing` where no full on offer can be compared, :class:`MirrorDamaged` where there
    is no healthy mirror, :class:`OtherSchema` for another version's, :class:`RepairRefused` where a repair
    would go beyond ``job.bounds``, and what fetching and reading raise. What was found is remembered even so.
    """
    job.directory.prepare()
    with hold(job.directory.lock, since=job.clock()):
        held = look(job.directory)
        if held.state in {MirrorState.OLDER_SCHEMA, MirrorState.NEWER_SCHEMA}:
            check_schema(job.directory.link)
        if held.generation is None or held.position is None:
            raise MirrorDamaged(
                f"there is no healthy mirror in {job.directory.root}: {held.state}",
                hint="Run `smki-sync sync`.",
            )
        with PatientSource(job.open_source, terms=job.terms, hear=job.hear) as source:
            job.hear.hear(Listing(source=source.title))
            full = choose(read_catalogue(source.fetch_listing(), job.names), held.position)
            fetched = fetch(source, full, job.directory.downloads, job.hear, job.terms)
        with Differences(job.directory.root / "reconcile.tmp") as found:
            result = _compare(job, fetched, held.position, found)
            keep(found)
            _remember(job, held.generation.name, result)
            if repair and not result.agrees:
                result = replace(result, repaired=_repair(job, held.generation, fetched, found))
                _remember(job, held.generation.name, result)
        Archivist(job).let_go(fetched, held.generation)
        return result


def _repair(job: Job, generation: Path, fetched: Fetched, found: Differences) -> Counts:
    try:
        with Store(generation, bounds=job.bounds) as store:
            return store.repair(fetched.file, found, clock=job.clock)
    except BadExtract as error:
        raise RepairRefused(f"{error.message}. Nothing was repaired", code=error.reason) from error


def _remember(job: Job, generation: str, result: Reconciled) -> None:
    """Keep what was found; a comparison never fails because that cannot be kept."""
    row = HeldAgainst(full=result.full, at=utc(job.clock()), generation=generation, drift=result.drift)
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


def _compare(job: Job, fetched: Fetched, position: Position, found: Differences) -> Reconciled:
    extract = fetched.file.extract
    since = extract.day - timedelta(days=job.policy.full_overlap_days)
    with open_mirror(job.directory.link) as db:
        examiner = Examiner(db, found, since=since)
        rejected = sum(_take(job, examiner, fetched))
        job.hear.hear(Building(file=extract.name, step="looking for what it does not list"))
        examiner.finish(lambda _done, _total: None)
    return Reconciled(
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


def _take(job: Job, examiner: Examiner, fetched: Fetched) -> Iterator[int]:
    """Let the examiner see every row; how many records of each batch could not be understood."""
    intake = Intake(job)
    intake.check_inner_name(fetched)
    for batch in intake.batches(fetched):
        examiner.take(batch.rows)
        yield len(batch.rejected)
