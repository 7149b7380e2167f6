"""Explain step by step why one certificate is usable or not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from smki_sync.mirror.inspection import Db, lists_revoking, quarantined_bodies, read_row
from smki_sync.mirror.queries import Certificate
from smki_sync.model.certificate import Status
from smki_sync.trust.chain import ChainValidator, ChainVerdict
from smki_sync.trust.profiles import CheckStep
from smki_sync.usability import (
    RevocationState,
    UnusableReason,
    revoked_issuer_text,
    unknown_revocation_text,
)
from smki_sync.verify.inspector import differences
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import read_body

_RECORD_RULE = "Appendix O 2.3.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainAnswer:
    """One step. ``good``: ``None`` if it does not decide. ``rule``: its source."""

    question: str
    good: bool | None
    words: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a certificate is or is not usable. ``at``: the time for which validity was checked.

    ``unusable``: the reason of :mod:`smki_sync.usability`, or that a signature of the chain is false.
    """

    at: datetime
    answers: tuple[ExplainAnswer, ...]
    unusable: UnusableReason | None

    @property
    def is_usable(self) -> bool:
        """Whether the rule calls it usable, and no step fails."""
        return self.unusable is None and all(answer.good is not False for answer in self.answers)


def explain(db: Db, validator: ChainValidator, c: Certificate) -> Explanation:
    """Explain one certificate, step by step. The validator and ``c`` are of the same time."""
    at = datetime.fromtimestamp(validator.at, UTC)
    chain = tuple(_chain(db, validator, c))
    steps = (_status(c), _listed(c), _revocation(db, c), *_known(c), _issuer(c), _quarantine(db, c))
    is_false = any(one.question == CheckStep.SIGNATURE.words and one.good is False for one in chain)
    reason = c.unusable or (UnusableReason.SIGNATURE_FALSE if is_false else None)
    return Explanation(at=at, answers=(*steps, *chain), unusable=reason)


def _status(c: Certificate) -> ExplainAnswer:
    status = f"{Status(c.status).words} ({c.status}) since {c.last_changed}, by {c.file}"
    return ExplainAnswer(
        question="status In-Use",
        good=c.status == Status.IN_USE,
        words=status,
        rule="Appendix M, CertificateStatus",
    )


def _listed(c: Certificate) -> ExplainAnswer:
    withdrawn = f"not in the full extract of {c.withdrawn}"
    listed = f"first seen {c.first_seen}, in every full extract since"
    return ExplainAnswer(
        question="not withdrawn",
        good=c.withdrawn is None,
        words=withdrawn if c.withdrawn else listed,
        rule=_RECORD_RULE,
    )


def _revocation(db: Db, c: Certificate) -> ExplainAnswer:
    lists = lists_revoking(db, c.serial, c.issuer)
    revocations = "; ".join(
        f"{one.kind.upper()} {one.file}{f' number {one.number}' if one.number else ''} revoked it on"
        f" {one.since}{f' ({one.reason})' if one.reason else ''}"
        for one in lists
    )
    nothing = "there is no list for devices" if c.kind == "device" else "it is on no list in force"
    return ExplainAnswer(
        question="not revoked",
        good=not lists and c.revoked is None,
        words=revocations or nothing,
        rule=f"{_RECORD_RULE}, RFC 5280 6.3",
    )


def _known(c: Certificate) -> Iterator[ExplainAnswer]:
    """If no list tells whether it is revoked, the policy decides."""
    if c.revocation is None:
        return
    known = c.revocation is not RevocationState.UNKNOWN
    until = f"until {c.revocation_until}" if c.revocation_until else "by a list or its status"
    yield ExplainAnswer(
        question="revocation known",
        good=known or (False if c.unusable is UnusableReason.REVOCATION_UNKNOWN else None),
        words=until if known else f"unknown: {unknown_revocation_text(c)}",
        rule="RFC 5280 6.3, policy.stale_lists",
    )


def _issuer(c: Certificate) -> ExplainAnswer:
    return ExplainAnswer(
        question="issuer not revoked",
        good=c.issuer_revoked is None,
        words=revoked_issuer_text(c) if c.issuer_revoked else "no authority above it is revoked",
        rule="RFC 5280 6.1.3",
    )


def _quarantine(db: Db, c: Certificate) -> ExplainAnswer:
    """A quarantined record does not make a certificate unusable, but it may be the record that is missed."""
    records = quarantined_bodies(db, c.serial)
    listed = "; ".join(f"{one.file}, record {one.number}: {one.reason}" for one in records)
    return ExplainAnswer(
        question="no quarantined record",
        good=None if records else True,
        words=listed or "none",
        rule="",
    )


def _chain(db: Db, validator: ChainValidator, c: Certificate) -> Iterator[ExplainAnswer]:
    try:
        facts = read_facts(c.der)
        verdict = validator.validate(facts, c.der, read_body(c.der))
    except ValueError as exc:
        yield ExplainAnswer(
            question=CheckStep.STRUCTURE.words, good=False, words=str(exc), rule=CheckStep.STRUCTURE.rule
        )
        return
    row = read_row(db, c.serial, c.issuer)
    found = [*verdict.findings, *(differences(row, facts) if row else ())]
    for step in CheckStep:
        yield _of_step(validator, c, replace(verdict, findings=tuple(found)), step)


def _of_step(
    validator: ChainValidator, c: Certificate, verdict: ChainVerdict, step: CheckStep
) -> ExplainAnswer:
    found = [finding for finding in verdict.findings if finding.code.step is step]
    if found:
        good: bool | None = not any(finding.is_error for finding in found)
        texts = [f"{f.code}: {f.code.words}{f' ({f.detail})' if f.detail else ''}" for f in found]
        return ExplainAnswer(question=step.words, good=good, words="; ".join(texts), rule=step.rule)
    good, words = _without_findings(validator, c, verdict, step)
    return ExplainAnswer(question=step.words, good=good, words=words, rule=step.rule)


def _without_findings(
    validator: ChainValidator, c: Certificate, verdict: ChainVerdict, step: CheckStep
) -> tuple[bool | None, str]:
    if step is CheckStep.VALIDITY:
        return True, f"from {c.not_before} to {c.not_after}"
    if step is CheckStep.ANCHOR:
        return _end(validator, verdict)
    if step not in (CheckStep.ISSUER, CheckStep.SIGNATURE, CheckStep.AUTHORITY):
        return True, "correct"
    if verdict.links:
        return True, verdict.links[0].label
    return (True, "it is a trust anchor") if verdict.anchored else (None, "not determined")


def _end(validator: ChainValidator, verdict: ChainVerdict) -> tuple[bool | None, str]:
    """Return where the chain ends, if that has no finding."""
    chain = " under ".join(link.label for link in verdict.links)
    if verdict.anchored:
        return True, chain or "it is a trust anchor"
    if validator.authorities.has_anchors:
        return None, "not determined"
    return None, f"trust.anchors is not configured{f'; {chain}' if chain else ''}"
