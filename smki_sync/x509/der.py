"""Strict DER primitives, times, PEM armour, interning of repeated values."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache, wraps
from typing import Final, TypeVar

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
SEQUENCE = 0x30
SET = 0x31

LENGTH_OCTETS_LIMIT = 4
"""Octets of a length: four tell of 4 GiB, more than any certificate has."""

_LONG_FORM = 0x80
_LONG_TAG = 0x1F
_UNUSED_BITS_LIMIT = 7


class MalformedDer(ValueError):
    """The octets break the rules of DER, or are another element than the one looked for."""


def read(octets: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Read the header at ``at`` of an element of this ``tag``; give start and stop of its value.

    Raises :class:`MalformedDer` for another tag or an element that does not stop by ``end``.
    """
    start = at + 2
    if start > end:
        raise MalformedDer(f"cut off at octet {at}")
    if octets[at] != tag:
        raise MalformedDer(f"tag {octets[at]:02X} at octet {at}, not {tag:02X}")
    length = octets[at + 1]
    if length >= _LONG_FORM:
        first, start = start, start + length - _LONG_FORM
        if not first < start <= first + LENGTH_OCTETS_LIMIT or start > end:
            raise MalformedDer(f"indefinite, absurd or cut off length at octet {at}")
        length = int.from_bytes(octets[first:start])
    stop = start + length
    if stop > end:
        raise MalformedDer(f"{length} octets at octet {start}, only {end - start} are left")
    return start, stop


def read_all(octets: bytes, tag: int) -> tuple[int, int]:
    """Read an element that fills ``octets``; raises :class:`MalformedDer` also for what stands behind it."""
    end = len(octets)
    start, stop = read(octets, 0, end, tag)
    if stop != end:
        raise MalformedDer(f"{end - stop} octets too many at octet {stop}")
    return start, stop


def children(octets: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Give tag, start and stop of every element between ``at`` and ``end``, which they must fill."""
    while at < end:
        tag = octets[at]
        if tag & _LONG_TAG == _LONG_TAG:
            raise MalformedDer(f"a tag of several octets at octet {at}")
        start, at = read(octets, at, end, tag)
        yield tag, start, at


def check_bits(octets: bytes, start: int, stop: int) -> None:
    """Raise :class:`MalformedDer` unless the value of a BIT STRING begins with its count of unused bits."""
    if start == stop or octets[start] > _UNUSED_BITS_LIMIT:
        raise MalformedDer(f"no BIT STRING at octet {start}")


def element(tag: int, value: bytes) -> bytes:
    """Write one element, its length in as few octets as it takes (X.690 10.1)."""
    size = len(value)
    if size < _LONG_FORM:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _LONG_FORM | len(length))) + length + value


_ARMOUR: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_COLUMNS: Final = 64  # RFC 7468, section 2


def to_pem(der: bytes) -> str:
    """A certificate in PEM, with a line end after the last line."""
    text = b64encode(der).decode()
    body = "\n".join(text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def read_pem_or_der(octets: bytes) -> bytes:
    """The DER of a certificate file; of the first certificate where a PEM file holds several."""
    found = _ARMOUR.search(octets)
    return b64decode(found[1]) if found else octets


def read_bundle(octets: bytes) -> tuple[bytes, ...]:
    """The DER of every certificate in a PEM file; of one where the file is no PEM.

    Raises ``ValueError`` for Base64 that is none.
    """
    found = _ARMOUR.findall(octets)
    return tuple(b64decode(b"".join(one.split()), validate=True) for one in found) if found else (octets,)


ENTRIES = 2048
"""Results kept for each function: some tens of issuers, some thousand organisations, dates of one extract."""

OCTETS = 512
"""Longest argument remembered, in octets: names, dates and flags of the SMKI profiles have under 100."""

Result = TypeVar("Result")


def intern_value(function: Callable[[bytes], Result]) -> Callable[[bytes], Result]:
    """Make ``function`` remember its latest results; a failure is not remembered."""
    remembered = lru_cache(maxsize=ENTRIES)(function)

    @wraps(function)
    def ask(octets: bytes) -> Result:
        return remembered(octets) if len(octets) <= OCTETS else function(octets)

    return ask


UTC_TIME = b"\x17"
GENERALIZED_TIME = b"\x18"

_ZONE = rb"(?:Z|([+-])([01]\d|2[0-3])([0-5]\d))"
_NOTATIONS = {
    UTC_TIME: re.compile(rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?" + _ZONE),
    GENERALIZED_TIME: re.compile(rb"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(?:(\d\d)(?:[.,]\d+)?)?" + _ZONE),
}
_PIVOT = 50  # RFC 5280 4.1.2.5.1: 50 to 99 are of the twentieth century
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@intern_value
def read_time(element: bytes) -> int:
    """Read one time, header included, as whole seconds since 1970; raises :class:`MalformedDer`."""
    tag = element[:1]
    notation = _NOTATIONS.get(tag)
    if notation is None:
        raise MalformedDer(f"no time: {element!r:.40}")
    start, stop = read_all(element, element[0])
    found = notation.fullmatch(element, start, stop)
    if found is None:
        raise MalformedDer(f"no time: {element[start:stop]!r:.40}")
    year, month, day, hour, minute, second, sign, hours, minutes = found.groups(b"0")
    century = 0
    if tag == UTC_TIME:
        century = 1900 if int(year) >= _PIVOT else 2000
    try:
        parts = (int(month), int(day), int(hour), int(minute), int(second))
        since = datetime(century + int(year), *parts, tzinfo=UTC) - _EPOCH
    except ValueError as exc:
        raise MalformedDer(f"no time: {element[start:stop]!r:.40}") from exc
    ahead = timedelta(hours=int(hours), minutes=int(minutes))
    return (since + ahead if sign == b"-" else since - ahead) // timedelta(seconds=1)
