"""Whether a command said what its page shows: the words count, what differs from run to run does not.

For: the comparison of output blocks. ``…`` stands for anything. White space counts as one blank, so that a
figure which is longer today may wrap another line. Refuses: to judge a figure; the tests of what says it do.
"""

import re

_VOLATILE = {
    "digest": r"\b[0-9a-f]{64}\b",
    "token": r"\b[0-9a-f]{16}:\d+\b",
    "fingerprint": r"SHA256:[A-Za-z0-9+/]{43}",
    "time": r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    "size": r"\b\d[\d,.]* (?:[kMG]?B|bytes)\b",
    "age": r"\bbegan \d+(?:\.\d)? (?:hours|days) ago",  # the day is the world's, the hour is the clock's
    "seconds": r"\b\d+(?:\.\d+)? s\b",
    "port": r"127\.0\.0\.1:\d+",
}
"""What is another at each run."""

_TOKENS = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _VOLATILE.items()))


def settled(text: str) -> str:
    """What counts of a text, in one line."""
    return " ".join(_TOKENS.sub(lambda found: f"<{found.lastgroup}>", text).split())


def says(shown: str, said: str, *, somewhere: bool = False) -> bool:
    """Whether ``said`` is what a page shows, from its first word to its last, or ``somewhere`` in it."""
    pattern = ".*?".join(re.escape(part.strip()) for part in settled(shown).split("…"))
    match = re.search if somewhere else re.fullmatch
    return match(pattern, settled(said)) is not None
