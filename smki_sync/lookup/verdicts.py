"""The rule of all supplier jobs: which certificate is used at a time, and if none, why not."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from smki_sync.mirror.queries import Certificate
from smki_sync.usability import newest_usable, why_unusable


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
    CheckVerdict.REVOCATION_UNKNOWN,
    *(CheckVerdict.NOT_YET_VALID, CheckVerdict.EXPIRED, CheckVerdict.ISSUER_REVOKED),
    *(CheckVerdict.REVOKED, CheckVerdict.NOT_IN_USE, CheckVerdict.WITHDRAWN),
    CheckVerdict.SIGNATURE_FALSE,
)
"""Verdicts from the one nearest to ready: of several unusable certificates, the nearest is reported."""


class CheckAnswer(NamedTuple):
    """The answer for one line and usage. ``certificate``: the one that the verdict is about."""

    verdict: CheckVerdict
    why: str
    eui: str | None = None
    usage: str | None = None
    certificate: Certificate | None = None


def choose(candidates: Sequence[Certificate]) -> CheckAnswer:
    """Answer with the newest usable certificate, or with the one that is nearest to being usable."""
    newest = newest_usable(candidates)
    if len(newest) > 1:
        serials = ", ".join(c.serial for c in newest)
        why = f"{len(newest)} usable keys have the same start of validity. Serial numbers: {serials}."
        return CheckAnswer(CheckVerdict.AMBIGUOUS, why, newest[0].eui, newest[0].usage)
    if newest:
        why = "The newest full extract does not confirm it." if newest[0].unproven else ""
        return answer_for(CheckVerdict.READY, why, newest[0])
    judged = [(c, *verdict_of(c)) for c in candidates]
    nearest = min(_NEAREST.index(verdict) for _, verdict, _ in judged)
    c, verdict, why = max(
        (one for one in judged if _NEAREST.index(one[1]) == nearest), key=lambda one: one[0].not_before
    )
    return answer_for(verdict, why, c)


def answer_for(verdict: CheckVerdict, why: str, c: Certificate) -> CheckAnswer:
    """Return the answer about one certificate."""
    return CheckAnswer(verdict, why, c.eui, c.usage, c)


def verdict_of(c: Certificate) -> tuple[CheckVerdict, str]:
    """Return whether one certificate is usable at the time of the query, and if not, why not."""
    if c.unusable is None:
        return CheckVerdict.READY, ""
    return CheckVerdict(c.unusable.value), f"Not usable: {why_unusable(c, c.unusable)}."
