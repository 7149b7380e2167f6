"""Streaming load: a full is loaded while it arrives from a real OpenSSH server, with interruptions."""

import os
import random
import signal
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from gzip import compress, decompress
from pathlib import Path

import pytest
from support import plain_reader
from support.cli import Running, Shell, wait_until
from support.openssh import OpenSsh, openssh_server
from support.proc import family
from support.proxy import Faults, Proxy, proxy_to

from smki_sync.cli.job import job_of
from smki_sync.config.loader import Config
from smki_sync.config.settings import MirrorPaths
from smki_sync.config.settings import Repository as RepositorySettings
from smki_sync.events import NullListener
from smki_sync.simulator.repository import Repository
from smki_sync.sync.runner import run

DAY = date(2026, 11, 2)
FULL = f"SMKIKR_FULL_{DAY}.xml.gz"
OPENING, RECORD, CLOSING = (
    b"<CertificateDataResponse>",
    b"<CertificateResponse>",
    b"</CertificateDataResponse>",
)
DRIP = 4 << 20
"""Bytes a second: the transfer takes some two of them, and no verdict depends on that."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid full of 8 MiB, with comments that do not compress."""
    place = tmp_path_factory.mktemp("overlap")
    made = Repository.create(place / "made", devices=60, days=1, start=DAY, seed=1)
    head, *records = decompress((made.path / FULL).read_bytes()).split(RECORD)
    records[-1] = records[-1].partition(CLOSING)[0]
    noise = random.Random(1)
    many = (
        b"<!--" + b64encode(noise.randbytes(7_000)) + b"-->" + RECORD + records[n % len(records)]
        for n in range(1_100)
    )
    (place / "offer").mkdir()
    full = place / "offer" / FULL
    full.write_bytes(compress(head + b"".join(many) + CLOSING, compresslevel=1))
    moment = datetime(2026, 11, 2, 3, tzinfo=UTC).timestamp()
    os.utime(full, (moment, moment))
    return full.parent


@pytest.fixture(scope="module")
def server(published: Path) -> Iterator[OpenSsh]:
    scratch = published.with_name("scratch")
    scratch.mkdir()
    with openssh_server(published, scratch) as facts:
        yield facts


@pytest.fixture(scope="module")
def truth(published: Path, tmp_path_factory: pytest.TempPathFactory) -> plain_reader.Mirror:
    """What loading after the download makes of it."""
    place = tmp_path_factory.mktemp("truth")
    config = Config(
        repository=RepositorySettings(url=published.as_uri()), mirror=MirrorPaths(path=place / "mirror")
    )
    run(replace(job_of(config, NullListener()), overlap_bytes=0, today=DAY))
    return held(place)


@pytest.fixture
def line(server: OpenSsh) -> Iterator[Proxy]:
    with proxy_to(server.port, Faults()) as proxy:
        yield proxy


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "smki-sync.toml").write_text("[retry]\nattempts = 3\nfirst_pause_seconds = 0.1\n")
    return Shell(place=tmp_path, today=DAY)


def held(place: Path) -> plain_reader.Mirror:
    mirror = plain_reader.read(place / "mirror")
    assert mirror is not None
    return mirror


def words(server: OpenSsh, line: Proxy, place: Path, *, bandwidth: int = 0) -> tuple[object, ...]:
    pins = place / "known_hosts"
    pins.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{line.port} "))
    url = server.url.replace(f":{server.port}/", f":{line.port}/")
    return (
        *("sync", "--json", "--mirror", "mirror", "--source", url, "--config", "smki-sync.toml"),
        *("--identity-file", server.identity_file, "--known-hosts", pins, "--bandwidth", bandwidth),
    )


def helper_of(running: Running) -> int:
    """Wait until the full is being read; the process that reads it."""
    wait_until(lambda: len(family(running.pid)) > 1)
    return family(running.pid)[1]


def has_arrived(place: Path, size: int) -> bool:
    part = place / "mirror" / "downloads" / f"{FULL}.part"
    with suppress(FileNotFoundError):
        return part.stat().st_size >= size
    return False


def test_streaming_load_gives_same_mirror_when_connection_is_cut(
    shell: Shell, server: OpenSsh, line: Proxy, truth: plain_reader.Mirror
) -> None:
    line.faults.cut_at = 3 << 20
    with shell.start(*words(server, line, shell.place, bandwidth=DRIP)) as running:
        helper = helper_of(running)
        wait_until(lambda: line.connections > 1)
        assert helper in family(running.pid), "what was loaded before the cut was loaded for nothing"
        line.faults.cut_at = None
        ended = running.ending()
    assert ended.code in {0, 3}, ended.err
    assert held(shell.place).rows == truth.rows
    assert held(shell.place).digest == truth.digest


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_next_run_resumes_when_streaming_load_was_stopped(
    shell: Shell, server: OpenSsh, line: Proxy, truth: plain_reader.Mirror, stop: signal.Signals
) -> None:
    with shell.start(*words(server, line, shell.place, bandwidth=DRIP)) as running:
        helper = helper_of(running)
        wait_until(lambda: has_arrived(shell.place, 3 << 20))
        running.tell(stop)
        ended = running.ending()
    assert ended.code == (130 if stop == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{helper}").exists())
    assert not (shell.place / "mirror" / "mirror.db").exists()
    assert has_arrived(shell.place, 3 << 20)
    left = list((shell.place / "mirror" / "generations").iterdir())
    assert bool(left) == (stop == signal.SIGKILL)
    again = shell(*words(server, line, shell.place))
    assert again.code in {0, 3}, again.err
    assert held(shell.place).rows == truth.rows
    assert [p.name for p in (shell.place / "mirror" / "generations").glob("*.building*")] == []


def test_streaming_load_publishes_nothing_when_end_is_damaged(
    shell: Shell, server: OpenSsh, line: Proxy, published: Path
) -> None:
    full = published / FULL
    sound, times = full.read_bytes(), full.stat()
    full.write_bytes(sound[:-5] + bytes([sound[-5] ^ 1]) + sound[-4:])
    os.utime(full, (times.st_atime, times.st_mtime))
    try:
        ran = shell(*words(server, line, shell.place, bandwidth=DRIP))
    finally:
        full.write_bytes(sound)
        os.utime(full, (times.st_atime, times.st_mtime))
    assert ran.error["code"] == "gzip-damaged"
    assert not (shell.place / "mirror" / "mirror.db").exists()
    assert list((shell.place / "mirror" / "generations").iterdir()) == []
