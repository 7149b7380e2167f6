"""SftpSource and its request/response session."""

import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from types import TracebackType
from typing import Final, Protocol, Self

from smki_sync.errors import SourceError, SourceMissing, SourceRefused, SourceUnreachable
from smki_sync.events import Detail, EventListener
from smki_sync.model.extract import RemoteFile, UnrecognisedReason
from smki_sync.sources.base import (
    LISTING,
    REQUEST,
    Chunks,
    Limits,
    SftpAddress,
    bounded_size,
    check_plain,
    is_plain,
    listing_too_long,
    printable,
    shorter_than_offset,
)
from smki_sync.sources.sftp_channel import ByteChannel, TimedChannel
from smki_sync.sources.sftp_protocol import (
    CHANNEL_WINDOW_BYTES,
    VERSION,
    Attributes,
    BadReadReply,
    Fields,
    NamedFile,
    Packet,
    ProtocolError,
    ReadSpan,
    ReadWindow,
    RequestLimit,
    SftpStatus,
    StatusReply,
    number,
    read_attributes,
    read_handle,
    read_names,
    read_status,
    read_version,
    string,
)

DEFAULT_READ_BYTES: Final = 32 * 1024
"""Bytes of a read request that every server must accept (filexfer-02, section 3)."""

LARGEST_READ_BYTES: Final = 255 * 1024
"""Bytes of a read request if the server accepts it; measured, larger ones are not faster."""

IN_FLIGHT_BYTES: Final = CHANNEL_WINDOW_BYTES
"""Bytes requested and not yet returned: as many as the channel window. Measured with up to 80 ms of delay,
twice as many are not faster, and the process needs more than 64 MiB."""

LONGEST_REPLY_BYTES: Final = 4 * 1024 * 1024
"""Bytes of one reply: no read is larger than 255 KiB, and names may be long, but not unlimited."""

LONGEST_LISTING_BYTES: Final = 64 * 1024 * 1024
"""Bytes of one listing: 10,000 entries with names of 255 characters have less than 10 MiB."""

_LIMITS: Final = b"limits@openssh.com"


class Connection(Protocol):
    """An SSH connection that is logged in."""

    description: str
    """The server and the algorithms, for the verbose log."""

    def open_channel(self, *, after_another: bool) -> ByteChannel:
        """Open the ``sftp`` subsystem; ``after_another``: a session was just closed on this connection."""

    def close(self) -> None:
        """Close at once."""


class Session:
    """One SFTP session. Raises ``SourceUnreachable``, :class:`StatusReply`, :class:`ProtocolError`."""

    def __init__(self, channel: TimedChannel) -> None:
        """Agree on the protocol version over an open channel."""
        self.channel = channel
        self._last_request = 0
        self._buffer, self._at = b"", 0
        extensions = self._agree_on_version()
        self.read_bytes = self._largest_read() if _LIMITS in extensions else DEFAULT_READ_BYTES

    def in_flight(self, limit: RequestLimit) -> int:
        """How many read requests to keep in flight."""
        return max(1, min(limit.requests, IN_FLIGHT_BYTES // self.read_bytes))

    def call(self, expected: Packet, request: Packet, body: bytes) -> Fields:
        """Send one request and wait for its reply, which must be of the expected type."""
        sent = self._request(request, body)
        answered, kind, fields = self._reply()
        if (answered, kind) != (sent, expected):
            raise ProtocolError(f"reply {answered} of type {kind} to request {sent}")
        return fields

    def send_read(self, handle: bytes, at: int, length: int) -> int:
        """Request ``length`` bytes at offset ``at`` without waiting; return the number of the request."""
        return self._request(Packet.READ, string(handle) + number(at, 8) + number(length))

    def next_read(self) -> tuple[int, bytes]:
        """Wait for the reply to any read request: its number and the bytes."""
        answered, kind, fields = self._reply()
        if kind != Packet.DATA:
            raise ProtocolError(f"a reply of type {kind} to a read request")
        return answered, fields.string()

    def close_handle(self, handle: bytes) -> None:
        """Close a file or directory."""
        self.call(Packet.STATUS, Packet.CLOSE, string(handle))

    def close(self) -> None:
        """Close the channel without waiting; replies in flight are dropped."""
        self.channel.close()

    def _request(self, request: Packet, body: bytes) -> int:
        self._last_request = (self._last_request + 1) & 0xFFFFFFFF
        self._send(request, number(self._last_request) + body)
        return self._last_request

    def _reply(self) -> tuple[int, int, Fields]:
        """Wait for one reply: request number, type, fields; raises for a status other than OK."""
        kind, fields = self._receive()
        answered = fields.number()
        if kind == Packet.STATUS:
            code, text = read_status(fields)
            if code != SftpStatus.OK:
                raise StatusReply(code, text)
        return answered, kind, fields

    def _send(self, packet: Packet, body: bytes) -> None:
        self.channel.send(number(len(body) + 1) + number(packet, 1) + body)

    def _receive(self) -> tuple[int, Fields]:
        length = int.from_bytes(self._read_exactly(4))
        if not 1 <= length <= LONGEST_REPLY_BYTES:
            raise ProtocolError(f"a reply of {length} bytes")
        fields = Fields(self._read_exactly(length))
        return fields.number(1), fields

    def _read_exactly(self, size: int) -> bytes:
        """Take bytes from the buffer, and wait for the rest."""
        pieces = []
        while size:
            if self._at == len(self._buffer):
                self._buffer, self._at = self.channel.recv(CHANNEL_WINDOW_BYTES // 2), 0
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _agree_on_version(self) -> dict[bytes, bytes]:
        """Send our version (section 4); return the extensions of the server."""
        self._send(Packet.INIT, number(VERSION))
        kind, fields = self._receive()
        if kind != Packet.VERSION:
            raise ProtocolError(f"a packet of type {kind} instead of its version")
        version, extensions = read_version(fields)
        if version != VERSION:
            raise ProtocolError(f"SFTP version {version} instead of {VERSION}")
        return extensions

    def _largest_read(self) -> int:
        """Ask a server with that extension how large a read request may be."""
        try:
            limits = self.call(Packet.EXTENDED_REPLY, Packet.EXTENDED, string(_LIMITS))
        except StatusReply:
            return DEFAULT_READ_BYTES
        limits.number(8)  # the longest packet
        return max(DEFAULT_READ_BYTES, min(limits.number(8), LARGEST_READ_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenFile:
    """An open remote file. ``size_certain``: whether the size was read from the open file itself."""

    handle: bytes
    size: int
    size_certain: bool


class SftpSource:
    """A :class:`~smki_sync.sources.base.Source` over SFTP. One thread, one file at a time.

    After a lost or stalled connection every call raises ``SourceUnreachable``: open a new source. After any
    other error, or a file that was not read to the end, the same source can be used again without another
    login.
    """

    def __init__(
        self,
        address: SftpAddress,
        *,
        connect: Callable[[], Connection],
        limits: Limits,
        events: EventListener,
        requests: RequestLimit,
    ) -> None:
        """Store the address and options; nothing is read or sent before entering.

        ``connect``: connects, checks the host key and logs in.
        """
        self._address = address
        self._connect = connect
        self._limits = limits
        self._events = events
        self._requests = requests
        self._listed_sizes: dict[str, int] = {}
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._abandoned_session = False  # which the server may not have released yet

    @property
    def title(self) -> str:
        """The URL without secrets."""
        return self._address.title

    def __enter__(self) -> Self:
        """Connect, check the host key, log in."""
        self._connection = self._connect()
        self._events.emit(Detail(text=self._connection.description))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close at once, also during a transfer."""
        self._disconnect()

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List the directory, ordered by name; links are resolved."""
        with (
            self._ready_session() as session,
            session.channel.limited(LISTING, self._limits.listing),
            translated_errors(f"the directory {self._address.path}", self.title),
        ):
            handle = read_handle(session.call(Packet.HANDLE, Packet.OPENDIR, _path(self._address.path)))
            entries = list(self._entries(session, handle))
            session.close_handle(handle)
            files = [self._described(session, named) for named in entries]
        self._listed_sizes = {file.name: file.size for file in files if file.unusable is None}
        return tuple(sorted(files, key=lambda file: file.name))

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Chunks]:
        """Open a file and return its bytes from ``offset``."""
        check_plain(name, longest=self._limits.name_length)
        with self._ready_session() as session:
            with session.channel.limited(REQUEST, self._limits.request), translated_errors(name, self.title):
                file = self._open(session, name)
            if offset > file.size:
                raise shorter_than_offset(name, size=file.size, offset=offset, where=self.title)
            window = ReadWindow(
                offset=offset,
                size=file.size,
                span_bytes=session.read_bytes,
                spans=session.in_flight(self._requests),
            )
            with closing(self._chunks(session, file, window, name)) as chunks:
                yield chunks
            if window.done:
                with translated_errors(name, self.title):
                    session.close_handle(file.handle)
            else:
                self._abandon()

    def _entries(self, session: Session, handle: bytes) -> Iterator[NamedFile]:
        """Read the usable names of a listing up to the limits: a server may never end it."""
        entries = chain.from_iterable(map(read_names, self._listing_parts(session, handle)))
        for count, named in enumerate(entries, 1):
            if count > self._limits.entries:
                raise listing_too_long(self.title, self._limits.entries)
            if is_plain(named.name, longest=self._limits.name_length):
                yield replace(named, longname=named.longname[:1])

    def _listing_parts(self, session: Session, handle: bytes) -> Iterator[Fields]:
        """Request one part of a listing after the other, until the server reports the end."""
        received = 0
        while True:
            with session.channel.limited(REQUEST, self._limits.request):
                try:
                    part = session.call(Packet.NAME, Packet.READDIR, string(handle))
                except StatusReply as status:
                    if status.code == SftpStatus.EOF:
                        return
                    raise
            received += part.length
            if received > LONGEST_LISTING_BYTES:
                raise listing_too_long(self.title, self._limits.entries)
            yield part

    def _described(self, session: Session, named: NamedFile) -> RemoteFile:
        """Describe an entry; ask the server about a link, and about a type or size that it did not state."""
        attributes, kind = named.attributes, named.file_type
        is_link = kind == stat.S_IFLNK
        if is_link or kind is None or (kind == stat.S_IFREG and attributes.size is None):
            found = self._stat(session, named.name)
            if found is None and is_link:
                return RemoteFile(name=named.name, size=0, unusable=UnrecognisedReason.SYMBOLIC_LINK)
            if found is not None:
                attributes = _completed(found, attributes if not is_link else found)
                kind = found.file_type or (None if is_link else kind)
        if kind not in (None, stat.S_IFREG):
            return RemoteFile(name=named.name, size=0, unusable=UnrecognisedReason.NOT_A_FILE)
        size, unusable = bounded_size(attributes.size)
        return RemoteFile(name=named.name, size=size, modified=attributes.modified, unusable=unusable)

    def _stat(self, session: Session, name: str) -> Attributes | None:
        """Ask for the attributes of a file, following links; ``None`` if the server does not state them."""
        with session.channel.limited(REQUEST, self._limits.request):
            try:
                return read_attributes(session.call(Packet.ATTRS, Packet.STAT, self._path_of(name)))
            except StatusReply:
                return None

    def _open(self, session: Session, name: str) -> _OpenFile:
        """Open a file. Its size comes from FSTAT, else from the listing, else from STAT."""
        request = self._path_of(name) + number(_READ_FLAG) + number(0)  # no attributes
        handle = read_handle(session.call(Packet.HANDLE, Packet.OPEN, request))
        try:
            stated = read_attributes(session.call(Packet.ATTRS, Packet.FSTAT, string(handle)))
        except StatusReply:
            stated = None
        if stated is not None and stated.file_type not in (None, stat.S_IFREG):
            raise SourceMissing(f"{name} on {self.title} is not a regular file", code="not-a-file")
        size, unusable = bounded_size(stated.size if stated else None)
        if unusable is None:
            return _OpenFile(handle=handle, size=size, size_certain=True)
        if name not in self._listed_sizes:
            found = self._stat(session, name)
            size, unusable = bounded_size(found.size if found else None)
            if unusable is not None:
                raise ProtocolError(f"the server does not state a usable size ({unusable.value})")
        return _OpenFile(handle=handle, size=self._listed_sizes.get(name, size), size_certain=False)

    def _chunks(
        self, session: Session, file: _OpenFile, window: ReadWindow, name: str
    ) -> Generator[bytes, None, None]:
        """Keep the window full and return what is complete; after a loss, use fewer requests."""
        in_flight: dict[int, ReadSpan] = {}
        try:
            while not window.done:
                with translated_errors(name, self.title):
                    for span in window.next_requests():
                        in_flight[session.send_read(file.handle, span.at, span.missing)] = span
                    answered, data = session.next_read()
                    if answered not in in_flight:
                        raise ProtocolError("a reply to no read request in flight")
                    window.receive(in_flight.pop(answered), data)
                yield from window.completed()
            if not file.size_certain:
                self._check_end(session, file, name)
        except SourceUnreachable as error:
            if error.reason in _LOST_TRANSFER:
                self._requests.halve(session.in_flight(self._requests))
            raise

    def _check_end(self, session: Session, file: _OpenFile, name: str) -> None:
        """Check that a file whose size comes from the listing has no more bytes."""
        try:
            session.send_read(file.handle, file.size, 1)
            with translated_errors(name, self.title):
                _, data = session.next_read()
        except SourceUnreachable as error:
            if error.reason == "ended-early":
                return
            raise
        if not data:
            return
        raise SourceUnreachable(
            f"{name} on {self.title} has more than the listed {file.size} bytes",
            code="changed-while-fetched",
            hint="The file was replaced or is still being written. The next run will list again.",
        )

    @contextmanager
    def _ready_session(self) -> Iterator[Session]:
        """Return a session with new limits; after an error it is closed, because replies may be in flight."""
        connection = self._connection
        if connection is None:
            raise SourceUnreachable(
                f"the connection to {self._address.peer} is closed",
                code="connection-lost",
                hint="Open the source again and use it inside its with statement.",
            )
        try:
            if self._session is None:
                with translated_errors("the SFTP session", self.title):
                    self._session = self._open_session(connection)
            self._session.channel.begin()
            yield self._session
        except BaseException:
            self._abandon()
            raise

    def _open_session(self, connection: Connection) -> Session:
        opened = connection.open_channel(after_another=self._abandoned_session)
        channel = TimedChannel(opened, peer=self._address.peer, limits=self._limits)
        with channel.limited(REQUEST, self._limits.request):
            return Session(channel)

    def _abandon(self) -> None:
        """Close the session without waiting for replies; close a connection that has failed."""
        session, self._session = self._session, None
        self._abandoned_session = True
        if session is None or session.channel.failed:
            self._disconnect()
        else:
            session.close()

    def _disconnect(self) -> None:
        self._session = None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _path_of(self, name: str) -> bytes:
        return _path(f"{self._address.path.rstrip('/')}/{name}")


_READ_FLAG: Final = 1  # SSH_FXF_READ, section 6.3

_LOST_TRANSFER: Final = {"connection-lost", "stalled"}


def _completed(found: Attributes, listed: Attributes) -> Attributes:
    """Add what only the listing states."""
    return replace(
        found,
        size=found.size if found.size is not None else listed.size,
        modified=found.modified or listed.modified,
    )


def _path(text: str) -> bytes:
    """Encode a path; names in a listing are UTF-8."""
    return string(text.encode(errors="surrogateescape"))


@contextmanager
def translated_errors(what: str, title: str) -> Iterator[None]:
    """Translate errors about ``what`` (a file or directory) of the source ``title`` into our errors."""
    try:
        yield
    except StatusReply as status:
        raise _error_of(status, what, title) from status
    except (ProtocolError, BadReadReply, UnicodeError) as exc:
        raise SourceUnreachable(
            f"{title} violates the SFTP protocol for {what}: {printable(str(exc))}",
            code="protocol-broken",
            hint="Try again later. If the error persists, contact the DCC.",
        ) from exc


def _error_of(status: StatusReply, what: str, title: str) -> SourceError:
    """Create the error for a status code (filexfer-02, section 7)."""
    text = printable(status.text) or f"status {status.code}"
    match status.code:
        case SftpStatus.NO_SUCH_FILE:
            return SourceMissing(
                f"{what} does not exist on {title} ({text})",
                hint="Check the path in the source URL. The Repository removes a delta after seven days.",
            )
        case SftpStatus.PERMISSION_DENIED:
            return SourceRefused(
                f"reading {what} on {title} is not permitted ({text})",
                code="permission-denied",
                hint="Ask the DCC whether the account may read it.",
            )
        case SftpStatus.EOF:
            return SourceUnreachable(
                f"{what} from {title} ended before its stated size",
                code="ended-early",
                hint="The file may be being replaced. Try again later.",
            )
        case _:
            return SourceUnreachable(
                f"{title} reports a failure for {what} ({text})",
                code="server-failed",
                hint="Try again later. If the error persists, contact the DCC.",
            )
