"""What an SFTP server says no to, in the tree's own errors.

For: status codes, breaches of protocol and farewells → missing, refused or unreachable. Refuses: to show more
of a server's own words than a line, or any of its control characters.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import paramiko

from smki_sync.errors import SourceError, SourceMissing, SourceRefused, SourceUnreachable
from smki_sync.sources.names import printable
from smki_sync.sources.sftp_protocol import Garbled, ServerSaid, Status
from smki_sync.sources.ssh_transport import line_of
from smki_sync.sources.window import BadReply

FOREIGN = (paramiko.SSHException, EOFError)
"""What the library raises about a conversation that went wrong."""

TOO_MANY_CONNECTIONS = 12
"""Code of a DISCONNECT message from a server that is busy (RFC 4253, 11.1)."""


@contextmanager
def worded(what: str, title: str) -> Iterator[None]:
    """Turn what is raised about ``what`` (a file, a directory) of the source ``title`` into our errors."""
    try:
        yield
    except ServerSaid as said:
        raise _named(said, what, title) from said
    except (Garbled, BadReply, UnicodeError, *FOREIGN) as exc:
        raise SourceUnreachable(
            f"{title} does not keep to the SFTP protocol, about {what}: {printable(str(exc))}",
            code="protocol-broken",
            hint="Try again later; if it stays, tell the DCC.",
        ) from exc


def busy(what: str) -> SourceUnreachable:
    """Word a server that has no room now; it may have some later."""
    return SourceUnreachable(
        what, code="server-busy", hint="The server has as many callers as it allows; try again later."
    )


def turned_away(transport: paramiko.Transport) -> bool:
    """Whether the server hung up because it has too many callers, and said so."""
    farewell = line_of(transport).farewell
    return farewell is not None and farewell.code == TOO_MANY_CONNECTIONS


def cause_of(transport: paramiko.Transport) -> str:
    """Say why a connection ended: the server's own words if it had any, else what the library met."""
    if farewell := line_of(transport).farewell:
        return f"it hung up, saying: {farewell.text or 'nothing'} (code {farewell.code})"
    cause = transport.get_exception()
    if cause is None or isinstance(cause, EOFError):
        return "it hung up"
    return printable(str(cause)) or f"a packet was damaged on its way: {type(cause).__name__}"


def _named(said: ServerSaid, what: str, title: str) -> SourceError:
    """Word a status reply by its code (filexfer-02, section 7)."""
    words = printable(said.text) or f"status {said.code}"
    match said.code:
        case Status.NO_SUCH_FILE:
            return SourceMissing(
                f"{what} is not there on {title} ({words})",
                hint="Check the path in the source URL; the Repository removes a delta after seven days.",
            )
        case Status.PERMISSION_DENIED:
            return SourceRefused(
                f"{what} on {title} may not be read ({words})",
                code="permission-denied",
                hint="Ask the DCC whether the account has access to it.",
            )
        case Status.EOF:
            return SourceUnreachable(
                f"{what} from {title} ended before its stated size",
                code="ended-early",
                hint="It may be in the middle of being replaced; try again later.",
            )
        case _:
            return SourceUnreachable(
                f"{title} failed with {what} ({words})",
                code="server-failed",
                hint="Try again later; if it stays, tell the DCC.",
            )
