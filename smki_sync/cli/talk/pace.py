"""How fast a phase goes, and how often that is worth a line.

For: progress, on a terminal and elsewhere. Refuses: words.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from smki_sync.cli.talk.base import Clock
from smki_sync.events import Fetching, Reading, Verifying

Progress = Fetching | Reading | Verifying
"""Events that tell how far a phase is; a phase is one verb on one file."""

PROGRESS_SECONDS: Final = 30.0
"""Time between two lines of progress where there is no terminal, in seconds (contract, Output)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast a phase goes, a second. ``left`` in seconds, ``None`` if unknown.

    ``octets``: or whatever else the phase counts in ``done``.
    """

    octets: float
    records: float
    left: float | None


class Stopwatch:
    """Measures each phase from where it was first heard of: a download that is resumed is not fast."""

    def __init__(self, clock: Clock) -> None:
        """Measure by ``clock``."""
        self._clock = clock
        self._began: dict[tuple[type, str], tuple[datetime, Progress]] = {}

    def speed(self, event: Progress) -> Speed:
        """Give the speed of the event's phase so far."""
        now = self._clock()
        began, first = self._began.setdefault((type(event), event.file), (now, event))
        seconds = (now - began).total_seconds()
        octets = (event.done - first.done) / seconds if seconds > 0 else 0.0
        records = (_records(event) - _records(first)) / seconds if seconds > 0 else 0.0
        left = (event.size - event.done) / octets if octets > 0 and event.size > event.done else None
        return Speed(octets=octets, records=records, left=left)


def _records(event: Progress) -> int:
    return event.records if isinstance(event, Reading) else 0


class Pace:
    """Lets progress through once in 30 seconds, the first time 30 seconds after the start."""

    def __init__(self, clock: Clock) -> None:
        """Start to count now."""
        self._clock = clock
        self._said = clock()
        self._watch = Stopwatch(clock)

    def take(self, event: Progress) -> Speed | None:
        """Give the speed of the event's phase, or ``None`` while it is too early to say anything."""
        speed, now = self._watch.speed(event), self._clock()
        if 0 <= (now - self._said).total_seconds() < PROGRESS_SECONDS:  # below 0: the clock was set back
            return None
        self._said = now
        return speed
