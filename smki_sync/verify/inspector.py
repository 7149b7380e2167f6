"""Verify rows; results; explain one certificate."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import islice
from typing import Final, TypeVar

from smki_sync.mirror.inspection import (
    Db,
    StoredRow,
    find_by_key_id,
    lists_revoking,
    quarantined_bodies,
    read_authorities,
    read_row,
)
from smki_sync.mirror.integrity import CheckedPart, CountCheck, Damage
from smki_sync.mirror.queries import Certificate
from smki_sync.mirror.schema import KINDS
from smki_sync.mirror.signature_cache import Marker, SignatureCache
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
from smki_sync.trust.profiles import CheckStep, FindingCode, Severity, TrustFinding
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import Body, read_body

BATCH: Final = 256
"""Things that a thread takes at a time: some 20 ms of work, so that handing it over costs little."""

Thing = TypeVar("Thing")
Done = TypeVar("Done")


def default_threads() -> int:
    """Two a core: while OpenSSL proves a signature, another thread can have the interpreter."""
    return 2 * len(os.sched_getaffinity(0))


def map_in_threads(
    work: Callable[[list[Thing]], Done], things: Iterator[Thing], threads: int
) -> Iterator[Done]:
    """What the work on each batch gives, in the order of the batches."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
    waiting: deque[Future[Done]] = deque()
    try:
        while some := list(islice(things, BATCH)):
            waiting.append(pool.submit(work, some))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


EXAMPLES: Final = 20
"""Findings of one code that are reported one by one; all are counted, and all can be written to a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCertificate:
    """Whose certificate a finding is about. ``kind``: as in the view; ``name``: empty for devices."""

    kind: str
    eui: str | None
    name: str
    serial: str
    issuer: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProblem:
    """One finding against one certificate."""

    subject: CheckedCertificate
    finding: TrustFinding


@dataclass(slots=True)
class Tally:
    """What some certificates came to.

    ``checked``: how many. ``proven``: signatures worked out; ``remembered``: signatures known from before.
    ``anchored``: certificates whose chain ends at an anchor. ``faulty``: certificates with an error;
    ``odd``: with a warning and no error. ``counts``: findings by code. ``found``: the findings.
    """

    checked: int = 0
    proven: int = 0
    remembered: int = 0
    anchored: int = 0
    faulty: int = 0
    odd: int = 0
    counts: Counter[FindingCode] = field(default_factory=Counter)
    found: list[FoundProblem] = field(default_factory=list)

    def take(self, subject: CheckedCertificate, findings: Iterable[TrustFinding]) -> None:
        """Count the findings against one certificate."""
        errors = warnings = 0
        for finding in findings:
            self.counts[finding.code] += 1
            self.found.append(FoundProblem(subject=subject, finding=finding))
            errors += finding.is_error
            warnings += not finding.is_error
        self.faulty += errors > 0
        self.odd += errors == 0 and warnings > 0

    def merge(self, other: "Tally") -> None:
        """Add what other certificates came to; of their findings only the first of each code are kept."""
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
    """One verification of a mirror.

    ``at``: the time that dates were judged by. ``position``: of the mirror. ``anchors``: how many are
    trusted. ``aspects``: what of the mirror was held against itself; ``damages``: what was found there.
    ``kept``: whether proofs are remembered. ``seconds``: how long it took.
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
        """Findings that are errors."""
        return self._of(Severity.ERROR)

    @property
    def warnings(self) -> int:
        """Findings that are warnings."""
        return self._of(Severity.WARNING)

    @property
    def is_sound(self) -> bool:
        """Whether nothing speaks against the mirror or a certificate in it."""
        return not self.damages and not self.errors

    def _of(self, severity: Severity) -> int:
        return sum(n for code, n in self.tally.counts.items() if code.severity is severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What some rows came to. ``marks``: of signatures that were proven just now."""

    rows: int
    tally: Tally
    recount: CountCheck
    marks: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A row and what its certificate says; ``marks``: by the keys that are tried first."""

    row: StoredRow
    facts: Facts
    body: Body
    marks: Mapping[int, bytes]


@dataclass(slots=True)
class Inspector:
    """``judge``: knows authorities, anchors and time. ``afresh``: what is remembered is not asked."""

    judge: ChainValidator
    proofs: SignatureCache
    any_status: bool = False
    afresh: bool = False
    _markers: dict[bytes, Marker] = field(default_factory=dict)

    def inspect(self, rows: Sequence[StoredRow]) -> Inspected:
        """Take some rows through all steps."""
        tally, recount = Tally(), CountCheck()
        read: list[_Read] = []
        for row in rows:
            recount.take(row)
            if row.in_use or self.any_status:
                tally.checked += 1
                self._read(row, read, tally)
        marks = [mark for one in read for mark in one.marks]
        known = self.proofs.known(marks) if marks and not self.afresh else set()
        fresh = [mark for one in read for mark in self._judge(one, known, tally)]
        return Inspected(rows=len(rows), tally=tally, recount=recount, marks=fresh)

    def _read(self, row: StoredRow, read: list[_Read], tally: Tally) -> None:
        try:
            facts, body = read_facts(row.der), read_body(row.der)
        except ValueError as exc:
            tally.take(subject_of(row), (TrustFinding(FindingCode.NOT_A_CERTIFICATE, str(exc)),))
            return
        keys = {one.body.spki for one in self.judge.authorities.first_choice(facts)}
        marks = {self._marker(spki)(row.der): spki for spki in keys}
        read.append(_Read(row=row, facts=facts, body=body, marks=marks))

    def _judge(self, one: _Read, known: set[int], tally: Tally) -> Iterator[int]:
        """Judge one certificate; gives the mark of its signature where that was proven just now."""
        row = one.row
        remembered = next((spki for mark, spki in one.marks.items() if mark in known), None)
        verdict = self._verdict(one, remembered)
        findings = [*verdict.findings, *differences(row, one.facts)]
        if findings:
            tally.take(subject_of(row), findings)
        tally.anchored += verdict.anchored
        if verdict.signed and remembered:
            tally.remembered += 1
        elif verdict.signed:
            tally.proven += 1
            yield self._marker(verdict.links[0].body.spki)(row.der)

    def _verdict(self, one: _Read, remembered: bytes | None) -> ChainVerdict:
        """``remembered``: the key that is known to have signed, so that no other can have."""

        def knows(authority: Authority, _der: bytes, _body: Body) -> bool:
            return authority.body.spki == remembered

        proves = check_signature if remembered is None else knows
        return self.judge.validate(one.facts, one.row.der, one.body, proves)

    def _marker(self, spki: bytes) -> Marker:
        marker = self._markers.get(spki)
        if marker is None:
            marker = self._markers[spki] = self.proofs.marker(spki)
        return marker


def subject_of(row: StoredRow) -> CheckedCertificate:
    """Whose certificate a row holds."""
    return CheckedCertificate(
        kind=KINDS[row.kind].value if 0 <= row.kind < len(KINDS) else str(row.kind),
        eui=row.eui,
        name=row.subject or "",
        serial=row.serial,
        issuer=row.issuer,
        status=row.status,
    )


def differences(row: StoredRow, facts: Facts) -> list[TrustFinding]:
    """What the row says otherwise than its certificate; where that is silent, the row holds a claim."""
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
            FindingCode.ROW_DIFFERS, f"column {name} says {held!r:.40}, the certificate {said!r:.40}"
        )
        for name, held, said in pairs
        if held != said
    ]


_RECORD_RULE = "Appendix O 2.3.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainAnswer:
    """One step. ``good``: ``None`` where it speaks neither for nor against. ``rule``: where it stands."""

    question: str
    good: bool | None
    words: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a certificate is or is not usable. ``at``: the time that dates were judged by."""

    at: datetime
    answers: tuple[ExplainAnswer, ...]

    @property
    def is_usable(self) -> bool:
        """Whether no step speaks against it."""
        return all(answer.good is not False for answer in self.answers)


def explain(db: Db, judge: ChainValidator, c: Certificate) -> Explanation:
    """Take one certificate through every step."""
    at = datetime.fromtimestamp(judge.at, UTC)
    answers = (_status(c), _listed(c), _revocation(db, c), _quarantine(db, c), *_chain(db, judge, c))
    return Explanation(at=at, answers=answers)


def _status(c: Certificate) -> ExplainAnswer:
    said = f"{Status(c.status).words} ({c.status}) since {c.last_changed}, by {c.file}"
    return ExplainAnswer(
        question="the Repository says In-Use",
        good=c.status == Status.IN_USE,
        words=said,
        rule="Appendix M, CertificateStatus",
    )


def _listed(c: Certificate) -> ExplainAnswer:
    gone = f"the full of {c.withdrawn} no longer lists it"
    known = f"first seen {c.first_seen}; no full since has left it out"
    return ExplainAnswer(
        question="it has not been withdrawn",
        good=c.withdrawn is None,
        words=gone if c.withdrawn else known,
        rule=_RECORD_RULE,
    )


def _revocation(db: Db, c: Certificate) -> ExplainAnswer:
    lists = lists_revoking(db, c.serial, c.issuer)
    told = "; ".join(
        f"{one.kind.upper()} {one.file}{f' number {one.number}' if one.number else ''} revokes it since"
        f" {one.since}{f' ({one.reason})' if one.reason else ''}"
        for one in lists
    )
    none = "no list that is held names it"
    if c.kind == "device":
        none = "no list exists for devices"
    return ExplainAnswer(
        question="no list revokes it",
        good=not lists and c.revoked is None,
        words=told or none,
        rule=f"{_RECORD_RULE}, RFC 5280 6.3",
    )


def _quarantine(db: Db, c: Certificate) -> ExplainAnswer:
    """A record that was set aside speaks against nothing that is served; it may be what is missed."""
    aside = quarantined_bodies(db, c.serial)
    told = "; ".join(f"{one.file}, record {one.number}: {one.reason}" for one in aside)
    return ExplainAnswer(
        question="nothing of it lies in the quarantine",
        good=None if aside else True,
        words=told or "nothing",
        rule="",
    )


def _chain(db: Db, judge: ChainValidator, c: Certificate) -> Iterator[ExplainAnswer]:
    try:
        facts = read_facts(c.der)
        verdict = judge.validate(facts, c.der, read_body(c.der))
    except ValueError as exc:
        yield ExplainAnswer(
            question=CheckStep.STRUCTURE.words, good=False, words=str(exc), rule=CheckStep.STRUCTURE.rule
        )
        return
    row = read_row(db, c.serial, c.issuer)
    found = [*verdict.findings, *(differences(row, facts) if row else ())]
    for step in CheckStep:
        yield _of_step(judge, c, replace(verdict, findings=tuple(found)), step)


def _of_step(judge: ChainValidator, c: Certificate, verdict: ChainVerdict, step: CheckStep) -> ExplainAnswer:
    found = [finding for finding in verdict.findings if finding.code.step is step]
    if found:
        good: bool | None = not any(finding.is_error for finding in found)
        told = [f"{f.code}: {f.code.words}{f' ({f.detail})' if f.detail else ''}" for f in found]
        return ExplainAnswer(question=step.words, good=good, words="; ".join(told), rule=step.rule)
    good, words = _without_findings(judge, c, verdict, step)
    return ExplainAnswer(question=step.words, good=good, words=words, rule=step.rule)


def _without_findings(
    judge: ChainValidator, c: Certificate, verdict: ChainVerdict, step: CheckStep
) -> tuple[bool | None, str]:
    if step is CheckStep.VALIDITY:
        return True, f"from {c.not_before} to {c.not_after}"
    if step is CheckStep.ANCHOR:
        return _end(judge, verdict)
    if step not in (CheckStep.ISSUER, CheckStep.SIGNATURE, CheckStep.AUTHORITY):
        return True, "as it should be"
    if verdict.links:
        return True, verdict.links[0].label
    return (True, "it is a trust anchor") if verdict.anchored else (None, "cannot be told")


def _end(judge: ChainValidator, verdict: ChainVerdict) -> tuple[bool | None, str]:
    """Where the chain ends, if nothing is wrong with that."""
    chain = " under ".join(link.label for link in verdict.links)
    if verdict.anchored:
        return True, chain or "it is a trust anchor itself"
    if judge.authorities.has_anchors:
        return None, "cannot be told"
    return None, f"trust.anchors is not configured: nothing is anchored{f'; {chain}' if chain else ''}"


def chain_validator(
    db: Db, anchors: Iterable[bytes], at: datetime, *, among_end_entities: bool = True
) -> ChainValidator:
    """The judge over what ``db`` holds. ``anchors``: trust anchors as DER.

    ``among_end_entities``: whether an issuer that is no authority is looked for, to name it: that may cost
    a pass through the mirror.
    """

    def find(key_id: KeyId) -> Iterator[Authority]:
        return authorities_in(find_by_key_id(db, key_id) if among_end_entities else ())

    held = authorities_in(read_authorities(db))
    return ChainValidator(Authorities(held, anchors_of(anchors), find=find), int(at.timestamp()))


def authorities_in(rows: Iterable[StoredRow]) -> Iterator[Authority]:
    """Rows as issuers; one whose certificate cannot be read issues nothing, and has a finding of its own."""
    for row in rows:
        try:
            yield authority_of(row.der, _standing(row))
        except ValueError:
            continue


def _standing(row: StoredRow) -> AuthorityStatus:
    if row.in_use:
        return AuthorityStatus.IN_USE
    is_revoked = row.status == Status.REVOKED or row.revoked is not None
    return AuthorityStatus.REVOKED if is_revoked else AuthorityStatus.NOT_IN_USE
