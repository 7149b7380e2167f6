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
from smki_sync.files import output_error
from smki_sync.mirror.connection import mirror_errors
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.inspection import Db, StoredRow, read_rows, read_sample
from smki_sync.mirror.integrity import CheckedPart, CountCheck, Damage, check_indexes, check_pages
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror, read_counts, read_position
from smki_sync.mirror.signature_cache import LastVerification, SignatureCache, signature_cache_at
from smki_sync.verify.inspector import (
    FoundProblem,
    Inspected,
    Inspector,
    Tally,
    Verification,
    chain_validator,
    default_threads,
    map_in_threads,
)


class Listing(Protocol):
    """Takes findings as they come."""

    def write(self, found: Iterable[FoundProblem]) -> None:
        """Write some."""


class NullListing:
    """No list was asked for."""

    def write(self, found: Iterable[FoundProblem]) -> None:
        """Drop them."""


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, found: Iterable[FoundProblem]) -> None:
        for one in found:
            self._stream.write(json.dumps(document_of(one)) + "\n")


def document_of(found: FoundProblem) -> dict[str, object]:
    """One finding as JSON, also in the report."""
    finding = found.finding
    return {
        "code": finding.code.value,
        "severity": finding.code.severity.value,
        "step": int(finding.code.step),
        "detail": finding.detail,
        **asdict(found.subject),
    }


@contextmanager
def listing_to(path: Path | None) -> Iterator[Listing]:
    """Write to ``path`` when the block ends well; :class:`OutputError` if it cannot be written."""
    if path is None:
        yield NullListing()
        return
    part = path.with_name(path.name + ".part")
    try:
        stream = part.open("w", encoding="utf-8")
    except OSError as exc:
        raise output_error(path, exc) from exc
    try:
        with stream:
            yield _Lines(stream)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How much is verified.

    ``sample``: so many certificates, chosen by chance; ``None`` for all, with pages, indexes, counts and
    digest. ``any_status``: also what is not In-Use. ``afresh``: remembered proofs are worked out again.
    """

    sample: int | None = None
    any_status: bool = False
    afresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyJob:
    """One mirror, one set of anchors, one time.

    ``anchors``: trust anchors as DER. ``at``: the time that dates are judged by. ``complete``: where every
    finding is written, one JSON object a line; ``None`` for nowhere. ``chance``: chooses a sample.
    """

    directory: MirrorDirectory
    at: datetime
    anchors: tuple[bytes, ...] = ()
    scope: Scope = field(default_factory=Scope)
    complete: Path | None = None
    hear: EventListener = field(default_factory=NullListener)
    clock: Callable[[], datetime] = _now
    chance: Random = field(default_factory=Random)
    threads: int = field(default_factory=default_threads)


MARKS: Final = 500_000
"""Proofs gathered before they are written, in the order of their tree: some 20 MB of memory."""


def verify(job: VerifyJob) -> Verification:
    """Verify a mirror. Takes no lock and changes nothing in it; a damaged one is marked for the next sync.

    Raises :class:`MirrorError` where there is none, :class:`MirrorDamaged` where it cannot be opened as one.
    """
    generation = job.directory.linked()
    if generation is None:
        raise MirrorError(
            f"there is no mirror in {job.directory.root}", hint="Run `smki-sync sync`.", code="no-mirror"
        )
    done: Verification | None = None
    try:
        with open_mirror(generation) as db:
            done = _verified(job, db)
    except MirrorDamaged:  # on closing, SQLite says once more what has been reported already
        if done is None:
            _mark(job, generation)
            raise
    assert done is not None  # or else something was raised
    if done.damages:
        _mark(job, generation)
    return done


def _mark(job: VerifyJob, generation: Path) -> None:
    """Let the next sync build anew; who may only read verifies all the same."""
    try:
        job.directory.mark_damaged(generation)
    except MirrorError as error:
        job.hear.hear(Detail(text=f"the damage could not be noted for the next sync: {error.message}"))


def _verified(job: VerifyJob, db: Db) -> Verification:
    began = job.clock()
    position = read_position(db).day  # the first look: from now on nothing newer is seen
    with ExitStack() as stack:
        proofs, lost = stack.enter_context(signature_cache_at(job.directory.proofs))
        if lost:
            job.hear.hear(Detail(text=f"proofs are not remembered: {lost}"))
        made = _Pass(job, db, proofs, stack.enter_context(listing_to(job.complete)))
        whole = job.scope.sample is None
        damages = made.whole() if whole else made.sample(job.scope.sample or 0)
        done = Verification(
            at=job.at,
            position=position,
            anchors=len(job.anchors),
            sample=job.scope.sample,
            any_status=job.scope.any_status,
            tally=made.tally,
            aspects=tuple(made.reached),
            damages=tuple(damages),
            kept=not lost,
            seconds=(job.clock() - began).total_seconds(),
        )
        if whole and not lost:
            proofs.note(_for_status(job, done, Path(db.filename).name))
    return done


@dataclass(slots=True)
class _Pass:
    """One pass through a mirror. ``tally`` and ``recount`` grow as batches are done.

    ``reached``: what was held against itself; reading may stop at a damaged page, and the rest is unknown.
    """

    job: VerifyJob
    db: Db
    proofs: SignatureCache
    listing: Listing
    tally: Tally = field(default_factory=Tally)
    recount: CountCheck = field(default_factory=CountCheck)
    reached: list[CheckedPart] = field(default_factory=list)
    _marks: list[int] = field(default_factory=list)

    def whole(self) -> list[Damage]:
        """Every row, and the mirror against itself."""
        damages: list[Damage] = []
        try:
            with mirror_errors(self.job.directory.link):
                self._step("every page")
                self.reached.append(CheckedPart.PAGES)
                damages += check_pages(self.db)
                self._step("indexes against rows")
                damages += check_indexes(self.db)
                self.reached.append(CheckedPart.INDEXES)
                self._all_of(read_rows(self.db), read_counts(self.db).total)
                damages += self.recount.against(self.db)
                self.reached += [CheckedPart.COUNTS, CheckedPart.DIGEST]
        except MirrorDamaged as error:  # the pages have said so already, more often than not
            damages.append(Damage(aspect=CheckedPart.PAGES, detail=error.message))
        except UnicodeDecodeError as error:
            told = f"a text in a row is none ({error.reason}); reading stopped there"
            damages.append(Damage(aspect=CheckedPart.PAGES, detail=told))
        return damages

    def sample(self, number: int) -> list[Damage]:
        """Some rows by chance; nothing that would take a pass through the file."""
        any_status = self.job.scope.any_status
        rows = read_sample(self.db, number, self.job.chance, any_status=any_status)
        self._all_of(rows, len(rows))
        return []

    def _all_of(self, rows: Iterable[StoredRow], size: int) -> None:
        scope = self.job.scope
        judge = chain_validator(self.db, self.job.anchors, self.job.at)
        inspector = Inspector(judge, self.proofs, any_status=scope.any_status, afresh=scope.afresh)
        done = 0
        for some in map_in_threads(inspector.inspect, iter(rows), self.job.threads):
            done += some.rows
            self._take(some)
            self.job.hear.hear(Verifying(file=self.job.directory.link.name, done=done, size=size))
        self.proofs.add(self._marks)

    def _take(self, some: Inspected) -> None:
        self.tally.merge(some.tally)
        self.recount.merge(some.recount)
        self.listing.write(some.tally.found)
        self._marks += some.marks
        if len(self._marks) >= MARKS:
            self.proofs.add(self._marks)
            self._marks.clear()

    def _step(self, words: str) -> None:
        self.job.hear.hear(Checking(file=self.job.directory.link.name, step=words))


def _for_status(job: VerifyJob, done: Verification, generation: str) -> LastVerification:
    return LastVerification(
        at=utc(job.clock()),
        position=done.position.isoformat(),
        certificates=done.tally.checked,
        errors=done.errors + len(done.damages),
        warnings=done.warnings,
        anchored=done.anchors > 0,
        generation=generation,
    )
