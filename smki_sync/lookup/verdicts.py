"""The rule of all supplier jobs: which certificate is used at a time, and if none, why not."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from smki_sync.mirror.queries import Certificate
from smki_sync.model.certificate import Status
from smki_sync.timestamps import utc


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
    DIFFERS = "differs"
    UNREADABLE = "unreadable"


_NEAREST: Final = (
    *(CheckVerdict.NOT_YET_VALID, CheckVerdict.EXPIRED, CheckVerdict.ISSUER_REVOKED),
    *(CheckVerdict.REVOKED, CheckVerdict.NOT_IN_USE, CheckVerdict.WITHDRAWN),
)
"""Verdicts from the one nearest to ready: of several unusable certificates, the nearest is reported."""


class CheckAnswer(NamedTuple):
    """The answer for one line and usage. ``certificate``: the one that the verdict is about."""

    verdict: CheckVerdict
    why: str
    eui: str | None = None
    usage: str | None = None
    certificate: Certificate | None = None


def choose(candidates: Sequence[Certificate], at: datetime) -> CheckAnswer:
    """Answer with the newest usable certificate, or with the one that is nearest to being usable."""
    judged = [(c, *verdict_of(c, at)) for c in candidates]
    usable = [c for c, verdict, _ in judged if verdict is CheckVerdict.READY]
    if usable:
        newest = [c for c in usable if c.not_before == max(one.not_before for one in usable)]
        if len({c.ski or c.der for c in newest}) > 1:
            serials = ", ".join(c.serial for c in newest)
            why = f"{len(newest)} usable keys have the same start of validity. Serial numbers: {serials}."
            return CheckAnswer(CheckVerdict.AMBIGUOUS, why, newest[0].eui, newest[0].usage)
        why = "The newest full extract does not confirm it." if newest[0].unproven else ""
        return answer_for(CheckVerdict.READY, why, newest[0])
    nearest = min(_NEAREST.index(verdict) for _, verdict, _ in judged)
    c, verdict, why = max(
        (one for one in judged if _NEAREST.index(one[1]) == nearest), key=lambda one: one[0].not_before
    )
    return answer_for(verdict, why, c)


def answer_for(verdict: CheckVerdict, why: str, c: Certificate) -> CheckAnswer:
    """Return the answer about one certificate."""
    return CheckAnswer(verdict, why, c.eui, c.usage, c)


def verdict_of(c: Certificate, at: datetime) -> tuple[CheckVerdict, str]:
    """Return whether one certificate is usable at a time, and if not, why not."""
    if c.withdrawn:
        return CheckVerdict.WITHDRAWN, f"The full extract of {c.withdrawn} does not list it."
    if c.revoked or c.status == Status.REVOKED:
        by = f" by {c.revoked_by}" if c.revoked_by else ""
        return CheckVerdict.REVOKED, f"It is revoked since {c.revoked or c.last_changed}{by}."
    if c.status == Status.EXPIRED:
        return CheckVerdict.EXPIRED, f"Its status is Expired (E) since {c.last_changed}."
    if not c.in_use:
        status = Status(c.status).words
        return CheckVerdict.NOT_IN_USE, f"Its status is {status} ({c.status}) since {c.last_changed}."
    if c.issuer_revoked:
        return CheckVerdict.ISSUER_REVOKED, f"An authority above it is revoked since {c.issuer_revoked}."
    return _validity(c, utc(at))


def _validity(c: Certificate, moment: str) -> tuple[CheckVerdict, str]:
    if c.not_after < moment:
        return CheckVerdict.EXPIRED, f"It expired at {c.not_after}."
    if c.not_before > moment:
        return CheckVerdict.NOT_YET_VALID, f"It is not valid before {c.not_before}."
    return CheckVerdict.READY, ""
