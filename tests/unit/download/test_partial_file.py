"""What was cut, killed or lost goes on where that is proven to be right, and begins anew where it is not."""

import gzip
import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from support.download_source import BODY, CHUNK, NAME, SEAM, SEEN, Ear, Shop, Time, extract, get, names, terms

from smki_sync.download import TransferRecord, discard_other_partial_files, read_growing_file, room_left
from smki_sync.download.partial_file import SEAM_BYTES
from smki_sync.errors import BadExtract, SourceUnreachable
from smki_sync.events import Restarted, Resumed
from smki_sync.model.extract import ExtractKind
from smki_sync.reader import ExtractReader

PART = NAME + ".part"
JOURNAL = NAME + ".part.journal"
OTHER = random.Random(7).randbytes(len(BODY))


def cut(path: Path, at: int, *, mark_bytes: int = 2 * CHUNK) -> None:
    """An earlier run that ended at an offset with everything marked."""
    with pytest.raises(SourceUnreachable):
        get(Shop(breaks=[at]), path, on=terms(Time(), mark_bytes=mark_bytes))


def die() -> Exception:
    os.kill(os.getpid(), signal.SIGKILL)
    return AssertionError("not reached")


def killed(path: Path, at: int) -> None:
    """An earlier run that was killed at an offset, in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            get(Shop(breaks=[at], fault=die), path)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def goes_on(path: Path, *, at: int) -> Ear:
    """The next run goes on from an offset, and ends with the file."""
    shop, ear = Shop(), Ear()
    fetched = get(shop, path, ear=ear)
    assert fetched.path.read_bytes() == BODY
    assert fetched.file.sha256 == sha256(BODY).hexdigest()
    assert shop.asked == [max(at - SEAM, 0)]
    assert names(path) == [NAME, NAME + ".json"]
    return ear


def test_the_seam_of_these_tests_is_the_programs_own() -> None:
    assert SEAM == SEAM_BYTES


def test_a_download_that_was_cut_goes_on_in_a_later_run_and_says_so(tmp_path: Path) -> None:
    cut(tmp_path, 500_000)
    ear = goes_on(tmp_path, at=500_000)
    assert ear.of(Resumed) == [Resumed(file=NAME, done=500_000, size=len(BODY))]


def test_a_killed_download_goes_on_from_its_last_mark_and_what_came_after_is_cut_off(tmp_path: Path) -> None:
    killed(tmp_path, 500_000)
    assert (tmp_path / PART).stat().st_size == 500_000
    goes_on(tmp_path, at=400_000)


def test_no_more_than_the_distance_of_two_marks_and_the_seam_is_fetched_twice(tmp_path: Path) -> None:
    killed(tmp_path, 700_000)
    shop = Shop()
    get(shop, tmp_path)
    assert shop.given <= len(BODY) - 700_000 + 2 * CHUNK + SEAM


def test_killed_again_and_again_it_still_ends(tmp_path: Path) -> None:
    for at in (200_000, 300_000, 400_000, 500_000, 600_000, 700_000):
        killed(tmp_path, at)
    shop = Shop()
    assert get(shop, tmp_path).path.read_bytes() == BODY
    assert shop.asked[0] > 500_000 - SEAM


def test_without_a_single_mark_it_begins_anew(tmp_path: Path) -> None:
    killed(tmp_path, 100_000)
    assert names(tmp_path) == [PART]
    ear = goes_on(tmp_path, at=0)
    assert ear.of(Resumed) == []


def lose_all(part: Path) -> None:
    part.unlink()


def lose_tail(part: Path) -> None:
    os.truncate(part, 450_000)


def zero_tail(part: Path) -> None:
    os.truncate(part, 450_000)
    os.truncate(part, 600_000)


def flip(part: Path) -> None:
    part.write_bytes(part.read_bytes()[:450_000] + b"?" + part.read_bytes()[450_001:])


@pytest.mark.parametrize(
    ("lose", "at"), [(lose_all, 0), (lose_tail, 400_000), (zero_tail, 400_000), (flip, 400_000)]
)
def test_what_the_disk_lost_over_a_reboot_is_found_and_it_goes_on_from_the_last_true_mark(
    tmp_path: Path, lose: Callable[[Path], None], at: int
) -> None:
    cut(tmp_path, 600_000)
    lose(tmp_path / PART)
    goes_on(tmp_path, at=at)


@pytest.mark.parametrize(
    ("spoil", "at"),
    [
        (lambda text: text[:-5], 400_000),
        (lambda text: text + '{"at": 700000, "sh', 600_000),
        (lambda text: text.replace('"at":600000', '"at":"much"'), 400_000),
        (lambda text: text.replace('"at":400000', '"at":768001'), 200_000),
        (lambda text: text.replace('"at":400000', '"at":100000'), 200_000),
        (lambda _: "", 0),
        (lambda _: "\n\n", 0),
        (lambda _: "[]\n", 0),
    ],
    ids=["torn", "torn line", "no number", "beyond the end", "backwards", "empty", "blank", "another thing"],
)
def test_a_journal_counts_as_far_as_it_is_sound(tmp_path: Path, spoil: Callable[[str], str], at: int) -> None:
    cut(tmp_path, 600_000)
    journal = tmp_path / JOURNAL
    journal.write_text(spoil(journal.read_text()))
    goes_on(tmp_path, at=at)


def test_a_journal_that_is_not_text_is_none(tmp_path: Path) -> None:
    cut(tmp_path, 600_000)
    (tmp_path / JOURNAL).write_bytes(b"\xff\xfe\n" * 5)
    goes_on(tmp_path, at=0)


@pytest.mark.parametrize("change", [{"modified": SEEN + timedelta(hours=1)}, {"body": BODY + b"more"}])
def test_a_part_of_another_size_or_time_is_thrown_away_with_a_word(
    tmp_path: Path, change: dict[str, object]
) -> None:
    cut(tmp_path, 600_000)
    shop, ear = Shop(**change), Ear()  # type: ignore[arg-type]  # each by its own field's name
    wanted = extract(size=len(shop.body), modified=shop.modified)
    assert get(shop, tmp_path, wanted, ear).path.read_bytes() == shop.body
    assert shop.asked == [0]
    assert [type(event) for event in ear.of(Restarted)] == [Restarted]


def test_another_file_of_the_same_size_and_time_is_noticed_at_the_seam(tmp_path: Path) -> None:
    cut(tmp_path, 600_000)
    shop, ear = Shop(body=OTHER), Ear()
    fetched = get(shop, tmp_path, ear=ear)
    assert fetched.path.read_bytes() == OTHER
    assert shop.asked == [600_000 - SEAM, 0]
    assert len(ear.of(Restarted)) == 1
    assert fetched.pieces == 1


def test_a_source_that_is_another_file_each_time_is_given_up(tmp_path: Path) -> None:
    class Fickle(Shop):
        def _chunks(self, offset: int, stop: int | None):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as there
            self.body = random.Random(len(self.asked)).randbytes(len(BODY))
            return super()._chunks(offset, stop)

    shop = Fickle(breaks=[CHUNK * 4, None] * 9)
    with pytest.raises(SourceUnreachable, match="another file each time") as caught:
        get(shop, tmp_path, on=terms(Time(), attempts=9))
    assert caught.value.reason == "changed-while-fetched"
    assert len(shop.asked) == 6
    assert NAME not in names(tmp_path)


XML = b"<CertificateDataResponse>%s</CertificateDataResponse>"
COMMON = gzip.compress(XML[:25] + random.Random(1).randbytes(90_000).hex().encode(), 0, mtime=0)


def test_a_file_put_together_of_two_fails_its_checksum_and_is_not_kept_for_ever(tmp_path: Path) -> None:
    """Same size, same time, same bytes at the seam: what is left is the checksum, and throwing it away."""
    first = b"1" * 30_000 + COMMON
    second = b"2" * 30_000 + COMMON
    wanted = extract(size=len(first))
    with pytest.raises(SourceUnreachable):
        get(Shop(body=first, breaks=[2 * CHUNK]), tmp_path, wanted)
    fetched = get(Shop(body=second), tmp_path, wanted)
    assert fetched.path.read_bytes() == first  # the beginning of one, the end of the other
    assert fetched.pieces == 2
    kept = json.loads((tmp_path / (NAME + ".json")).read_text())
    assert kept["pieces"] == 2
    assert get(Shop(body=second), tmp_path, wanted) == fetched  # what it came in is remembered
    with pytest.raises(BadExtract):
        list(ExtractReader(fetched.chunks(), name=NAME, understand=lambda _number, claims: claims))
    full = replace(fetched.file, extract=replace(wanted, kind=ExtractKind.FULL))
    replace(fetched, file=full).set_aside()
    assert names(tmp_path) == []


def test_every_attempt_is_told_with_where_it_began_and_ended(tmp_path: Path) -> None:
    told: list[TransferRecord] = []
    time = Time()
    get(Shop(breaks=[300_000]), tmp_path, on=terms(time, attempts=2, ledger=told.append))
    assert [(t.begin, t.end, t.outcome) for t in told] == [
        (0, 300_000, "connection-lost"),
        (300_000, len(BODY), "whole"),
    ]
    assert {(t.file, t.size) for t in told} == {(NAME, len(BODY))}
    assert told[1].started - told[0].ended == timedelta(seconds=5)


def test_whoever_follows_is_told_of_every_chunk_in_order(tmp_path: Path) -> None:
    told: list[int] = []
    get(Shop(), tmp_path, on=terms(Time(), came=told.append))
    assert told == [*range(0, len(BODY), 100_000), len(BODY), len(BODY)]


def test_a_file_can_be_read_while_it_comes_and_never_beyond_what_has_come(tmp_path: Path) -> None:
    read, marks = bytearray(), [0]

    def came(octets: int) -> None:
        marks[0] = octets
        if octets and not reader:
            reader.append(read_growing_file(tmp_path / PART, iter(lambda: marks[0], len(BODY) + 1)))
        while reader and len(read) < octets:
            read.extend(next(reader[0]))
        assert len(read) == octets

    reader: list[Iterator[bytes]] = []
    get(Shop(breaks=[500_000, None]), tmp_path, on=terms(Time(), attempts=2, came=came))
    assert read == BODY


def test_what_lies_beyond_a_mark_is_not_looked_at_before_it_has_come(tmp_path: Path) -> None:
    """A second session writes its half of the part while the first half still has a hole."""
    part = tmp_path / PART
    part.write_bytes(BODY[:1000] + bytes(len(BODY) - 1000))
    reader = read_growing_file(part, [1000, 2000])
    assert next(reader) == BODY[:1000]
    part.write_bytes(BODY)
    assert next(reader) == BODY[1000:2000]


def test_whoever_follows_a_file_that_begins_anew_is_told(tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(BODY)
    reader = read_growing_file(tmp_path / PART, [0, 1000, 2000, 0, 1000])
    assert [len(data) for data in (next(reader), next(reader))] == [1000, 1000]
    with pytest.raises(SourceUnreachable, match="begun anew"):
        next(reader)


def test_parts_that_nobody_wants_any_more_are_removed_and_the_wanted_ones_stay(tmp_path: Path) -> None:
    cut(tmp_path, 600_000)
    (tmp_path / "SMKIKR_FULL_2026-11-08.xml.gz.part").write_bytes(b"old")
    (tmp_path / "SMKIKR_FULL_2026-11-08.xml.gz.part.journal").write_bytes(b"old")
    (tmp_path / "SMKIKR_DELT_2026-11-11.xml.gz.bad").write_bytes(b"evidence")
    removed = discard_other_partial_files(tmp_path, [extract()])
    assert [path.name for path in removed] == ["SMKIKR_FULL_2026-11-08.xml.gz.part"]
    assert names(tmp_path) == ["SMKIKR_DELT_2026-11-11.xml.gz.bad", PART, JOURNAL]


def test_the_room_that_a_part_takes_need_not_be_free_again(tmp_path: Path) -> None:
    wanted = extract()
    assert room_left(tmp_path / NAME, wanted) == len(BODY)
    cut(tmp_path, 600_000)
    assert room_left(tmp_path / NAME, wanted) <= len(BODY) - 600_000
    get(Shop(), tmp_path)
    assert room_left(tmp_path / NAME, wanted) == 0
