"""The rule of all supplier jobs: which certificate is used at a time, and if none, why not."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from smki_sync.mirror.queries import Certificate
from smki_sync.usability import RevocationState, newest_usable, unknown_revocation_text, why_unusable


class CheckVerdict(StrEnum):
    """The answer for one line and usage. Codes in CSV and JSON: never rename one."""

    READY = "ready"
    UNKNOWN = "unknown"
    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    REVOKED = "revoked"
    ISSUER_REVOKED = "issuer-revoked"
    NOT_IN_USE = "not-in-use"
    WITHDRAWN = "withdrawn"
    REVOCATION_UNKNOWN = "revocation-unknown"
    SIGNATURE_FALSE = "signature-false"
    DIFFERS = "differs"
    UNREADABLE = "unreadable"


_NEAREST: Final = (
    *(CheckVerdict.REVOCATION_UNKNOWN, CheckVerdict.NOT_YET_VALID, CheckVerdict.EXPIRED),
    *(CheckVerdict.SIGNATURE_FALSE, CheckVerdict.ISSUER_REVOKED, CheckVerdict.REVOKED),
    *(CheckVerdict.NOT_IN_USE, CheckVerdict.WITHDRAWN),
)
"""Verdicts from the one nearest to ready: of several equally new certificates, the nearest is reported."""


class CheckAnswer(NamedTuple):
    """The answer for one line and usage. ``certificate``: the one that the verdict is about."""

    verdict: CheckVerdict
    why: str
    eui: str | None = None
    usage: str | None = None
    certificate: Certificate | None = None


def choose(candidates: Sequence[Certificate]) -> CheckAnswer:
    """Answer with the newest usable certificate, or with the newest one whose validity has begun."""
    newest = newest_usable(candidates) if len(candidates) > 1 else [c for c in candidates if c.usable]
    if len(newest) > 1:
        serials = ", ".join(c.serial for c in newest)
        why = f"{len(newest)} usable keys have the same start of validity. Serial numbers: {serials}."
        return CheckAnswer(CheckVerdict.AMBIGUOUS, why, newest[0].eui, newest[0].usage)
    if newest:
        return answer_for(CheckVerdict.READY, _doubts(newest[0]), newest[0])
    begun = [c for c in candidates if verdict_of(c) is not CheckVerdict.NOT_YET_VALID] or candidates
    latest = max(c.not_before for c in begun)
    shown = min((c for c in begun if c.not_before == latest), key=lambda c: _NEAREST.index(verdict_of(c)))
    return answer_for(verdict_of(shown), why_not(shown), shown)


def _doubts(c: Certificate) -> str:
    """Return what is not certain about a usable certificate."""
    doubts = ["The newest full extract does not confirm it."] if c.unproven else []
    if c.revocation is RevocationState.UNKNOWN:
        doubts.append(f"Revocation unknown: {unknown_revocation_text(c)}.")
    return " ".join(doubts)


def answer_for(verdict: CheckVerdict, why: str, c: Certificate) -> CheckAnswer:
    """Return the answer about one certificate."""
    return CheckAnswer(verdict, why, c.eui, c.usage, c)


def verdict_of(c: Certificate) -> CheckVerdict:
    """Return whether one certificate is usable at the time of the query."""
    return CheckVerdict.READY if c.unusable is None else CheckVerdict(c.unusable.value)


def why_not(c: Certificate) -> str:
    """Return why a certificate is not usable, as a sentence; empty if it is."""
    if c.unusable is None:
        return ""
    text = why_unusable(c, c.unusable)
    return f"{text[0].upper()}{text[1:]}."
