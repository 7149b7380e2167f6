"""A bandwidth limit: so many bytes a second, on average, with a small allowance for bursts.

For: a line that others use too. Refuses: to measure time itself; clock and sleep are given.
"""

from collections.abc import Callable
from typing import Final

BURST_SECONDS: Final = 0.25
"""How much may come at once after a pause, as time at the full rate: smooth to others, cheap to us."""


class Pace:
    """A token bucket. ``rate`` in bytes a second, 0 is without limit."""

    def __init__(self, rate: int, *, seconds: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Start with a full bucket."""
        self._rate = rate
        self._seconds = seconds
        self._sleep = sleep
        self._tokens = rate * BURST_SECONDS
        self._filled = seconds()

    def take(self, octets: int) -> None:
        """Let ``octets`` through, after a pause where they come too fast."""
        if not self._rate:
            return
        now = self._seconds()
        self._tokens = min(self._tokens + (now - self._filled) * self._rate, self._rate * BURST_SECONDS)
        self._filled = now
        self._tokens -= octets
        if self._tokens < 0:
            self._sleep(-self._tokens / self._rate)

    def change(self, rate: int) -> None:
        """Go on at another rate."""
        self._rate = rate
