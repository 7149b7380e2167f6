"""Verify rows of a mirror against their certificates and chains; the results."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import Final, TypeVar

from smki_sync.mirror.inspection import (
    Db,
    StoredRow,
    find_by_key_id,
    read_authorities,
)
from smki_sync.mirror.integrity import CheckedPart, CountCheck, Damage
from smki_sync.mirror.schema import KINDS
from smki_sync.mirror.signature_cache import SignatureCache, SignatureKey
from smki_sync.model.certificate import Facts, KeyId, Status
from smki_sync.trust.chain import (
    Authorities,
    Authority,
    AuthorityStatus,
    ChainValidator,
    ChainVerdict,
    anchors_of,
    authority_of,
    check_signature,
)
from smki_sync.trust.profiles import FindingCode, Severity, TrustFinding
from smki_sync.x509.certificate import Body, read_certificate

BATCH: Final = 256
"""Items per task of a thread: about 20 ms of work, so that the overhead is small."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_threads() -> int:
    """Return two per core: while OpenSSL verifies a signature, another thread can use the interpreter."""
    return 2 * len(os.sched_getaffinity(0))


def map_in_threads(
    work: Callable[[list[Item]], Result], items: Iterator[Item], threads: int
) -> Iterator[Result]:
    """Yield the result of ``work`` for each batch, in the order of the batches."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
    waiting: deque[Future[Result]] = deque()
    try:
        while batch := list(islice(items, BATCH)):
            waiting.append(pool.submit(work, batch))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


EXAMPLES: Final = 20
"""Findings per code that are reported one by one; all are counted, and all can be written to a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCertificate:
    """The certificate of a finding. ``kind``: as in the view; ``name``: empty for devices."""

    kind: str
    eui: str | None
    name: str
    serial: str
    issuer: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProblem:
    """One finding about one certificate."""

    subject: CheckedCertificate
    finding: TrustFinding


@dataclass(slots=True)
class Tally:
    """The result for some certificates.

    ``checked``: their number. ``proven``: signatures verified now; ``remembered``: signatures from the cache.
    ``anchored``: certificates whose chain ends at a trust anchor. ``faulty``: certificates with an error;
    ``odd``: with a warning but no error. ``counts``: findings by code. ``found``: the findings.
    """

    checked: int = 0
    proven: int = 0
    remembered: int = 0
    anchored: int = 0
    faulty: int = 0
    odd: int = 0
    counts: Counter[FindingCode] = field(default_factory=Counter)
    found: list[FoundProblem] = field(default_factory=list)

    def add(self, subject: CheckedCertificate, findings: Iterable[TrustFinding]) -> None:
        """Count the findings about one certificate."""
        errors = warnings = 0
        for finding in findings:
            self.counts[finding.code] += 1
            self.found.append(FoundProblem(subject=subject, finding=finding))
            errors += finding.is_error
            warnings += not finding.is_error
        self.faulty += errors > 0
        self.odd += errors == 0 and warnings > 0

    def merge(self, other: "Tally") -> None:
        """Add the result for other certificates; only the first findings of each code are kept."""
        for one in other.found:
            self.counts[one.finding.code] += 1
            if self.counts[one.finding.code] <= EXAMPLES:
                self.found.append(one)
        self.checked += other.checked
        self.proven += other.proven
        self.remembered += other.remembered
        self.anchored += other.anchored
        self.faulty += other.faulty
        self.odd += other.odd


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result of one verification of a mirror.

    ``at``: the time for which validity was checked. ``position``: of the mirror. ``anchors``: number of trust
    anchors. ``aspects``: parts of the mirror that were checked; ``damages``: damage found there.
    ``kept``: whether verified signatures are cached. ``seconds``: duration.
    """

    at: datetime
    position: date
    anchors: int
    sample: int | None
    any_status: bool
    tally: Tally
    aspects: tuple[CheckedPart, ...] = ()
    damages: tuple[Damage, ...] = ()
    kept: bool = True
    seconds: float = 0.0

    @property
    def errors(self) -> int:
        """Number of errors."""
        return self._count_of(Severity.ERROR)

    @property
    def warnings(self) -> int:
        """Number of warnings."""
        return self._count_of(Severity.WARNING)

    @property
    def is_sound(self) -> bool:
        """Whether there is no damage and no error."""
        return not self.damages and not self.errors

    def _count_of(self, severity: Severity) -> int:
        return sum(n for code, n in self.tally.counts.items() if code.severity is severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectedRows:
    """The result for some rows. ``marks``: cache keys of the signatures that were verified now."""

    rows: int
    tally: Tally
    recount: CountCheck
    marks: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ParsedRow:
    """A row and its certificate. ``marks``: cache keys, with the public key that each belongs to."""

    row: StoredRow
    facts: Facts
    body: Body
    marks: Mapping[int, bytes]


@dataclass(slots=True)
class Inspector:
    """Verifies rows. ``validator``: knows authorities and time. ``afresh``: do not read the cache."""

    validator: ChainValidator
    cache: SignatureCache
    any_status: bool = False
    afresh: bool = False
    _markers: dict[bytes, SignatureKey] = field(default_factory=dict)

    def inspect(self, rows: Sequence[StoredRow]) -> InspectedRows:
        """Verify some rows in every step."""
        tally, recount = Tally(), CountCheck()
        parsed: list[_ParsedRow] = []
        for row in rows:
            recount.take(row)
            if row.in_use or self.any_status:
                tally.checked += 1
                self._parse(row, parsed, tally)
        marks = [mark for one in parsed for mark in one.marks]
        known = self.cache.known(marks) if marks and not self.afresh else set()
        fresh = [mark for one in parsed for mark in self._validate(one, known, tally)]
        return InspectedRows(rows=len(rows), tally=tally, recount=recount, marks=fresh)

    def _parse(self, row: StoredRow, parsed: list[_ParsedRow], tally: Tally) -> None:
        try:
            facts, body = read_certificate(row.der)
        except ValueError as exc:
            tally.add(subject_of(row), (TrustFinding(FindingCode.NOT_A_CERTIFICATE, str(exc)),))
            return
        keys = {one.body.spki for one in self.validator.authorities.first_choice(facts)}
        marks = {self._marker(spki)(row.der): spki for spki in keys}
        parsed.append(_ParsedRow(row=row, facts=facts, body=body, marks=marks))

    def _validate(self, one: _ParsedRow, known: set[int], tally: Tally) -> Iterator[int]:
        """Validate one certificate; yield the cache key of its signature if it was verified now."""
        row = one.row
        remembered = next((spki for mark, spki in one.marks.items() if mark in known), None)
        verdict = self._verdict(one, remembered)
        findings = [*verdict.findings, *differences(row, one.facts)]
        if findings:
            tally.add(subject_of(row), findings)
        tally.anchored += verdict.anchored
        if verdict.signed and remembered:
            tally.remembered += 1
        elif verdict.signed:
            tally.proven += 1
            yield self._marker(verdict.links[0].body.spki)(row.der)

    def _verdict(self, one: _ParsedRow, remembered: bytes | None) -> ChainVerdict:
        """``remembered``: the key that is known to have made the signature."""

        def is_cached(authority: Authority, _der: bytes, _body: Body) -> bool:
            return authority.body.spki == remembered

        verifies = check_signature if remembered is None else is_cached
        return self.validator.validate(one.facts, one.row.der, one.body, verifies)

    def _marker(self, spki: bytes) -> SignatureKey:
        marker = self._markers.get(spki)
        if marker is None:
            marker = self._markers[spki] = self.cache.marker(spki)
        return marker


def subject_of(row: StoredRow) -> CheckedCertificate:
    """Return the subject of a row."""
    return CheckedCertificate(
        kind=KINDS[row.kind].value if 0 <= row.kind < len(KINDS) else str(row.kind),
        eui=row.eui,
        name=row.subject or "",
        serial=row.serial,
        issuer=row.issuer,
        status=row.status,
    )


def differences(row: StoredRow, facts: Facts) -> list[TrustFinding]:
    """Return the differences between a row and its certificate; other values may come from claims."""
    pairs: tuple[tuple[str, object, object], ...] = (
        ("serial", row.serial, facts.serial),
        ("issuer", row.issuer, facts.issuer),
        ("subject", row.subject or "", facts.subject),
        ("kind", row.kind, KINDS.index(facts.kind)),
        ("not_before", row.not_before, facts.not_before),
        ("not_after", row.not_after, facts.not_after),
        ("ski", row.ski, facts.ski),
        ("eui", row.eui, facts.eui or row.eui),
        ("role", row.role, row.role if facts.role is None else facts.role),
        ("usage", row.usage, facts.usage or row.usage),
    )
    return [
        TrustFinding(
            FindingCode.ROW_DIFFERS,
            f"column {name} is {stored!r:.40}, but the certificate has {expected!r:.40}",
        )
        for name, stored, expected in pairs
        if stored != expected
    ]


def chain_validator(
    db: Db, anchors: Iterable[bytes], at: datetime, *, among_end_entities: bool = True
) -> ChainValidator:
    """Return the chain validator for a mirror. ``anchors``: trust anchors as DER.

    ``among_end_entities``: also search for an issuer that is not an authority, to name it. This may read
    every row.
    """

    def find(key_id: KeyId) -> Iterator[Authority]:
        return authorities_in(find_by_key_id(db, key_id) if among_end_entities else ())

    stored = authorities_in(read_authorities(db))
    return ChainValidator(Authorities(stored, anchors_of(anchors), find=find), int(at.timestamp()))


def authorities_in(rows: Iterable[StoredRow]) -> Iterator[Authority]:
    """Yield rows as issuers; a certificate that cannot be read has a finding of its own and is left out."""
    for row in rows:
        try:
            yield authority_of(row.der, _authority_status(row))
        except ValueError:
            continue


def _authority_status(row: StoredRow) -> AuthorityStatus:
    if row.in_use:
        return AuthorityStatus.IN_USE
    is_revoked = row.status == Status.REVOKED or row.revoked is not None
    return AuthorityStatus.REVOKED if is_revoked else AuthorityStatus.NOT_IN_USE
