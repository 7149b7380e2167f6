"""Verify a whole mirror or a sample, in threads."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final, Protocol, TextIO

from smki_sync.errors import MirrorDamaged, MirrorError
from smki_sync.events import Checking, Detail, EventListener, NullListener, Verifying
from smki_sync.files import atomic_file
from smki_sync.mirror.connection import mirror_errors
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.inspection import Db, StoredRow, read_rows, read_sample
from smki_sync.mirror.integrity import CheckedPart, CountCheck, Damage, check_indexes, check_pages
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror, read_counts, read_position
from smki_sync.mirror.signature_cache import LastVerification, SignatureCache, signature_cache_at
from smki_sync.verify.inspector import (
    FoundProblem,
    InspectedRows,
    Inspector,
    Tally,
    Verification,
    chain_validator,
    default_threads,
    map_in_threads,
)


class FindingSink(Protocol):
    """Receives findings as they come."""

    def write(self, found: Iterable[FoundProblem]) -> None:
        """Write some findings."""


class NullSink:
    """Drops every finding."""

    def write(self, found: Iterable[FoundProblem]) -> None:
        """Drop the findings."""


class _JsonLines:
    """Writes one JSON object per finding."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, found: Iterable[FoundProblem]) -> None:
        for one in found:
            self._stream.write(json.dumps(document_of(one)) + "\n")


def document_of(found: FoundProblem) -> dict[str, object]:
    """Return one finding as JSON."""
    finding = found.finding
    return {
        "code": finding.code.value,
        "severity": finding.code.severity.value,
        "step": int(finding.code.step),
        "detail": finding.detail,
        **asdict(found.subject),
    }


@contextmanager
def finding_sink(path: Path | None) -> Iterator[FindingSink]:
    """Write findings to ``path``, which appears at the end; raises :class:`OutputError`."""
    if path is None:
        yield NullSink()
        return
    with atomic_file(path, force=True) as stream:
        yield _JsonLines(stream)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What to verify.

    ``sample``: number of certificates, chosen at random; ``None`` for all, with pages, indexes, counts and
    digest. ``any_status``: include certificates that are not In-Use. ``afresh``: ignore cached signatures.
    """

    sample: int | None = None
    any_status: bool = False
    afresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyJob:
    """One mirror, one set of trust anchors, one time.

    ``anchors``: as DER. ``at``: time for which validity is checked. ``complete``: file for every finding, as
    JSON Lines. ``chance``: chooses the sample.
    """

    directory: MirrorDirectory
    at: datetime
    anchors: tuple[bytes, ...] = ()
    scope: Scope = field(default_factory=Scope)
    complete: Path | None = None
    events: EventListener = field(default_factory=NullListener)
    clock: Callable[[], datetime] = _now
    chance: Random = field(default_factory=Random)
    threads: int = field(default_factory=default_threads)


CACHE_BATCH: Final = 500_000
"""Verified signatures that are written to the cache together, in key order: about 20 MB of memory."""


def verify(job: VerifyJob) -> Verification:
    """Verify a mirror, without its lock; a damaged mirror is marked, so that the next sync rebuilds it.

    Raises :class:`MirrorError` if there is no mirror, :class:`MirrorDamaged` if it cannot be opened.
    """
    generation = job.directory.linked()
    if generation is None:
        raise MirrorError(
            f"There is no mirror in {job.directory.root}.", hint="Run `smki-sync sync`.", code="no-mirror"
        )
    result: Verification | None = None
    try:
        with open_mirror(generation) as db:
            result = _verify(job, db)
    except MirrorDamaged:  # on closing, SQLite reports again what is in the result
        if result is None:
            _mark_damaged(job, generation)
            raise
    assert result is not None  # otherwise an error was raised
    if result.damages:
        _mark_damaged(job, generation)
    return result


def _mark_damaged(job: VerifyJob, generation: Path) -> None:
    """Make the next sync rebuild the mirror; a user without write permission can still verify."""
    try:
        job.directory.mark_damaged(generation)
    except MirrorError as error:
        job.events.emit(Detail(text=f"The mirror could not be marked as damaged: {error.message}"))


def _verify(job: VerifyJob, db: Db) -> Verification:
    began = job.clock()
    position = read_position(db).day  # the first read starts the snapshot
    with ExitStack() as stack:
        cache, problem = stack.enter_context(signature_cache_at(job.directory.signature_cache))
        if problem:
            job.events.emit(Detail(text=f"Verified signatures are not cached: {problem}"))
        run = _VerificationRun(job, db, cache, stack.enter_context(finding_sink(job.complete)))
        whole = job.scope.sample is None
        damages = run.check_all() if whole else run.check_sample(job.scope.sample or 0)
        result = Verification(
            at=job.at,
            position=position,
            anchors=len(job.anchors),
            sample=job.scope.sample,
            any_status=job.scope.any_status,
            tally=run.tally,
            aspects=tuple(run.reached),
            damages=tuple(damages),
            kept=not problem,
            seconds=(job.clock() - began).total_seconds(),
        )
        if whole and not problem:
            cache.note(_last_verification(job, result, Path(db.filename).name))
    return result


@dataclass(slots=True)
class _VerificationRun:
    """One run over a mirror. ``tally`` and ``recount`` grow with each batch.

    ``reached``: parts that were checked completely; reading may stop at a damaged page.
    """

    job: VerifyJob
    db: Db
    cache: SignatureCache
    sink: FindingSink
    tally: Tally = field(default_factory=Tally)
    recount: CountCheck = field(default_factory=CountCheck)
    reached: list[CheckedPart] = field(default_factory=list)
    _marks: list[int] = field(default_factory=list)

    def check_all(self) -> list[Damage]:
        """Verify every row, and check pages, indexes, counts and digest."""
        damages: list[Damage] = []
        try:
            with mirror_errors(self.job.directory.link):
                self._report_step("every page")
                self.reached.append(CheckedPart.PAGES)
                damages += check_pages(self.db)
                self._report_step("indexes and rows")
                damages += check_indexes(self.db)
                self.reached.append(CheckedPart.INDEXES)
                self._inspect(read_rows(self.db), read_counts(self.db).total)
                damages += self.recount.against(self.db)
                self.reached += [CheckedPart.COUNTS, CheckedPart.DIGEST]
        except MirrorDamaged as error:  # often reported by the page check already
            damages.append(Damage(aspect=CheckedPart.PAGES, detail=error.message))
        except UnicodeDecodeError as error:
            detail = f"A text in a row is not UTF-8 ({error.reason}). Reading stopped there."
            damages.append(Damage(aspect=CheckedPart.PAGES, detail=detail))
        return damages

    def check_sample(self, number: int) -> list[Damage]:
        """Verify some rows, chosen at random; checks that read the whole file are left out."""
        any_status = self.job.scope.any_status
        rows = read_sample(self.db, number, self.job.chance, any_status=any_status)
        self._inspect(rows, len(rows))
        return []

    def _inspect(self, rows: Iterable[StoredRow], size: int) -> None:
        scope = self.job.scope
        validator = chain_validator(self.db, self.job.anchors, self.job.at)
        inspector = Inspector(validator, self.cache, any_status=scope.any_status, afresh=scope.afresh)
        done = 0
        for batch in map_in_threads(inspector.inspect, iter(rows), self.job.threads):
            done += batch.rows
            self._add(batch)
            self.job.events.emit(Verifying(file=self.job.directory.link.name, done=done, size=size))
        self.cache.add(self._marks)

    def _add(self, batch: InspectedRows) -> None:
        self.tally.merge(batch.tally)
        self.recount.merge(batch.recount)
        self.sink.write(batch.tally.found)
        self._marks += batch.marks
        if len(self._marks) >= CACHE_BATCH:
            self.cache.add(self._marks)
            self._marks.clear()

    def _report_step(self, step: str) -> None:
        self.job.events.emit(Checking(file=self.job.directory.link.name, step=step))


def _last_verification(job: VerifyJob, result: Verification, generation: str) -> LastVerification:
    return LastVerification(
        at=utc(job.clock()),
        position=result.position.isoformat(),
        certificates=result.tally.checked,
        errors=result.errors + len(result.damages),
        warnings=result.warnings,
        anchored=result.anchors > 0,
        generation=generation,
    )
