"""Memory for what repeats: issuers, dates and key usages are few among millions of certificates.

For: a pure function of a few octets that is asked the same again and again. Refuses: to remember
long octets, so that an extract made to harm cannot fill the memory: it keeps at most
``ENTRIES`` times ``OCTETS`` octets and their results for each function.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

ENTRIES = 2048
"""Results kept for each function: some tens of issuers, some thousand organisations, dates of one extract."""

OCTETS = 512
"""Longest argument remembered, in octets: names, dates and flags of the SMKI profiles have under 100."""

Result = TypeVar("Result")


def remember(function: Callable[[bytes], Result]) -> Callable[[bytes], Result]:
    """Make ``function`` remember its latest results; a failure is not remembered."""
    remembered = lru_cache(maxsize=ENTRIES)(function)

    @wraps(function)
    def ask(octets: bytes) -> Result:
        return remembered(octets) if len(octets) <= OCTETS else function(octets)

    return ask
