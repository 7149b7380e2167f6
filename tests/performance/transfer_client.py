"""One download as a process: `python -m performance.transfer_client HOW URL KEY PINS TARGET [RATE]`."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import paramiko

from smki_sync.download import DownloadOptions, ReconnectingSource, SourceConfig, download
from smki_sync.events import NullListener
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import SftpLogin

NAME = "SMKIKR_FULL_2026-11-15.xml.gz"
MODIFIED = datetime(2026, 11, 15, 3, tzinfo=UTC)


def by_fetch(url: str, key: Path, known_hosts: Path, target: Path, *, rate: int = 0) -> None:
    """Download as `sync` does, with a limit in bytes per second."""
    login = SftpLogin(known_hosts=known_hosts, identity_file=key)
    config = SourceConfig(url=url, login=login, limits=Limits())
    options = DownloadOptions(bytes_per_second=rate)
    events = NullListener()
    with ReconnectingSource(lambda: config.open(events), options=options, events=events) as source:
        (listed,) = source.fetch_listing()
        extract = Extract(
            kind=ExtractKind.FULL, day=MODIFIED.date(), name=NAME, size=listed.size, modified=listed.modified
        )
        download(source, extract, target, events, options)


def by_get(url: str, key: Path, known_hosts: Path, target: Path) -> None:
    """As paramiko's documentation does it."""
    parts = urlsplit(url)
    client = paramiko.SSHClient()
    client.load_host_keys(str(known_hosts))
    client.connect(
        str(parts.hostname), parts.port or 22, unquote(parts.username or ""), key_filename=str(key)
    )
    with client, client.open_sftp() as sftp:
        sftp.get(f"{unquote(parts.path)}/{NAME}", str(target / NAME))


if __name__ == "__main__":
    how, url, key_file, pins, place, *rate_limit = sys.argv[1:]
    clients: dict[str, Callable[[str, Path, Path, Path], None]] = {
        "fetch": partial(by_fetch, rate=int(rate_limit[0]) if rate_limit else 0),
        "get": by_get,
    }
    clients[how](url, Path(key_file), Path(pins), Path(place))
