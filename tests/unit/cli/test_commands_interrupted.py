"""Ctrl-C, SIGTERM, and two at once: nothing is half done, and the next run goes on."""

import gzip
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from support.cli import PATIENCE_SECONDS, Ran, Shell, wait_until
from support.paramiko_server import PASSWORD, Behaviour, Served, Server, paramiko_server

from smki_sync.simulator.repository import Repository

STOPS = [signal.SIGINT, signal.SIGTERM]
FULL = "SMKIKR_FULL_2026-11-09.xml.gz"
COPIES = 4_000
"""A full of so many times the same hundred records takes many seconds to read."""


@dataclass(frozen=True)
class Tap:
    """Holds a server's reads back until it is opened."""

    reached: Event = field(default_factory=Event)
    opened: Event = field(default_factory=Event)

    def read(self, served: Served, offset: int, length: int) -> bytes:
        self.reached.set()
        self.opened.wait(PATIENCE_SECONDS)
        return served.honest(offset, length)


@contextmanager
def shut_off(directory: Path) -> Iterator[tuple[Server, Tap]]:
    """A server that lists its files, and gives none before its tap is opened."""
    tap = Tap()
    with paramiko_server(directory, Behaviour(read=tap.read)) as server:
        try:
            yield server, tap
        finally:
            tap.opened.set()


def sync_words(server: Server, shell: Shell, mirror: object) -> tuple[object, ...]:
    pinned = server.known_hosts(shell.place / "known_hosts")
    return "sync", "--mirror", mirror, "--source", server.url, "--known-hosts", pinned, "--json"


def assert_interrupted(ran: Ran) -> None:
    assert ran.code == 130
    assert ran.error["code"] == "interrupted"
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("stop", STOPS)
def test_a_download_that_is_stopped_leaves_the_mirror_as_it_was(
    smki: Shell, own_mirror: Path, repository: Repository, stop: signal.Signals
) -> None:
    repository.advance()
    before = (own_mirror / "mirror.db").resolve().read_bytes()
    with shut_off(repository.path) as (server, tap):
        sync = sync_words(server, smki, own_mirror)
        day = {"SMKI_SYNC_TODAY": "2026-11-12", "SMKI_SYNC_PASSWORD": PASSWORD}
        with smki.start(*sync, **day) as running:
            assert tap.reached.wait(PATIENCE_SECONDS)
            running.tell(stop)
            assert_interrupted(running.ending())
        assert (own_mirror / "mirror.db").resolve().read_bytes() == before
        tap.opened.set()
        again = smki(*sync, **day)
    assert again.code == 0
    assert again.document["position"] == "2026-11-12"


@pytest.mark.parametrize("stop", STOPS)
def test_a_full_that_is_stopped_while_it_is_read_leaves_no_mirror(
    smki: Shell, repository: Repository, stop: signal.Signals
) -> None:
    sound = enlarge(repository.path / FULL)
    sync = ("sync", "--mirror", "mirror", "--source", repository.path.as_uri(), "--json")
    with smki.start(*sync) as running:
        wait_until(lambda: any(smki.place.glob("mirror/generations/*")))
        assert not running.ended
        running.tell(stop)
        assert_interrupted(running.ending())
    assert not (smki.place / "mirror" / "mirror.db").exists()
    assert smki("status", "--mirror", "mirror", "--json").document["state"] == "empty"
    (repository.path / FULL).write_bytes(sound)
    assert smki(*sync).code == 0
    assert in_use(smki.place / "mirror") == len(repository.in_use())


def enlarge(full: Path) -> bytes:
    """Repeat a full's records many times; gives its octets as they were."""
    sound = full.read_bytes()
    head, records, tail = re.split(
        rb"(?s)(<CertificateResponse>.*</CertificateResponse>)", gzip.decompress(sound)
    )
    # As members of one gz, so that many copies are made at once.
    body = gzip.compress(records)
    full.write_bytes(gzip.compress(head) + body * COPIES + gzip.compress(tail))
    return sound


def in_use(mirror: Path) -> int:
    with closing(sqlite3.connect(mirror / "mirror.db")) as db:
        (count,) = db.execute("SELECT count(*) FROM certificates WHERE in_use").fetchone()
        return int(count)


def test_an_interrupted_run_is_remembered_as_one(smki: Shell, original: Repository) -> None:
    with shut_off(original.path) as (server, tap):
        sync = sync_words(server, smki, "mirror")
        with smki.start(*sync, SMKI_SYNC_PASSWORD=PASSWORD) as running:
            assert tap.reached.wait(PATIENCE_SECONDS)
            running.tell(signal.SIGTERM)
            assert running.ending().code == 130
    last = smki("status", "--mirror", "mirror", "--json").document["last_run"]
    assert (last["outcome"], last["exit"]) == ("failed", 130)


@contextmanager
def hang_ups(action: signal.Handlers) -> Iterator[None]:
    """What is started within has this way with SIGHUP, as from a terminal or from nohup."""
    before = signal.signal(signal.SIGHUP, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_whose_terminal_is_closed_is_remembered_as_interrupted(
    smki: Shell, original: Repository
) -> None:
    with shut_off(original.path) as (server, tap), hang_ups(signal.SIG_DFL):
        sync = sync_words(server, smki, "mirror")
        with smki.start(*sync, SMKI_SYNC_PASSWORD=PASSWORD) as running:
            assert tap.reached.wait(PATIENCE_SECONDS)
            running.tell(signal.SIGHUP)
            assert_interrupted(running.ending())
    last = smki("status", "--mirror", "mirror", "--json").document["last_run"]
    assert (last["outcome"], last["exit"]) == ("failed", 130)


def test_a_run_under_nohup_goes_on_after_its_terminal(smki: Shell, original: Repository) -> None:
    with shut_off(original.path) as (server, tap), hang_ups(signal.SIG_IGN):
        sync = sync_words(server, smki, "mirror")
        with smki.start(*sync, SMKI_SYNC_PASSWORD=PASSWORD) as running:
            assert tap.reached.wait(PATIENCE_SECONDS)
            running.tell(signal.SIGHUP)
            tap.opened.set()
            assert running.ending().code == 0


def test_a_second_sync_is_told_who_is_at_work_and_since_when(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    repository.advance()
    with shut_off(repository.path) as (server, tap):
        sync = sync_words(server, smki, own_mirror)
        day = {"SMKI_SYNC_TODAY": "2026-11-12", "SMKI_SYNC_PASSWORD": PASSWORD}
        with smki.start(*sync, **day) as first:
            assert tap.reached.wait(PATIENCE_SECONDS)
            second = smki(*sync, **day)
            assert smki("show", "--mirror", own_mirror, "serial:00").code == 10  # queries are served
            tap.opened.set()
            ended = first.ending()
    assert second.code == 9
    assert second.error["code"] == "locked"
    assert str(first.pid) in second.error["message"]
    assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", second.error["message"])
    assert server.seen.connections == 1  # whoever is locked out asks nobody
    assert ended.code == 0
    assert ended.document["position"] == "2026-11-12"
    last = smki("status", "--mirror", own_mirror, "--json").document["last_run"]
    assert last["exit"] == 0  # the one that worked is the one to remember


def test_a_killed_run_leaves_nobody_locked_out(smki: Shell, original: Repository) -> None:
    with shut_off(original.path) as (server, tap):
        sync = sync_words(server, smki, "mirror")
        with smki.start(*sync, SMKI_SYNC_PASSWORD=PASSWORD) as running:
            assert tap.reached.wait(PATIENCE_SECONDS)
            running.tell(signal.SIGKILL)
            assert running.ending().code == -signal.SIGKILL
        tap.opened.set()
        assert smki(*sync, SMKI_SYNC_PASSWORD=PASSWORD).code == 0


def test_a_server_that_is_stopped_says_so_and_leaves_no_traceback(smki: Shell, original: Repository) -> None:
    with smki.start("simulate", "serve", original.path) as running:
        assert "sftp://" in running.line()
        running.tell(signal.SIGTERM)
        ended = running.ending()
    assert ended.code == 130
    assert "Traceback" not in ended.err
