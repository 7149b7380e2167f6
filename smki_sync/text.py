"""Text for people: line breaks, characters that are safe on a terminal, and numbers in units."""

import textwrap
from typing import Final

COLUMNS: Final = 80
"""Width of text for people: the narrowest terminal in use, and what a cron mail shows unwrapped."""


def wrapped(text: str, *, indent: str = "", hanging: int = 2) -> list[str]:
    """Lay one paragraph out in lines that fit; names are not cut at their hyphens.

    ``hanging``: how much further every line but the first is indented.
    """
    return textwrap.wrap(
        visible(text),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + " " * hanging,
        break_on_hyphens=False,
    )


def visible(text: str) -> str:
    """Give text that is safe on a terminal: whatever does not print stands as its escape.

    Control characters, direction overrides, lone surrogates and line ends are all written out.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000
_SIXTY = 60


def bytes_text(count: float) -> str:
    """Write a number of bytes for people, in powers of 1000: ``16.2 GB``."""
    for unit in _UNITS:
        if count < _STEP or unit == _UNITS[-1]:
            break
        count /= _STEP
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def duration_text(seconds: float) -> str:
    """Write a duration in seconds for people: ``0.4 s``, ``12 min``, ``3 h 05 min``."""
    if round(seconds, 1) < _SIXTY:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / _SIXTY), _SIXTY)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def age_text(hours: float) -> str:
    """Write an age for people: ``7.5 hours``, ``12 days``; a day counts once it has passed."""
    return f"{hours:.1f} hours" if hours <= _TWO_DAYS else f"{hours // 24:.0f} days"


def days_text(days: int) -> str:
    """Write the age of a date for people: ``today``, ``1 day old``, ``12 days old``."""
    return "today" if days < 1 else f"{days} day{'s' if days > 1 else ''} old"


_TWO_DAYS: Final = 48
