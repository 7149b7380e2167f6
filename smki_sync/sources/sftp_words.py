"""What an SFTP server says no to, in the tree's own errors.

For: status codes and breaches of protocol → missing, refused or unreachable. Refuses:
to show more of a server's own words than a line, or any of its control characters.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from smki_sync.errors import SourceError, SourceMissing, SourceRefused, SourceUnreachable
from smki_sync.sources.names import printable
from smki_sync.sources.packets import Garbled, Status
from smki_sync.sources.sftp import FOREIGN, ServerSaid
from smki_sync.sources.window import BadReply


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
