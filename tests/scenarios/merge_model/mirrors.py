"""What the model asks of any mirror, be it the client's or the reference's own.

A mirror is driven by an operator's actions and looked at after each. Checks see nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from scenarios.merge_model.extracts import Extract
from scenarios.merge_model.reference import Row

CURRENT, ATTENTION, FINDING = 0, 3, 10
"""Exit codes of the contract that the model relies on."""

Offer = Mapping[str, Extract]
"""A directory: what lies under each name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an action ended.

    ``applied``: the files that it says it applied. ``position``, ``quarantined``: as it reports; None where
    it reports none.
    """

    exit: int
    position: int | None = None
    quarantined: int | None = None
    applied: tuple[Extract, ...] = ()
    codes: tuple[str, ...] = ()
    missing: tuple[int, ...] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The state of a mirror as a reader sees it.

    ``used``: the files that it says it was made from. ``base``: day of the full that it says it started from.
    ``missing``: the days that it says are missing; None where it says that it is proven. ``status_exit``: how
    `status` ends.
    """

    position: int
    base: int
    used: tuple[Extract, ...]
    rows: Mapping[int, Row]
    missing: tuple[int, ...] | None
    digest: str
    status_exit: int

    @property
    def in_use(self) -> frozenset[int]:
        return frozenset(number for number, row in self.rows.items() if row.in_use)

    @property
    def unproven(self) -> bool:
        return self.missing is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One change in the journal."""

    number: int
    change: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The changes since a place in the journal; ``lines`` is None where it cannot go on from there."""

    lines: tuple[Line, ...] | None
    token: str


class Mirror(Protocol):
    """A mirror with the operator's commands. Days are those of the calendar on which a command runs."""

    def sync(
        self, offer: Offer, day: int, *, full: bool = False, fallback: Offer | None = None
    ) -> Outcome: ...
    def reconcile(self, offer: Offer, day: int, *, repair: bool = False) -> Outcome: ...
    def restore(self, offer: Offer, day: int, *, to: int | None = None) -> Outcome: ...
    def back_up(self, day: int) -> Outcome: ...
    def put_back(self, *, alone: bool = True) -> None: ...
    def accept(self, day: int) -> Outcome: ...
    def view(self, day: int) -> View | None: ...
    def token(self) -> str: ...
    def news(self, token: str) -> News: ...
