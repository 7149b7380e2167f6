"""policy.verify: check new certificates before they are committed."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from smki_sync.download import DownloadedFile
from smki_sync.errors import BadExtract, Fault, MirrorDamaged, MirrorError
from smki_sync.events import Detail
from smki_sync.mirror.bodies import VerifyBody
from smki_sync.mirror.inspection import Db, StoredRow, read_authorities, read_rows
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.rows import Row
from smki_sync.mirror.signature_cache import SignatureCache, SignatureKey, signature_cache_at
from smki_sync.model.certificate import Entry, Kind
from smki_sync.model.plan import VerifyPolicy
from smki_sync.sync.job import SyncJob
from smki_sync.sync.reader_process import read_records
from smki_sync.trust.chain import Authorities, Authority, AuthorityStatus, Resolved, anchors_of, authority_of
from smki_sync.trust.profiles import FindingCode
from smki_sync.verify import Verification, VerifyJob, verify
from smki_sync.verify.inspector import authorities_in, default_threads, map_in_threads
from smki_sync.x509 import NotACertificate, examine
from smki_sync.x509.certificate import read_body

REFUSED_LIMIT: Final = 100_000
"""Maximum certificates of one full to quarantine, about 150 MB. More means that it is from another PKI."""

Learn = Callable[[], Iterable[Authority]]
"""Reads a file once more and returns its authorities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _CheckResult:
    """Result of checking rows. ``marks``: newly verified. ``unproven``: rows with an unknown issuer."""

    refused: list[tuple[StoredRow, str]]
    marks: list[int]
    unproven: int


@dataclass(slots=True)
class SignatureGate:
    """Checks the signatures of new certificates before they are served.

    ``known``: authorities in the mirror. ``anchors``: trust anchors of the operator. ``signature_cache``:
    verified signatures. ``limit``: a full with more refused certificates is rejected. ``unproven``: number
    of accepted certificates with an unknown issuer.
    """

    known: list[Authority]
    anchors: tuple[Authority, ...]
    signature_cache: SignatureCache
    threads: int = field(default_factory=default_threads)
    limit: int = REFUSED_LIMIT
    unproven: int = 0
    _authorities: Authorities = field(init=False)
    _learn: Learn | None = None
    _markers: dict[bytes, SignatureKey] = field(default_factory=dict)
    _marks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Index the known authorities."""
        self._add_authorities(())

    def open_file(self, learn: Learn) -> None:
        """Prepare for a file. ``learn`` is called at most once, when an issuer is unknown."""
        self._learn = learn

    def close_file(self) -> None:
        """Save the verified signatures of a committed file; a write error is ignored."""
        with suppress(MirrorError):
            self.signature_cache.add(self._marks)
        self._marks.clear()

    def refuse(self, row: Row) -> str | None:
        """Return why a new certificate may not be served; ``None`` if it may."""
        resolved = self._resolve(row.der)
        if not resolved.issuers and self._learn:
            self._add_authorities(self._learn())
            self._learn = None
            resolved = self._resolve(row.der)
        if resolved.issuers:
            self._marks.append(self._mark(resolved.issuers[0].body.spki, row.der))
            return None
        if _is_refused(resolved):
            return resolved.findings[0].detail
        self.unproven += 1
        return None

    def refuse_among(self, db: Db) -> Iterator[tuple[StoredRow, str]]:
        """Yield the rows of a new generation that may not be served, with the reasons."""
        self._add_authorities(authorities_in(read_authorities(db)))
        refused = 0
        for some in map_in_threads(self._check_rows, read_rows(db), self.threads):
            self._marks += some.marks
            self.unproven += some.unproven
            refused += len(some.refused)
            if refused > self.limit:
                raise BadExtract(
                    f"more than {self.limit:,} certificates of this full are not signed by their issuers",
                    hint='Keep the file and tell the DCC; `policy.verify = "off"` takes it as it is.',
                    code=Fault.TOO_MANY_REJECTED.value,
                )
            yield from some.refused

    def _check_rows(self, rows: list[StoredRow]) -> _CheckResult:
        """Check the signatures of rows that are not in the cache."""
        marks = {mark: row.id for row in rows for mark in self._candidate_marks(row.der)}
        proven = {marks[mark] for mark in self.signature_cache.known(list(marks))} if marks else set()
        done = _CheckResult(refused=[], marks=[], unproven=0)
        unproven = 0
        for row in rows:
            if row.id in proven:
                continue
            resolved = self._resolve(row.der)
            if resolved.issuers:
                done.marks.append(self._mark(resolved.issuers[0].body.spki, row.der))
            elif _is_refused(resolved):
                done.refused.append((row, resolved.findings[0].detail))
            else:
                unproven += 1
        return _CheckResult(refused=done.refused, marks=done.marks, unproven=unproven)

    def _candidate_marks(self, der: bytes) -> set[int]:
        first = self._authorities.first_choice(examine(der).facts)
        return {self._mark(one.body.spki, der) for one in first}

    def _resolve(self, der: bytes) -> Resolved:
        return self._authorities.resolve(examine(der).facts, der, read_body(der))

    def _mark(self, spki: bytes, der: bytes) -> int:
        marker = self._markers.get(spki)
        if marker is None:
            marker = self._markers[spki] = self.signature_cache.marker(spki)
        return marker(der)

    def _add_authorities(self, more: Iterable[Authority]) -> None:
        self.known += more
        self._authorities = Authorities(self.known, self.anchors, find=lambda _key_id: ())


def _is_refused(resolved: Resolved) -> bool:
    refused = (FindingCode.SIGNATURE_FALSE, FindingCode.ANCHOR_DIFFERS)
    return any(finding.code in refused for finding in resolved.findings)


def body_verifier(anchors: Iterable[bytes]) -> VerifyBody:
    """Return a function that checks a body by the authorities of the mirror (``None``: not determined)."""
    known = anchors_of(tuple(anchors))

    def verify(db: Db, der: bytes) -> bool | None:
        authorities = Authorities(authorities_in(read_authorities(db)), known, find=lambda _key_id: ())
        try:
            resolved = authorities.resolve(examine(der).facts, der, read_body(der))
        except NotACertificate:
            return None
        if resolved.issuers:
            return True
        return False if _is_refused(resolved) else None

    return verify


@contextmanager
def signature_gate(job: SyncJob, generation: Path | None) -> Iterator[SignatureGate | None]:
    """Open the signature gate for a run; ``None`` if policy.verify is off."""
    if job.verify is VerifyPolicy.OFF:
        yield None
        return
    known = _authorities_of(generation)
    with signature_cache_at(job.directory.signature_cache) as (signature_cache, lost):
        if lost:
            job.events.emit(Detail(text=f"proofs are not remembered: {lost}"))
        yield SignatureGate(known, anchors_of(job.anchors), signature_cache)


def _authorities_of(generation: Path | None) -> list[Authority]:
    """Return the authorities in the mirror; none if there is no mirror or it is damaged."""
    if generation is None:
        return []
    try:
        with open_mirror(generation) as db:
            return list(authorities_in(read_authorities(db)))
    except MirrorDamaged:  # the run rebuilds it
        return []


def verified(job: SyncJob) -> Verification | None:
    """Verify the whole mirror after a run; ``None`` unless policy.verify is all."""
    if job.verify is not VerifyPolicy.ALL:
        return None
    at = datetime.combine(job.today, job.clock().timetz())
    return verify(
        VerifyJob(directory=job.directory, at=at, anchors=job.anchors, events=job.events, clock=job.clock)
    )


def authorities_in_file(job: SyncJob, fetched: DownloadedFile) -> Iterator[Authority]:
    """Read a whole file, and yield its authorities."""

    def ignore_progress(_records: int, _done: int) -> None:
        """Ignore progress: it is reported when the file is applied."""

    for record in read_records(fetched, job.limits, ignore_progress, lambda _near: None):
        if isinstance(record, Entry) and record.facts.kind in (Kind.OCA, Kind.DCA):
            yield authority_of(record.der, AuthorityStatus.IN_USE)
