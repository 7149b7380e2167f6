"""From the host's name to a listing, in one connection and with one login.

For: finding the first step that fails, and saying of those before it what was seen. Refuses: to log in
twice, to retry: five wrong logins in an hour lock the account (SEC Appendix P).
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from smki_sync.doctor.finding import Finding, failed, fine, skipped
from smki_sync.errors import ConfigError, SmkiSyncError, SourceUnreachable
from smki_sync.events import Detail, Event, Listener
from smki_sync.model.extract import RemoteFile
from smki_sync.sources.address import Address, DirectoryAddress, SftpAddress
from smki_sync.sources.base import Source

NAME: Final = "name resolution"
TCP: Final = "connection"
HANDSHAKE: Final = "handshake"
HOST_KEY: Final = "host key"
LOGIN: Final = "login"
LISTING: Final = "listing"

_STEPS: Final = (TCP, HANDSHAKE, HOST_KEY, LOGIN)
"""What entering an SFTP source does, in order."""

_TCP_CODES: Final = {"host-unknown", "connect-timeout", "connection-refused", "source-unreachable"}
_HANDSHAKE_CODES: Final = {"banner-timeout", "handshake-failed", "no-common-algorithm", "server-busy"}
_HOST_KEY_CODES: Final = {"known-hosts", "host-key-unknown", "host-key-changed", "host-key-revoked"}

OpenHeard = Callable[[Listener], Source]
"""Makes the configured source, not yet entered, that tells a listener what it negotiates."""


@dataclass(slots=True)
class Heard:
    """A listener that keeps what is said."""

    texts: list[str] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        """Keep a detail."""
        if isinstance(event, Detail):
            self.texts.append(event.text)


@dataclass(slots=True)
class Journey:
    """The steps to the listing; ``files`` is what it holds, once :meth:`steps` has come that far."""

    address: Address
    open_source: OpenHeard
    files: tuple[RemoteFile, ...] | None = None

    def steps(self) -> Iterator[Finding]:
        """Take one step after the other; those after one that fails are skipped."""
        match self.address:
            case SftpAddress() as address:
                yield from self._to_server(address)
            case DirectoryAddress():
                yield from self._listed()

    def _to_server(self, address: SftpAddress) -> Iterator[Finding]:
        resolved = _resolve(address)
        yield resolved
        if resolved.error:
            yield from (skipped(step, f"not tried: {NAME}") for step in (*_STEPS, LISTING))
        else:
            yield from self._listed()

    def _listed(self) -> Iterator[Finding]:
        """Enter the source and list; what cannot be entered says which step failed."""
        heard = Heard()
        with ExitStack() as stack:
            try:
                source = stack.enter_context(self.open_source(heard))
            except SmkiSyncError as error:
                yield from self._not_entered(error)
                return
            if isinstance(self.address, SftpAddress):
                yield from _entered(heard, self.address)
            yield self._list(source)

    def _list(self, source: Source) -> Finding:
        try:
            self.files = source.fetch_listing()
        except SmkiSyncError as error:
            return failed(LISTING, error)
        return fine(LISTING, f"{source.title} lists {len(self.files)} file{'s' * (len(self.files) != 1)}")

    def _not_entered(self, error: SmkiSyncError) -> Iterator[Finding]:
        if isinstance(self.address, DirectoryAddress):
            yield failed(LISTING, error)
            return
        at = _step_of(error)
        for step in (*_STEPS, LISTING):
            if step == at:
                yield failed(step, error)
            elif step in _STEPS and _STEPS.index(step) < _STEPS.index(at):
                yield _before(step, error)
            else:
                yield skipped(step, f"not tried: {at}")


def _step_of(error: SmkiSyncError) -> str:
    if error.reason in _TCP_CODES:
        return TCP
    if error.reason in _HANDSHAKE_CODES:
        return HANDSHAKE
    return HOST_KEY if error.reason in _HOST_KEY_CODES else LOGIN


def _before(step: str, error: SmkiSyncError) -> Finding:
    """A step before the one that failed: passed, unless the fault showed before anything was sent."""
    if isinstance(error, ConfigError) or error.reason == "refused-recently":
        return skipped(step, "not tried: nothing was sent")
    return fine(step, "passed")


def _entered(heard: Heard, address: SftpAddress) -> Iterator[Finding]:
    server, _, key = (heard.texts[0] if heard.texts else "passed").partition("; host key ")
    yield fine(TCP, f"{address.peer} takes connections")
    yield fine(HANDSHAKE, server)
    yield fine(HOST_KEY, f"{key.partition('; ')[0] or 'the pinned one'}, as pinned")
    yield fine(LOGIN, f"{address.user} is let in")


def _resolve(address: SftpAddress) -> Finding:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        why = getattr(exc, "strerror", None) or "no host name"
        return failed(
            NAME,
            SourceUnreachable(
                f"the host {address.host} is not known to the name service ({why})",
                code="host-unknown",
                hint="Check the host's name in the source URL and this machine's name service.",
            ),
        )
    places = sorted({str(info[4][0]) for info in found})
    return fine(NAME, f"{address.host} is {', '.join(places)}")
