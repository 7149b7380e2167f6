"""The smallest reader of DER that a certificate needs: tag, length, and where the value ends; and a writer.

For: walking octets by position, without copying. An element is given by ``start`` and ``stop`` of
its value. Refuses: indefinite lengths, lengths of more than four octets, tags of more than one
octet (X.509 has none), and to look beyond the ``end`` that it was given. Lengths in more octets
than needed pass: BER allows them, and who reads a certificate need not mend it.
"""

from collections.abc import Iterator

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


class Malformed(ValueError):
    """The octets break the rules of DER, or are another element than the one looked for."""


def read(octets: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Read the header at ``at`` of an element of this ``tag``; give start and stop of its value.

    Raises :class:`Malformed` for another tag or an element that does not stop by ``end``.
    """
    start = at + 2
    if start > end:
        raise Malformed(f"cut off at octet {at}")
    if octets[at] != tag:
        raise Malformed(f"tag {octets[at]:02X} at octet {at}, not {tag:02X}")
    length = octets[at + 1]
    if length >= _LONG_FORM:
        first, start = start, start + length - _LONG_FORM
        if not first < start <= first + LENGTH_OCTETS_LIMIT or start > end:
            raise Malformed(f"indefinite, absurd or cut off length at octet {at}")
        length = int.from_bytes(octets[first:start])
    stop = start + length
    if stop > end:
        raise Malformed(f"{length} octets at octet {start}, only {end - start} are left")
    return start, stop


def read_all(octets: bytes, tag: int) -> tuple[int, int]:
    """Read an element that fills ``octets``; raises :class:`Malformed` also for what stands behind it."""
    end = len(octets)
    start, stop = read(octets, 0, end, tag)
    if stop != end:
        raise Malformed(f"{end - stop} octets too many at octet {stop}")
    return start, stop


def children(octets: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Give tag, start and stop of every element between ``at`` and ``end``, which they must fill."""
    while at < end:
        tag = octets[at]
        if tag & _LONG_TAG == _LONG_TAG:
            raise Malformed(f"a tag of several octets at octet {at}")
        start, at = read(octets, at, end, tag)
        yield tag, start, at


def check_bits(octets: bytes, start: int, stop: int) -> None:
    """Raise :class:`Malformed` unless the value of a BIT STRING begins with its count of unused bits."""
    if start == stop or octets[start] > _UNUSED_BITS_LIMIT:
        raise Malformed(f"no BIT STRING at octet {start}")


def element(tag: int, value: bytes) -> bytes:
    """Write one element, its length in as few octets as it takes (X.690 10.1)."""
    size = len(value)
    if size < _LONG_FORM:
        return bytes((tag, size)) + value
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, _LONG_FORM | len(length))) + length + value
