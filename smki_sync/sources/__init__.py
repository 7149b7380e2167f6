"""Create sources: open_source(url), fetch_host_key()."""

from typing import assert_never

from smki_sync.events import EventListener
from smki_sync.sources.base import DirectoryAddress, Limits, SftpAddress, Source, parse_address
from smki_sync.sources.directory import DirectorySource
from smki_sync.sources.sftp_protocol import RequestLimit
from smki_sync.sources.ssh_settings import HostKey, SftpLogin, host_name


def fetch_host_key(address: SftpAddress, *, limits: Limits) -> HostKey:
    """Fetch the host key of a server, without a login. Raises ``SourceUnreachable``."""
    from smki_sync.sources.ssh_connect import read_host_key  # noqa: PLC0415 - paramiko takes 0.1 s to load

    kind, blob = read_host_key(address, limits=limits)
    return HostKey(host=host_name(address.host, address.port), kind=kind, blob=blob)


def open_source(
    url: str,
    *,
    login: SftpLogin,
    limits: Limits,
    events: EventListener,
    requests: RequestLimit | None = None,
) -> Source:
    """Create the source of a URL: ``sftp://user@host:port/path`` or ``file:///directory``.

    ``requests``: the number of read requests in flight; pass the same object again after a lost connection.
    Nothing is read or sent before the source is entered. Raises ``ConfigError`` (code ``source-url``) for any
    other URL, one with a password, or one without a host or user. The message does not repeat the URL.
    """
    match parse_address(url):
        case SftpAddress() as address:
            from smki_sync.sources.sftp import SftpSource  # noqa: PLC0415 - paramiko takes 0.1 s to load

            return SftpSource(
                address, login=login, limits=limits, events=events, requests=requests or RequestLimit()
            )
        case DirectoryAddress(path=path):
            return DirectorySource(path, limits=limits)
        case unknown:
            assert_never(unknown)
