"""UTC timestamps as they are stored and shown: ISO 8601 for seconds since 1970."""

from datetime import UTC, datetime

YEAR_1 = -62_135_596_800
"""0001-01-01T00:00:00Z, the first time that ``datetime`` can represent."""
_YEAR_0_DAYS = 366
_DAY_SECONDS = 86_400
_LAST = 253_402_300_799


def text_of(seconds: int) -> str:
    """Format seconds since 1970 as ISO 8601, UTC, with ``Z``.

    A time outside of the years 0 to 9999 is shown as the first or last second of them.
    """
    seconds = max(YEAR_1 - _YEAR_0_DAYS * _DAY_SECONDS, min(seconds, _LAST))
    if seconds >= YEAR_1:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)
    # The year 0 is a leap year, as is the year 4.
    shifted = datetime.fromtimestamp(seconds + 1461 * _DAY_SECONDS, UTC)
    return f"0000-{shifted:%m-%dT%H:%M:%SZ}"


def utc(moment: datetime) -> str:
    """Write a time to the second as ISO 8601, UTC, with ``Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
