"""All rows of the mirror, some at a time, so that somebody can be told how far a long answer is.

For: questions that no index answers. Refuses: to know the question.
"""

from collections.abc import Callable, Iterator
from typing import Final

import apsw

ROWS: Final = 50_000
"""Rows in a slice: a few tenths of a second, so that progress moves and nothing is lost by asking anew."""

Told = Callable[[int, int], None]
"""Takes how many rows have been read, and of how many."""


def nobody(_done: int, _total: int) -> None:
    """Tell nobody."""


def slices(db: apsw.Connection, told: Told) -> Iterator[tuple[int, int]]:
    """First and last id of each slice, in order; ``told`` after each that was read."""
    total: int = db.execute("SELECT coalesce(max(id), 0) FROM certificate").get
    for low in range(1, total + 1, ROWS):
        high = min(low + ROWS - 1, total)
        yield low, high
        told(high, total)
