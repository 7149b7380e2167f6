"""Faults of a server during a transfer or a listing."""

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
from paramiko.sftp import SFTP_FAILURE
from support.openssh import openssh_server
from support.paramiko_server import PASSWORD, Behaviour, Served, Server, paramiko_server
from support.source_contract import NAME, SOME_BYTES, read

from smki_sync.errors import SourceRefused, SourceUnreachable
from smki_sync.events import NullListener
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin

STALL = Limits(stall=0.4)
THREAD_ENDS = 10.0
"""Seconds that a closed connection's thread may take to notice on a busy machine."""


@contextmanager
def serving(
    folder: Path, behaviour: Behaviour, *, limits: Limits | None = None
) -> Iterator[tuple[Server, Source]]:
    with paramiko_server(folder, behaviour) as server:
        login = SftpLogin(known_hosts=server.known_hosts(folder.parent / "known_hosts"), password=PASSWORD)
        with open_source(server.url, login=login, limits=limits or Limits(), events=NullListener()) as source:
            yield server, source


def failure(source: Source, name: str = NAME) -> SourceUnreachable:
    with pytest.raises(SourceUnreachable) as caught:
        read(source, name)
    return caught.value


def test_transfer_completes_when_replies_are_short(folder: Path) -> None:
    def some(served: Served, offset: int, length: int) -> bytes:
        return served.honest(offset, max(1, length * (1 + offset % 7) // 8))

    with serving(folder, Behaviour(read=some)) as (server, source):
        assert read(source, NAME) == SOME_BYTES
        assert server.seen.reads > len(SOME_BYTES) // 32_768 + 1


def test_transfer_requests_every_byte_once(folder: Path) -> None:
    fetched: list[int] = []

    def counted(served: Served, offset: int, length: int) -> bytes:
        fetched.append(length)
        time.sleep(0)
        return served.honest(offset, length)

    with (
        serving(folder, Behaviour(read=counted)) as (_, source),
        source.fetch(NAME) as chunks,
    ):
        for _chunk in chunks:
            time.sleep(0.0005)  # a reader that pauses
    assert sum(fetched) == len(SOME_BYTES)


def test_transfer_stalls_when_server_stops(folder: Path) -> None:
    quiet = threading.Event()

    def stopping(served: Served, offset: int, length: int) -> bytes:
        if offset > 1_000_000:
            quiet.wait(10)
        return served.honest(offset, length)

    with serving(folder, Behaviour(read=stopping), limits=STALL) as (_, source):
        error = failure(source)
        quiet.set()
    assert error.reason == "stalled"
    assert "limits.stall_seconds = 0.4" in error.message
    assert "127.0.0.1" in error.message


def test_transfer_completes_when_reader_pauses_beyond_stall_limit(folder: Path) -> None:
    with (
        serving(folder, Behaviour(), limits=Limits(stall=1)) as (_, source),
        source.fetch(NAME) as chunks,
    ):
        got = [next(chunks)]
        time.sleep(1.1)
        got.extend(chunks)
    assert b"".join(got) == SOME_BYTES


def test_transfer_ends_at_total_limit_when_server_trickles(folder: Path) -> None:
    def trickle(served: Served, offset: int, length: int) -> bytes:
        del length
        time.sleep(0.02)
        return served.honest(offset, 1)

    with serving(folder, Behaviour(read=trickle), limits=Limits(total=0.5)) as (_, source):
        assert failure(source).reason == "total-timeout"


def test_transfer_reports_lost_connection_when_server_dies(folder: Path) -> None:
    with serving(folder, Behaviour()) as (server, source):

        def dying(served: Served, offset: int, length: int) -> bytes:
            if offset > 1_000_000:
                server.transports[-1].close()
            return served.honest(offset, length)

        server.behaviour.read = dying
        error = failure(source)
        assert error.reason == "connection-lost"
        assert f"127.0.0.1:{server.port}" in error.message
        with pytest.raises(SourceUnreachable, match="closed"):
            source.fetch_listing()
        assert server.seen.connections == 1


def test_transfer_reports_ended_early_when_size_is_too_large(folder: Path) -> None:
    with serving(folder, Behaviour(size_claimed=len(SOME_BYTES) + 1)) as (_, source):
        error = failure(source)
    assert error.reason == "ended-early"
    assert NAME in error.message


def test_transfer_reports_protocol_error_when_reply_is_empty(folder: Path) -> None:
    with serving(folder, Behaviour(empty_data=True)) as (server, source):
        error = failure(source)
        assert error.reason == "protocol-broken"
        assert server.seen.reads <= 64


def test_transfer_error_contains_text_of_the_server(folder: Path) -> None:
    def failing(served: Served, offset: int, length: int) -> bytes | int:
        return served.honest(offset, length) if offset < 1_000_000 else SFTP_FAILURE

    with serving(folder, Behaviour(read=failing)) as (_, source):
        error = failure(source)
    assert error.reason == "server-failed"
    assert "(Failure)" in error.message


def test_source_is_refused_when_permission_is_denied(folder: Path) -> None:
    with serving(folder, Behaviour(forbidden=True)) as (_, source):
        with pytest.raises(SourceRefused) as listing:
            source.fetch_listing()
        with pytest.raises(SourceRefused) as file:
            read(source, NAME)
    assert [listing.value.reason, file.value.reason] == ["permission-denied"] * 2


def test_listing_fails_when_it_never_ends(folder: Path) -> None:
    with (
        serving(folder, Behaviour(endless_listing=True), limits=Limits(entries=100)) as (_, source),
        pytest.raises(SourceUnreachable) as caught,
    ):
        source.fetch_listing()
    assert caught.value.reason == "listing-too-long"


def test_listing_omits_names_with_paths(folder: Path) -> None:
    evil = ["../evil.gz", "/etc/passwd", "a/b", "", ".", "..", "nul\0.gz", "x" * 300]
    with serving(folder, Behaviour(extra_names=[*evil, "honest.gz"])) as (server, source):
        names = [file.name for file in source.fetch_listing()]
        assert names[-1] == "honest.gz"
        assert not set(evil) & set(names)
        assert server.seen.listings == 1


def test_listing_stalls_when_server_opens_no_session(folder: Path) -> None:
    with (
        serving(folder, Behaviour(silent_subsystem=True), limits=STALL) as (_, source),
        pytest.raises(SourceUnreachable) as caught,
    ):
        source.fetch_listing()
    assert caught.value.reason == "stalled"


def test_listing_reports_no_sftp_when_account_has_none(folder: Path) -> None:
    with (
        serving(folder, Behaviour(no_sftp=True)) as (_, source),
        pytest.raises(SourceUnreachable) as caught,
    ):
        source.fetch_listing()
    assert caught.value.reason == "no-sftp"


def test_close_does_not_wait_when_transfer_is_stalled(folder: Path) -> None:
    quiet = threading.Event()
    resumed: list[int] = []

    def stopping(served: Served, offset: int, length: int) -> bytes:
        if offset > 1_000_000:
            quiet.wait(20)
            resumed.append(offset)
        return served.honest(offset, length)

    with serving(folder, Behaviour(read=stopping)) as (_, source):
        with source.fetch(NAME) as chunks:
            next(chunks)
        source.__exit__(None, None, None)
        assert resumed == []
        quiet.set()


def test_close_ends_every_thread_of_the_connection(folder: Path) -> None:
    with serving(folder, Behaviour()) as (server, source):
        read(source, NAME)
        running = [thread for thread in threading.enumerate() if isinstance(thread, paramiko.Transport)]
        ours = [thread for thread in running if thread not in server.transports]
        assert ours
        source.__exit__(None, None, None)
        for thread in ours:
            thread.join(THREAD_ENDS)
        assert not any(thread.is_alive() for thread in ours)


def test_transfer_reports_lost_connection_when_reset(folder: Path) -> None:
    with serving(folder, Behaviour()) as (server, source), source.fetch(NAME) as chunks:
        next(chunks)
        line = server.transports[-1].sock
        assert isinstance(line, socket.socket)
        line.shutdown(socket.SHUT_RDWR)
        with pytest.raises(SourceUnreachable) as caught:
            list(chunks)
    assert caught.value.reason == "connection-lost"


def test_transfer_of_64_mib_is_exact_and_memory_is_bounded(
    tmp_path: Path,
) -> None:
    scratch, place = tmp_path / "scratch", tmp_path / "files"
    scratch.mkdir()
    place.mkdir()
    block = SOME_BYTES[: 1024 * 1024]
    content = b"".join(bytes([number]) + block[1:] for number in range(64))
    (place / "big.gz").write_bytes(content)
    with openssh_server(place, scratch) as server:
        login = SftpLogin(known_hosts=server.known_hosts, identity_file=server.identity_file)
        with open_source(server.url, login=login, limits=Limits(), events=NullListener()) as source:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for offset in (0, 1, 40_000_001):
                at = offset
                with source.fetch("big.gz", offset=offset) as chunks:
                    for chunk in chunks:
                        assert content.startswith(chunk, at)
                        at += len(chunk)
                assert at == len(content)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024, "KiB of memory for a transfer"
