"""A file is here whole and proven so, or it is fetched again."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from support.download_source import BODY, CHUNK, NAME, SEAM, SEEN, Ear, Shop, extract, get, names

from smki_sync.errors import MirrorNotWritable, SourceUnreachable
from smki_sync.events import Detail, Downloading
from smki_sync.model.extract import Extract


def test_a_fetched_file_is_here_whole_with_its_hash(tmp_path: Path) -> None:
    fetched = get(Shop(), tmp_path)
    assert fetched.path.read_bytes() == BODY
    assert b"".join(fetched.chunks()) == BODY
    assert fetched.file.sha256 == sha256(BODY).hexdigest()
    assert (fetched.file.size, fetched.file.extract) == (len(BODY), extract())
    assert names(tmp_path) == [NAME, NAME + ".json"]


def test_no_chunk_is_empty_or_larger_than_a_quarter_mebibyte(tmp_path: Path) -> None:
    sizes = {len(chunk) for chunk in get(Shop(), tmp_path).chunks()}
    assert 0 < min(sizes) <= max(sizes) <= 1 << 18


def test_progress_is_told_from_the_first_byte_to_the_last(tmp_path: Path) -> None:
    ear = Ear()
    get(Shop(), tmp_path, ear=ear)
    told = [e for e in ear.events if isinstance(e, Downloading)]
    assert [e.done for e in told] == [*range(CHUNK, len(BODY), CHUNK), len(BODY)]
    assert {(e.file, e.size) for e in told} == {(NAME, len(BODY))}


def test_what_an_earlier_run_fetched_whole_is_not_fetched_again(tmp_path: Path) -> None:
    shop, ear = Shop(), Ear()
    first = get(shop, tmp_path)
    assert get(shop, tmp_path, ear=ear) == first
    assert shop.asked == [0]
    assert [type(event) for event in ear.events] == [Detail]


def test_a_download_that_was_damaged_since_is_fetched_again(tmp_path: Path) -> None:
    shop = Shop()
    path = get(shop, tmp_path).path
    path.write_bytes(b"x" + BODY[1:])
    assert b"".join(get(shop, tmp_path).chunks()) == BODY
    assert len(shop.asked) == 2


@pytest.mark.parametrize("cut", [0, 1, len(BODY) - 1])
def test_a_download_that_was_cut_since_is_fetched_again(tmp_path: Path, cut: int) -> None:
    shop = Shop()
    get(shop, tmp_path).path.write_bytes(BODY[:cut])
    assert get(shop, tmp_path).path.read_bytes() == BODY
    assert len(shop.asked) == 2


@pytest.mark.parametrize("card", [b"", b"{", b"[]", b"null", b"\xff", b"{}", None])
def test_a_download_without_a_sound_card_is_fetched_again(tmp_path: Path, card: bytes | None) -> None:
    shop = Shop()
    get(shop, tmp_path)
    beside = tmp_path / (NAME + ".json")
    if card is None:
        beside.unlink()
    else:
        beside.write_bytes(card)
    assert get(shop, tmp_path).path.read_bytes() == BODY
    assert len(shop.asked) == 2


@pytest.mark.parametrize(
    "now",
    [extract(modified=SEEN.replace(hour=4)), extract(modified=None)],
    ids=["another time", "no time"],
)
def test_a_download_of_what_is_no_longer_on_offer_is_fetched_again(tmp_path: Path, now: Extract) -> None:
    get(Shop(), tmp_path)
    shop = Shop(body=BODY[::-1])
    assert b"".join(get(shop, tmp_path, now).chunks()) == BODY[::-1]
    assert shop.asked == [0]


def test_a_download_of_another_size_than_on_offer_is_fetched_again(tmp_path: Path) -> None:
    get(Shop(), tmp_path)
    shop = Shop(body=BODY + b"more")
    fetched = get(shop, tmp_path, extract(size=len(BODY) + 4))
    assert fetched.path.read_bytes() == BODY + b"more"
    assert fetched.file.size == len(BODY) + 4


def test_a_file_without_a_time_is_not_fetched_twice_either(tmp_path: Path) -> None:
    shop = Shop()
    get(shop, tmp_path, extract(modified=None))
    get(shop, tmp_path, extract(modified=None))
    assert shop.asked == [0]


@pytest.mark.parametrize("stated", [len(BODY) - 1, len(BODY) + 1])
def test_another_number_of_bytes_than_listed_is_a_file_that_changed(tmp_path: Path, stated: int) -> None:
    with pytest.raises(SourceUnreachable, match=f"gave {len(BODY)} bytes .* {stated}") as caught:
        get(Shop(), tmp_path, extract(size=stated))
    assert caught.value.reason == "changed-while-fetched"
    assert NAME not in names(tmp_path)


def test_a_transfer_that_breaks_off_leaves_nothing_that_passes_for_the_file(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="the line is down"):
        get(Shop(breaks=[300_000]), tmp_path)
    assert NAME not in names(tmp_path)
    shop = Shop()
    assert b"".join(get(shop, tmp_path).chunks()) == BODY
    assert shop.asked == [300_000 - SEAM]
    assert names(tmp_path) == [NAME, NAME + ".json"]


def test_a_part_of_an_earlier_run_is_not_taken_for_the_file_or_its_beginning(tmp_path: Path) -> None:
    (tmp_path / (NAME + ".part")).write_bytes(b"something else" * 100_000)
    shop = Shop()
    assert get(shop, tmp_path).path.read_bytes() == BODY
    assert shop.asked == [0]


def test_a_transfer_that_breaks_off_keeps_what_an_earlier_run_has(tmp_path: Path) -> None:
    """The old file goes only when the new one is here; its card no longer matches what is on offer."""
    get(Shop(), tmp_path)
    now = extract(modified=SEEN.replace(hour=4))
    with pytest.raises(SourceUnreachable):
        get(Shop(breaks=[300_000]), tmp_path, now)
    card = json.loads((tmp_path / (NAME + ".json")).read_text())
    assert card["sha256"] == sha256((tmp_path / NAME).read_bytes()).hexdigest()
    shop = Shop()
    get(shop, tmp_path, now)
    assert shop.asked == [300_000 - SEAM]


def test_an_applied_file_is_removed_with_its_card(tmp_path: Path) -> None:
    fetched = get(Shop(), tmp_path)
    fetched.remove()
    fetched.remove()
    assert names(tmp_path) == []


def test_a_directory_that_is_gone_is_a_fault_of_the_mirror(tmp_path: Path) -> None:
    with pytest.raises(MirrorNotWritable):
        get(Shop(), tmp_path / "gone")


def test_a_download_that_has_vanished_is_a_fault_of_the_mirror(tmp_path: Path) -> None:
    fetched = get(Shop(), tmp_path)
    fetched.path.unlink()
    with pytest.raises(MirrorNotWritable):
        list(fetched.chunks())


def test_a_source_that_sends_without_end_is_stopped(tmp_path: Path) -> None:
    """What is more than was listed is no use to anybody and must not fill the disk."""

    class Flood(Shop):
        def _chunks(self, offset: int, _stop: int | None) -> Iterator[bytes]:
            assert offset == 0
            for sent in range(1_000):
                assert sent < 100, "nobody stops the flood"
                yield BODY[:CHUNK]

    with pytest.raises(SourceUnreachable) as caught:
        get(Flood(), tmp_path)
    assert caught.value.reason == "changed-while-fetched"
