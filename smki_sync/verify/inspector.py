"""One certificate, step by step: why it is or is not usable at a time.

For: ``show --explain``. What the Repository says of it comes first, then what its own octets and its chain
say (:mod:`smki_sync.trust`). Every step has an answer, also where one before it says no. Refuses: to decide
for anybody; without anchors it says that nothing is anchored, and leaves that open.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from smki_sync.mirror.explain import lists_revoking, records_aside
from smki_sync.mirror.held import Db, read_row
from smki_sync.mirror.queries.row import Certificate
from smki_sync.model.certificate import Status
from smki_sync.trust.chain import Judge, Verdict
from smki_sync.trust.findings import Step
from smki_sync.verify.inspect import differences
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import read_body

_RECORD_RULE = "Appendix O 2.3.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One step. ``good``: ``None`` where it speaks neither for nor against. ``rule``: where it stands."""

    question: str
    good: bool | None
    words: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a certificate is or is not usable. ``at``: the time that dates were judged by."""

    at: datetime
    answers: tuple[Answer, ...]

    @property
    def is_usable(self) -> bool:
        """Whether no step speaks against it."""
        return all(answer.good is not False for answer in self.answers)


def explain(db: Db, judge: Judge, c: Certificate) -> Explanation:
    """Take one certificate through every step."""
    at = datetime.fromtimestamp(judge.at, UTC)
    answers = (_status(c), _listed(c), _revocation(db, c), _quarantine(db, c), *_chain(db, judge, c))
    return Explanation(at=at, answers=answers)


def _status(c: Certificate) -> Answer:
    said = f"{Status(c.status).words} ({c.status}) since {c.last_changed}, by {c.file}"
    return Answer(
        question="the Repository says In-Use",
        good=c.status == Status.IN_USE,
        words=said,
        rule="Appendix M, CertificateStatus",
    )


def _listed(c: Certificate) -> Answer:
    gone = f"the full of {c.withdrawn} no longer lists it"
    known = f"first seen {c.first_seen}; no full since has left it out"
    return Answer(
        question="it has not been withdrawn",
        good=c.withdrawn is None,
        words=gone if c.withdrawn else known,
        rule=_RECORD_RULE,
    )


def _revocation(db: Db, c: Certificate) -> Answer:
    lists = lists_revoking(db, c.serial, c.issuer)
    told = "; ".join(
        f"{one.kind.upper()} {one.file}{f' number {one.number}' if one.number else ''} revokes it since"
        f" {one.since}{f' ({one.reason})' if one.reason else ''}"
        for one in lists
    )
    none = "no list that is held names it"
    if c.kind == "device":
        none = "no list exists for devices"
    return Answer(
        question="no list revokes it",
        good=not lists and c.revoked is None,
        words=told or none,
        rule=f"{_RECORD_RULE}, RFC 5280 6.3",
    )


def _quarantine(db: Db, c: Certificate) -> Answer:
    """A record that was set aside speaks against nothing that is served; it may be what is missed."""
    aside = records_aside(db, c.serial)
    told = "; ".join(f"{one.file}, record {one.number}: {one.reason}" for one in aside)
    return Answer(
        question="nothing of it lies in the quarantine",
        good=None if aside else True,
        words=told or "nothing",
        rule="",
    )


def _chain(db: Db, judge: Judge, c: Certificate) -> Iterator[Answer]:
    try:
        facts = read_facts(c.der)
        verdict = judge.judge(facts, c.der, read_body(c.der))
    except ValueError as exc:
        yield Answer(question=Step.STRUCTURE.words, good=False, words=str(exc), rule=Step.STRUCTURE.rule)
        return
    row = read_row(db, c.serial, c.issuer)
    found = [*verdict.findings, *(differences(row, facts) if row else ())]
    for step in Step:
        yield _of_step(judge, c, replace(verdict, findings=tuple(found)), step)


def _of_step(judge: Judge, c: Certificate, verdict: Verdict, step: Step) -> Answer:
    found = [finding for finding in verdict.findings if finding.code.step is step]
    if found:
        good: bool | None = not any(finding.is_error for finding in found)
        told = [f"{f.code}: {f.code.words}{f' ({f.detail})' if f.detail else ''}" for f in found]
        return Answer(question=step.words, good=good, words="; ".join(told), rule=step.rule)
    good, words = _without_findings(judge, c, verdict, step)
    return Answer(question=step.words, good=good, words=words, rule=step.rule)


def _without_findings(judge: Judge, c: Certificate, verdict: Verdict, step: Step) -> tuple[bool | None, str]:
    if step is Step.VALIDITY:
        return True, f"from {c.not_before} to {c.not_after}"
    if step is Step.ANCHOR:
        return _end(judge, verdict)
    if step not in (Step.ISSUER, Step.SIGNATURE, Step.AUTHORITY):
        return True, "as it should be"
    if verdict.links:
        return True, verdict.links[0].label
    return (True, "it is a trust anchor") if verdict.anchored else (None, "cannot be told")


def _end(judge: Judge, verdict: Verdict) -> tuple[bool | None, str]:
    """Where the chain ends, if nothing is wrong with that."""
    chain = " under ".join(link.label for link in verdict.links)
    if verdict.anchored:
        return True, chain or "it is a trust anchor itself"
    if judge.authorities.has_anchors:
        return None, "cannot be told"
    return None, f"trust.anchors is not configured: nothing is anchored{f'; {chain}' if chain else ''}"
