"""Source protocol, limits, source URLs, shared error messages."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

from smki_sync.errors import ConfigError, SourceMissing, SourceUnreachable
from smki_sync.model.extract import RemoteFile, UnrecognisedReason

Chunks = Iterator[bytes]
"""The bytes of a file in order, in chunks of any size above zero."""

MAX_FILE_BYTES: Final = 1 << 50
"""Largest size of a file that is believed, 1 PiB: no extract comes near it, and SQLite can store it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait for a source, and how much to accept from it. Times in seconds.

    ``connect``: until a TCP connection, over all addresses of the host. ``banner``: until the SSH banner.
    ``login``: key exchange and login together. ``stall``: without a single byte. ``total``: for one file; 0
    is no limit. ``slow_rate``: minimum bytes per second, measured over ``slow_period`` seconds of waiting; 0
    is no limit. ``keep_alive``: interval of keepalive messages; 0 is none. ``listing``: for one complete
    listing. ``request``: for one request about one name. ``entries``: in one listing. ``name_length``: of
    one name, in characters.
    """

    connect: float = 30.0
    banner: float = 30.0
    login: float = 60.0
    stall: float = 120.0
    total: float = 0.0
    slow_rate: float = 1000.0
    slow_period: float = 300.0
    keep_alive: float = 30.0
    listing: float = 600.0
    request: float = 120.0
    entries: int = 10_000
    name_length: int = 255


class Source(Protocol):
    """A place with files. A context manager: entering connects, leaving closes.

    Every method raises :class:`~smki_sync.errors.SourceUnreachable` for errors that may be temporary,
    :class:`~smki_sync.errors.SourceRefused` if the host key, the login or a permission is refused, and
    :class:`~smki_sync.errors.SourceMissing` if the directory or the file does not exist.
    """

    @property
    def title(self) -> str:
        """The URL without secrets."""

    def __enter__(self) -> Self:
        """Connect."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close at once, also after an error or during a transfer."""

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """List the directory, ordered by name.

        An entry that is not a usable file (a directory, a link to nothing, a file without a size) has
        :attr:`RemoteFile.unusable`. Names that are not plain file names are left out (:func:`is_plain`).
        """

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file and return its bytes from ``offset`` (in bytes) to the end.

        Raises ``SourceUnreachable`` if the file ends before the size that the source states.
        """


OpenSource = Callable[[], Source]
"""Creates a source that is not entered yet."""


def bounded_size(size: int | None) -> tuple[int, UnrecognisedReason | None]:
    """Return a usable size, and otherwise 0 with the reason."""
    if size is None:
        return 0, UnrecognisedReason.SIZE_UNKNOWN
    if not 0 <= size <= MAX_FILE_BYTES:
        return 0, UnrecognisedReason.SIZE_IMPOSSIBLE
    return size, None


def listing_too_long(title: str, entries: int) -> SourceUnreachable:
    """Create the error for a listing with more than ``Limits.entries`` entries."""
    return SourceUnreachable(
        f"the listing of {title} has more than {entries} entries",
        code="listing-too-long",
        hint="Check the path in the source URL. The Repository lists a few dozen files.",
    )


def ended_early(name: str, *, at: int, size: int, where: str) -> SourceUnreachable:
    """Create the error for a file that ended before its stated size. Both in bytes."""
    return SourceUnreachable(
        f"{name} from {where} ended at byte {at}, before its stated size of {size} bytes",
        code="ended-early",
        hint="The file may be being replaced. Try again later.",
    )


def shorter_than_offset(name: str, *, size: int, offset: int, where: str) -> SourceUnreachable:
    """Create the error for a file that ends before the requested offset. Both in bytes."""
    return SourceUnreachable(
        f"{name} from {where} has {size} bytes and cannot be resumed at byte {offset}",
        code="ended-early",
        hint="The file was replaced. Download it from the beginning.",
    )


SHOWN_CHARACTERS: Final = 200
"""Longest text of a server in a message: enough for a sentence."""


def is_plain(name: str, *, longest: int) -> bool:
    """Whether ``name`` is a plain file name of at most ``longest`` characters.

    Not plain: empty, ``.``, ``..``, a name with a slash or NUL, or one that is not valid UTF-8.
    """
    if name in ("", ".", "..") or len(name) > longest or "/" in name or "\0" in name:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def check_plain(name: str, *, longest: int) -> None:
    """Raise ``SourceMissing`` if ``name`` cannot be in a listing."""
    if not is_plain(name, longest=longest):
        raise SourceMissing(
            f"{printable(name)!r} is not a plain file name",
            code="not-a-plain-name",
            hint="Use a file name from the listing, without a directory.",
        )


def printable(text: str) -> str:
    """Shorten a text of a server and replace characters that could control a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:SHOWN_CHARACTERS])


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """One time limit. ``key``: its configuration key, if it has one. ``code``: of its error."""

    key: str = ""
    code: str
    hint: str

    def error(self, what: str, seconds: float) -> SourceUnreachable:
        """Create the error; ``what`` says what did not happen within ``seconds``."""
        setting = f" ({self.key} = {seconds:g})" if self.key else ""
        return SourceUnreachable(f"{what} within {seconds:g} s{setting}", hint=self.hint, code=self.code)


CONNECT = Timeout(
    key="limits.connect_seconds",
    code="connect-timeout",
    hint="Check the gateway connection, the firewall and the port.",
)
BANNER = Timeout(
    key="",
    code="banner-timeout",
    hint="Check that an SSH server listens on this port. If it is overloaded, try again later.",
)
LOGIN = Timeout(
    key="limits.login_seconds",
    code="login-timeout",
    hint="The server may be overloaded. Try again later.",
)
STALL = Timeout(
    key="limits.stall_seconds",
    code="stalled",
    hint="The server or the connection does not respond. Try again later; the download will resume.",
)
TOTAL = Timeout(
    key="limits.total_seconds",
    code="total-timeout",
    hint="Try again later or raise the limit. The download will resume.",
)
LISTING = Timeout(
    code="listing-timeout",
    hint="Check that the path is the Repository's directory. If it is, contact the DCC.",
)
REQUEST = Timeout(
    code="stalled",
    hint="The server or the connection does not respond. Try again later; the download will resume.",
)
TIME_LIMITS = (CONNECT, BANNER, LOGIN, STALL, TOTAL)
"""The configurable limits, in the order in which a connection reaches them."""


def too_slow(peer: str, size: int, *, rate: float, seconds: float) -> SourceUnreachable:
    """Create the error for a server that sent ``size`` bytes in ``seconds`` of waiting."""
    return SourceUnreachable(
        f"{peer} sent {size} bytes in {seconds:g} s of waiting, less than {rate:g} bytes per second",
        code="too-slow",
        hint="The connection is too slow. Try again later; the download will resume.",
    )


SSH_PORT = 22

_FORMS = "Use sftp://user@host:port/path or file:///directory."
_SECRETS = (
    "Remove the password from the URL. Set repository.password_file, SMKI_SYNC_PASSWORD or"
    " repository.identity_file instead."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpAddress:
    """Address of an SFTP source. ``path``: on the server; relative to the login directory without a slash."""

    user: str
    host: str
    port: int
    path: str

    @property
    def peer(self) -> str:
        """``host:port`` for messages; an IPv6 address is in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def title(self) -> str:
        """The URL, which contains no secret."""
        host = self.peer.replace("%", "%25")  # the zone of an IPv6 address (RFC 6874)
        path = self.path if self.path.startswith("/") else f"/~/{'' if self.path == '.' else self.path}"
        return f"sftp://{quote(self.user, safe='')}@{host}{quote(path, safe='/~')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryAddress:
    """Address of a directory source: an absolute path on this machine."""

    path: Path

    @property
    def title(self) -> str:
        """The URL."""
        return self.path.as_uri()


Address = SftpAddress | DirectoryAddress


def parse_address(url: str) -> Address:
    """Parse a source URL. Percent-escapes are decoded; ``/~/`` starts at the login directory.

    Raises ``ConfigError`` (code ``source-url``). The message never repeats the URL.
    """
    if any(not letter.isprintable() for letter in url):
        raise _wrong("the source URL contains a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong("the source URL has an invalid host or port") from None
    _check_extras(parts)
    match parts.scheme:
        case "sftp":
            return _sftp(parts, port)
        case "file":
            return _directory(parts)
        case _:
            raise _wrong("the source URL does not start with sftp:// or file://")


def _check_extras(parts: SplitResult) -> None:
    if parts.password is not None:
        raise _wrong("the source URL contains a password", hint=_SECRETS)
    if parts.query or parts.fragment:
        raise _wrong(
            "the source URL contains a ? or a #", hint=f"{_FORMS} In a path, use %3F for ? and %23 for #."
        )


def _sftp(parts: SplitResult, port: int | None) -> SftpAddress:
    if not parts.hostname:
        raise _wrong("the SFTP source URL has no host")
    if not parts.username:
        raise _wrong("the SFTP source URL has no user")
    if port == 0:
        raise _wrong("the SFTP source URL has port 0")
    path = unquote(parts.path)
    if path == "/~" or path.startswith("/~/"):
        path = path[3:]
    host = parts.hostname.replace("%25", "%", 1) if ":" in parts.hostname else parts.hostname
    return SftpAddress(user=unquote(parts.username), host=host, port=port or SSH_PORT, path=path or ".")


def _directory(parts: SplitResult) -> DirectoryAddress:
    if parts.netloc not in ("", "localhost"):
        raise _wrong(
            "the directory source URL has a host", hint="Use three slashes: file:///absolute/directory."
        )
    path = Path(unquote(parts.path))
    if not path.is_absolute() or "\0" in str(path):
        raise _wrong(
            "the path of the directory source URL is not absolute", hint="Use file:///absolute/directory."
        )
    return DirectoryAddress(path=path)


def _wrong(message: str, *, hint: str = _FORMS) -> ConfigError:
    return ConfigError(message, hint=hint, code="source-url")
