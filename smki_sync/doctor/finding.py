"""One thing that was looked at: what was seen, how bad it is, how to mend it.

For: the rows of ``doctor``. Refuses: exit codes; the doors make one of ``error``.
"""

from dataclasses import dataclass
from enum import StrEnum

from smki_sync.errors import SmkiSyncError


class Verdict(StrEnum):
    """``WARN``: a sync works and somebody should look. ``SKIPPED``: something before it stands in the way."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``check``: what was looked at. ``seen``: in a sentence. ``mend``: what to do; empty where all is well.

    ``error``: what a sync would fail with, for ``FAIL`` alone.
    """

    check: str
    verdict: Verdict
    seen: str
    mend: str = ""
    error: SmkiSyncError | None = None


def fine(check: str, seen: str) -> Finding:
    """All is well."""
    return Finding(check=check, verdict=Verdict.OK, seen=seen)


def warned(check: str, seen: str, mend: str) -> Finding:
    """Somebody should look."""
    return Finding(check=check, verdict=Verdict.WARN, seen=seen, mend=mend)


def failed(check: str, error: SmkiSyncError) -> Finding:
    """A sync would fail with this."""
    return Finding(check=check, verdict=Verdict.FAIL, seen=error.message, mend=error.hint, error=error)


def skipped(check: str, why: str) -> Finding:
    """Something before it stands in the way."""
    return Finding(check=check, verdict=Verdict.SKIPPED, seen=why)
