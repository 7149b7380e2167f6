"""Fulls and deltas: the files of the Repository's SFTP interface (SEC Appendix O 2.3.3, MP147).

For: a directory listing in the field's terms. Refuses: to open a file.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class ExtractKind(StrEnum):
    """A weekly full, or a daily delta."""

    FULL = "full"
    DELTA = "delta"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One regular file of a listing. ``size`` in bytes; ``modified`` in UTC, where the source knows.

    ``sha256``: 64 hex digits, where the source states them. ``origin``: which of several sources offers it.
    """

    name: str
    size: int
    modified: datetime | None = None
    sha256: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """One full or delta on offer, named by its date. ``size`` in bytes; the rest as there."""

    kind: ExtractKind
    day: date
    name: str
    size: int
    modified: datetime | None = None
    sha256: str | None = None
    origin: str = ""


class StrangeName(StrEnum):
    """Why a listed name is no extract."""

    UNKNOWN = "unknown-name"
    IMPOSSIBLE_DATE = "impossible-date"
    HALF_WRITTEN = "half-written"
    EMPTY = "empty-file"
    TWICE = "same-date-twice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A listed file that is left alone, and why. ``day``: the date in its name, where it has a sound one."""

    name: str
    why: StrangeName
    day: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the Repository offers, each tuple ordered by date.

    ``companions``: files known by a pattern that are no extracts (ARL, CRL, anchor slots).
    """

    fulls: tuple[Extract, ...] = ()
    deltas: tuple[Extract, ...] = ()
    companions: tuple[RemoteFile, ...] = ()
    strangers: tuple[Stranger, ...] = ()
