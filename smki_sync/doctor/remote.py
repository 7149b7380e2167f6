"""Host name to listing with one login; fallbacks, archive, hooks."""

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from smki_sync.catalogue import FileNames, read_catalogue
from smki_sync.doctor.local import CheckResult, failed, passed, skipped, warned
from smki_sync.errors import ConfigError, SmkiSyncError, SourceUnreachable
from smki_sync.events import Detail, Event, EventListener
from smki_sync.mirror.ledger import utc
from smki_sync.model.extract import Catalogue, Extract, RemoteFile
from smki_sync.sources.base import Address, DirectoryAddress, SftpAddress, Source

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

OpenHeard = Callable[[EventListener], Source]
"""Makes the configured source, not yet entered, that tells a listener what it negotiates."""


@dataclass(slots=True)
class LoginEvents:
    """A listener that keeps what is said."""

    texts: list[str] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        """Keep a detail."""
        if isinstance(event, Detail):
            self.texts.append(event.text)


@dataclass(slots=True)
class RemoteCheck:
    """The steps to the listing; ``files`` is what it holds, once :meth:`steps` has come that far."""

    address: Address
    open_source: OpenHeard
    files: tuple[RemoteFile, ...] | None = None

    def steps(self) -> Iterator[CheckResult]:
        """Take one step after the other; those after one that fails are skipped."""
        match self.address:
            case SftpAddress() as address:
                yield from self._to_server(address)
            case DirectoryAddress():
                yield from self._listed()

    def _to_server(self, address: SftpAddress) -> Iterator[CheckResult]:
        resolved = _resolve(address)
        yield resolved
        if resolved.error:
            yield from (skipped(step, f"not tried: {NAME}") for step in (*_STEPS, LISTING))
        else:
            yield from self._listed()

    def _listed(self) -> Iterator[CheckResult]:
        """Enter the source and list; what cannot be entered says which step failed."""
        heard = LoginEvents()
        with ExitStack() as stack:
            try:
                source = stack.enter_context(self.open_source(heard))
            except SmkiSyncError as error:
                yield from self._not_entered(error)
                return
            if isinstance(self.address, SftpAddress):
                yield from _entered(heard, self.address)
            yield self._list(source)

    def _list(self, source: Source) -> CheckResult:
        try:
            self.files = source.fetch_listing()
            count = sum(file.unusable is None for file in self.files)
        except SmkiSyncError as error:
            return failed(LISTING, error)
        return passed(LISTING, f"{source.title} lists {count} file{'s' * (count != 1)}")

    def _not_entered(self, error: SmkiSyncError) -> Iterator[CheckResult]:
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


def _before(step: str, error: SmkiSyncError) -> CheckResult:
    """A step before the one that failed: passed, unless the fault showed before anything was sent."""
    if isinstance(error, ConfigError) or error.reason == "refused-recently":
        return skipped(step, "not tried: nothing was sent")
    return passed(step, "passed")


def _entered(heard: LoginEvents, address: SftpAddress) -> Iterator[CheckResult]:
    server, _, key = (heard.texts[0] if heard.texts else "passed").partition("; host key ")
    yield passed(TCP, f"{address.peer} takes connections")
    yield passed(HANDSHAKE, server)
    yield passed(HOST_KEY, f"{key.partition('; ')[0] or 'the pinned one'}, as pinned")
    yield passed(LOGIN, f"{address.user} is let in")


def _resolve(address: SftpAddress) -> CheckResult:
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
    return passed(NAME, f"{address.host} is {', '.join(places)}")


_SHOWN: Final = 5  # names that are spelled out
SKEW: Final = timedelta(minutes=5)
"""A file from further in the future than this means that one of the two clocks is wrong."""


def check_names(catalogue: Catalogue, names: FileNames) -> CheckResult:
    """Whether the listing holds extracts, and nothing that nobody knows."""
    extracts = f"{len(catalogue.fulls)} fulls and {len(catalogue.deltas)} deltas"
    strangers = [f"{s.name} ({s.why})" for s in catalogue.strangers]
    shown = ", ".join(strangers[:_SHOWN]) + (
        f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
    )
    if not catalogue.fulls and not catalogue.deltas:
        return warned(
            "names",
            f"no file is named like {names.full} or {names.delta}"
            + (f"; there are {shown}" if shown else ""),
            "Check the path in the source URL, and repository.full_name and repository.delta_name.",
        )
    if strangers:
        mend = (
            "If one of them is an extract, set its name in [repository]; if not, add it to companion_names."
        )
        return warned("names", f"{extracts}; left alone: {shown}", mend)
    return passed("names", f"{extracts}, and {len(catalogue.companions)} companions; no other name")


def check_clock(files: tuple[RemoteFile, ...], catalogue: Catalogue, now: datetime) -> CheckResult:
    """This machine's clock against the newest time of a file, and against the newest date in a name."""
    times = [file.modified for file in files if file.modified]
    ahead = [x.name for x in _extracts(catalogue) if x.day > now.date() + timedelta(days=1)]
    if times and max(times) > now + SKEW:
        seen = f"a file on offer was changed at {utc(max(times))}, and here it is {utc(now)}"
        return warned("clock", seen, "Set this machine's clock (NTP). If it is right, tell the DCC.")
    if ahead:
        seen = f"{ahead[0]} is dated ahead of this machine's date, {now.date()}"
        return warned("clock", seen, "Set this machine's clock (NTP). If it is right, tell the DCC.")
    newest = f"; the newest file on offer is of {utc(max(times))}" if times else ""
    return passed("clock", f"{utc(now)} here{newest}")


def _extracts(catalogue: Catalogue) -> Iterator[Extract]:
    yield from (*catalogue.fulls, *catalogue.deltas)


def read_offer(files: tuple[RemoteFile, ...], names: FileNames) -> Catalogue:
    """Sort the listing."""
    return read_catalogue(files, names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredPaths:
    """What is configured of them. ``after_run``: the command and its arguments; empty: there is none."""

    fallbacks: tuple[OpenHeard, ...] = ()
    archive: Path | None = None
    textfile: Path | None = None
    after_run: Sequence[str] = ()


def check_fallback(number: int, open_source: OpenHeard, names: FileNames) -> CheckResult:
    """Whether a fallback can be listed, and holds extracts. ``number``: its place in the list, from 1."""
    check = f"fallback {number}"
    try:
        with open_source(LoginEvents()) as source:
            title, found = source.title, read_offer(source.fetch_listing(), names)
    except SmkiSyncError as error:
        return warned(check, error.message, error.hint)
    held = f"{title} holds {len(found.fulls)} fulls and {len(found.deltas)} deltas"
    if not found.fulls and not found.deltas:
        return warned(check, held, "Fill it, or take it out of repository.fallbacks.")
    return passed(check, held)


def check_archive(path: Path) -> CheckResult:
    """Whether extracts can be put there."""
    if not _can_be_made(path):
        mend = "Let the user that runs smki-sync write there, or configure another archive.path."
        return warned("archive", f"{path} cannot be written, and what is applied is to be kept there", mend)
    return passed("archive", f"{path} can be " + ("written" if path.is_dir() else "made"))


def check_metrics_file(path: Path) -> CheckResult:
    """Whether the metrics can be replaced: written beside, and renamed."""
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)):
        mend = "Make the directory, with the right to write, or configure another metrics.textfile."
        return warned("metrics", f"{path.parent} is no directory that this user may write to", mend)
    return passed("metrics", f"{path} can be written")


def check_hook(command: Sequence[str]) -> CheckResult:
    """Check that the program of ``hooks.after_run`` exists. It is not started."""
    if not shutil.which(command[0]):
        return warned(
            "hooks",
            f"hooks.after_run: the program {command[0]} was not found",
            "Install it, or give its absolute path. A service can have a different PATH.",
        )
    return passed("hooks", f"hooks.after_run: {command[0]} can be started")


def _can_be_made(path: Path) -> bool:
    near = next(place for place in (path, *path.absolute().parents) if os.access(place, os.F_OK))
    return near.is_dir() and os.access(near, os.W_OK | os.X_OK)
