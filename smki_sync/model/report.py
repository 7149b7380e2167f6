"""What a run did: the value behind ``sync --json``.

For: counts per file, what needs the operator's attention, the outcome. Refuses: wording for one
kind of terminal, and exit codes (the doors have those).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from smki_sync.model.extract import ExtractKind, ListOutcome
from smki_sync.model.plan import Action, Plan


class Outcome(StrEnum):
    """``CURRENT`` only if the mirror equals the Repository as far as a Party can know."""

    CURRENT = "current"
    BEHIND = "behind"
    FAILED = "failed"


class NoticeCode(StrEnum):
    """What an operator should know of a run that did not fail. A promise: extend, never rename."""

    BLOCKED = "blocked"
    SOURCE_UNREACHED = "source-unreached"
    FALLBACK_UNREACHED = "fallback-unreached"
    DELTAS_MISSING = "deltas-missing"
    REPOSITORY_LATE = "repository-late"
    RECORDS_QUARANTINED = "records-quarantined"
    EMPTY_FILE = "empty-file"
    OVERLAP_NOT_COVERED = "overlap-not-covered"
    CLAIMS_DIFFER = "claims-differ"
    STRICT_PARSER_REFUSES = "strict-parser-refuses"
    DATED_IN_FUTURE = "dated-in-future"
    FULL_CHANGED = "full-changed"
    HISTORY_LOST = "history-lost"
    DRIFT = "drift"
    DRIFT_REPAIRED = "drift-repaired"
    NOT_RECONCILED = "not-reconciled"
    RECONCILIATION_UNKNOWN = "reconciliation-unknown"
    RESTORED_TO_DATE = "restored-to-date"
    OTHER_DIGEST = "other-digest"
    CHAINS_BROKEN = "chains-broken"
    NOT_ARCHIVED = "not-archived"
    STRANGE_NAMES = "strange-names"
    LIMIT_NEAR = "limit-near"
    FULL_OUTSIDE_AGREED = "full-outside-agreed"
    METRICS_NOT_WRITTEN = "metrics-not-written"
    HOOK_FAILED = "hook-failed"
    RECORDS_CONTRADICT = "records-contradict"
    ISSUER_UNKNOWN = "issuer-unknown"
    VERIFICATION_FAILED = "verification-failed"
    COMPANION_NOT_FETCHED = "companion-not-fetched"
    LIST_UNREADABLE = "list-unreadable"
    LIST_SIGNER_UNKNOWN = "list-signer-unknown"
    LIST_SIGNER_UNFIT = "list-signer-unfit"
    LIST_NOT_ANCHORED = "list-not-anchored"
    LIST_SIGNATURE_FALSE = "list-signature-false"
    LIST_OLDER = "list-older"
    LIST_STALE = "list-stale"
    LIST_MISSING = "list-missing"
    NO_LISTS = "no-lists"
    SLOTS_UNREADABLE = "slots-unreadable"
    SLOTS_DIFFER = "slots-differ"

    @property
    def is_note(self) -> bool:
        """Whether the mirror is current in spite of it."""
        return self not in _BEHIND


_BEHIND = frozenset(
    {
        NoticeCode.BLOCKED,
        NoticeCode.SOURCE_UNREACHED,
        NoticeCode.DELTAS_MISSING,
        NoticeCode.REPOSITORY_LATE,
        NoticeCode.RECORDS_QUARANTINED,
        NoticeCode.EMPTY_FILE,
        NoticeCode.DRIFT,
        NoticeCode.RECONCILIATION_UNKNOWN,
        NoticeCode.RESTORED_TO_DATE,
        NoticeCode.OTHER_DIGEST,
        NoticeCode.CHAINS_BROKEN,
        NoticeCode.NOT_ARCHIVED,
        NoticeCode.VERIFICATION_FAILED,
        NoticeCode.COMPANION_NOT_FETCHED,
        NoticeCode.LIST_UNREADABLE,
        NoticeCode.LIST_SIGNER_UNKNOWN,
        NoticeCode.LIST_SIGNER_UNFIT,
        NoticeCode.LIST_NOT_ANCHORED,
        NoticeCode.LIST_SIGNATURE_FALSE,
        NoticeCode.LIST_OLDER,
        NoticeCode.LIST_STALE,
        NoticeCode.LIST_MISSING,
        NoticeCode.SLOTS_UNREADABLE,
        NoticeCode.SLOTS_DIFFER,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to know: what happened, and what to do next."""

    code: NoticeCode
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCounts:
    """What one extract did to the mirror, in certificates; ``records`` is what the file holds.

    ``contradicted``: records that say of a certificate otherwise than an earlier one of the same file.
    """

    records: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    quarantined: int = 0
    contradicted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NearLimit:
    """A file came near a limit of the reader. ``key``: of the configuration. ``figure``: what it took."""

    key: str
    figure: int
    limit: int

    @property
    def share(self) -> float:
        """How much of the limit it took, from 0 to 1."""
        return self.figure / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedExtract:
    """One file that was applied. ``bytes`` as served, ``seconds`` from first byte read to commit."""

    file: str
    kind: ExtractKind
    counts: ChangeCounts
    bytes: int
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCounts:
    """What the mirror holds. ``digest``: 64 hex digits over the set of In-Use certificates."""

    total: int = 0
    in_use: int = 0
    quarantined: int = 0
    digest: str = ""
    by_kind: Mapping[str, int] = field(default_factory=dict)
    by_status: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """One run of ``sync`` that ended without a failure."""

    plan: Plan
    position: date | None
    applied: tuple[AppliedExtract, ...] = ()
    census: CertificateCounts = field(default_factory=CertificateCounts)
    attention: tuple[Notice, ...] = ()
    lists: tuple[ListOutcome, ...] = ()
    dry_run: bool = False

    @property
    def outcome(self) -> Outcome:
        """Current, unless anything in ``attention`` or, in a dry run, the plan itself says otherwise."""
        pending = self.dry_run and self.plan.action is not Action.NONE
        behind = pending or any(not a.code.is_note for a in self.attention)
        return Outcome.BEHIND if behind else Outcome.CURRENT
