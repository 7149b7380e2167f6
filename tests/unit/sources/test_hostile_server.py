"""A server that breaks the protocol: each breach has an error code, and time and memory are bounded.

``OUTCOMES`` is the one table: what the server does, what it is called.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.openssh import openssh_server
from support.rogue import (
    ATTRS,
    DATA,
    EOF,
    FAILURE,
    HANDLE,
    NO_SUCH_FILE,
    PASSWORD,
    UNSUPPORTED,
    VERSION,
    ClientGone,
    Rogue,
    Script,
    attributes,
    entry,
    number,
    rogue_server,
    string,
)
from support.source_contract import NAME, SOME_BYTES, read

from smki_sync.errors import SourceError
from smki_sync.events import NullListener
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin

FILE = "SMKIKR_FULL_2026-11-15.xml.gz"
CONTENT = SOME_BYTES[:1_000_001]
LIMITS = Limits(stall=0.5, slow_rate=1000, slow_period=0.6)
PEAK = 96 * 1024
"""KiB by which a client may grow: 64 MiB, and memory that is not released at once."""


class Drops(Script):
    """Cuts the connection in the middle of the file."""

    def read(self, asked: int, at: int, length: int) -> None:
        if at >= 200_000:
            assert self._channel is not None
            self._channel.get_transport().close()
            raise ClientGone
        super().read(asked, at, length)


class ClosesTheChannel(Script):
    """Its SFTP process dies; the connection stays."""

    def read(self, asked: int, at: int, length: int) -> None:
        del asked, at, length
        assert self._channel is not None
        self._channel.close()
        raise ClientGone


class Stalls(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        if at < 200_000:
            super().read(asked, at, length)


class Drips(Script):
    """Sends one byte of a reply now and then: never silent for long, never done."""

    def read(self, asked: int, at: int, length: int) -> None:
        del at, length
        self.send_raw(number(100_000) + number(DATA, 1) + number(asked) + number(90_000))
        while not self.gone.wait(0.1):
            self.send_raw(b"x")


class AnswersWithoutData(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        del at, length
        self.data(asked, b"")


class AnswersMoreThanAsked(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        del at
        self.data(asked, bytes(length + 1))


class AnswersWhatWasNotAsked(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        super().read(asked + 1_000_000, at, length)


class AnswersTwice(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        super().read(asked, at, length)
        super().read(asked, at, length)


class LiesAboutALength(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        del at, length
        self.reply(DATA, asked, number(50_000) + b"only this")


class AnnouncesTooMuch(Script):
    """A reply of four gigabytes, of which it sends as much as is taken."""

    def read(self, asked: int, at: int, length: int) -> None:
        del asked, at, length
        self.send_raw(number(0xFFFFFFF0) + number(DATA, 1))
        while True:
            self.send_raw(bytes(32_768))


class AnnouncesNothing(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        del asked, at, length
        self.send_raw(number(0))


class ClaimsMore(Script):
    def fstat(self, asked: int) -> None:
        self.reply(ATTRS, asked, attributes(len(self._open) + 1))


class WithoutStat(Script):
    """Does not support STAT."""

    def stat(self, asked: int, name: str) -> None:
        del name
        self.status(asked, UNSUPPORTED)


class ClaimsTheUniverse(WithoutStat):
    def fstat(self, asked: int) -> None:
        self.reply(ATTRS, asked, attributes(2**64 - 1))


class ClaimsNoSize(WithoutStat):
    def fstat(self, asked: int) -> None:
        self.reply(ATTRS, asked, number(0))


class FailsInTheMiddle(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        if at < 200_000:
            super().read(asked, at, length)
        else:
            self.status(asked, FAILURE)


class ListsWhatVanishes(Script):
    def open(self, asked: int, body: bytes) -> None:
        del body
        self.status(asked, NO_SUCH_FILE)


class GivesALongHandle(Script):
    def open(self, asked: int, body: bytes) -> None:
        del body
        self.reply(HANDLE, asked, string(bytes(100_000)))


class IsADirectory(Script):
    def fstat(self, asked: int) -> None:
        self.reply(ATTRS, asked, attributes(5, mode=0o040755))


class EndsBeforeTheFile(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        if at < 200_000:
            super().read(asked, at, length)
        else:
            self.status(asked, EOF)


class GarbageForAVersion(Script):
    def version(self) -> None:
        self.send_raw(b"You have mail.\r\n" * 4)


class GarbageAfterTheVersion(Script):
    def version(self) -> None:
        self.send(VERSION, number(3) + b"\xff\xff\xff\xffgarbage")


class RepliesBeforeAQuestion(Script):
    def version(self) -> None:
        super().version()
        self.data(7, b"unasked")


class AnotherVersion(Script):
    def version(self) -> None:
        self.send(VERSION, number(6))


class SilentAboutItsVersion(Script):
    def version(self) -> None:
        pass


class ListsForEver(Script):
    """Ten million entries and more, a hundred at a time."""

    batches = 0

    def readdir(self, asked: int) -> None:
        self.batches += 1
        self.names(asked, [entry(b"%d.gz" % n) for n in range(100)])


class ListsNothingForEver(Script):
    def readdir(self, asked: int) -> None:
        self.names(asked, [])


class LiesAboutACount(Script):
    def readdir(self, asked: int) -> None:
        self.reply(104, asked, number(0xFFFFFFFF) + entry(b"a.gz"))


class ForbidsToList(Script):
    def opendir(self, asked: int, body: bytes) -> None:
        del body
        self.status(asked, 3)


OUTCOMES: list[tuple[type[Script], str]] = [
    (Drops, "connection-lost"),
    (ClosesTheChannel, "connection-lost"),
    (Stalls, "stalled"),
    (Drips, "too-slow"),
    (AnswersWithoutData, "protocol-broken"),
    (AnswersMoreThanAsked, "protocol-broken"),
    (AnswersWhatWasNotAsked, "protocol-broken"),
    (AnswersTwice, "protocol-broken"),
    (LiesAboutALength, "protocol-broken"),
    (AnnouncesTooMuch, "protocol-broken"),
    (AnnouncesNothing, "protocol-broken"),
    (ClaimsMore, "ended-early"),
    (ClaimsTheUniverse, "protocol-broken"),
    (ClaimsNoSize, "protocol-broken"),
    (EndsBeforeTheFile, "ended-early"),
    (FailsInTheMiddle, "server-failed"),
    (ListsWhatVanishes, "source-missing"),
    (GivesALongHandle, "protocol-broken"),
    (IsADirectory, "not-a-file"),
    (GarbageForAVersion, "protocol-broken"),
    (GarbageAfterTheVersion, "protocol-broken"),
    (RepliesBeforeAQuestion, "protocol-broken"),
    (AnotherVersion, "protocol-broken"),
    (SilentAboutItsVersion, "stalled"),
]
"""What a server does when a file is fetched, and what it is called."""

LISTINGS: list[tuple[type[Script], str]] = [
    (ListsForEver, "listing-too-long"),
    (ListsNothingForEver, "protocol-broken"),
    (LiesAboutACount, "protocol-broken"),
    (ForbidsToList, "permission-denied"),
]
"""The same for a listing."""


def source_of(rogue: Rogue, tmp_path: Path, limits: Limits = LIMITS) -> Source:
    login = SftpLogin(known_hosts=rogue.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)
    return open_source(rogue.url, login=login, limits=limits, events=NullListener())


def outcome(script: Script, tmp_path: Path, ask: Callable[[Source], object]) -> SourceError:
    with rogue_server(script) as rogue, source_of(rogue, tmp_path) as source:
        with pytest.raises(SourceError) as caught:
            ask(source)
        assert caught.value.hint or caught.value.reason == "not-a-file"
        return caught.value


@pytest.mark.parametrize(("kind", "reason"), OUTCOMES, ids=lambda value: getattr(value, "__name__", value))
def test_transfer_has_error_code_when_server_breaks_protocol(
    kind: type[Script], reason: str, tmp_path: Path
) -> None:
    assert outcome(kind({FILE: CONTENT}), tmp_path, lambda source: read(source, FILE)).reason == reason


@pytest.mark.parametrize(("kind", "reason"), LISTINGS, ids=lambda value: getattr(value, "__name__", value))
def test_listing_has_error_code_when_server_breaks_protocol(
    kind: type[Script], reason: str, tmp_path: Path
) -> None:
    assert outcome(kind({FILE: CONTENT}), tmp_path, lambda source: source.fetch_listing()).reason == reason


def test_scripted_server_serves_complete_file(tmp_path: Path) -> None:
    with rogue_server(Script({FILE: CONTENT})) as rogue, source_of(rogue, tmp_path) as source:
        assert [file.name for file in source.fetch_listing()] == [FILE]
        assert read(source, FILE) == CONTENT


def test_transfer_orders_replies_when_they_arrive_out_of_order(tmp_path: Path) -> None:
    class Backwards(Script):
        """Keeps questions until four are there, and answers the last first."""

        def __init__(self, files: dict[str, bytes]) -> None:
            super().__init__(files)
            self.kept: list[tuple[int, int, int]] = []

        def read(self, asked: int, at: int, length: int) -> None:
            self.kept.append((asked, at, length))
            if len(self.kept) == 4 or at + length >= len(CONTENT):
                while self.kept:
                    super().read(*self.kept.pop())

    with rogue_server(Backwards({FILE: CONTENT})) as rogue, source_of(rogue, tmp_path) as source:
        assert read(source, FILE) == CONTENT


def test_transfer_keeps_requests_in_flight_when_replies_are_short(tmp_path: Path) -> None:
    class Short(Script):
        """Gives a thousand bytes at most, and none before every unfinished piece is asked for."""

        def __init__(self, files: dict[str, bytes]) -> None:
            super().__init__(files)
            self.waiting: list[tuple[int, int, int]] = []
            self.unfinished = -(-len(CONTENT) // 32_768)

        def read(self, asked: int, at: int, length: int) -> None:
            self.waiting.append((asked, at, length))
            while self.waiting and len(self.waiting) == self.unfinished:
                asked, at, length = self.waiting.pop(0)
                self.unfinished -= length <= 1000
                super().read(asked, at, min(length, 1000))

    with rogue_server(Short({FILE: CONTENT})) as rogue, source_of(rogue, tmp_path) as source:
        assert read(source, FILE) == CONTENT


def test_listing_omits_names_that_are_not_plain(tmp_path: Path) -> None:
    evil = [
        b"../evil.gz",
        b"/etc/passwd",
        b"a/b",
        b"",
        b".",
        b"..",
        b"nul\0.gz",
        b"x" * 100_000,
        b"\xff\xfe.gz",
    ]

    class Evil(Script):
        def readdir(self, asked: int) -> None:
            if self._listed:
                self.status(asked, EOF)
            else:
                self._listed = True
                self.names(asked, [*map(entry, evil), entry(b"bell\x07.gz"), entry(b"honest.gz")])

    with rogue_server(Evil()) as rogue, source_of(rogue, tmp_path) as source:
        assert [file.name for file in source.fetch_listing()] == ["bell\x07.gz", "honest.gz"]


def test_listing_stops_reading_at_the_entry_limit(tmp_path: Path) -> None:
    script = ListsForEver()
    limits = Limits(entries=1000)
    with (
        rogue_server(script) as rogue,
        source_of(rogue, tmp_path, limits) as source,
        pytest.raises(SourceError),
    ):
        source.fetch_listing()
    assert script.batches == 11


def test_transfer_completes_when_server_fills_stderr(tmp_path: Path) -> None:
    class Talkative(Script):
        """Fills the window several times with data on stderr."""

        def read(self, asked: int, at: int, length: int) -> None:
            assert self._channel is not None
            self._channel.sendall_stderr(bytes(400_000))
            super().read(asked, at, length)

    with (
        rogue_server(Talkative({FILE: CONTENT})) as rogue,
        source_of(rogue, tmp_path, Limits(stall=5)) as source,
    ):
        assert read(source, FILE) == CONTENT


def test_transfer_reads_old_file_when_it_is_replaced(tmp_path: Path) -> None:
    scratch, place = tmp_path / "scratch", tmp_path / "files"
    scratch.mkdir()
    place.mkdir()
    old, new = SOME_BYTES * 4, bytes(len(SOME_BYTES) * 4)
    (place / NAME).write_bytes(old)
    (place / "new").write_bytes(new)
    with openssh_server(place, scratch) as server:
        login = SftpLogin(known_hosts=server.known_hosts, identity_file=server.identity_file)
        with open_source(server.url, login=login, limits=Limits(), events=NullListener()) as source:
            with source.fetch(NAME) as chunks:
                got = [next(chunks)]
                (place / "new").replace(place / NAME)
                got.extend(chunks)
            assert b"".join(got) == old
            assert read(source, NAME) == new


CLIENT = """
import resource, sys
from pathlib import Path
from smki_sync.errors import SourceError
from smki_sync.events import NullListener
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sources import open_source

url, known_hosts, password, what = sys.argv[1:]
login = SftpLogin(known_hosts=Path(known_hosts), password=password)
limits = Limits(stall=5, slow_rate=0, entries=300)
try:
    with open_source(url, login=login, limits=limits, events=NullListener()) as source:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 29, 1 << 29))
        if what == "listing":
            source.fetch_listing()
        else:
            with source.fetch(what) as chunks:
                sum(map(len, chunks))
    print("whole", end=" ")
except SourceError as error:
    print(error.reason, end=" ")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


class Floods(Script):
    """Sends without being asked and does not care for the window."""

    def read(self, asked: int, at: int, length: int) -> None:
        del asked, at, length
        assert self._channel is not None
        self._channel.out_window_size = 1 << 40
        while True:
            self.send_raw(bytes(1 << 20))


class FloodsStderr(Script):
    def read(self, asked: int, at: int, length: int) -> None:
        del asked, at, length
        assert self._channel is not None
        self._channel.out_window_size = 1 << 40
        try:
            while True:
                self._channel.sendall_stderr(bytes(1 << 20))
        except OSError as exc:
            raise ClientGone from exc


class LongNames(Script):
    """Names of 100 kB, ten at a time, without end."""

    def readdir(self, asked: int) -> None:
        self.names(asked, [entry(b"x" * 100_000)] * 10)


@pytest.mark.parametrize(
    ("script", "what", "reasons"),
    [
        (AnnouncesTooMuch, FILE, {"protocol-broken"}),
        (Floods, FILE, {"protocol-broken", "connection-lost"}),
        (FloodsStderr, FILE, {"connection-lost"}),
        (LongNames, "listing", {"listing-too-long"}),
    ],
)
def test_memory_is_bounded_when_server_sends_a_flood(
    script: type[Script], what: str, reasons: set[str], tmp_path: Path
) -> None:
    with rogue_server(script({FILE: CONTENT})) as rogue:
        known_hosts = rogue.known_hosts(tmp_path / "known_hosts")
        client = subprocess.run(
            [sys.executable, "-c", CLIENT, rogue.url, str(known_hosts), PASSWORD, what],
            capture_output=True,
            text=True,
            check=True,
        )
    reason, grown = client.stdout.split()
    assert reason in reasons
    assert int(grown) < PEAK
