"""Network faults between the client and a real OpenSSH server."""

import gzip
import os
import sqlite3
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from pathlib import Path

import pytest
from support.cli import Shell, wait_until
from support.needs import need
from support.openssh import OpenSsh, openssh_server
from support.proxy import Faults, Proxy, proxy_to
from support.source_contract import NAME, SOME_BYTES, fill, read

from smki_sync.download import DownloadOptions, ReconnectingSource, RetryPolicy, download
from smki_sync.errors import SourceError, SourceUnreachable
from smki_sync.events import NullListener
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.simulator.repository import Repository
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin

LIMITS = Limits(connect=5, banner=1, login=2, stall=0.5)
LOST = {"connection-lost", "handshake-failed", "server-busy", "login-refused", "no-sftp"}
"""What a connection that ends may be called, by when; a login that was cut counts as a refused one."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    place = fill(tmp_path_factory.mktemp("files") / "repository")
    with openssh_server(place, tmp_path_factory.mktemp("sshd")) as server:
        yield server


@contextmanager
def line_to(
    server: OpenSsh, faults: Faults, tmp_path: Path, limits: Limits = LIMITS
) -> Iterator[tuple[Proxy, Source]]:
    """A source behind a line with faults."""
    with proxy_to(server.port, faults) as proxy:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{proxy.port} "))
        login = SftpLogin(known_hosts=known_hosts, identity_file=server.identity_file)
        url = server.url.replace(f":{server.port}", f":{proxy.port}")
        yield proxy, open_source(url, login=login, limits=limits, events=NullListener())


def fetched(source: Source) -> bytes | str:
    """What came of fetching the file, from the first packet on: its bytes, or the code of the error."""
    try:
        with source:
            return read(source, NAME)
    except SourceError as error:
        return error.reason


@pytest.mark.parametrize("reset", [False, True], ids=["cut", "reset"])
@pytest.mark.parametrize("at", [0, 10, 40, 300, 1_200, 1_800, 2_400, 2_900, 3_300, 4_000, 100_000, 2_000_000])
def test_source_has_error_code_when_connection_ends_at_any_byte(
    server: OpenSsh, tmp_path: Path, at: int, reset: bool
) -> None:
    faults = Faults(reset_at=at) if reset else Faults(cut_at=at)
    with line_to(server, faults, tmp_path) as (proxy, source):
        assert fetched(source) in LOST
        assert proxy.connections == 1


@pytest.mark.parametrize(
    ("at", "reason"),
    [(0, "banner-timeout"), (60, "login-timeout"), (1_500, "login-timeout"), (1_000_000, "stalled")],
)
def test_source_ends_at_limit_of_stage_when_packets_vanish(
    server: OpenSsh, tmp_path: Path, at: int, reason: str
) -> None:
    with line_to(server, Faults(swallow_from=at), tmp_path) as (_, source):
        assert fetched(source) == reason


@pytest.mark.parametrize("at", [30, 700, 1_600, 2_500, 50_000, 1_500_000])
def test_transfer_returns_no_wrong_byte_when_a_bit_is_flipped(
    server: OpenSsh, tmp_path: Path, at: int
) -> None:
    with line_to(server, Faults(flip_at=at), tmp_path) as (_, source):
        result = fetched(source)
    assert result == SOME_BYTES or result in LOST | {
        *("login-timeout", "stalled", "no-common-algorithm", "host-key-changed", "host-key-unknown"),
    }


def test_transfer_completes_with_delay_and_low_rate(server: OpenSsh, tmp_path: Path) -> None:
    with line_to(server, Faults(delay=0.02, rate=20_000_000), tmp_path, Limits()) as (_, source):
        assert fetched(source) == SOME_BYTES


def test_next_request_fails_when_idle_connection_was_reset(server: OpenSsh, tmp_path: Path) -> None:
    with line_to(server, Faults(), tmp_path) as (proxy, source), source:
        assert len(source.fetch_listing()) == 3
        proxy.reset_all()
        with pytest.raises(SourceUnreachable) as caught:
            source.fetch_listing()
    assert caught.value.reason == "connection-lost"


def test_keepalive_is_sent_at_configured_interval(server: OpenSsh, tmp_path: Path) -> None:
    """With a keep-alive of next to nothing, more bytes go up than questions need; with none, no byte does."""
    gone_up = []
    for keep_alive in (0.0, 0.01):
        limits = Limits(keep_alive=keep_alive)
        with line_to(server, Faults(), tmp_path, limits) as (proxy, source), source:
            source.fetch_listing()
            before = proxy.sent_up
            deadline = time.monotonic() + (0.3 if not keep_alive else 10)
            while proxy.sent_up == before and time.monotonic() < deadline:
                time.sleep(0.02)
            gone_up.append(proxy.sent_up - before)
    assert gone_up[0] == 0
    assert gone_up[1] > 0


# Two network namespaces: the kernel's own faults, where it may be asked for them.

BIG = "big.gz"
SPACE = f"smki{os.getpid()}"
HERE, THERE = "10.123.45.1", "10.123.45.2"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def far_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    """An OpenSSH in another network namespace; ``smki0`` is our end of the cable."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a network namespace")
    need("ip")
    place = fill(tmp_path_factory.mktemp("files") / "repository")
    with (place / BIG).open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    with ExitStack() as undo:
        try:
            ip("netns", "add", SPACE)
            undo.callback(ip, "netns", "del", SPACE)
            ip("link", "add", "smki0", "type", "veth", "peer", "name", "smki1", "netns", SPACE)
            undo.callback(
                lambda: subprocess.run(["ip", "link", "del", "smki0"], check=False, capture_output=True)
            )
            ip("addr", "add", f"{HERE}/30", "dev", "smki0")
            ip("link", "set", "smki0", "up")
            ip("-n", SPACE, "addr", "add", f"{THERE}/30", "dev", "smki1")
            ip("-n", SPACE, "link", "set", "smki1", "up")
            ip("-n", SPACE, "link", "set", "lo", "up")
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"this kernel makes no network namespaces here: {exc.stderr.decode().strip()}")
        scratch = tmp_path_factory.mktemp("sshd")
        yield undo.enter_context(
            openssh_server(place, scratch, listen=THERE, inside=("ip", "netns", "exec", SPACE))
        )


@contextmanager
def cable_pulled() -> Iterator[None]:
    """Take the link down at the far end: packets vanish without an error."""
    ip("-n", SPACE, "link", "set", "smki1", "down")
    try:
        yield
    finally:
        ip("-n", SPACE, "link", "set", "smki1", "up")


def far_source(server: OpenSsh, limits: Limits = LIMITS) -> Source:
    login = SftpLogin(known_hosts=server.known_hosts, identity_file=server.identity_file)
    return open_source(server.url, login=login, limits=limits, events=NullListener())


@contextmanager
def packet_loss(percent: int) -> Iterator[None]:
    """Drop packets at random, in both directions, in the namespace of the server."""
    nft = ("ip", "netns", "exec", SPACE, need("nft"))
    condition = f"numgen random mod 100 < {percent} " if percent < 100 else ""
    rules = "\n".join(
        f"add chain inet loss {hook} {{ type filter hook {hook} priority 0; }}\n"
        f"add rule inet loss {hook} {condition}drop"
        for hook in ("input", "output")
    )
    subprocess.run([*nft, "-f", "-"], input=f"add table inet loss\n{rules}\n", text=True, check=True)
    try:
        yield
    finally:
        subprocess.run([*nft, "delete", "table", "inet", "loss"], check=True)


@pytest.mark.parametrize("percent", [1, 5])
def test_download_completes_with_packet_loss(far_server: OpenSsh, tmp_path: Path, percent: int) -> None:
    options = DownloadOptions(retry=RetryPolicy(attempts=6, first_pause=0.1))
    events = NullListener()
    with (
        packet_loss(percent),
        ReconnectingSource(
            lambda: far_source(far_server, Limits()), options=options, events=events
        ) as source,
    ):
        listed = next(file for file in source.fetch_listing() if file.name == NAME)
        extract = Extract(
            kind=ExtractKind.FULL,
            day=date(2026, 11, 15),
            name=NAME,
            size=listed.size,
            modified=listed.modified,
        )
        downloaded = download(source, extract, tmp_path, events, options)
    assert downloaded.path.read_bytes() == SOME_BYTES


NOISE = 8 << 20
"""Bytes of comments in the full: more than the server may send before the client reads it."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    place = tmp_path_factory.mktemp("made") / "repository"
    made = Repository.create(place, devices=60, days=1, start=date(2026, 11, 2), seed=1)
    (full,) = place.glob("SMKIKR_FULL_*")
    times = full.stat()
    first, *records = gzip.decompress(full.read_bytes()).split(b"<CertificateResponse>")
    with gzip.open(full, "wb", compresslevel=0) as file:
        file.write(first)
        for record in records:
            file.write(b"<!--" + b64encode(os.urandom(NOISE // len(records))) + b"-->")
            file.write(b"<CertificateResponse>" + record)
    os.utime(full, (times.st_atime, times.st_mtime))
    return made


def sync_words(server: OpenSsh, repository: Repository) -> tuple[object, ...]:
    url = f"{server.url.removesuffix(str(server.directory))}{repository.path}"
    return (
        *("sync", "--json", "--mirror", "mirror", "--source", url, "--config", "smki-sync.toml"),
        *("--identity-file", server.identity_file, "--known-hosts", server.known_hosts),
    )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "smki-sync.toml").write_text(
        "[limits]\nstall_seconds = 3\nconnect_seconds = 3\nlogin_seconds = 10\n"
        "[retry]\nattempts = 2\nfirst_pause_seconds = 0.1\n"
    )
    return Shell(place=tmp_path, today=date(2026, 11, 2))


def test_sync_completes_or_exits_4_with_heavy_loss_and_next_run_completes(
    far_server: OpenSsh, repository: Repository, shell: Shell
) -> None:
    words = sync_words(far_server, repository)
    with packet_loss(20):
        lossy = shell(*words)
    assert lossy.code in {0, 3, 4}, lossy.err
    clean = shell(*words)
    assert clean.code in {0, 3}, clean.err
    assert clean.document["certificates"]["in_use"] == len(repository.in_use())


def test_sync_exits_4_when_network_is_interrupted_and_next_run_resumes(
    far_server: OpenSsh, repository: Repository, shell: Shell
) -> None:
    words = sync_words(far_server, repository)
    (full,) = repository.path.glob("SMKIKR_FULL_*")
    part = shell.place / "mirror" / "downloads" / f"{full.name}.part"
    rate = full.stat().st_size // 4
    with shell.start(*words, "--bandwidth", rate) as running:
        wait_until(lambda: part.exists() and part.stat().st_size > 0)
        with packet_loss(100):
            ended = running.ending()
    assert ended.code == 4, ended.err
    assert part.stat().st_size > 0
    again = shell(*words)
    assert again.code in {0, 3}, again.err
    with closing(sqlite3.connect(shell.place / "mirror" / "history.db")) as db:
        rows = db.execute("SELECT begin, outcome FROM download WHERE file = ?", (full.name,)).fetchall()
    assert rows[-1][1] == "whole", rows
    assert rows[-1][0] > 0, rows


def test_transfer_stalls_when_link_goes_down(
    far_server: OpenSsh,
) -> None:
    with far_source(far_server) as source, source.fetch(BIG) as chunks:
        next(chunks)
        with cable_pulled(), pytest.raises(SourceUnreachable) as caught:
            list(chunks)
    assert caught.value.reason == "stalled"
    assert fetched(far_source(far_server, Limits())) == SOME_BYTES


def test_connect_times_out_when_link_is_down(far_server: OpenSsh) -> None:
    with cable_pulled():
        assert fetched(far_source(far_server, Limits(connect=0.3))) == "connect-timeout"
