"""SFTP version 3 packets and the read-ahead window (draft-ietf-secsh-filexfer-02; no paramiko)."""

import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

_HAS_SIZE = 0x1
_HAS_OWNERS = 0x2
_HAS_PERMISSIONS = 0x4
_HAS_TIMES = 0x8
_HAS_EXTENSIONS = 0x80000000

VERSION: Final = 3
"""The version that every server supports; later ones never became common."""

LONGEST_HANDLE: Final = 256
"""Longest file handle in bytes (section 6.3); every read request repeats it."""


class Packet(IntEnum):
    """Packet types (section 3)."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    FSTAT = 8
    OPENDIR = 11
    READDIR = 12
    STAT = 17
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class SftpStatus(IntEnum):
    """Status codes with a meaning of their own (section 7)."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3


class ProtocolError(Exception):
    """A reply that breaks the protocol: lengths that do not fit, or an answer to no request."""


class StatusReply(Exception):
    """A STATUS reply other than OK."""

    def __init__(self, code: int, text: str) -> None:
        """Store the code and the text of the server."""
        super().__init__(f"status {code}: {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """Attributes of a file; ``None`` if the server does not state them. ``size`` in bytes."""

    size: int | None
    mode: int | None
    modified: datetime | None

    @property
    def file_type(self) -> int | None:
        """The file type bits of the mode, if the server states them."""
        return stat.S_IFMT(self.mode) or None if self.mode else None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """One entry of a directory; ``name`` has surrogates if it is not valid UTF-8."""

    name: str
    longname: str
    attributes: Attributes

    @property
    def file_type(self) -> int | None:
        """The file type bits; from the ``ls -l`` line if the attributes do not state them."""
        types = {"-": stat.S_IFREG, "d": stat.S_IFDIR, "l": stat.S_IFLNK}
        return self.attributes.file_type or types.get(self.longname[:1])


class Fields:
    """Reads the fields of a packet; raises :class:`ProtocolError` instead of reading past the end."""

    def __init__(self, body: bytes) -> None:
        """Start at the first field."""
        self._body = body
        self._at = 0

    @property
    def length(self) -> int:
        """The number of bytes in the packet."""
        return len(self._body)

    @property
    def more(self) -> bool:
        """Whether there are more bytes."""
        return self._at < len(self._body)

    def number(self, size: int = 4) -> int:
        """Read a big-endian unsigned integer of ``size`` bytes."""
        return int.from_bytes(self._read(size))

    def string(self) -> bytes:
        """Read a length and that many bytes."""
        return self._read(self.number())

    def text(self) -> str:
        """Read a string that should be UTF-8; other bytes become surrogates."""
        return self.string().decode(errors="surrogateescape")

    def _read(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._body):
            raise ProtocolError(f"a field of {size} bytes with {len(self._body) - self._at} bytes left")
        piece = self._body[self._at : end]
        self._at = end
        return piece


def number(value: int, size: int = 4) -> bytes:
    """Encode a big-endian unsigned integer."""
    return value.to_bytes(size)


def string(value: bytes) -> bytes:
    """Encode a length and the bytes."""
    return number(len(value)) + value


def read_version(fields: Fields) -> tuple[int, dict[bytes, bytes]]:
    """Read a VERSION packet (section 4): the version and the extensions by name."""
    version, extensions = fields.number(), {}
    while fields.more:
        name = fields.string()
        extensions[name] = fields.string()
    return version, extensions


def read_handle(fields: Fields) -> bytes:
    """Read a HANDLE reply (section 7); raises :class:`ProtocolError` if the handle is too long."""
    handle = fields.string()
    if len(handle) > LONGEST_HANDLE:
        raise ProtocolError(f"a handle of {len(handle)} bytes")
    return handle


def read_attributes(fields: Fields) -> Attributes:
    """Read the attributes of a file (section 5); owners and extensions are skipped."""
    flags = fields.number()
    size = fields.number(8) if flags & _HAS_SIZE else None
    if flags & _HAS_OWNERS:
        fields.number(8)
    mode = fields.number() if flags & _HAS_PERMISSIONS else None
    modified = _read_times(fields) if flags & _HAS_TIMES else None
    for _ in range(2 * fields.number() if flags & _HAS_EXTENSIONS else 0):
        fields.string()
    return Attributes(size=size, mode=mode, modified=modified)


def read_names(fields: Fields) -> Iterator[NamedFile]:
    """Read a NAME reply (section 7), one entry at a time, because the count may be wrong.

    Raises :class:`ProtocolError` also for a count of zero: such a listing would never end.
    """
    count = fields.number()
    if not count:
        raise ProtocolError("a part of a listing without names")
    for _ in range(count):
        yield NamedFile(name=fields.text(), longname=fields.text(), attributes=read_attributes(fields))


def read_status(fields: Fields) -> tuple[int, str]:
    """Read a STATUS reply (section 7): its code, and its text, which old servers omit."""
    code = fields.number()
    try:
        return code, fields.text()
    except ProtocolError:
        return code, ""


def _read_times(fields: Fields) -> datetime:
    """Skip the access time and read the modification time, seconds since 1970 in 32 bits."""
    fields.number()
    return datetime.fromtimestamp(fields.number(), tz=UTC)


CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024
"""Bytes that a server may send before we acknowledge them, as in OpenSSH's client. A part of it is stored
twice while it is parsed. With 4 MiB, a line with 80 ms of delay is a quarter faster and the process needs
more than 64 MiB."""

CHANNEL_PACKET_BYTES = 255 * 1024
"""Largest packet. Each needs a turn of the library's thread, and the library's default of 32 KiB makes eight
of one: measured, 2.3 times slower on a busy machine. OpenSSH does not send larger ones."""

IN_FLIGHT_REQUESTS: Final = 64
"""Most read requests in flight, as in OpenSSH's client."""


def _ignore_change(_requests: int) -> None:
    """Default of ``RequestLimit.on_change``."""


@dataclass(slots=True)
class RequestLimit:
    """How many read requests to keep in flight with one server, over all connections of a run.

    Some servers disconnect when there are too many. After each lost transfer the number is halved.
    ``on_change``: called with the new number.
    """

    requests: int = IN_FLIGHT_REQUESTS
    on_change: Callable[[int], None] = _ignore_change

    def halve(self, used: int) -> None:
        """Allow half of the number that was in use, and at least one."""
        lower = max(1, min(used, self.requests) // 2)
        if lower < self.requests:
            self.requests = lower
            self.on_change(lower)


class BadReadReply(Exception):
    """A reply to a read request with no bytes, or with more than requested."""


@dataclass(slots=True, eq=False)
class ReadSpan:
    """One part of the file; at most one request for its missing bytes is in flight."""

    start: int
    length: int
    _data: bytes | bytearray = field(default=b"", repr=False)

    @property
    def at(self) -> int:
        """The offset in the file, in bytes, of the first missing byte."""
        return self.start + len(self._data)

    @property
    def missing(self) -> int:
        """The number of missing bytes."""
        return self.length - len(self._data)

    def add(self, data: bytes) -> None:
        """Add the next bytes; a complete reply is not copied."""
        if not self._data and len(data) == self.length:
            self._data = data
        else:
            self._data = bytearray(self._data) if isinstance(self._data, bytes) else self._data
            self._data += data

    def content(self) -> bytes:
        """Return the bytes, once none is missing."""
        return bytes(self._data)


class ReadWindow:
    """The read-ahead state of one transfer from ``offset`` to ``size``, both in bytes.

    Contains at most ``spans`` spans of ``span_bytes`` each, in flight or waiting for an earlier one.
    """

    def __init__(self, *, offset: int, size: int, span_bytes: int, spans: int) -> None:
        """Start without requests."""
        self._next = offset
        self._size = size
        self._span_bytes = span_bytes
        self._spans = spans
        self._open: deque[ReadSpan] = deque()
        self._short: deque[ReadSpan] = deque()

    @property
    def done(self) -> bool:
        """Whether every byte up to the size has been returned."""
        return not self._open and self._next >= self._size

    def next_requests(self) -> Iterator[ReadSpan]:
        """Yield what to request now: first the rest of short replies, then new spans while there is room."""
        while self._short:
            yield self._short.popleft()
        while len(self._open) < self._spans and self._next < self._size:
            span = ReadSpan(self._next, min(self._span_bytes, self._size - self._next))
            self._next += span.length
            self._open.append(span)
            yield span

    def receive(self, span: ReadSpan, data: bytes) -> None:
        """Add a reply to the request for ``span``; the rest of a short one is requested again.

        Raises :class:`BadReadReply` for an empty reply (it would be requested for ever) or a long one.
        """
        if not data:
            raise BadReadReply(f"no bytes for {span.missing} requested at byte {span.at}")
        if len(data) > span.missing:
            raise BadReadReply(f"{len(data)} bytes for {span.missing} requested at byte {span.at}")
        span.add(data)
        if span.missing:
            self._short.append(span)

    def completed(self) -> Iterator[bytes]:
        """Yield every complete span at the front of the window, in order, and make room."""
        while self._open and not self._open[0].missing:
            yield self._open.popleft().content()
