"""Create sources: open_source(url), fetch_host_key()."""

from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from smki_sync.events import EventListener
from smki_sync.sources.base import DirectoryAddress, Limits, SftpAddress, Source, parse_address
from smki_sync.sources.directory import DirectorySource
from smki_sync.sources.sftp_protocol import RequestLimit
from smki_sync.sources.ssh_settings import HostKey, SftpLogin, SshEngine, host_name

if TYPE_CHECKING:
    from smki_sync.sources.sftp import Connection


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
            from smki_sync.sources import sftp  # noqa: PLC0415 - paramiko takes 0.1 s to load

            return sftp.SftpSource(
                address,
                connect=_connector(address, login, limits),
                limits=limits,
                events=events,
                requests=requests or RequestLimit(),
            )
        case DirectoryAddress(path=path):
            return DirectorySource(path, limits=limits)
        case unknown:
            assert_never(unknown)


def _connector(address: SftpAddress, login: SftpLogin, limits: Limits) -> Callable[[], "Connection"]:
    """Return what connects with the configured engine; raises ``ConfigError`` if it cannot log in."""
    from smki_sync.sources import openssh, ssh_connect  # noqa: PLC0415 - paramiko takes 0.1 s to load

    match login.engine:
        case SshEngine.PARAMIKO:
            return lambda: ssh_connect.connect(address, login=login, limits=limits)
        case SshEngine.OPENSSH:
            openssh.check_login(login)
            return lambda: openssh.connect(address, login=login, limits=limits)
        case unknown:
            assert_never(unknown)
