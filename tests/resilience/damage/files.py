"""Octets of extracts, sound and not, as a stream: what is large is never held.

For: the makers of :mod:`damage.cases`. Refuses: to share a line with the reader that is tested.
"""

import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator

ROOT = "CertificateDataResponse"
MIB = 1 << 20
FNAME = 8

Said = dict[int, str]
"""Number in the pool to status."""


def record(der: bytes, status: str, **claims: str) -> str:
    """One record; ``claims``: more elements by name."""
    more = "".join(f"<{name}>{text}</{name}>" for name, text in claims.items())
    body = b64encode(der).decode()
    return (
        f"<CertificateResponse><CertificateStatus>{status}</CertificateStatus>"
        f"<CertificateBody>{body}</CertificateBody>{more}</CertificateResponse>"
    )


def document(*records: str, before: str = "") -> bytes:
    """A whole XML with these records. ``before``: what stands before its root."""
    return f"{before}<{ROOT}>{''.join(records)}</{ROOT}>".encode()


def packed(contents: bytes | Iterable[bytes], *, name: str = "", level: int = 6) -> bytes:
    """One gz member (RFC 1952). ``name``: what its header calls the content."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    pieces = [contents] if isinstance(contents, bytes) else contents
    crc, size, body = 0, 0, []
    for piece in pieces:
        crc, size = zlib.crc32(piece, crc), size + len(piece)
        body.append(deflate.compress(piece))
    body.append(deflate.flush())
    header = bytes((0x1F, 0x8B, 8, FNAME if name else 0, 0, 0, 0, 0, 0, 3))
    header += name.encode("latin-1") + b"\0" if name else b""
    return header + b"".join(body) + struct.pack("<II", crc, size % 2**32)


def repeated(before: bytes, unit: bytes, times: int, after: bytes) -> Iterator[bytes]:
    """``before``, ``unit`` so many times, ``after``: each a gz member, of which the middle is packed once."""
    yield packed(before)
    middle = packed(unit, level=9)
    for _ in range(times):
        yield middle
    yield packed(after)
