"""What stands beside a setting's type, and the ends of ranges that several settings share.

For: the annotations of every setting. Refuses: to know a setting.
"""

import sys
from dataclasses import dataclass

BLINK = 0.001
"""Shortest time limit, in seconds: shorter ones fail before any network can answer."""
WEEK = 7 * 24 * 3600.0
"""Longest time limit, in seconds: a new full is on offer by then, and waiting longer helps nobody."""

UNBOUNDED = sys.float_info.max
"""No bound of its own; infinity, which TOML can write, still lies beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What stands beside a setting's type. ``low`` and ``high``: the range of a number, both included.

    ``example``: a value to show where there is no default.
    """

    meaning: str
    unit: str = ""
    low: float = -UNBOUNDED
    high: float = UNBOUNDED
    example: object = None
