"""A full loaded while it comes makes the mirror that it makes when loaded after, or none."""

import os
import random
import signal
import sqlite3
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from gzip import compress
from pathlib import Path
from typing import Self

import pytest
from support.cli import wait_until
from support.extract_directory import Party, Shelf, november
from support.proc import family

from smki_sync.download import DownloadOptions, RetryPolicy
from smki_sync.errors import BadExtract, SourceUnreachable
from smki_sync.events import Restarted
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.rows import Batch
from smki_sync.model.extract import Extract, RemoteFile
from smki_sync.recovery import restore
from smki_sync.sources.base import Chunks
from smki_sync.sync import SyncJob, run

FULL = f"SMKIKR_FULL_{november(20)}.xml.gz"
CHUNK = 128 << 10
RECORDS = 1500
"""Three batches: some of them are here long before the last byte."""


def large(shelf: Shelf, *, seed: int = 1, of: int = 3, records: int = RECORDS) -> Path:
    """A full of three megabytes; between its records stands what does not compress."""
    noise = random.Random(seed)
    more = (
        f"<!--{b64encode(noise.randbytes(1500)).decode()}-->{shelf._record(n % of, 'I')}"
        for n in range(records)
    )
    path = shelf.path / FULL
    path.write_bytes(compress(shelf.xml({}, more=more), compresslevel=1, mtime=0))
    shelf.stamp(path, 20)
    return path


@dataclass
class Line:
    """A source of the files of a shelf, a chunk at a time. ``before``: what happens before each."""

    shelf: Shelf
    before: Callable[[int, int], None] = lambda _at, _size: None
    asked: list[int] = field(default_factory=list)
    is_open: bool = False
    title: str = "line"

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(self, *_exc: object) -> None:
        self.is_open = False

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        return tuple(
            RemoteFile(name=path.name, size=path.stat().st_size) for path in sorted(self.shelf.path.iterdir())
        )

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Chunks]:
        self.asked.append(offset)
        yield self._chunks(name, offset)

    def _chunks(self, name: str, offset: int) -> Iterator[bytes]:
        body = (self.shelf.path / name).read_bytes()
        for at in range(offset, len(body), CHUNK):
            self.before(at, len(body))
            yield body[at : at + CHUNK]


@dataclass
class Loads:
    """What was loaded, seen where it goes into a generation. ``begun``: how often; ``rows``: how many."""

    begun: int = 0
    rows: int = 0
    while_open: int = 0


@pytest.fixture
def line(shelf: Shelf) -> Line:
    return Line(shelf)


@pytest.fixture
def loads(line: Line, monkeypatch: pytest.MonkeyPatch) -> Loads:
    """Watch rows go in; they do as they always do."""
    seen, take = Loads(), GenerationBuilder.load_batches

    def watched(builder: GenerationBuilder, extract: Extract, batches: Iterable[Batch]) -> None:
        seen.begun += 1

        def passed() -> Iterator[Batch]:
            for batch in batches:
                yield batch
                seen.rows += len(batch.rows)
                seen.while_open += line.is_open

        take(builder, extract, passed())

    monkeypatch.setattr(GenerationBuilder, "load_batches", watched)
    return seen


def job_of(party: Party, line: Line, *, overlap_bytes: int = 1, attempts: int = 1) -> SyncJob:
    terms = DownloadOptions(retry=RetryPolicy(attempts=attempts), sleep=lambda _seconds: None)
    return replace(
        party.job(20), open_source=lambda: line, overlap_bytes=overlap_bytes, download_options=terms
    )


def down() -> SourceUnreachable:
    return SourceUnreachable("the line is down", code="connection-lost")


def once(at_least: int, deed: Callable[[], None]) -> Callable[[int, int], None]:
    """Do something before the first chunk at or behind an offset."""
    left = [deed]

    def before(at: int, _size: int) -> None:
        if at >= at_least and left:
            left.pop()()

    return before


def fail() -> None:
    raise down()


def late(loads: Loads) -> Callable[[int, int], None]:
    """Keep the last chunk back until a batch is in the mirror to be."""
    known = loads.rows

    def before(at: int, size: int) -> None:
        if at + CHUNK >= size:
            wait_until(lambda: loads.rows > known)

    return before


def content(party: Party) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Rows, and the ledger without its times."""
    with closing(sqlite3.connect(party.directory.link)) as db:
        rows = db.execute("SELECT * FROM certificate ORDER BY id").fetchall()
        return rows, db.execute(
            "SELECT name, kind, day, size, modified, sha256, records, digest FROM extract"
        ).fetchall()


def after(party: Party, shelf: Shelf, tmp_path: Path) -> Party:
    """The mirror that loading after the download makes of what is on offer."""
    other = replace(party)
    other.directory = replace(party.directory, root=tmp_path / "after")
    run(job_of(other, Line(shelf), overlap_bytes=0))
    return other


def helpers() -> list[int]:
    """Processes that read a full for this one."""
    return [
        pid
        for pid in family(os.getpid())
        if b"smki_sync.sync.reader_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def nothing_left(party: Party) -> None:
    assert list(party.directory.generations.iterdir()) == []
    assert not party.directory.link.exists()
    assert helpers() == [], "a helper was left behind"


def test_rows_are_in_before_the_last_byte_has_come_and_the_mirror_is_the_same(
    party: Party, shelf: Shelf, line: Line, loads: Loads, tmp_path: Path
) -> None:
    large(shelf)

    def before(at: int, size: int) -> None:
        if at + CHUNK >= size:
            wait_until(lambda: loads.rows >= RECORDS // 3)
            assert not party.directory.link.exists()

    line.before = before
    report = run(job_of(party, line))
    assert (loads.begun, loads.rows) == (1, RECORDS)
    assert loads.while_open > 0
    assert report.applied[0].counts.records == RECORDS
    assert content(party) == content(after(party, shelf, tmp_path))
    assert list(party.directory.downloads.iterdir()) == []


def test_a_full_below_the_size_is_loaded_when_it_is_here(
    party: Party, shelf: Shelf, line: Line, loads: Loads
) -> None:
    size = large(shelf).stat().st_size
    run(job_of(party, line, overlap_bytes=size + 1))
    assert (loads.begun, loads.while_open) == (1, 0)


def test_after_a_cut_both_go_on_where_they_were(
    party: Party, shelf: Shelf, line: Line, loads: Loads, tmp_path: Path
) -> None:
    large(shelf)
    line.before = once(1 << 20, fail)
    run(job_of(party, line, attempts=2))
    assert len(line.asked) == 2
    assert line.asked[1] > 0
    assert loads.begun == 1
    assert content(party) == content(after(party, shelf, tmp_path))


def test_a_file_that_was_replaced_meanwhile_is_loaded_from_its_beginning(
    party: Party, shelf: Shelf, line: Line, loads: Loads, tmp_path: Path
) -> None:
    """Another one of the same size: only the seam tells."""
    path = large(shelf, seed=1)
    size = path.stat().st_size

    def replaced() -> None:
        body = large(shelf, seed=2, of=2, records=RECORDS - 20).read_bytes()
        assert len(body) < size
        path.write_bytes(body.ljust(size, b"\0"))  # zeros after a gz member are let pass
        raise down()

    line.before = once(1 << 20, replaced)
    run(job_of(party, line, attempts=2))
    assert len(party.ear.of(Restarted)) == 1
    assert loads.begun == 2
    rows, ledger = content(party)
    assert len(rows) == 2
    assert (rows, ledger) == content(after(party, shelf, tmp_path))


def test_a_full_whose_end_is_damaged_is_not_published_and_stays_as_evidence(
    party: Party, shelf: Shelf, line: Line, loads: Loads
) -> None:
    path = large(shelf)
    body = bytearray(path.read_bytes())
    body[-6] ^= 1  # in the checksum
    path.write_bytes(body)
    line.before = late(loads)
    with pytest.raises(BadExtract):
        run(job_of(party, line))
    assert loads.while_open > 0
    assert sorted(p.name for p in party.directory.downloads.iterdir()) == [FULL, f"{FULL}.json"]
    nothing_left(party)


def test_a_full_whose_middle_is_damaged_is_fetched_to_its_end_once(
    party: Party, shelf: Shelf, line: Line
) -> None:
    path = large(shelf)
    body = bytearray(path.read_bytes())
    body[1 << 20] ^= 255
    path.write_bytes(body)
    for _ in range(2):
        with pytest.raises(BadExtract):
            run(job_of(party, line))
    assert line.asked == [0]
    nothing_left(party)


def test_a_damaged_full_that_came_in_pieces_is_no_evidence_and_is_removed(
    party: Party, shelf: Shelf, line: Line
) -> None:
    path = large(shelf)
    body = bytearray(path.read_bytes())
    body[-6] ^= 1
    path.write_bytes(body)
    line.before = once(1 << 20, fail)
    with pytest.raises(BadExtract):
        run(job_of(party, line, attempts=2))
    assert list(party.directory.downloads.iterdir()) == []
    nothing_left(party)


def test_a_download_that_fails_for_good_ends_the_load_with_its_own_error(
    party: Party, shelf: Shelf, line: Line, loads: Loads, tmp_path: Path
) -> None:
    large(shelf)

    def fails(at: int, _size: int) -> None:
        if at >= 2 << 20:
            wait_until(lambda: loads.rows > 0)
            fail()

    line.before = fails
    with pytest.raises(SourceUnreachable, match="the line is down"):
        run(job_of(party, line))
    nothing_left(party)
    assert (party.directory.downloads / f"{FULL}.part").stat().st_size >= 2 << 20
    line.before = lambda _at, _size: None
    run(job_of(party, line))
    assert line.asked[1] > 0
    assert content(party) == content(after(party, shelf, tmp_path))


def test_where_the_helper_dies_the_full_is_loaded_when_it_is_here(
    party: Party, shelf: Shelf, line: Line, loads: Loads, tmp_path: Path
) -> None:
    large(shelf)

    def kill() -> None:
        (helper,) = helpers()
        os.kill(helper, signal.SIGKILL)

    line.before = once(1 << 20, kill)
    report = run(job_of(party, line))
    assert loads.begun == 2
    assert report.counts.in_use == 3
    assert content(party) == content(after(party, shelf, tmp_path))


def test_a_resync_keeps_the_memory_of_the_mirror_before(
    party: Party, shelf: Shelf, line: Line, loads: Loads, tmp_path: Path
) -> None:
    large(shelf, of=3)
    other = after(party, shelf, tmp_path)
    run(job_of(party, line))
    large(shelf, seed=2, of=2)
    line.before = late(loads)
    run(job_of(party, line), full=True)
    run(job_of(other, Line(shelf), overlap_bytes=0), full=True)
    assert loads.while_open > 0
    rows, _ = content(party)
    assert len(rows) == 3  # the one that is not listed any more is withdrawn, not forgotten
    assert content(party) == content(other)


def test_a_restore_loads_what_it_fetches_meanwhile(
    party: Party, shelf: Shelf, line: Line, loads: Loads, tmp_path: Path
) -> None:
    large(shelf)
    line.before = late(loads)
    restored = restore(job_of(party, line))
    assert (loads.begun, loads.rows) == (1, RECORDS)
    assert loads.while_open > 0
    assert {check.name: check.passed for check in restored.checks}["file"] is True
    assert content(party) == content(after(party, shelf, tmp_path))
