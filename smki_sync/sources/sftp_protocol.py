"""The bodies of SFTP replies, read strictly (draft-ietf-secsh-filexfer-02, sections 5 and 7).

For: octets from a server → values, with every length checked, and the few fields that a question has.
The library's own reader pads what is missing with zeros, and a file's bytes must never be made up. Refuses:
to guess at a reply cut short.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

_HAS_SIZE = 0x1
_HAS_OWNERS = 0x2
_HAS_PERMISSIONS = 0x4
_HAS_TIMES = 0x8
_HAS_EXTENSIONS = 0x80000000


LONGEST_HANDLE = 256
"""Octets of a file handle at most (section 6.3); it goes back with every read request."""


class Status(IntEnum):
    """The codes of a STATUS reply that mean something of their own (section 7)."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3


class Garbled(Exception):
    """A reply that is none: it ends before its own lengths do, or answers what was not asked."""


class ServerSaid(Exception):
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
class Named:
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
            raise Garbled(f"{octets} octets announced, {len(self._body) - self._at} left")
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
        raise Garbled(f"a handle of {len(handle)} octets")
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


def read_names(fields: Fields) -> Iterator[Named]:
    """Read a NAME reply (section 7), one entry at a time: the count may be a lie.

    Raises ``Garbled`` for a count of zero too, with which a listing would never end.
    """
    count = fields.number()
    if not count:
        raise Garbled("a batch of no names")
    for _ in range(count):
        yield Named(name=fields.text(), longname=fields.text(), attributes=read_attributes(fields))


def read_status(fields: Fields) -> tuple[int, str]:
    """Read a STATUS reply (section 7): its code, and its text, which old servers leave out."""
    code = fields.number()
    try:
        return code, fields.text()
    except Garbled:
        return code, ""


def _times(fields: Fields) -> datetime:
    """Read over the access time and take the modification time, seconds since 1970."""
    fields.number()
    return datetime.fromtimestamp(fields.number(), tz=UTC)
