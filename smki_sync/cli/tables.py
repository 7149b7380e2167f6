"""Rows for people, in columns: as many as fit the terminal, and never a line that wraps.

For: ``find`` and ``changes``. The widths are known beforehand, so that the first row stands there at once.
Refuses: to hide that it cut: what is too long for its column ends in an ellipsis.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from smki_sync.text import COLUMNS, visible

_GAP: Final = "  "
_CUT: Final = "…"
Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """``width`` in characters; ``cell``: what it shows of a row."""

    title: str
    width: int
    cell: Callable[[Row], str]


def width_here() -> int:
    """Characters in a line of this terminal, or of the narrowest in use where there is none."""
    return shutil.get_terminal_size(fallback=(COLUMNS, 24)).columns


def table(columns: Iterable[Column[Row]], rows: Iterable[Row], *, width: int) -> Iterator[str]:
    """A header and a line for each row; the columns that come first are the last to go."""
    shown = list(_fitting(columns, width))
    yield _line((column.title for column in shown), shown)
    for row in rows:
        yield _line((column.cell(row) for column in shown), shown)


def _fitting(columns: Iterable[Column[Row]], width: int) -> Iterator[Column[Row]]:
    left = width + len(_GAP)
    for number, column in enumerate(columns):
        left -= column.width + len(_GAP)
        if left < 0 and number:
            return
        yield column


def _line(cells: Iterable[str], columns: list[Column[Row]]) -> str:
    padded = (_fit(visible(cell), column.width) for cell, column in zip(cells, columns, strict=True))
    return _GAP.join(padded).rstrip() + "\n"


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - len(_CUT)] + _CUT
