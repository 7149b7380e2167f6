"""Source protocol, limits, source URLs, shared error messages."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import SplitResult, quote, unquote, urlsplit

from smki_sync.errors import ConfigError, SourceMissing, SourceUnreachable
from smki_sync.model.extract import RemoteFile

Chunks = Iterator[bytes]
"""The bytes of a file in order, in chunks of any size above zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait for a source and how much to take from it. Times in seconds.

    ``connect``: until TCP stands. ``banner``: until the server names itself. ``login``: until keys are
    agreed and it has said yes or no. ``stall``: without a single byte. ``total``: for one file; 0 is without
    end. ``slow_rate``: the fewest bytes a second, over ``slow_period`` seconds of waiting; 0 is none.
    ``keep_alive``: between signs of life on an idle line; 0 is none. ``entries``: in one listing.
    ``name_length``: of one name, in characters.
    """

    connect: float = 30.0
    banner: float = 30.0
    login: float = 60.0
    stall: float = 120.0
    total: float = 0.0
    slow_rate: float = 1000.0
    slow_period: float = 300.0
    keep_alive: float = 30.0
    entries: int = 10_000
    name_length: int = 255


class Source(Protocol):
    """A place that offers files. A context manager: entering connects, leaving closes.

    Every method raises :class:`~smki_sync.errors.SourceUnreachable` where the fault may pass,
    :class:`~smki_sync.errors.SourceRefused` where host key, login or permission is refused, and
    :class:`~smki_sync.errors.SourceMissing` where the directory or the file is not there.
    """

    @property
    def title(self) -> str:
        """The source for people: its URL without any secret."""

    def __enter__(self) -> Self:
        """Connect."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close; promptly also after a fault or in the middle of a file."""

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """Regular files directly in the directory, ordered by name; one request a call.

        Names that are no plain file name (empty, ``.``, ``..``, a slash, a NUL, undecodable, or
        over ``Limits.name_length``) and anything but regular files are left out.
        """

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file and give its bytes from ``offset`` (in bytes) to its end.

        Raises ``SourceUnreachable`` where the file ends before the size that the source states.
        """


OpenSource = Callable[[], Source]
"""How a deed gets a source: it opens one a run and closes it."""


def too_long(title: str, entries: int) -> SourceUnreachable:
    """Say that a listing has more entries than ``Limits.entries`` allows."""
    return SourceUnreachable(
        f"the listing of {title} has more than {entries} entries",
        code="listing-too-long",
        hint="Check that the path is the Repository's directory; it offers a few dozen files.",
    )


def ended_early(name: str, *, at: int, size: int, where: str) -> SourceUnreachable:
    """Say that a file stopped before the size that its source stated. Both in bytes."""
    return SourceUnreachable(
        f"{name} from {where} ended at byte {at}, before its stated size of {size} bytes",
        code="ended-early",
        hint="It may be in the middle of being replaced; try again later.",
    )


def shorter(name: str, *, size: int, offset: int, where: str) -> SourceUnreachable:
    """Say that a file is now shorter than where reading was to go on. Both in bytes."""
    return SourceUnreachable(
        f"{name} from {where} has {size} bytes and cannot be read from byte {offset} on",
        code="ended-early",
        hint="It was replaced since; fetch it from its beginning.",
    )


SHOWN_TEXT = 200
"""Characters of a server's own words in a message: enough for a sentence, no room for a flood."""


def is_plain(name: str, *, longest: int) -> bool:
    """Whether ``name`` is one file name of at most ``longest`` characters, valid as UTF-8.

    Not plain: empty, ``.``, ``..``, with a slash or a NUL, or with octets that were not UTF-8.
    """
    if name in ("", ".", "..") or len(name) > longest or "/" in name or "\0" in name:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def check_plain(name: str, *, longest: int) -> None:
    """Raise ``SourceMissing`` where ``name`` could not have come from a listing."""
    if not is_plain(name, longest=longest):
        raise SourceMissing(
            f"{printable(name)!r} is no plain file name, so no source offers it",
            code="not-a-plain-name",
            hint="Name a file of the listing, without a directory.",
        )


def printable(text: str) -> str:
    """Cut a server's words to a safe length and replace what a terminal could act on."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:SHOWN_TEXT])


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """One limit. ``key``: what configures it, in seconds; empty for a constant. ``code``: of the error."""

    key: str
    code: str
    hint: str

    def fired(self, what: str, seconds: float) -> SourceUnreachable:
        """Make the error; ``what`` says who did what not within the limit's ``seconds``."""
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
    hint="Check that an SSH server listens on this port; it may be overloaded: try again later.",
)
LOGIN = Timeout(
    key="limits.login_seconds",
    code="login-timeout",
    hint="The server may be overloaded: try again later.",
)
STALL = Timeout(
    key="limits.stall_seconds",
    code="stalled",
    hint="The server or the line hangs; try again later. What has arrived can be resumed.",
)
TOTAL = Timeout(
    key="limits.total_seconds",
    code="total-timeout",
    hint="Try again later, or allow more time; what has arrived can be resumed.",
)
TIME_LIMITS = (CONNECT, BANNER, LOGIN, STALL, TOTAL)
"""In the order in which a connection meets them."""


def too_slow(peer: str, octets: int, *, rate: float, seconds: float) -> SourceUnreachable:
    """Make the error for a server that sent ``octets`` in ``seconds`` of waiting, below ``rate`` a second."""
    return SourceUnreachable(
        f"{peer} sent {octets} bytes in {seconds:g} s of waiting, fewer than {rate:g} a second",
        code="too-slow",
        hint="The server or the line is all but dead; try again later. What has arrived can be resumed.",
    )


SSH_PORT = 22

_FORMS = "Write sftp://user@host:port/path or file:///directory."
_SECRETS = (
    "Take the password out of the URL; give it in a file (repository.password_file) or in the environment"
    " (SMKI_SYNC_PASSWORD), or use a key (repository.identity_file)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SftpAddress:
    """Where an SFTP source is. ``path``: on the server; relative to the login directory without a slash."""

    user: str
    host: str
    port: int
    path: str

    @property
    def peer(self) -> str:
        """``host:port`` for messages, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def title(self) -> str:
        """The URL again, without any secret (there was none to begin with)."""
        path = self.path if self.path.startswith("/") else f"/~/{'' if self.path == '.' else self.path}"
        return f"sftp://{quote(self.user, safe='')}@{self.peer}{quote(path, safe='/~')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryAddress:
    """Where a directory source is: an absolute path on this machine."""

    path: Path

    @property
    def title(self) -> str:
        """The URL again."""
        return self.path.as_uri()


Address = SftpAddress | DirectoryAddress


def parse_address(url: str) -> Address:
    """Read a source's URL. Percent-escapes are decoded; ``/~/`` starts at the login directory.

    Raises ``ConfigError`` (code ``source-url``) that says how to write it and never repeats it.
    """
    if any(not letter.isprintable() for letter in url):
        raise _wrong("the source URL contains a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _wrong("the source URL has a host or port that cannot be read") from None
    _check_extras(parts)
    match parts.scheme:
        case "sftp":
            return _sftp(parts, port)
        case "file":
            return _directory(parts)
        case _:
            raise _wrong("the source URL starts with neither sftp:// nor file://")


def _check_extras(parts: SplitResult) -> None:
    if parts.password is not None:
        raise _wrong("the source URL contains a password", hint=_SECRETS)
    if parts.query or parts.fragment:
        raise _wrong(
            "the source URL contains a ? or a #", hint=f"{_FORMS} In a path, write %3F for ? and %23 for #."
        )


def _sftp(parts: SplitResult, port: int | None) -> SftpAddress:
    if not parts.hostname:
        raise _wrong("the SFTP source URL names no host")
    if not parts.username:
        raise _wrong("the SFTP source URL names no user")
    if port == 0:
        raise _wrong("the SFTP source URL has port 0")
    path = unquote(parts.path)
    if path == "/~" or path.startswith("/~/"):
        path = path[3:]
    return SftpAddress(
        user=unquote(parts.username), host=parts.hostname, port=port or SSH_PORT, path=path or "."
    )


def _directory(parts: SplitResult) -> DirectoryAddress:
    if parts.netloc not in ("", "localhost"):
        raise _wrong(
            "the directory source URL names a host", hint="Write three slashes: file:///absolute/directory."
        )
    path = Path(unquote(parts.path))
    if not path.is_absolute() or "\0" in str(path):
        raise _wrong(
            "the directory source URL has no absolute path", hint="Write file:///absolute/directory."
        )
    return DirectoryAddress(path=path)


def _wrong(message: str, *, hint: str = _FORMS) -> ConfigError:
    return ConfigError(message, hint=hint, code="source-url")
