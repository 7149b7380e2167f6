"""A source from its URL.

For: ``open_source``, the one way to get one. Refuses: to load the SSH library for a directory, and to
look at the network or the disk before a source is entered.
"""

from typing import assert_never

from smki_sync.events import Listener
from smki_sync.sources.address import DirectoryAddress, SftpAddress, parse_address
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.directory import DirectorySource
from smki_sync.sources.login import SftpLogin


def open_source(url: str, *, login: SftpLogin, limits: Limits, hear: Listener) -> Source:
    """Make the source that a URL names: ``sftp://user@host:port/path`` or ``file:///directory``.

    Nothing is read or sent before the source is entered. Raises ``ConfigError`` (code ``source-url``)
    for any other URL, a password inside it, a missing host or user; no part of it is repeated.
    """
    match parse_address(url):
        case SftpAddress() as address:
            from smki_sync.sources.sftp_source import SftpSource

            return SftpSource(address, login=login, limits=limits, hear=hear)
        case DirectoryAddress(path=path):
            return DirectorySource(path, limits=limits)
        case unknown:
            assert_never(unknown)
