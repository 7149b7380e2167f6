"""Progress as values, and the protocol of whoever listens.

For: deeds that say what they are doing without knowing who is told. Refuses: to print, to log, to
decide how often; a listener may drop what it likes.
"""

from dataclasses import dataclass
from typing import Protocol

from smki_sync.model.plan import Plan
from smki_sync.model.report import Applied, Attention


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The repository is being asked what it offers."""

    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The planner has decided."""

    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """``done`` of ``size`` bytes of a file have arrived."""

    file: str
    done: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """``records`` of a file have been read, from ``done`` of its ``size`` bytes."""

    file: str
    records: int
    done: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """A new generation has all its records and is being finished; ``step`` says how."""

    file: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A file is in the mirror, durably."""

    applied: Applied


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Something that the operator should know."""

    attention: Attention


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A fact for the verbose log: what was negotiated, resumed, retried, removed."""

    text: str


Event = Listing | Planned | Fetching | Reading | Building | Committed | Noted | Detail


class Listener(Protocol):
    """Whoever is told; must not raise, must return quickly."""

    def hear(self, event: Event) -> None:
        """Take one event."""


class Silence:
    """A listener that drops everything."""

    def hear(self, event: Event) -> None:
        """Drop it."""
