"""What a build may know from before: of a certificate, of a delta, of what was revoked.

For: the loader and the builder, which ask :class:`Inheritance` and do not ask whether there was a generation
before (:mod:`.predecessor`) or none (:class:`Nothing`). Refuses: to read or write.

A certificate that the full or its overlap show otherwise than the old generation had it, or that it did
not have, is *touched*: noted by identity while loading, and compared once when all is loaded, so that
what came and went in between leaves no trace.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from smki_sync.mirror.journal import Changed
from smki_sync.mirror.rows import Row

Vouched = tuple[int, date, Iterator[Row]]
"""Ledger id and date of a delta, and what it said."""

Identity = tuple[str, int]
"""Serial number, issuer id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is known of a certificate from before. Days since 1970.

    ``extract``: ledger id of the file that last changed it. ``said``: status, EUI-64, role, usage,
    manufacturing flag, flags and body as the old generation holds them.
    """

    withdrawn: int | None
    first_seen: int
    last_changed: int
    extract: int
    said: tuple[Any, ...]


class Inheritance(Protocol):
    """The memory that a build draws on: an old generation's, or none at bootstrap."""

    def in_use(self) -> int:
        """How many certificates are In-Use in it."""

    def recall(self, serial: str, issuer: int) -> Memory | None:
        """What is known of a certificate."""

    def touch(self, serial: str, issuer: int) -> None:
        """It may not be as it was: compare it at the end."""

    def vouched(self) -> Iterator[Vouched]:
        """What the old generation knows from deltas that nobody can replay any more."""

    def settle(self, *, extract: int) -> tuple[Iterator[Changed], int]:
        """Compare what was touched: the true differences, and how many bodies went to the quarantine.

        After a month there may be millions of differences, so they come one by one, to be taken at once.
        """

    def carry_unlisted(self, *, extract: int, day: date) -> Iterator[int]:
        """Take over what the full does not list; the row ids of those that are withdrawn by it, as above."""

    def revoked(self) -> set[Identity]:
        """What was revoked by a list before: to be revoked still is no news."""


class Nothing:
    """Bootstrap: there is no old generation. The first full is the journal's ground, not an entry in it."""

    def in_use(self) -> int:
        """None."""
        return 0

    def recall(self, serial: str, issuer: int) -> None:
        """Nothing is known."""

    def touch(self, serial: str, issuer: int) -> None:
        """Nothing to compare with."""

    def vouched(self) -> Iterator[Vouched]:
        """Nothing is known."""
        return iter(())

    def settle(self, *, extract: int) -> tuple[Iterator[Changed], int]:  # noqa: ARG002 - the protocol's name
        """No difference."""
        return iter(()), 0

    def carry_unlisted(self, *, extract: int, day: date) -> Iterator[int]:  # noqa: ARG002 - the protocol's names
        """Nothing to carry."""
        return iter(())

    def revoked(self) -> set[Identity]:
        """Nothing is known."""
        return set()
