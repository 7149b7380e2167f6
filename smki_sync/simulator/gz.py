"""The gzip container in all the forms that RFC 1952 allows ("all versions of .gz", MP147).

For: a stream of octets to a stream of one or several members in one named shape. Refuses: to use the
gzip module, so that header fields, members and levels are written on purpose.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16
_DEFLATE, _UNIX = 8, 3
LEVELS = range(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class GzShape:
    """One form of the container.

    ``level``: 0 (stored blocks) to 9. ``member_octets``: begin a new member after so many octets of
    content; 0 is one member. ``empty_members``: members without content before, between and after.
    ``extra``, ``name``, ``comment``, ``header_crc``: which optional header fields there are.
    ``modified``: MTIME, seconds since 1970; 0 is none.
    """

    level: int = 6
    member_octets: int = 0
    empty_members: bool = False
    extra: bool = False
    name: bool = True
    comment: bool = False
    header_crc: bool = False
    modified: int = 0


def any_shape(rng: Random) -> GzShape:
    """A shape drawn at random, each of its sides by itself."""
    return GzShape(
        level=rng.choice(LEVELS),
        member_octets=rng.choice((0, 1_000, 20_000)),
        empty_members=rng.random() < 1 / 2,
        extra=rng.random() < 1 / 2,
        name=rng.random() < 1 / 2,
        comment=rng.random() < 1 / 2,
        header_crc=rng.random() < 1 / 2,
    )


def octets(content: Iterable[bytes], shape: GzShape, name: str) -> Iterator[bytes]:
    """The file. ``name``: what the header calls the content, where the shape has a name."""
    header = _header(shape, name)
    empty = b"".join(_member((), shape, header)) if shape.empty_members else b""
    yield empty
    for part in _parts(content, shape.member_octets):
        yield from _member(part, shape, header)
        yield empty


def _parts(content: Iterable[bytes], size: int) -> Iterator[Iterator[bytes]]:
    """Cut the content into runs of at least ``size`` octets; each must be used up before the next."""
    rest = iter(content)
    for chunk in rest:
        yield _part(chunk, rest, size)


def _part(chunk: bytes, rest: Iterator[bytes], size: int) -> Iterator[bytes]:
    written = len(chunk)
    yield chunk
    while not size or written < size:
        chunk = next(rest, b"")
        if not chunk:
            return
        written += len(chunk)
        yield chunk


def _member(content: Iterable[bytes], shape: GzShape, header: bytes) -> Iterator[bytes]:
    deflate = zlib.compressobj(shape.level, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc, size = 0, 0
    yield header
    for chunk in content:
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush()
    yield crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


def _header(shape: GzShape, name: str) -> bytes:
    flags = (
        _FHCRC * shape.header_crc | _FEXTRA * shape.extra | _FNAME * shape.name | _FCOMMENT * shape.comment
    )
    header = bytes((0x1F, 0x8B, _DEFLATE, flags)) + shape.modified.to_bytes(4, "little") + bytes((0, _UNIX))
    if shape.extra:
        field = b"SI" + (4).to_bytes(2, "little") + b"\0\1\2\3"
        header += len(field).to_bytes(2, "little") + field
    if shape.name:
        header += name.encode("latin-1") + b"\0"
    if shape.comment:
        header += b"simulated\0"
    if shape.header_crc:
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    return header
