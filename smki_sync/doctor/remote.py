"""Checks from the host name to the listing, with one login; fallbacks, archive, metrics file and hook."""

import os
import shutil
import socket
import stat
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
"""The steps of connecting to an SFTP source, in order."""

_TCP_CODES: Final = {"host-unknown", "connect-timeout", "connection-refused", "source-unreachable"}
_HANDSHAKE_CODES: Final = {"banner-timeout", "handshake-failed", "no-common-algorithm", "server-busy"}
_HOST_KEY_CODES: Final = {"known-hosts", "host-key-unknown", "host-key-changed", "host-key-revoked"}

OpenWithEvents = Callable[[EventListener], Source]
"""Returns the configured source, not yet connected, which reports its negotiation to the listener."""


@dataclass(slots=True)
class LoginEvents:
    """A listener that collects the details of a login."""

    texts: list[str] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """Keep the text of a detail."""
        if isinstance(event, Detail):
            self.texts.append(event.text)


@dataclass(slots=True)
class RemoteCheck:
    """The steps from the host name to the listing. ``files`` is the listing after :meth:`steps`."""

    address: Address
    open_source: OpenWithEvents
    files: tuple[RemoteFile, ...] | None = None

    def steps(self) -> Iterator[CheckResult]:
        """Run the steps in order. The steps after a failure are skipped."""
        match self.address:
            case SftpAddress() as address:
                yield from self._check_server(address)
            case DirectoryAddress():
                yield from self._connect_and_list()

    def _check_server(self, address: SftpAddress) -> Iterator[CheckResult]:
        resolved = _resolve(address)
        yield resolved
        if resolved.error:
            yield from (skipped(step, f"not checked: {NAME} failed") for step in (*_STEPS, LISTING))
        else:
            yield from self._connect_and_list()

    def _connect_and_list(self) -> Iterator[CheckResult]:
        events = LoginEvents()
        with ExitStack() as stack:
            try:
                source = stack.enter_context(self.open_source(events))
            except SmkiSyncError as error:
                yield from self._connect_failed(error)
                return
            if isinstance(self.address, SftpAddress):
                yield from _connected(events, self.address)
            yield self._list(source)

    def _list(self, source: Source) -> CheckResult:
        try:
            self.files = source.fetch_listing()
        except SmkiSyncError as error:
            return failed(LISTING, error)
        count = sum(file.unusable is None for file in self.files)
        return passed(LISTING, f"{source.title} lists {count} file{'s' * (count != 1)}")

    def _connect_failed(self, error: SmkiSyncError) -> Iterator[CheckResult]:
        if isinstance(self.address, DirectoryAddress):
            yield failed(LISTING, error)
            return
        failed_step = _step_of(error)
        for step in (*_STEPS, LISTING):
            if step == failed_step:
                yield failed(step, error)
            elif step in _STEPS and _STEPS.index(step) < _STEPS.index(failed_step):
                yield _earlier_step(step, error)
            else:
                yield skipped(step, f"not checked: {failed_step} failed")


def _step_of(error: SmkiSyncError) -> str:
    if error.reason in _TCP_CODES:
        return TCP
    if error.reason in _HANDSHAKE_CODES:
        return HANDSHAKE
    return HOST_KEY if error.reason in _HOST_KEY_CODES else LOGIN


def _earlier_step(step: str, error: SmkiSyncError) -> CheckResult:
    """Return the result of a step before the failed one: passed, unless nothing was sent."""
    if isinstance(error, ConfigError) or error.reason == "refused-recently":
        return skipped(step, "not checked: nothing was sent")
    return passed(step, "passed")


def _connected(events: LoginEvents, address: SftpAddress) -> Iterator[CheckResult]:
    server, _, key = (events.texts[0] if events.texts else "passed").partition("; host key ")
    yield passed(TCP, f"{address.peer} accepts connections")
    yield passed(HANDSHAKE, server)
    yield passed(HOST_KEY, f"{key.partition('; ')[0] or 'the trusted one'}, as in known_hosts")
    yield passed(LOGIN, f"{address.user} is logged in")


def _resolve(address: SftpAddress) -> CheckResult:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or "not a host name"
        return failed(
            NAME,
            SourceUnreachable(
                f"The host name {address.host} cannot be resolved: {reason}.",
                code="host-unknown",
                hint="Check the host name in the source URL, and the name service of this machine.",
            ),
        )
    addresses = sorted({str(info[4][0]) for info in found})
    return passed(NAME, f"{address.host} is {', '.join(addresses)}")


_MAX_NAMES: Final = 5
"""Names that a message contains."""

MAX_SKEW: Final = timedelta(minutes=5)
"""A file with a later time of change than this means that one of the two clocks is wrong."""


def check_names(catalogue: Catalogue, names: FileNames) -> CheckResult:
    """Check that the listing contains extracts, and no unrecognised names."""
    extracts = f"{len(catalogue.fulls)} fulls and {len(catalogue.deltas)} deltas"
    unrecognised = [f"{file.name} ({file.why})" for file in catalogue.strangers]
    shown = ", ".join(unrecognised[:_MAX_NAMES])
    if len(unrecognised) > _MAX_NAMES:
        shown += f" and {len(unrecognised) - _MAX_NAMES} more"
    if not catalogue.fulls and not catalogue.deltas:
        return warned(
            "names",
            f"no file has a name like {names.full} or {names.delta}" + (f"; found: {shown}" if shown else ""),
            "Check the path in the source URL, and repository.full_name and repository.delta_name.",
        )
    if unrecognised:
        return warned(
            "names",
            f"{extracts}; ignored files with unrecognised names: {shown}",
            "If one of them is an extract, set its name in [repository]. If not, add it to companion_names.",
        )
    return passed("names", f"{extracts}, {len(catalogue.companions)} other expected files")


def check_clock(files: tuple[RemoteFile, ...], catalogue: Catalogue, now: datetime) -> CheckResult:
    """Compare the clock of this machine with the newest time of a file and the newest date in a name."""
    fix = "Set the clock of this machine (NTP). If it is right, contact the DCC."
    times = [file.modified for file in files if file.modified]
    ahead = [x.name for x in _extracts(catalogue) if x.day > now.date() + timedelta(days=1)]
    if times and max(times) > now + MAX_SKEW:
        return warned("clock", f"a file was changed at {utc(max(times))}, but it is {utc(now)} here", fix)
    if ahead:
        return warned("clock", f"{ahead[0]} is dated after today, {now.date()}", fix)
    newest = f"; the newest file was changed at {utc(max(times))}" if times else ""
    return passed("clock", f"it is {utc(now)} here{newest}")


def _extracts(catalogue: Catalogue) -> Iterator[Extract]:
    yield from (*catalogue.fulls, *catalogue.deltas)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfiguredPaths:
    """Optional parts of the configuration. ``after_run``: the command and its arguments, or empty."""

    fallbacks: tuple[OpenWithEvents, ...] = ()
    archive: Path | None = None
    textfile: Path | None = None
    after_run: Sequence[str] = ()


def check_fallback(number: int, open_source: OpenWithEvents, names: FileNames) -> CheckResult:
    """Check that a fallback source can be listed and has extracts. ``number``: in the list, from 1."""
    check = f"fallback {number}"
    try:
        with open_source(LoginEvents()) as source:
            title, catalogue = source.title, read_catalogue(source.fetch_listing(), names)
    except SmkiSyncError as error:
        return warned(check, error.message, error.hint)
    message = f"{title} has {len(catalogue.fulls)} fulls and {len(catalogue.deltas)} deltas"
    if not catalogue.fulls and not catalogue.deltas:
        return warned(check, message, "Fill it, or remove it from repository.fallbacks.")
    return passed(check, message)


def check_archive(path: Path) -> CheckResult:
    """Check that extracts can be stored in the archive."""
    if not _can_be_created(path):
        return warned(
            "archive",
            f"{path} is not writable, so applied extracts cannot be stored",
            "Give the user that runs smki-sync write access, or change archive.path.",
        )
    return passed("archive", f"{path} is writable" if path.is_dir() else f"{path} can be created")


def check_metrics_file(path: Path) -> CheckResult:
    """Check that the metrics file can be replaced, and that the collector can read it."""
    directory = path.parent
    if not (directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)):
        return warned(
            "metrics",
            f"{directory} is not a directory that this user can write to",
            "Create the directory and give this user write access, or change metrics.textfile.",
        )
    if not directory.stat().st_mode & (stat.S_IXOTH | stat.S_IXGRP):
        return warned(
            "metrics",
            f"{directory} is private, so the collector cannot read {path.name}",
            f"Run `chmod o+rx {directory}`, or change metrics.textfile.",
        )
    return passed("metrics", f"{path} is writable")


def check_hook(command: Sequence[str]) -> CheckResult:
    """Check that the program of ``hooks.after_run`` exists. It is not started."""
    if not shutil.which(command[0]):
        return warned(
            "hooks",
            f"hooks.after_run: the program {command[0]} was not found",
            "Install it, or give its absolute path. A service can have a different PATH.",
        )
    return passed("hooks", f"hooks.after_run: {command[0]} can be started")


def _can_be_created(path: Path) -> bool:
    nearest = next(place for place in (path, *path.absolute().parents) if os.access(place, os.F_OK))
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
