"""Two sessions fetch the halves of one file into one part, and one can do without the other."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from support.download_source import Ear, names
from support.openssh import make_key
from support.proc import family
from support.restartable_server import Mortal, mortal_server

from smki_sync.download import (
    DownloadedFile,
    DownloadOptions,
    ReconnectingSource,
    RetryPolicy,
    SourceConfig,
    TransferRecord,
    download,
)
from smki_sync.download.parallel import ParallelDownload, ParallelRequest
from smki_sync.download.partial_file import ByteRange, read_entries
from smki_sync.errors import SourceUnreachable
from smki_sync.events import Detail, Downloading, Event, NullListener, Resumed
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import SftpLogin

MIB = 1 << 20
SIZE = 12 * MIB + 1
HALF = 6 * MIB
NAME = "SMKIKR_FULL_2026-11-15.xml.gz"
MODIFIED = datetime(2026, 11, 15, 3, tzinfo=UTC)
WANTED = Extract(kind=ExtractKind.FULL, day=date(2026, 11, 15), name=NAME, size=SIZE, modified=MODIFIED)


@dataclass
class Stage:
    """A server with one file, and how to reach it."""

    server: Mortal
    body: bytes
    target: Path
    opening: SourceConfig
    ear: Ear = field(default_factory=Ear)
    transfers: list[TransferRecord] = field(default_factory=list)

    def terms(self, *, parallel: bool = True) -> DownloadOptions:
        return DownloadOptions(
            retry=RetryPolicy(attempts=3, first_pause=0.2),
            second=(lambda: self.opening) if parallel else None,
            split_bytes=SIZE,
            mark_bytes=MIB,
            ledger=self.transfers.append,
        )

    def fetch(self, terms: DownloadOptions | None = None, hear: Ear | None = None) -> DownloadedFile:
        terms, hear = terms or self.terms(), hear or self.ear
        with ReconnectingSource(self.opening, terms=terms, hear=hear) as source:
            return download(source, WANTED, self.target, hear, terms)

    def journal(self, ending: str) -> int:
        entries = read_entries(self.target / f"{NAME}.part.{ending}")
        return entries.marks[-1].at if entries else 0

    def is_here(self, fetched: DownloadedFile) -> bool:
        assert names(self.target) == [NAME, NAME + ".json"]
        assert fetched.file.sha256 == sha256(self.body).hexdigest()
        return fetched.path.read_bytes() == self.body


@pytest.fixture(scope="module")
def body() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def stage(body: bytes, tmp_path: Path) -> Iterator[Stage]:
    published, target = tmp_path / "published", tmp_path / "target"
    published.mkdir()
    target.mkdir()
    (published / NAME).write_bytes(body)
    os.utime(published / NAME, (MODIFIED.timestamp(), MODIFIED.timestamp()))
    with mortal_server(published, tmp_path / "scratch") as server:
        login = SftpLogin(known_hosts=server.facts.known_hosts, identity_file=server.facts.identity_file)
        opening = SourceConfig(url=server.facts.url, login=login, limits=Limits(stall=20))
        yield Stage(server, body, target, opening)


def helpers() -> list[int]:
    """Processes of ours that fetch the second half of something."""
    found = []
    for pid in family(os.getpid()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"smki_sync.download.parallel" in words:
            found.append(pid)
    return found


class Once(Ear):
    """Does something when the first bytes have come."""

    def __init__(self, deed: object) -> None:
        super().__init__()
        self.deed = deed

    def hear(self, event: Event) -> None:
        super().hear(event)
        if isinstance(event, Downloading) and self.deed:
            deed, self.deed = self.deed, None
            assert callable(deed)
            deed()


def test_both_halves_come_into_one_file_and_it_is_proven_whole(stage: Stage) -> None:
    assert stage.is_here(fetched := stage.fetch())
    assert fetched.pieces == 2
    assert [(one.begin, one.end, one.outcome) for one in stage.transfers] == [(0, HALF, "whole")]
    done = [event.done for event in stage.ear.events if isinstance(event, Downloading)]
    assert done == sorted(done)
    assert done[-1] == SIZE
    assert helpers() == []
    assert "Accepted" in (log := stage.server.facts.log.read_text())
    assert log.count("Accepted publickey") == 2


def test_a_small_file_takes_one_session(stage: Stage) -> None:
    small = stage.server.facts.directory / "small.gz"
    small.write_bytes(b"small")
    wanted = replace(WANTED, name="small.gz", size=5)
    with ReconnectingSource(stage.opening, terms=stage.terms(), hear=NullListener()) as source:
        assert (
            download(source, wanted, stage.target, NullListener(), stage.terms()).path.read_bytes()
            == b"small"
        )
    assert stage.server.facts.log.read_text().count("Accepted publickey") == 1


def test_where_the_second_login_is_refused_the_first_fetches_all(stage: Stage, tmp_path: Path) -> None:
    make_key(tmp_path / "other")
    refused = replace(stage.opening, login=replace(stage.opening.login, identity_file=tmp_path / "other"))
    terms = replace(stage.terms(), second=lambda: refused)
    assert stage.is_here(stage.fetch(terms))
    texts = [event.text for event in stage.ear.events if isinstance(event, Detail)]
    (told,) = (text for text in texts if "second session" in text)
    assert "refused" in told
    assert [(one.begin, one.end) for one in stage.transfers] == [(0, HALF), (HALF, SIZE)]


def test_where_the_second_process_is_killed_the_first_goes_on_with_its_half(stage: Stage) -> None:
    def kill() -> None:
        for pid in helpers():
            os.kill(pid, signal.SIGKILL)

    assert stage.is_here(stage.fetch(hear=Once(kill)))
    assert stage.transfers[-1].end == SIZE
    assert helpers() == []


def interrupted(stage: Stage) -> None:
    """A run of two sessions that ends in the middle of both halves."""

    class Stop(Ear):
        def hear(self, event: Event) -> None:
            if isinstance(event, Downloading) and event.done > 8 * MIB:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.fetch(hear=Stop())
    assert helpers() == []


@pytest.mark.parametrize("parallel", [True, False], ids=["with two sessions", "with one"])
def test_both_halves_go_on_where_they_stopped(stage: Stage, parallel: bool) -> None:
    interrupted(stage)
    first, second = stage.journal("journal"), stage.journal("journal2")
    assert 0 < first <= HALF
    assert second >= HALF or second == 0
    stage.transfers.clear()
    assert stage.is_here(stage.fetch(stage.terms(parallel=parallel)))
    assert sum(one.end - one.begin for one in stage.transfers) <= SIZE - first
    resumed = [event for event in stage.ear.events if isinstance(event, Resumed)]
    assert len(resumed) == (2 if second > HALF and not parallel else 1)


def test_another_file_at_the_seam_of_either_half_means_beginning_anew(stage: Stage) -> None:
    interrupted(stage)
    other = bytes(len(stage.body))
    path = stage.server.facts.directory / NAME
    path.write_bytes(other)
    os.utime(path, (MODIFIED.timestamp(), MODIFIED.timestamp()))
    fetched = stage.fetch()
    assert fetched.path.read_bytes() == other
    assert fetched.pieces == 2  # of this run alone


def test_a_file_that_is_gone_ends_both(stage: Stage) -> None:
    def remove() -> None:
        os.truncate(stage.server.facts.directory / NAME, 1 * MIB)

    with pytest.raises(SourceUnreachable) as caught:
        stage.fetch(hear=Once(remove))
    assert caught.value.reason == "ended-early"
    assert helpers() == []


def errand(stage: Stage, *, bandwidth: int = 0) -> ParallelRequest:
    part = stage.target / f"{NAME}.part"
    part.touch()
    stretch = ByteRange(name=NAME, size=SIZE, modified=MODIFIED.isoformat(), start=HALF, end=SIZE)
    return ParallelRequest(
        opening=stage.opening,
        extract=WANTED,
        part=part,
        journal=stage.target / f"{NAME}.part.journal2",
        stretch=stretch,
        mark_bytes=MIB,
        bandwidth=bandwidth,
        retry=RetryPolicy(),
    )


def test_a_second_process_whose_parent_has_gone_writes_no_more(stage: Stage) -> None:
    """The parent's death is the end of the pipe; at this rate the half takes long."""
    with ParallelDownload(errand(stage, bandwidth=500_000)) as other:
        while other.done < 100_000 and other.follow():
            pass
        process = other._process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 1
    assert stage.journal("journal2") < HALF + 4 * MIB


def test_the_second_half_alone_stands_at_its_place(stage: Stage) -> None:
    with ParallelDownload(errand(stage)) as other:
        while other.follow():
            pass
        assert other.whole
        assert other.done == SIZE - HALF
    part = (stage.target / f"{NAME}.part").read_bytes()
    assert part[HALF:] == stage.body[HALF:]
    assert not any(part[:HALF])
    assert stage.journal("journal2") == SIZE


def test_a_second_process_says_no_secret_on_its_command_line(stage: Stage) -> None:
    secret = replace(stage.opening, login=replace(stage.opening.login, password="s3cret"))
    with ParallelDownload(replace(errand(stage, bandwidth=500_000), opening=secret)) as other:
        other.follow()
        words = Path(f"/proc/{other._process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{other._process.pid}/environ").read_bytes()
    assert b"second" in words
    assert b"s3cret" not in words + environment
