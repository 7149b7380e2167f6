"""The host key of a server, asked for so that somebody can say whether it is the right one.

For: ``init``. Refuses: to log in, and to trust what it was told.
"""

from smki_sync.sources.address import SftpAddress
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import HostKey, host_name


def fetch_host_key(address: SftpAddress, *, limits: Limits) -> HostKey:
    """Ask a server for its host key, without a login. Raises ``SourceUnreachable``."""
    from smki_sync.sources.sftp_connect import read_host_key  # noqa: PLC0415 - paramiko takes 0.1 s to load

    kind, blob = read_host_key(address, limits=limits)
    return HostKey(host=host_name(address.host, address.port), kind=kind, blob=blob)
