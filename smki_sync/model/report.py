"""Report of a run: counts for each file, notices, outcome. The value behind ``sync --json``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from smki_sync.model.extract import ExtractKind, ListOutcome
from smki_sync.model.plan import Action, Plan, Unproven


class Outcome(StrEnum):
    """``CURRENT`` only if the mirror agrees with the Repository as far as a Party can know."""

    CURRENT = "current"
    BEHIND = "behind"
    FAILED = "failed"


class NoticeCode(StrEnum):
    """What an operator must know about a run that did not fail. Extend, never rename."""

    BLOCKED = "blocked"
    LISTING_EMPTY = "listing-empty"
    SOURCE_UNREACHED = "source-unreached"
    FALLBACK_UNREACHED = "fallback-unreached"
    DELTAS_MISSING = "deltas-missing"
    REPOSITORY_LATE = "repository-late"
    RECORDS_QUARANTINED = "records-quarantined"
    EMPTY_FILE = "empty-file"
    UNPROVEN = "unproven"
    DELTA_DAMAGED = "delta-damaged"
    DELTA_CHANGED = "delta-changed"
    SOURCE_CHANGED = "source-changed"
    CLAIMS_DIFFER = "claims-differ"
    STRICT_PARSER_REFUSES = "strict-parser-refuses"
    DATED_IN_FUTURE = "dated-in-future"
    POSITION_AHEAD = "position-ahead"
    FULL_CHANGED = "full-changed"
    HISTORY_LOST = "history-lost"
    LINK_RESTORED = "link-restored"
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
    LIST_DATED_IN_FUTURE = "list-dated-in-future"
    LIST_STALE = "list-stale"
    LIST_MISSING = "list-missing"
    NO_LISTS = "no-lists"
    SLOTS_UNREADABLE = "slots-unreadable"
    SLOTS_DIFFER = "slots-differ"
    AUTHORITY_REVOKED = "authority-revoked"
    ANCHOR_DIFFERS = "anchor-differs"
    PARTY = "party"

    @property
    def is_note(self) -> bool:
        """Whether the mirror is current nevertheless."""
        return self not in _BEHIND


_BEHIND = frozenset(
    {
        NoticeCode.BLOCKED,
        NoticeCode.LISTING_EMPTY,
        NoticeCode.SOURCE_UNREACHED,
        NoticeCode.DELTAS_MISSING,
        NoticeCode.REPOSITORY_LATE,
        NoticeCode.RECORDS_QUARANTINED,
        NoticeCode.EMPTY_FILE,
        NoticeCode.UNPROVEN,
        NoticeCode.POSITION_AHEAD,
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
        NoticeCode.LIST_DATED_IN_FUTURE,
        NoticeCode.LIST_STALE,
        NoticeCode.LIST_MISSING,
        NoticeCode.SLOTS_UNREADABLE,
        NoticeCode.SLOTS_DIFFER,
        NoticeCode.AUTHORITY_REVOKED,
        NoticeCode.ANCHOR_DIFFERS,
        NoticeCode.PARTY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What happened, and what to do next."""

    code: NoticeCode
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCounts:
    """What one extract changed in the mirror, in certificates. ``records``: number of records in the file.

    ``contradicted``: records that contradict an earlier record of the same file about a certificate.
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
    """A file came near a limit of the reader.

    ``key``: of the configuration. ``figure``: the value of the file.
    """

    key: str
    figure: int
    limit: int

    @property
    def share(self) -> float:
        """Share of the limit, from 0 to 1."""
        return self.figure / self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedExtract:
    """One file that was applied. ``bytes`` as served; ``seconds`` from the first byte read to the commit."""

    file: str
    kind: ExtractKind
    counts: ChangeCounts
    bytes: int
    sha256: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateCounts:
    """The content of the mirror. ``digest``: 64 hex digits over the set of In-Use certificates.

    ``unproven``: ``None`` if its overlap deltas prove that it agrees with the newest full.
    """

    total: int = 0
    in_use: int = 0
    quarantined: int = 0
    digest: str = ""
    by_kind: Mapping[str, int] = field(default_factory=dict)
    by_status: Mapping[str, int] = field(default_factory=dict)
    unproven: Unproven | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """One run of ``sync`` that ended without a failure."""

    plan: Plan
    position: date | None
    applied: tuple[AppliedExtract, ...] = ()
    counts: CertificateCounts = field(default_factory=CertificateCounts)
    attention: tuple[Notice, ...] = ()
    lists: tuple[ListOutcome, ...] = ()
    dry_run: bool = False

    @property
    def outcome(self) -> Outcome:
        """Current, unless a notice or, in a dry run, the plan says otherwise."""
        pending = self.dry_run and self.plan.action is not Action.NONE
        behind = pending or any(not a.code.is_note for a in self.attention)
        return Outcome.BEHIND if behind else Outcome.CURRENT
