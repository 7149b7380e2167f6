"""A place in the journal, as consumers keep it: written and read here alone.

For: ``changes --since``, the Python interface, and everything that says where the feed goes on. Refuses: to
know what the journal holds.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

_TOKEN: Final = re.compile(r"(?:(?P<lineage>[0-9a-f]{16}):)?(?P<sequence>[0-9]{1,18})", re.ASCII)
"""LINEAGE:SEQUENCE, or a number alone; 18 digits fit SQLite's integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterLine:
    """After the line of this number. ``lineage``: of which journal; ``None`` where nobody said."""

    sequence: int
    lineage: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token, or a number alone; raises ``ValueError``."""
        found = _TOKEN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r:.60} is no token of a journal")
        return cls(sequence=int(found["sequence"]), lineage=found["lineage"])

    @property
    def token(self) -> str:
        """The same as text, for the next time."""
        return f"{self.lineage}:{self.sequence}" if self.lineage else str(self.sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDay:
    """From the first line of an extract of this date or a later one."""

    day: date


Place = AfterLine | OnDay
