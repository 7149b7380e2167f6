"""Times as they are kept and as they are shown.

For: seconds since 1970 in ISO 8601. Refuses: to read a clock.
"""

from datetime import UTC, datetime


def text_of(seconds: int) -> str:
    """A time in seconds since 1970 as ISO 8601, UTC, with ``Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc(moment: datetime) -> str:
    """Write a time to the second as ISO 8601, UTC, with ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
