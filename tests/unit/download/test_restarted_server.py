"""Downloads from a real OpenSSH server that is killed, and by a client that is killed.

``SMKI_SYNC_TEST_MIB=2048`` makes the long one of 2 GiB.
"""

import gzip
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import file_digest
from pathlib import Path

import pytest
from support.cli import Shell, wait_until
from support.openssh import make_key
from support.restartable_server import RestartableServer, restartable_server

from smki_sync.download import DownloadOptions, ReconnectingSource, RetryPolicy, TransferRecord, download
from smki_sync.events import Downloading, Event, NullListener, Retrying
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.simulator.repository import Repository
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin

MIB = 1 << 20
SIZE = int(os.environ.get("SMKI_SYNC_TEST_MIB", "96")) * MIB
DEATHS = 5
NOISE = 50 * MIB
DAY = date(2026, 11, 15)
FULL = f"SMKIKR_FULL_{DAY}.xml.gz"
LONG_AGO = datetime(2026, 11, 15, 3, tzinfo=UTC).timestamp()


def noise(path: Path, size: int) -> Path:
    """A file of bytes that do not repeat."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    (tmp_path / "published").mkdir()
    return tmp_path / "published"


@pytest.fixture
def server(published: Path, tmp_path: Path) -> Iterator[RestartableServer]:
    with restartable_server(published, tmp_path / "scratch") as server:
        yield server


def opened(server: RestartableServer) -> Source:
    login = SftpLogin(known_hosts=server.facts.known_hosts, identity_file=server.facts.identity_file)
    return open_source(server.facts.url, login=login, limits=Limits(stall=20), events=NullListener())


@dataclass
class Reaper:
    """Kills the server at offsets of the download, and starts it when the client has been refused."""

    server: RestartableServer
    offsets: list[int]
    codes: list[str] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        if isinstance(event, Downloading) and self.offsets and event.done >= self.offsets[0]:
            self.offsets.pop(0)
            self.server.kill()
        if isinstance(event, Retrying):
            self.codes.append(event.code)
            if event.code == "connection-refused":
                self.server.start()


def test_download_completes_when_server_is_killed_five_times(
    server: RestartableServer, published: Path, tmp_path: Path
) -> None:
    original = noise(published / FULL, SIZE)
    modified = datetime.fromtimestamp(LONG_AGO, UTC)
    wanted = Extract(kind=ExtractKind.FULL, day=DAY, name=FULL, size=SIZE, modified=modified)
    reaper = Reaper(server, [SIZE * n // (DEATHS + 1) for n in range(1, DEATHS + 1)])
    transfers: list[TransferRecord] = []
    options = DownloadOptions(retry=RetryPolicy(attempts=3), on_transfer=transfers.append)
    with ReconnectingSource(lambda: opened(server), options=options, events=reaper) as source:
        fetched = download(source, wanted, tmp_path, reaper, options)
    with original.open("rb") as file:
        assert fetched.file.sha256 == file_digest(file, "sha256").hexdigest()
    with fetched.path.open("rb") as file:
        assert fetched.file.sha256 == file_digest(file, "sha256").hexdigest()
    assert server.deaths == DEATHS
    assert reaper.codes == ["connection-lost", "connection-refused"] * DEATHS
    assert fetched.pieces == DEATHS + 1
    assert sum(one.end - one.begin for one in transfers) == SIZE  # but for the seams nothing came twice


def large_full(path: Path, records: list[bytes]) -> None:
    """A valid full of more than two checkpoints, with comments that do not compress."""
    with gzip.open(path, "wb", compresslevel=0) as file:
        file.write(b"<CertificateDataResponse>")
        for record in records:
            file.write(b"<!--" + b64encode(os.urandom(NOISE // len(records))) + b"-->" + record)
        file.write(b"</CertificateDataResponse>")
    os.utime(path, (LONG_AGO, LONG_AGO))


def test_sync_resumes_next_day_when_client_was_killed(
    server: RestartableServer, published: Path, tmp_path: Path
) -> None:
    made = Repository.create(tmp_path / "made", devices=60, days=1, start=DAY, seed=1)
    xml = gzip.decompress((made.path / FULL).read_bytes())
    records = [b"<CertificateResponse>" + one for one in xml.split(b"<CertificateResponse>")[1:]]
    records[-1] = records[-1].partition(b"</CertificateDataResponse>")[0]
    large_full(published / FULL, records)
    size = (published / FULL).stat().st_size
    shell = Shell(place=tmp_path, today=DAY)
    words = (
        *("sync", "--mirror", "mirror", "--source", server.facts.url),
        *("--identity-file", server.facts.identity_file, "--known-hosts", server.facts.known_hosts),
    )
    part = tmp_path / "mirror" / "downloads" / f"{FULL}.part"
    with shell.start(*words, "--bandwidth", 60 * MIB) as running:
        wait_until(lambda: part.with_name(part.name + ".journal").exists())
        running.tell(signal.SIGKILL)
        assert running.ending().code == -9
    assert 32 * MIB <= part.stat().st_size < size
    ran = shell(*words, "--json", SMKI_SYNC_TODAY=(DAY + timedelta(days=1)).isoformat())
    assert ran.code in {0, 3}, ran.err  # the deltas before this full were never published
    assert ran.document["certificates"]["in_use"] == len(made.in_use())
    assert f"Resuming {FULL} at " in ran.err
    with closing(sqlite3.connect(tmp_path / "mirror" / "history.db")) as db:
        ((begin, end, outcome),) = db.execute("SELECT begin, end, outcome FROM download")
    assert begin >= 32 * MIB
    assert (end, outcome) == (size, "whole")
    assert list((tmp_path / "mirror" / "downloads").iterdir()) == []


READER = """
import sys, time
from pathlib import Path
from smki_sync.events import NullListener
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sources import open_source
url, key, known_hosts, name = sys.argv[1:]
login = SftpLogin(identity_file=Path(key), known_hosts=Path(known_hosts))
with open_source(url, login=login, limits=Limits(), events=NullListener()) as source:
    for pause in (0.0, 0.5, 0.5):
        with source.fetch(name) as chunks:
            for _ in range(100):
                next(chunks)
            time.sleep(pause)
            for _ in range(100):
                next(chunks)
status = Path('/proc/self/status').read_text()
print(status.partition('VmHWM:')[2].split()[0])
"""


def test_memory_stays_below_64_mib_when_reader_pauses(server: RestartableServer, published: Path) -> None:
    with (published / FULL).open("wb") as file:
        file.truncate(512 * MIB)
    facts = server.facts
    words: list[str | Path] = [sys.executable, "-c", READER]
    words += [facts.url, facts.identity_file, facts.known_hosts, FULL]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 64 * MIB


def test_sync_exits_4_and_names_limit_when_server_is_silent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        key = make_key(tmp_path / "key")
        (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
        (tmp_path / "smki-sync.toml").write_text(
            "[limits]\nlogin_seconds = 0.2\n[retry]\nattempts = 2\nfirst_pause_seconds = 0\n"
        )
        ran = Shell(place=tmp_path, today=DAY)(
            *("sync", "--mirror", "mirror", "--source", f"sftp://party@127.0.0.1:{port}/", "--json"),
            *("--identity-file", "key", "--known-hosts", "known_hosts"),
        )
    assert ran.code == 4
    assert ran.error["code"] == "banner-timeout"
    assert "banner" in ran.error["message"]
    assert "gave up after 2 attempts" in ran.error["message"]
