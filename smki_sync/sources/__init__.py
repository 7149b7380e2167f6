"""Sources of extracts: an SFTP server or a directory, behind one protocol.

For: ``open_source``, the one way to get a source from a URL. Refuses: to load the SSH library for a
directory, and to look at the network or the disk before a source is entered.
"""

from typing import TYPE_CHECKING, assert_never

from smki_sync.sources.address import DirectoryAddress, SftpAddress, parse_address
from smki_sync.sources.base import Chunks, Limits, OpenSource, Source
from smki_sync.sources.hostkeys import HostKey, host_name
from smki_sync.sources.login import SftpLogin

if TYPE_CHECKING:
    from smki_sync.events import Listener

__all__ = [
    "Chunks",
    "HostKey",
    "Limits",
    "OpenSource",
    "SftpLogin",
    "Source",
    "fetch_host_key",
    "open_source",
]


def open_source(url: str, *, login: SftpLogin, limits: Limits, hear: "Listener") -> Source:
    """Make the source that a URL names: ``sftp://user@host:port/path`` or ``file:///directory``.

    Nothing is read or sent before the source is entered. Raises ``ConfigError`` (code ``source-url``)
    for any other URL, a password inside it, a missing host or user; no part of it is repeated.
    """
    match parse_address(url):
        case SftpAddress() as address:
            from smki_sync.sources.sftp_source import (  # noqa: PLC0415 (paramiko takes 0.1 s to load)
                SftpSource,
            )

            return SftpSource(address, login=login, limits=limits, hear=hear)
        case DirectoryAddress(path=path):
            from smki_sync.sources.directory import DirectorySource  # noqa: PLC0415 - settings load this room too

            return DirectorySource(path, limits=limits)
        case unknown:
            assert_never(unknown)


def fetch_host_key(address: SftpAddress, *, limits: Limits) -> HostKey:
    """Ask a server for its host key, without a login; whether it is the right one, somebody has to say.

    Raises ``SourceUnreachable``.
    """
    from smki_sync.sources.sftp_connect import read_host_key  # noqa: PLC0415 (paramiko takes 0.1 s to load)

    kind, blob = read_host_key(address, limits=limits)
    return HostKey(host=host_name(address.host, address.port), kind=kind, blob=blob)
