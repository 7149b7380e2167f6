"""A file that is still being written is waited for, and never taken for whole."""

import gzip
from datetime import timedelta
from pathlib import Path

import pytest
from support.download_source import BODY, NAME, SEEN, Ear, Shop, Time, extract, get, names, terms

from smki_sync.download.transfer import LOOK_SECONDS
from smki_sync.errors import SourceMissing, SourceUnreachable
from smki_sync.events import Waiting

WHOLE = gzip.compress(BODY, 1, mtime=0)
NOW = SEEN + timedelta(seconds=20)


def young(time: Time | None = None, **more: float) -> Time:
    """A moment at which the file has been quiet for 20 seconds."""
    assert not more
    return time or Time(now=NOW)


def test_a_file_of_hours_ago_costs_no_second_look(tmp_path: Path) -> None:
    shop = Shop(body=WHOLE[:-9])
    get(shop, tmp_path, extract(size=len(shop.body)), on=terms(Time(), young=600, changing=600))
    assert shop.listings == 0


def test_a_young_file_that_is_whole_costs_one_look_and_no_pause(tmp_path: Path) -> None:
    shop, time = Shop(body=WHOLE), young()
    fetched = get(shop, tmp_path, extract(size=len(WHOLE)), on=terms(time, young=600, changing=600))
    assert fetched.path.read_bytes() == WHOLE
    assert (shop.listings, time.pauses) == (1, [])


def test_a_young_file_that_ends_badly_and_stays_so_is_handed_on_for_the_reader_to_name(
    tmp_path: Path,
) -> None:
    shop, time = Shop(body=WHOLE[:-9]), Time(now=SEEN + timedelta(seconds=2))
    fetched = get(shop, tmp_path, extract(size=len(shop.body)), on=terms(time, young=600, changing=600))
    assert fetched.path.read_bytes() == shop.body
    assert (shop.listings, time.pauses) == (1, [2.0])  # quiet for twice as long


@pytest.mark.parametrize(("age", "pause"), [(-3.0, 3.0), (0.0, 0.05), (500.0, LOOK_SECONDS)])
def test_the_pause_before_the_second_look_is_neither_nothing_nor_long(
    tmp_path: Path, age: float, pause: float
) -> None:
    shop, time = Shop(body=WHOLE[:-9]), Time(now=SEEN + timedelta(seconds=age))
    get(shop, tmp_path, extract(size=len(shop.body)), on=terms(time, young=600))
    assert time.pauses == [pause]


def test_a_file_without_a_time_counts_as_young(tmp_path: Path) -> None:
    shop = Shop(body=WHOLE, modified=None)
    get(shop, tmp_path, extract(size=len(WHOLE), modified=None), on=terms(Time(), young=600))
    assert shop.listings == 1


def growing(shop: Shop, time: Time, steps: int) -> None:
    """An upload that goes on for some looks."""

    def step() -> None:
        nonlocal steps
        if steps:
            steps -= 1
            shop.body = WHOLE if not steps else WHOLE[: len(shop.body) + 1000]
            shop.modified = time.now

    time.meanwhile = step


def test_a_file_that_grows_is_waited_for_and_taken_when_two_looks_agree(tmp_path: Path) -> None:
    shop, time, ear = Shop(body=WHOLE[:300_000], modified=NOW), Time(now=NOW), Ear()
    growing(shop, time, 4)
    wanted = extract(size=300_000, modified=NOW)
    fetched = get(shop, tmp_path, wanted, ear, terms(time, young=600, changing=600))
    assert fetched.path.read_bytes() == WHOLE
    assert (fetched.file.size, fetched.file.extract.size) == (len(WHOLE), len(WHOLE))
    assert fetched.file.extract.modified == shop.modified
    assert len(ear.of(Waiting)) == 4
    assert names(tmp_path) == [NAME, NAME + ".json"]


def test_a_file_that_does_not_stop_growing_is_reported_and_nothing_is_handed_on(tmp_path: Path) -> None:
    shop, time = Shop(body=WHOLE[:300_000], modified=NOW), Time(now=NOW)
    growing(shop, time, 1000)
    with pytest.raises(SourceUnreachable, match="waited for 60 s") as caught:
        get(shop, tmp_path, extract(size=300_000, modified=NOW), on=terms(time, young=600, changing=60))
    assert caught.value.reason == "changed-while-fetched"
    assert NAME not in names(tmp_path)


def test_a_file_of_another_size_than_listed_is_waited_for_whatever_its_age(tmp_path: Path) -> None:
    shop, time = Shop(body=WHOLE), Time()
    fetched = get(shop, tmp_path, extract(size=1000), on=terms(time, changing=60))
    assert fetched.path.read_bytes() == WHOLE
    assert time.pauses == [LOOK_SECONDS]


def test_without_patience_a_file_that_changed_is_reported_at_once(tmp_path: Path) -> None:
    time = Time()
    with pytest.raises(SourceUnreachable) as caught:
        get(Shop(body=WHOLE), tmp_path, extract(size=1000), on=terms(time))
    assert caught.value.reason == "changed-while-fetched"
    assert time.pauses == []


def test_a_file_that_goes_while_it_is_waited_for_is_missing(tmp_path: Path) -> None:
    class Emptied(Shop):
        def fetch_listing(self) -> tuple[()]:
            return ()

    with pytest.raises(SourceMissing, match="has gone"):
        get(Emptied(body=WHOLE), tmp_path, extract(size=1000), on=terms(Time(), changing=60))
