"""Extracts, catalogue, revocation lists and anchor slots as values."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, assert_never

from smki_sync.model.certificate import KeyId, Serial


class ExtractKind(StrEnum):
    """A weekly full, or a daily delta."""

    FULL = "full"
    DELTA = "delta"


class UnrecognisedReason(StrEnum):
    """Why a listed name is no extract."""

    UNKNOWN = "unknown-name"
    IMPOSSIBLE_DATE = "impossible-date"
    HALF_WRITTEN = "half-written"
    EMPTY = "empty-file"
    TWICE = "same-date-twice"
    NOT_A_FILE = "not-a-file"
    SYMBOLIC_LINK = "symbolic-link"
    SIZE_UNKNOWN = "size-unknown"
    SIZE_IMPOSSIBLE = "size-impossible"
    CHECKSUM_UNREADABLE = "checksum-unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One entry of a listing. ``size`` in bytes; ``modified`` in UTC, if the source states it.

    ``sha256``: 64 hex digits, if the source states them. ``origin``: the source, if there are several.
    ``unusable``: why it cannot be downloaded; its size is then 0. ``is_fallback``: not the first source has
    it.
    """

    name: str
    size: int
    modified: datetime | None = None
    sha256: str | None = None
    origin: str = ""
    unusable: UnrecognisedReason | None = None
    is_fallback: bool = False


FileKey = tuple[ExtractKind, date]
"""Identity of an extract: kind and date, never the letter case of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """One full or delta of a listing. ``size`` in bytes; other fields as in :class:`RemoteFile`."""

    kind: ExtractKind
    day: date
    name: str
    size: int
    modified: datetime | None = None
    sha256: str | None = None
    origin: str = ""
    is_fallback: bool = False

    @property
    def key(self) -> FileKey:
        """Identity of the file."""
        return self.kind, self.day


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrecognisedFile:
    """A listed file that is ignored, and why. ``day``: the date in its name, if that is valid."""

    name: str
    why: UnrecognisedReason
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The listing of a source, each tuple in order of date.

    ``companions``: files recognised by a pattern that are not extracts (ARL, CRL, anchor slots).
    """

    fulls: tuple[Extract, ...] = ()
    deltas: tuple[Extract, ...] = ()
    companions: tuple[RemoteFile, ...] = ()
    strangers: tuple[UnrecognisedFile, ...] = ()


class ListKind(StrEnum):
    """List of revoked authorities (ARL) or of revoked organisations (CRL). Devices have no list."""

    ARL = "arl"
    CRL = "crl"


class Revoked(NamedTuple):
    """One entry of a list. ``since``: seconds since 1970, UTC. ``reason``: RFC 5280 5.3.1, if given."""

    serial: Serial
    since: int
    reason: str | None = None


class RevokedSerials(Protocol):
    """Entries of a list, which may be parsed each time they are iterated over."""

    def __iter__(self) -> Iterator[Revoked]:
        """Yield each entry."""

    def __len__(self) -> int:
        """Return the number of entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A list as it was parsed. Its signature may not be checked yet, nor its entries read.

    ``issuer``: RFC 4514 text. ``key_id``: of the key that is said to have signed it, ``None`` if it does
    not say. ``number``: its crlNumber. ``scope``: hex of its issuingDistributionPoint, empty without one.
    Times are in seconds since 1970, UTC.
    """

    issuer: str
    key_id: KeyId | None
    number: int | None
    this_update: int
    next_update: int | None
    revoked: RevokedSerials
    der: bytes
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPolicy:
    """Operator settings for lists and slot files.

    ``arl_max_age_days``, ``crl_max_age_days``: an older list is stale. ``None``: its nextUpdate decides.
    ``expected``: whether to report that no list is available. ``largest_bytes``: limit for one file, as
    served and unpacked. A list of 500,000 entries has 20 MB.
    """

    arl_max_age_days: int | None = None
    crl_max_age_days: int | None = None
    expected: bool = True
    largest_bytes: int = 64 << 20

    def max_age_days(self, kind: ListKind) -> int | None:
        """Return the limit for a kind of list."""
        match kind:
            case ListKind.ARL:
                return self.arl_max_age_days
            case ListKind.CRL:
                return self.crl_max_age_days
            case _:
                assert_never(kind)


class ListState(StrEnum):
    """Result of a run for an available list."""

    APPLIED = "applied"
    IN_FORCE = "in-force"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOutcome:
    """One available list. Unreadable values are ``None``. ``code``: why it was refused.

    ``revoked``, ``unrevoked``: certificates that became revoked, or are no longer, in this run.
    """

    file: str
    kind: ListKind
    state: ListState
    issuer: str | None = None
    number: int | None = None
    this_update: int | None = None
    next_update: int | None = None
    entries: int | None = None
    code: str | None = None
    revoked: int = 0
    unrevoked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListInForce:
    """A list in force. ``file``: its name in the Repository. ``key_id``: of the key that has signed it.

    ``sha256``: of its DER. ``applied``: when it came into force, UTC, ISO 8601. ``signer_in_use``: whether
    an authority with that name and key is In-Use in the mirror. ``scope``: see :class:`RevocationList`.
    ``forgotten``: the operator wants any list in its place; it stays in force until there is one.
    """

    file: str
    kind: ListKind
    issuer: str
    key_id: KeyId
    number: int | None
    this_update: int
    next_update: int | None
    entries: int
    sha256: str
    applied: str
    signer_in_use: bool
    scope: str = ""
    forgotten: bool = False
