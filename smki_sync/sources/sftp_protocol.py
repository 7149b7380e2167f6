"""SFTP v3 packets and the read-ahead window (no paramiko)."""

import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum

_HAS_SIZE = 0x1
_HAS_OWNERS = 0x2
_HAS_PERMISSIONS = 0x4
_HAS_TIMES = 0x8
_HAS_EXTENSIONS = 0x80000000


LONGEST_HANDLE = 256
"""Octets of a file handle at most (section 6.3); it goes back with every read request."""


class SftpStatus(IntEnum):
    """The codes of a STATUS reply that mean something of their own (section 7)."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3


class ProtocolError(Exception):
    """A reply that is none: it ends before its own lengths do, or answers what was not asked."""


class StatusReply(Exception):
    """A STATUS reply other than OK: its code and the server's words."""

    def __init__(self, code: int, text: str) -> None:
        """Keep both."""
        super().__init__(f"status {code}: {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What the server says of a file; ``None`` where it does not say. ``size`` in bytes."""

    size: int | None
    mode: int | None
    modified: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """One entry of a directory; ``name`` holds surrogates where the octets were not UTF-8."""

    name: str
    longname: str
    attributes: Attributes

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file; from the ``ls -l`` line where the server sends no file type."""
        mode = self.attributes.mode
        return stat.S_ISREG(mode) if mode and stat.S_IFMT(mode) else self.longname.startswith("-")


class Fields:
    """A cursor over a reply's body; every step raises ``Garbled`` rather than read past the end."""

    def __init__(self, body: bytes) -> None:
        """Start at the beginning."""
        self._body = body
        self._at = 0

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._body)

    def number(self, octets: int = 4) -> int:
        """Read a big-endian unsigned integer."""
        return int.from_bytes(self._take(octets))

    def string(self) -> bytes:
        """Read a length and so many octets."""
        return self._take(self.number())

    def text(self) -> str:
        """Read a string that should be UTF-8; other octets become surrogates, never an error."""
        return self.string().decode(errors="surrogateescape")

    def _take(self, octets: int) -> bytes:
        end = self._at + octets
        if end > len(self._body):
            raise ProtocolError(f"{octets} octets announced, {len(self._body) - self._at} left")
        piece = self._body[self._at : end]
        self._at = end
        return piece


def number(value: int, octets: int = 4) -> bytes:
    """Write a big-endian unsigned integer."""
    return value.to_bytes(octets)


def string(value: bytes) -> bytes:
    """Write a length and so many octets."""
    return number(len(value)) + value


def read_version(fields: Fields) -> tuple[int, dict[bytes, bytes]]:
    """Read a VERSION reply (section 4): the protocol's version and the extensions by name."""
    version, extensions = fields.number(), {}
    while fields.more:
        name = fields.string()
        extensions[name] = fields.string()
    return version, extensions


def read_handle(fields: Fields) -> bytes:
    """Read a HANDLE reply (section 7); raises ``Garbled`` for one longer than a handle may be."""
    handle = fields.string()
    if len(handle) > LONGEST_HANDLE:
        raise ProtocolError(f"a handle of {len(handle)} octets")
    return handle


def read_attributes(fields: Fields) -> Attributes:
    """Read a file's attributes (section 5); owners and extensions are read over."""
    flags = fields.number()
    size = fields.number(8) if flags & _HAS_SIZE else None
    if flags & _HAS_OWNERS:
        fields.number(8)
    mode = fields.number() if flags & _HAS_PERMISSIONS else None
    modified = _times(fields) if flags & _HAS_TIMES else None
    for _ in range(2 * fields.number() if flags & _HAS_EXTENSIONS else 0):
        fields.string()
    return Attributes(size=size, mode=mode, modified=modified)


def read_names(fields: Fields) -> Iterator[NamedFile]:
    """Read a NAME reply (section 7), one entry at a time: the count may be a lie.

    Raises ``Garbled`` for a count of zero too, with which a listing would never end.
    """
    count = fields.number()
    if not count:
        raise ProtocolError("a batch of no names")
    for _ in range(count):
        yield NamedFile(name=fields.text(), longname=fields.text(), attributes=read_attributes(fields))


def read_status(fields: Fields) -> tuple[int, str]:
    """Read a STATUS reply (section 7): its code, and its text, which old servers leave out."""
    code = fields.number()
    try:
        return code, fields.text()
    except ProtocolError:
        return code, ""


def _times(fields: Fields) -> datetime:
    """Read over the access time and take the modification time, seconds since 1970."""
    fields.number()
    return datetime.fromtimestamp(fields.number(), tz=UTC)


CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024
"""What a server may have on its way to us on one channel, as OpenSSH's own client. Some of it is held twice
while it is taken apart; with 4 MiB, a line of 80 ms is a quarter faster and the process above 64 MiB."""

CHANNEL_PACKET_BYTES = 255 * 1024
"""Largest packet that we take. Each costs a turn of the library's thread, and the library's own 32 KiB makes
eight of one: measured, 2.3 times slower on a busy machine. OpenSSH sends no larger ones."""


class BadReadReply(Exception):
    """A reply that no honest server gives: no bytes at all, or more than were asked for."""


@dataclass(slots=True, eq=False)
class ReadSpan:
    """One piece of the file. Has at most one request in flight, for what is still missing of it."""

    start: int
    length: int
    _got: bytes | bytearray = field(default=b"", repr=False)

    @property
    def at(self) -> int:
        """The file offset, in bytes, of the first byte that is still missing."""
        return self.start + len(self._got)

    @property
    def missing(self) -> int:
        """How many bytes are still missing."""
        return self.length - len(self._got)

    def add(self, data: bytes) -> None:
        """Take the next bytes; a whole reply is kept as it came, the parts of a short one are joined."""
        if not self._got and len(data) == self.length:
            self._got = data
        else:
            self._got = bytearray(self._got) if isinstance(self._got, bytes) else self._got
            self._got += data

    def whole(self) -> bytes:
        """Return the piece, once nothing is missing."""
        return bytes(self._got)


class ReadWindow:
    """The bookkeeping of one file's transfer from ``offset`` to ``size``, both in bytes.

    Holds at most ``spans`` pieces of ``span_bytes`` each, in flight or waiting for an earlier one.
    """

    def __init__(self, *, offset: int, size: int, span_bytes: int, spans: int) -> None:
        """Start with nothing asked for."""
        self._next = offset
        self._size = size
        self._span_bytes = span_bytes
        self._spans = spans
        self._held: deque[ReadSpan] = deque()
        self._short: deque[ReadSpan] = deque()

    @property
    def done(self) -> bool:
        """Whether every byte up to the size has been handed out."""
        return not self._held and self._next >= self._size

    def wanted(self) -> Iterator[ReadSpan]:
        """Yield what to ask for now: first the rest of short replies, then new spans while there is room."""
        while self._short:
            yield self._short.popleft()
        while len(self._held) < self._spans and self._next < self._size:
            span = ReadSpan(self._next, min(self._span_bytes, self._size - self._next))
            self._next += span.length
            self._held.append(span)
            yield span

    def take(self, span: ReadSpan, data: bytes) -> None:
        """Take a reply to the request for ``span``; a short one puts its rest back among the wanted.

        Raises ``BadReply`` for an empty reply (it would be asked for again for ever) or one too long.
        """
        if not data:
            raise BadReadReply(f"no bytes for {span.missing} asked for at byte {span.at}")
        if len(data) > span.missing:
            raise BadReadReply(f"{len(data)} bytes for {span.missing} asked for at byte {span.at}")
        span.add(data)
        if span.missing:
            self._short.append(span)

    def ready(self) -> Iterator[bytes]:
        """Yield, in order, every whole piece at the front of the window, and make room for as many."""
        while self._held and not self._held[0].missing:
            yield self._held.popleft().whole()
