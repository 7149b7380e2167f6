"""SftpSource and its request/response session."""

import stat
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import chain
from types import TracebackType
from typing import Self

import paramiko
from paramiko.sftp import (
    CMD_ATTRS,
    CMD_CLOSE,
    CMD_DATA,
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    CMD_FSTAT,
    CMD_HANDLE,
    CMD_INIT,
    CMD_NAME,
    CMD_OPEN,
    CMD_OPENDIR,
    CMD_READ,
    CMD_READDIR,
    CMD_STATUS,
    CMD_VERSION,
    SFTP_FLAG_READ,
)

from smki_sync.errors import SourceMissing, SourceUnreachable
from smki_sync.events import Detail, EventListener
from smki_sync.model.extract import RemoteFile
from smki_sync.sources.base import Chunks, Limits, SftpAddress, check_plain, is_plain, shorter, too_long
from smki_sync.sources.sftp_channel import TimedChannel, open_channel
from smki_sync.sources.sftp_protocol import (
    CHANNEL_WINDOW_BYTES,
    Fields,
    NamedFile,
    ProtocolError,
    ReadSpan,
    ReadWindow,
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
from smki_sync.sources.ssh_connect import connect, disconnect, negotiated
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sources.ssh_transport import FOREIGN, translated_errors

DEFAULT_READ = 32 * 1024
"""Bytes of one read request that every server must grant (filexfer-02, section 3)."""

LARGEST_READ = 255 * 1024
"""Bytes of one read request where the server grants it; measured, larger ones gain nothing."""

IN_FLIGHT_BYTES = CHANNEL_WINDOW_BYTES
"""Bytes asked for and not yet handed on: as many as may be on their way. Measured with up to 80 ms of delay,
twice as many gain nothing, and take the process above 64 MiB."""

IN_FLIGHT_REQUESTS = 64
"""Requests in flight at most, as OpenSSH's own client."""

LONGEST_REPLY = 4 * 1024 * 1024
"""Bytes of one reply at most: no read is larger than 255 KiB, and names may be long, but not for ever."""

PROTOCOL = 3
"""The version of SFTP that every server speaks; later ones never became common."""

_LIMITS = b"limits@openssh.com"


class Session:
    """One SFTP channel. Raises ``SourceUnreachable`` from the wire, ``ServerSaid``, ``Garbled``."""

    def __init__(
        self, transport: paramiko.Transport, *, peer: str, limits: Limits, after_another: bool
    ) -> None:
        """Open the channel and agree on the protocol; raises as :func:`~.sftp_channel.open_channel` does."""
        channel = open_channel(transport, peer=peer, seconds=limits.stall, after_another=after_another)
        self.wire = TimedChannel(channel, peer=peer, limits=limits)
        self._asked = 0
        self._held, self._at = b"", 0
        extensions = self._agree_on_version()
        self.read_bytes = self._granted_read() if _LIMITS in extensions else DEFAULT_READ

    @property
    def in_flight(self) -> int:
        """How many read requests to keep in flight."""
        return min(IN_FLIGHT_REQUESTS, IN_FLIGHT_BYTES // self.read_bytes)

    def call(self, expected: int, command: int, body: bytes) -> Fields:
        """Ask one question and wait for its answer, which must be of the expected type."""
        asked = self._ask(command, body)
        answered, kind, fields = self._answer()
        if (answered, kind) != (asked, expected):
            raise ProtocolError(f"reply {answered} of type {kind} to request {asked}")
        return fields

    def ask_read(self, handle: bytes, at: int, length: int) -> int:
        """Ask for ``length`` bytes from offset ``at`` and do not wait; the number of the request."""
        return self._ask(CMD_READ, string(handle) + number(at, 8) + number(length))

    def next_read(self) -> tuple[int, bytes]:
        """Wait for the answer to any read request in flight: its number and the bytes."""
        answered, kind, fields = self._answer()
        if kind != CMD_DATA:
            raise ProtocolError(f"reply of type {kind} to a read request")
        return answered, fields.string()

    def close_handle(self, handle: bytes) -> None:
        """Close a file or directory."""
        self.call(CMD_STATUS, CMD_CLOSE, string(handle))

    def close(self) -> None:
        """Close the channel without waiting; what is still on its way is dropped."""
        self.wire.close()

    def _ask(self, command: int, body: bytes) -> int:
        self._asked = (self._asked + 1) & 0xFFFFFFFF
        self._send(command, number(self._asked) + body)
        return self._asked

    def _answer(self) -> tuple[int, int, Fields]:
        """Wait for one reply: the request's number, type, fields; ``ServerSaid`` for a status but OK."""
        kind, fields = self._receive()
        answered = fields.number()
        if kind == CMD_STATUS:
            code, text = read_status(fields)
            if code != SftpStatus.OK:
                raise StatusReply(code, text)
        return answered, kind, fields

    def _send(self, command: int, body: bytes) -> None:
        self.wire.send(number(len(body) + 1) + number(command, 1) + body)

    def _receive(self) -> tuple[int, Fields]:
        length = int.from_bytes(self._exactly(4))
        if not 1 <= length <= LONGEST_REPLY:
            raise ProtocolError(f"a reply of {length} bytes")
        fields = Fields(self._exactly(length))
        return fields.number(1), fields

    def _exactly(self, size: int) -> bytes:
        """Take so many bytes of what has come, and wait for the rest of them."""
        pieces = []
        while size:
            if self._at == len(self._held):
                self._held, self._at = self.wire.recv(CHANNEL_WINDOW_BYTES // 2), 0
            piece = self._held[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _agree_on_version(self) -> dict[bytes, bytes]:
        """Say which version we speak (section 4); the extensions of the server."""
        self._send(CMD_INIT, number(PROTOCOL))
        kind, fields = self._receive()
        if kind != CMD_VERSION:
            raise ProtocolError(f"a reply of type {kind} in place of its version")
        version, extensions = read_version(fields)
        if version != PROTOCOL:
            raise ProtocolError(f"SFTP version {version}, where {PROTOCOL} was asked for")
        return extensions

    def _granted_read(self) -> int:
        """Ask a server that offers to say so how large a read request may be."""
        try:
            limits = self.call(CMD_EXTENDED_REPLY, CMD_EXTENDED, string(_LIMITS))
        except StatusReply:
            return DEFAULT_READ
        limits.number(8)  # the longest packet
        return max(DEFAULT_READ, min(limits.number(8), LARGEST_READ))


class SftpSource:
    """A :class:`~smki_sync.sources.base.Source` over SFTP. One thread, one file at a time.

    Once the connection was lost or has hung it is closed, and every further question raises
    ``SourceUnreachable``: open a new source to go on. After any other error, or a file left in the
    middle, the same source can be asked again, without another login.
    """

    def __init__(
        self, address: SftpAddress, *, login: SftpLogin, limits: Limits, hear: EventListener
    ) -> None:
        """Remember where and how; nothing is read or sent before entering."""
        self._address = address
        self._login = login
        self._limits = limits
        self._hear = hear
        self._transport: paramiko.Transport | None = None
        self._session: Session | None = None
        self._left_one = False  # whether a session was left in the middle, which the server may still have

    @property
    def title(self) -> str:
        """The URL without any secret."""
        return self._address.title

    def __enter__(self) -> Self:
        """Connect, check the host key, log in."""
        self._transport = connect(self._address, login=self._login, limits=self._limits)
        self._hear.hear(Detail(text=negotiated(self._transport, self._address)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close at once, also in the middle of a file."""
        self._hang_up()

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List the regular files, ordered by name; errors as the protocol says."""
        with self._asking() as session, translated_errors(f"the directory {self._address.path}", self.title):
            handle = read_handle(session.call(CMD_HANDLE, CMD_OPENDIR, _path(self._address.path)))
            files = [file for named in self._entries(session, handle) for file in self._kept(named)]
            session.close_handle(handle)
        return tuple(sorted(files, key=lambda file: file.name))

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Chunks]:
        """Open a file and give its bytes from ``offset``; errors as the protocol says."""
        check_plain(name, longest=self._limits.name_length)
        with self._asking() as session:
            with translated_errors(name, self.title):
                handle, size = self._opened(session, name)
            if offset > size:
                raise shorter(name, size=size, offset=offset, where=self.title)
            window = ReadWindow(
                offset=offset, size=size, span_bytes=session.read_bytes, spans=session.in_flight
            )
            with closing(self._chunks(session, handle, window, name)) as chunks:
                yield chunks
            if window.done:
                with translated_errors(name, self.title):
                    session.close_handle(handle)
            else:
                self._abandon()

    def _entries(self, session: Session, handle: bytes) -> Iterator[NamedFile]:
        """Read a listing batch by batch to its end, or to the bound: a server may go on for ever."""
        batches = (read_names(fields) for fields in _batches(session, handle))
        for seen, named in enumerate(chain.from_iterable(batches), 1):
            if seen > self._limits.entries:
                raise too_long(self.title, self._limits.entries)
            yield named

    def _kept(self, named: NamedFile) -> Iterator[RemoteFile]:
        """Describe a regular file with a plain name; nothing for anything else."""
        size = named.attributes.size
        if named.is_regular and size is not None and is_plain(named.name, longest=self._limits.name_length):
            yield RemoteFile(name=named.name, size=size, modified=named.attributes.modified)

    def _opened(self, session: Session, name: str) -> tuple[bytes, int]:
        """Open a file; its handle and its size in bytes."""
        path = _path(f"{self._address.path.rstrip('/')}/{name}")
        question = path + number(SFTP_FLAG_READ) + number(0)  # no attributes
        handle = read_handle(session.call(CMD_HANDLE, CMD_OPEN, question))
        facts = read_attributes(session.call(CMD_ATTRS, CMD_FSTAT, string(handle)))
        if facts.size is None:
            raise ProtocolError("an open file without a size")
        if facts.mode is not None and stat.S_IFMT(facts.mode) not in (0, stat.S_IFREG):
            raise SourceMissing(f"{name} on {self.title} is no regular file", code="not-a-file")
        return handle, facts.size

    def _chunks(
        self, session: Session, handle: bytes, window: ReadWindow, name: str
    ) -> Generator[bytes, None, None]:
        """Keep the window full, hand on what is in order."""
        waiting: dict[int, ReadSpan] = {}
        while not window.done:
            with translated_errors(name, self.title):
                for span in window.wanted():
                    waiting[session.ask_read(handle, span.at, span.missing)] = span
                answered, data = session.next_read()
                if answered not in waiting:
                    raise ProtocolError("an answer to no read request in flight")
                window.take(waiting.pop(answered), data)
            yield from window.ready()

    @contextmanager
    def _asking(self) -> Iterator[Session]:
        """Give a session with fresh limits; after an error none is left that could still be busy."""
        if self._transport is None:
            raise SourceUnreachable(
                f"the connection to {self._address.peer} is closed",
                code="connection-lost",
                hint="Open the source again; it is used inside its with statement.",
            )
        try:
            if self._session is None:
                with translated_errors("the SFTP session", self.title):
                    self._session = Session(
                        self._transport,
                        peer=self._address.peer,
                        limits=self._limits,
                        after_another=self._left_one,
                    )
            self._session.wire.begin()
            yield self._session
        except BaseException:
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Give up what is in flight without waiting for it: the channel, or a connection that failed."""
        session, self._session = self._session, None
        self._left_one = True
        if session is None or session.wire.failed:
            self._hang_up()
            return
        try:
            session.close()
        except (*FOREIGN, OSError):
            self._hang_up()

    def _hang_up(self) -> None:
        self._session = None
        transport, self._transport = self._transport, None
        if transport is not None:
            disconnect(transport)


def _batches(session: Session, handle: bytes) -> Iterator[Fields]:
    """Ask for one batch of a listing after the other until the server says that it is the end."""
    while True:
        try:
            yield session.call(CMD_NAME, CMD_READDIR, string(handle))
        except StatusReply as said:
            if said.code == SftpStatus.EOF:
                return
            raise


def _path(text: str) -> bytes:
    """Write a path as the server wants it; names that are listed are UTF-8."""
    return string(text.encode(errors="surrogateescape"))
