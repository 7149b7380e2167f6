"""Compare the output of a command with what its page shows, except for what differs in each run.

``…`` stands for anything. White space counts as one blank, because a longer figure may wrap another line.
"""

import re

_VOLATILE = {
    "digest": r"\b[0-9a-f]{64}\b",
    "token": r"\b[0-9a-f]{16}:\d+\b",
    "fingerprint": r"SHA256:[A-Za-z0-9+/]{43}",
    "time": r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "size": r"\b\d[\d,.]* (?:[kMG]?B|bytes)\b",
    "age": r"\bbegan \d+(?:\.\d)? (?:hours|days) ago",  # the hour comes from the clock
    "seconds": r"\b\d+(?:\.\d+)? s\b",
    "port": r"127\.0\.0\.1:\d+",
}
"""Values that differ in each run."""

_TOKENS = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _VOLATILE.items()))


def normalised(text: str) -> str:
    """Return the text in one line, with changing values replaced."""
    return " ".join(_TOKENS.sub(lambda found: f"<{found.lastgroup}>", text).split())


def matches(shown: str, said: str, *, somewhere: bool = False) -> bool:
    """Return whether ``said`` matches what a page shows, completely or ``somewhere`` in it."""
    pattern = ".*?".join(re.escape(part.strip()) for part in normalised(shown).split("…"))
    match = re.search if somewhere else re.fullmatch
    return match(pattern, normalised(said)) is not None
