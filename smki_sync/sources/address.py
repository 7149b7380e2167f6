"""A source's URL, read at the door.

For: ``sftp://user@host:port/path`` and ``file:///directory`` as values. Refuses: a secret inside a
URL, and to repeat any part of a refused URL, because a password may stand where none belongs.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from smki_sync.errors import ConfigError

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
