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
from smki_sync.mirror.signature_cache import Marker, SignatureCache, signature_cache_at
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
"""Certificates of one full that may be refused: some 150 MB of evidence; more is no slip but another PKI."""

Learn = Callable[[], Iterable[Authority]]
"""Gives the authorities that a file brings, by reading it once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProvenIssuers:
    """What some rows came to. ``marks``: proven just now; ``unproven``: of unknown issuers."""

    refused: list[tuple[StoredRow, str]]
    marks: list[int]
    unproven: int


@dataclass(slots=True)
class SignatureGate:
    """``known``: authorities of the mirror. ``anchors``: those of the operator.

    ``limit``: how many of a full may be refused before it is refused as a whole. ``unproven``:
    certificates that came in although their issuer is not known.
    """

    known: list[Authority]
    anchors: tuple[Authority, ...]
    proofs: SignatureCache
    threads: int = field(default_factory=default_threads)
    limit: int = REFUSED_LIMIT
    unproven: int = 0
    _authorities: Authorities = field(init=False)
    _learn: Learn | None = None
    _markers: dict[bytes, Marker] = field(default_factory=dict)
    _marks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Know those of the mirror."""
        self._acquaint(())

    def open_file(self, learn: Learn) -> None:
        """A file is about to be applied; ``learn`` is asked once, and only if an issuer is not known."""
        self._learn = learn

    def close_file(self) -> None:
        """What was applied is committed: remember what was proven, if that can be written."""
        with suppress(MirrorError):
            self.proofs.add(self._marks)
        self._marks.clear()

    def refuse(self, row: Row) -> str | None:
        """Say why a certificate may not come in; ``None`` where it may."""
        resolved = self._resolve(row.der)
        if not resolved.issuers and self._learn:
            self._acquaint(self._learn())
            self._learn = None
            resolved = self._resolve(row.der)
        if resolved.issuers:
            self._marks.append(self._mark(resolved.issuers[0].body.spki, row.der))
            return None
        if _is_false(resolved):
            return resolved.findings[0].detail
        self.unproven += 1
        return None

    def refuse_among(self, db: Db) -> Iterator[tuple[StoredRow, str]]:
        """Every row of a generation in the making that may not stay, with the reason."""
        self._acquaint(authorities_in(read_authorities(db)))
        refused = 0
        for some in map_in_threads(self._prove, read_rows(db), self.threads):
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

    def _prove(self, rows: list[StoredRow]) -> _ProvenIssuers:
        """Prove some rows, but for those that are remembered."""
        marks = {mark: row.id for row in rows for mark in self._first_marks(row.der)}
        proven = {marks[mark] for mark in self.proofs.known(list(marks))} if marks else set()
        done = _ProvenIssuers(refused=[], marks=[], unproven=0)
        unproven = 0
        for row in rows:
            if row.id in proven:
                continue
            resolved = self._resolve(row.der)
            if resolved.issuers:
                done.marks.append(self._mark(resolved.issuers[0].body.spki, row.der))
            elif _is_false(resolved):
                done.refused.append((row, resolved.findings[0].detail))
            else:
                unproven += 1
        return _ProvenIssuers(refused=done.refused, marks=done.marks, unproven=unproven)

    def _first_marks(self, der: bytes) -> set[int]:
        first = self._authorities.first_choice(examine(der).facts)
        return {self._mark(one.body.spki, der) for one in first}

    def _resolve(self, der: bytes) -> Resolved:
        return self._authorities.resolve(examine(der).facts, der, read_body(der))

    def _mark(self, spki: bytes, der: bytes) -> int:
        marker = self._markers.get(spki)
        if marker is None:
            marker = self._markers[spki] = self.proofs.marker(spki)
        return marker(der)

    def _acquaint(self, more: Iterable[Authority]) -> None:
        self.known += more
        self._authorities = Authorities(self.known, self.anchors, find=lambda _key_id: ())


def _is_false(resolved: Resolved) -> bool:
    refused = (FindingCode.SIGNATURE_FALSE, FindingCode.ANCHOR_DIFFERS)
    return any(finding.code in refused for finding in resolved.findings)


def body_verifier(anchors: Iterable[bytes]) -> VerifyBody:
    """Return what decides between two bodies of one certificate: by the authorities of the mirror."""
    known = anchors_of(tuple(anchors))

    def verify(db: Db, der: bytes) -> bool | None:
        authorities = Authorities(authorities_in(read_authorities(db)), known, find=lambda _key_id: ())
        try:
            resolved = authorities.resolve(examine(der).facts, der, read_body(der))
        except NotACertificate:
            return None
        if resolved.issuers:
            return True
        return False if _is_false(resolved) else None

    return verify


@contextmanager
def signature_gate(job: SyncJob, generation: Path | None) -> Iterator[SignatureGate | None]:
    """Who is asked during a run; ``None`` where the operator wants nobody asked."""
    if job.verify is VerifyPolicy.OFF:
        yield None
        return
    known = _authorities_of(generation)
    with signature_cache_at(job.directory.proofs) as (proofs, lost):
        if lost:
            job.hear.hear(Detail(text=f"proofs are not remembered: {lost}"))
        yield SignatureGate(known, anchors_of(job.anchors), proofs)


def _authorities_of(generation: Path | None) -> list[Authority]:
    """Authorities that the mirror holds; none where there is none, or where it cannot be read."""
    if generation is None:
        return []
    try:
        with open_mirror(generation) as db:
            return list(authorities_in(read_authorities(db)))
    except MirrorDamaged:  # it is about to be built anew
        return []


def verified(job: SyncJob) -> Verification | None:
    """The whole mirror, verified after a run, where the operator asks for that."""
    if job.verify is not VerifyPolicy.ALL:
        return None
    at = datetime.combine(job.today, job.clock().timetz())
    return verify(
        VerifyJob(directory=job.directory, at=at, anchors=job.anchors, hear=job.hear, clock=job.clock)
    )


def authorities_in_file(job: SyncJob, fetched: DownloadedFile) -> Iterator[Authority]:
    """Authorities that a file brings, by reading it to its end."""

    def told(_records: int, _done: int) -> None:
        """Nobody is told: the file is read again, and then somebody is."""

    for record in read_records(fetched, job.limits, told, lambda _near: None):
        if isinstance(record, Entry) and record.facts.kind in (Kind.OCA, Kind.DCA):
            yield authority_of(record.der, AuthorityStatus.IN_USE)
