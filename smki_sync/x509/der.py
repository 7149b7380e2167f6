"""Strict DER primitives, times, PEM armour, and interning of repeated values."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from typing import Final, TypeVar

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
ENUMERATED = 0x0A
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31

_LONG_FORM = 0x80
_LONG_TAG = 0x1F
_UNUSED_BITS_LIMIT = 7


class MalformedDer(ValueError):
    """The bytes are not valid DER, or are another element than the expected one."""


def read(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Read the header of the element with this ``tag`` at ``at``. Return start and stop of its value.

    Raises :class:`MalformedDer` for another tag, or if the element does not end by ``end``.
    """
    start = at + 2
    if start > end:
        raise MalformedDer(f"cut off at byte {at}")
    if data[at] != tag:
        raise MalformedDer(f"tag {data[at]:02X} at byte {at}, not {tag:02X}")
    length = data[at + 1]
    if length >= _LONG_FORM:
        first, start = start, start + length - _LONG_FORM
        if first == start or start > end:
            raise MalformedDer(f"indefinite or cut-off length at byte {at}")
        length = int.from_bytes(data[first:start])
    stop = start + length
    if stop > end:
        raise MalformedDer(f"the element at byte {at} is longer than the {end - start} bytes that are left")
    return start, stop


def read_all(data: bytes, tag: int) -> tuple[int, int]:
    """Read the header of an element that fills ``data``. Raises :class:`MalformedDer` otherwise."""
    end = len(data)
    start, stop = read(data, 0, end, tag)
    if stop != end:
        raise MalformedDer(f"{end - stop} bytes too many at byte {stop}")
    return start, stop


def children(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield tag, start and stop of each element between ``at`` and ``end``, which they must fill."""
    while at < end:
        tag = data[at]
        if tag & _LONG_TAG == _LONG_TAG:
            raise MalformedDer(f"a tag of several bytes at byte {at}")
        start, at = read(data, at, end, tag)
        yield tag, start, at


def check_bits(data: bytes, start: int, stop: int) -> None:
    """Raise :class:`MalformedDer` unless a BIT STRING value begins with its number of unused bits."""
    if start == stop or data[start] > _UNUSED_BITS_LIMIT:
        raise MalformedDer(f"not a BIT STRING at byte {start}")


def element(tag: int, value: bytes) -> bytes:
    """Write one element with the shortest length (X.690 10.1)."""
    size = len(value)
    if size < _LONG_FORM:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _LONG_FORM | len(length))) + length + value


_ARMOUR: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_COLUMNS: Final = 64  # RFC 7468, section 2


def to_pem(der: bytes) -> str:
    """Write a certificate in PEM, with a newline after the last line."""
    text = b64encode(der).decode()
    body = "\n".join(text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def read_pem_or_der(data: bytes) -> bytes:
    """Return the DER of a certificate file, of the first certificate if a PEM file has several."""
    found = _ARMOUR.search(data)
    return b64decode(found[1]) if found else data


def read_bundle(data: bytes) -> tuple[bytes, ...]:
    """Return the DER of each certificate in a PEM file, or ``data`` if it is not PEM.

    Raises ``ValueError`` for invalid Base64.
    """
    found = _ARMOUR.findall(data)
    return tuple(b64decode(b"".join(one.split()), validate=True) for one in found) if found else (data,)


INTERN_ENTRIES: Final = 2048
"""Results kept for each function: tens of issuers, thousands of organisations, dates of one extract."""

INTERN_SIZE: Final = 512
"""Longest argument that is remembered, in bytes. SMKI names, dates and flags have fewer than 100."""

Result = TypeVar("Result")


def intern_value(function: Callable[[bytes], Result]) -> Callable[[bytes], Result]:
    """Make ``function`` remember its latest results. An exception is not remembered."""
    remembered = lru_cache(maxsize=INTERN_ENTRIES)(function)

    @wraps(function)
    def call(data: bytes) -> Result:
        return remembered(data) if len(data) <= INTERN_SIZE else function(data)

    return call


EARLIEST: Final = -62_167_219_200
"""0000-01-01T00:00:00Z in seconds since 1970: the first time that X.509 and SQLite can write."""

LATEST: Final = 253_402_300_799
"""9999-12-31T23:59:59Z in seconds since 1970: the last time that X.509 and SQLite can write."""

_ZONE = rb"(?:Z|([+-])([01]\d|2[0-3])([0-5]\d))"
_CLOCK = rb"(\d\d)(\d\d)([01]\d|2[0-3])([0-5]\d)"  # month, day, hour, minute
_NOTATIONS = {
    UTC_TIME: re.compile(rb"(\d\d)" + _CLOCK + rb"([0-5]\d)?" + _ZONE),
    GENERALIZED_TIME: re.compile(rb"(\d{4})" + _CLOCK + rb"(?:([0-5]\d)(?:[.,]\d+)?)?" + _ZONE),
}
_PIVOT = 50  # RFC 5280 4.1.2.5.1: 50 to 99 are in the twentieth century
_DAYS_BEFORE_1970 = 719_468  # from 0000-03-01
_FEBRUARY = 2
_LONG_MONTHS = frozenset({1, 3, 5, 7, 8, 10, 12})


@intern_value
def read_time(data: bytes) -> int:
    """Read a UTCTime or GeneralizedTime, with its header, as whole seconds since 1970.

    An offset that would lead out of the years 0 to 9999 gives the first or last second of them, so
    that each stored time can be displayed. Raises :class:`MalformedDer` for anything but a time.
    """
    notation = _NOTATIONS.get(data[0]) if data else None
    if notation is None:
        raise MalformedDer(f"not a time: {data!r:.40}")
    start, stop = read_all(data, data[0])
    found = notation.fullmatch(data, start, stop)
    if found is None:
        raise MalformedDer(f"not a time: {data[start:stop]!r:.40}")
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups(b"0")
    century = 0
    if data[0] == UTC_TIME:
        century = 1900 if int(year) >= _PIVOT else 2000
    days = _days_since_1970(century + int(year), int(month), int(day))
    if days is None:
        raise MalformedDer(f"not a time: {data[start:stop]!r:.40}")
    offset = int(hours) * 3600 + int(minutes) * 60
    seconds = days * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)
    seconds += offset if sign == b"-" else -offset
    return max(EARLIEST, min(seconds, LATEST))


def _days_since_1970(year: int, month: int, day: int) -> int | None:
    """Count days in the Gregorian calendar, in which ``datetime`` has no year 0. ``None``: no such day."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 31 if month in _LONG_MONTHS else 30
    if month == _FEBRUARY:
        last = 29 if leap else 28
    if not 1 <= month <= 12 or not 1 <= day <= last:  # noqa: PLR2004 - months of a year
        return None
    if month <= _FEBRUARY:  # count years from March, so that the leap day is the last day
        year -= 1
    leap_days = year // 4 - year // 100 + year // 400
    day_of_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return 365 * year + leap_days + day_of_year - _DAYS_BEFORE_1970
