"""Servers that leave out what OpenSSH sends: attributes, FSTAT, file types, many requests at a time."""

import struct
from datetime import date
from pathlib import Path

import pytest
from support.rogue import (
    ATTRS,
    EOF,
    FAILURE,
    FSTAT,
    NAME,
    PASSWORD,
    STAT,
    UNSUPPORTED,
    LimitedServer,
    Rogue,
    Script,
    attributes,
    entry,
    number,
    rogue_server,
    string,
)
from support.source_contract import SOME_BYTES, read

from smki_sync.download import DownloadOptions, ReconnectingSource, RetryPolicy, download
from smki_sync.errors import SourceError, SourceUnreachable
from smki_sync.events import NullListener
from smki_sync.model.extract import Extract, ExtractKind, RemoteFile, UnrecognisedReason
from smki_sync.sources import open_source
from smki_sync.sources.base import MAX_FILE_BYTES, Limits, Source
from smki_sync.sources.sftp_protocol import RequestLimit
from smki_sync.sources.ssh_settings import SftpLogin

FILE = "SMKIKR_FULL_2026-11-15.xml.gz"
CONTENT = SOME_BYTES[:1_000_001]
NO_ATTRIBUTES = number(0)
LINK, DIRECTORY = 0o120777, 0o040755


def source_of(
    rogue: Rogue, tmp_path: Path, limits: Limits | None = None, requests: RequestLimit | None = None
) -> Source:
    login = SftpLogin(known_hosts=rogue.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)
    return open_source(
        rogue.url, login=login, limits=limits or Limits(), events=NullListener(), requests=requests
    )


def listing(script: Script, tmp_path: Path) -> dict[str, RemoteFile]:
    with rogue_server(script) as rogue, source_of(rogue, tmp_path) as source:
        return {file.name: file for file in source.fetch_listing()}


# File size: FSTAT, else the listing, else STAT.


class WithoutFstat(Script):
    """Answers FSTAT with "operation unsupported"."""

    def fstat(self, asked: int) -> None:
        self.status(asked, UNSUPPORTED)


class FstatWithoutSize(Script):
    def fstat(self, asked: int) -> None:
        self.reply(ATTRS, asked, NO_ATTRIBUTES)


class FstatWithImpossibleSize(Script):
    def fstat(self, asked: int) -> None:
        self.reply(ATTRS, asked, attributes(2**64 - 1))


class ListsWithoutSize(WithoutFstat):
    """States sizes only in reply to STAT."""

    def readdir(self, asked: int) -> None:
        if self._listed:
            self.status(asked, EOF)
        else:
            self._listed = True
            names = [string(name.encode()) + string(b"") + NO_ATTRIBUTES for name in self.files]
            self.names(asked, names)


@pytest.mark.parametrize("kind", [WithoutFstat, FstatWithoutSize, FstatWithImpossibleSize, ListsWithoutSize])
@pytest.mark.parametrize("listed", [True, False])
def test_fetch_completes_when_fstat_states_no_size(kind: type[Script], listed: bool, tmp_path: Path) -> None:
    script = kind({FILE: CONTENT})
    with rogue_server(script) as rogue, source_of(rogue, tmp_path) as source:
        if listed:
            assert [(file.name, file.size) for file in source.fetch_listing()] == [(FILE, len(CONTENT))]
            script.asked.clear()
        assert read(source, FILE) == CONTENT
        assert (STAT in script.asked) is not listed
        assert read(source, FILE, offset=999_999) == CONTENT[999_999:]


def test_fetch_prefers_fstat_when_listing_has_another_size(tmp_path: Path) -> None:
    script = Script({FILE: CONTENT})
    with rogue_server(script) as rogue, source_of(rogue, tmp_path) as source:
        source.fetch_listing()
        script.files[FILE] = CONTENT[:500]
        assert read(source, FILE) == CONTENT[:500]
        assert FSTAT in script.asked
        assert STAT not in script.asked


@pytest.mark.parametrize(
    ("now", "code"), [(CONTENT + b"x", "changed-while-fetched"), (CONTENT[:-1], "ended-early")]
)
def test_fetch_fails_when_listed_size_is_out_of_date(now: bytes, code: str, tmp_path: Path) -> None:
    script = WithoutFstat({FILE: CONTENT})
    with rogue_server(script) as rogue, source_of(rogue, tmp_path) as source:
        source.fetch_listing()
        script.files[FILE] = now
        with pytest.raises(SourceUnreachable) as caught:
            read(source, FILE)
    assert caught.value.reason == code


# Listings: every entry is used or reported.


class Lists(Script):
    """Lists given entries, and answers STAT with given attributes."""

    def __init__(self, entries: list[bytes], stats: dict[str, bytes] | None = None) -> None:
        super().__init__()
        self.entries = entries
        self.stats = stats or {}

    def readdir(self, asked: int) -> None:
        if self._listed:
            self.status(asked, EOF)
        else:
            self._listed = True
            self.names(asked, self.entries)

    def stat(self, asked: int, name: str) -> None:
        if name in self.stats:
            self.reply(ATTRS, asked, self.stats[name])
        else:
            self.status(asked, FAILURE)


def bare(name: bytes, longname: bytes = b"", stated: bytes = NO_ATTRIBUTES) -> bytes:
    return string(name) + string(longname) + stated


def test_listing_asks_server_when_type_or_size_is_missing(tmp_path: Path) -> None:
    script = Lists(
        [
            bare(b"bare.gz"),
            bare(b"long.gz", b"-rw-r--r--"),
            bare(b"mode.gz", stated=struct.pack(">II", 4, 0o100644)),
        ],
        {name: attributes(7) for name in ("bare.gz", "long.gz", "mode.gz")},
    )
    files = listing(script, tmp_path)
    assert {(name, file.size, file.unusable) for name, file in files.items()} == {
        ("bare.gz", 7, None),
        ("long.gz", 7, None),
        ("mode.gz", 7, None),
    }
    assert all(file.modified for file in files.values())


def test_listing_uses_size_without_type_when_server_states_no_type(tmp_path: Path) -> None:
    size_only = struct.pack(">IQ", 1, 9)
    files = listing(Lists([bare(b"a.gz", stated=size_only)], {"a.gz": size_only}), tmp_path)
    assert (files["a.gz"].size, files["a.gz"].unusable) == (9, None)


def test_listing_resolves_links(tmp_path: Path) -> None:
    link = attributes(3, mode=LINK)
    script = Lists(
        [bare(name, stated=link) for name in (b"file.gz", b"directory", b"broken.gz")],
        {"file.gz": attributes(7), "directory": attributes(0, mode=DIRECTORY)},
    )
    assert {(name, file.size, file.unusable) for name, file in listing(script, tmp_path).items()} == {
        ("file.gz", 7, None),
        ("directory", 0, UnrecognisedReason.NOT_A_FILE),
        ("broken.gz", 0, UnrecognisedReason.SYMBOLIC_LINK),
    }


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (struct.pack(">II", 4, 0o100644), UnrecognisedReason.SIZE_UNKNOWN),
        (attributes(2**63), UnrecognisedReason.SIZE_IMPOSSIBLE),
        (attributes(2**64 - 1), UnrecognisedReason.SIZE_IMPOSSIBLE),
        (attributes(MAX_FILE_BYTES + 1), UnrecognisedReason.SIZE_IMPOSSIBLE),
        (attributes(5, mode=DIRECTORY), UnrecognisedReason.NOT_A_FILE),
        (attributes(5, mode=0o020666), UnrecognisedReason.NOT_A_FILE),
    ],
)
def test_listing_marks_entry_unusable_with_its_reason(
    stated: bytes, reason: UnrecognisedReason, tmp_path: Path
) -> None:
    script = Lists([bare(FILE.encode(), stated=stated), entry(b"good.gz", MAX_FILE_BYTES)])
    files = listing(script, tmp_path)
    assert (files[FILE].size, files[FILE].unusable) == (0, reason)
    assert (files["good.gz"].size, files["good.gz"].unusable) == (MAX_FILE_BYTES, None)


def test_listing_accepts_every_time_that_the_protocol_can_state(tmp_path: Path) -> None:
    script = Lists([bare(b"late.gz", stated=attributes(1, modified=2**32 - 1))])
    modified = listing(script, tmp_path)["late.gz"].modified
    assert modified is not None
    assert modified.year == 2106


# Requests in flight.


def fetch_with_retries(rogue: Rogue, tmp_path: Path, requests: RequestLimit, attempts: int) -> bytes:
    options = DownloadOptions(retry=RetryPolicy(attempts=attempts))
    events = NullListener()
    with ReconnectingSource(
        lambda: source_of(rogue, tmp_path, requests=requests), options=options, events=events
    ) as source:
        (listed,) = source.fetch_listing()
        extract = Extract(
            kind=ExtractKind.FULL,
            day=date(2026, 11, 15),
            name=FILE,
            size=listed.size,
            modified=listed.modified,
        )
        return download(source, extract, tmp_path, events, options).path.read_bytes()


@pytest.mark.parametrize(("most", "dropped"), [(32, 1), (5, 4), (1, 6)])
def test_requests_in_flight_are_halved_after_each_loss(most: int, dropped: int, tmp_path: Path) -> None:
    remembered = list[int]()
    requests = RequestLimit(on_change=remembered.append)
    script = LimitedServer({FILE: SOME_BYTES}, most=most, expected=lambda: requests.requests)
    with rogue_server(script) as rogue:
        assert fetch_with_retries(rogue, tmp_path, requests, attempts=9) == SOME_BYTES
    assert script.dropped == dropped
    assert remembered == [64 >> n for n in range(1, dropped + 1)]
    assert script.seen[-1] <= most


def test_requests_in_flight_stay_at_one_when_every_transfer_is_lost(tmp_path: Path) -> None:
    requests = RequestLimit()
    script = LimitedServer({FILE: SOME_BYTES}, most=0, expected=lambda: requests.requests)
    with rogue_server(script) as rogue, pytest.raises(SourceUnreachable) as caught:
        fetch_with_retries(rogue, tmp_path, requests, attempts=9)
    assert caught.value.reason == "connection-lost"
    assert requests.requests == 1
    assert script.dropped == 9


def test_requests_in_flight_stay_the_same_when_no_transfer_is_lost(tmp_path: Path) -> None:
    requests = RequestLimit()
    with rogue_server(Script({FILE: CONTENT})) as rogue:
        assert fetch_with_retries(rogue, tmp_path, requests, attempts=1) == CONTENT
    assert requests.requests == 64


# Time limits of a listing and of each name.


class SlowListing(Script):
    """Sends one name at a time without end, each within every other limit."""

    def readdir(self, asked: int) -> None:
        self.gone.wait(0.05)
        self.names(asked, [entry(b"a.gz")])


class SlowName(Script):
    """Sends one byte of a long name at a time."""

    def readdir(self, asked: int) -> None:
        self.send_raw(number(100_000) + number(NAME, 1) + number(asked) + number(1) + number(90_000))
        while not self.gone.wait(0.02):
            self.send_raw(b"x")


class SlowOpen(Script):
    def fstat(self, asked: int) -> None:
        self.send_raw(number(100_000) + number(ATTRS, 1) + number(asked))
        while not self.gone.wait(0.02):
            self.send_raw(b"x")


@pytest.mark.parametrize(
    ("kind", "limits", "code"),
    [
        (SlowListing, Limits(slow_rate=0, listing=0.4), "listing-timeout"),
        (SlowName, Limits(slow_rate=0, listing=0.4), "listing-timeout"),
        (SlowName, Limits(slow_rate=0, request=0.4), "stalled"),
    ],
)
def test_listing_ends_at_its_time_limit(
    kind: type[Script], limits: Limits, code: str, tmp_path: Path
) -> None:
    with rogue_server(kind({FILE: CONTENT})) as rogue, source_of(rogue, tmp_path, limits) as source:
        with pytest.raises(SourceError) as caught:
            source.fetch_listing()
        assert caught.value.reason == code
        assert "within 0.4 s" in caught.value.message


def test_fetch_ends_at_request_limit_when_opening_is_slow(tmp_path: Path) -> None:
    limits = Limits(slow_rate=0, request=0.4)
    with rogue_server(SlowOpen({FILE: CONTENT})) as rogue, source_of(rogue, tmp_path, limits) as source:
        with pytest.raises(SourceError) as caught:
            read(source, FILE)
        assert caught.value.reason == "stalled"


class HugeParts(Script):
    """Sends parts of 3 MB with one name each."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = 0

    def readdir(self, asked: int) -> None:
        self.parts += 1
        self.names(asked, [string(b"a.gz") + string(bytes(3_000_000)) + attributes(1)])


def test_listing_fails_when_it_has_too_many_bytes(tmp_path: Path) -> None:
    script = HugeParts()
    with rogue_server(script) as rogue, source_of(rogue, tmp_path) as source:
        with pytest.raises(SourceError) as caught:
            source.fetch_listing()
        assert caught.value.reason == "listing-too-long"
    assert script.parts <= 24
