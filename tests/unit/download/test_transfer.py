"""A file that is still being written: wait for it, and never use it incomplete."""

import gzip
from datetime import timedelta
from pathlib import Path

import pytest
from support.download_source import (
    BODY,
    NAME,
    SEEN,
    FakeClock,
    FakeSource,
    RecordingListener,
    extract,
    get,
    names,
    options,
)

from smki_sync.download.transfer import POLL_SECONDS
from smki_sync.errors import SourceMissing, SourceUnreachable
from smki_sync.events import Waiting

WHOLE = gzip.compress(BODY, 1, mtime=0)
NOW = SEEN + timedelta(seconds=20)


def young(time: FakeClock | None = None, **more: float) -> FakeClock:
    """A moment at which the file has been quiet for 20 seconds."""
    assert not more
    return time or FakeClock(now=NOW)


def test_old_file_is_not_listed_again(tmp_path: Path) -> None:
    fake = FakeSource(body=WHOLE[:-9])
    get(
        fake,
        tmp_path,
        extract(size=len(fake.body)),
        on=options(FakeClock(), recheck_seconds=600, stability_seconds=600),
    )
    assert fake.listings == 0


def test_recent_complete_file_is_listed_again_without_pause(tmp_path: Path) -> None:
    fake, time = FakeSource(body=WHOLE), young()
    fetched = get(
        fake, tmp_path, extract(size=len(WHOLE)), on=options(time, recheck_seconds=600, stability_seconds=600)
    )
    assert fetched.path.read_bytes() == WHOLE
    assert (fake.listings, time.pauses) == (1, [])


def test_recent_incomplete_file_is_returned_when_it_stays_the_same(
    tmp_path: Path,
) -> None:
    fake, time = FakeSource(body=WHOLE[:-9]), FakeClock(now=SEEN + timedelta(seconds=2))
    fetched = get(
        fake,
        tmp_path,
        extract(size=len(fake.body)),
        on=options(time, recheck_seconds=600, stability_seconds=600),
    )
    assert fetched.path.read_bytes() == fake.body
    assert (fake.listings, time.pauses) == (1, [2.0])  # quiet for twice as long


@pytest.mark.parametrize(("age", "pause"), [(-3.0, 3.0), (0.0, 0.05), (500.0, POLL_SECONDS)])
def test_pause_before_second_listing_is_bounded(tmp_path: Path, age: float, pause: float) -> None:
    fake, time = FakeSource(body=WHOLE[:-9]), FakeClock(now=SEEN + timedelta(seconds=age))
    get(fake, tmp_path, extract(size=len(fake.body)), on=options(time, recheck_seconds=600))
    assert time.pauses == [pause]


def test_file_without_time_is_listed_again(tmp_path: Path) -> None:
    fake = FakeSource(body=WHOLE, modified=None)
    get(fake, tmp_path, extract(size=len(WHOLE), modified=None), on=options(FakeClock(), recheck_seconds=600))
    assert fake.listings == 1


def growing(fake: FakeSource, time: FakeClock, steps: int) -> None:
    """An upload that continues during some listings."""

    def step() -> None:
        nonlocal steps
        if steps:
            steps -= 1
            fake.body = WHOLE if not steps else WHOLE[: len(fake.body) + 1000]
            fake.modified = time.now

    time.meanwhile = step


def test_download_waits_until_growing_file_is_stable(tmp_path: Path) -> None:
    fake, time, listener = (
        FakeSource(body=WHOLE[:300_000], modified=NOW),
        FakeClock(now=NOW),
        RecordingListener(),
    )
    growing(fake, time, 4)
    wanted = extract(size=300_000, modified=NOW)
    fetched = get(fake, tmp_path, wanted, listener, options(time, recheck_seconds=600, stability_seconds=600))
    assert fetched.path.read_bytes() == WHOLE
    assert (fetched.file.size, fetched.file.extract.size) == (len(WHOLE), len(WHOLE))
    assert fetched.file.extract.modified == fake.modified
    assert len(listener.of(Waiting)) == 4
    assert names(tmp_path) == [NAME, NAME + ".json"]


def test_download_fails_when_file_keeps_growing(tmp_path: Path) -> None:
    fake, time = FakeSource(body=WHOLE[:300_000], modified=NOW), FakeClock(now=NOW)
    growing(fake, time, 1000)
    with pytest.raises(SourceUnreachable, match="still changing after 60 s") as caught:
        get(
            fake,
            tmp_path,
            extract(size=300_000, modified=NOW),
            on=options(time, recheck_seconds=600, stability_seconds=60),
        )
    assert caught.value.reason == "changed-while-fetched"
    assert NAME not in names(tmp_path)


def test_download_waits_when_old_file_has_another_size(tmp_path: Path) -> None:
    fake, time = FakeSource(body=WHOLE), FakeClock()
    fetched = get(fake, tmp_path, extract(size=1000), on=options(time, stability_seconds=60))
    assert fetched.path.read_bytes() == WHOLE
    assert time.pauses == [POLL_SECONDS]


def test_download_fails_at_once_when_waiting_is_disabled(tmp_path: Path) -> None:
    time = FakeClock()
    with pytest.raises(SourceUnreachable) as caught:
        get(FakeSource(body=WHOLE), tmp_path, extract(size=1000), on=options(time))
    assert caught.value.reason == "changed-while-fetched"
    assert time.pauses == []


def test_download_fails_when_file_disappears_while_waiting(tmp_path: Path) -> None:
    class Emptied(FakeSource):
        def fetch_listing(self) -> tuple[()]:
            return ()

    with pytest.raises(SourceMissing, match="no longer in the listing"):
        get(Emptied(body=WHOLE), tmp_path, extract(size=1000), on=options(FakeClock(), stability_seconds=60))
