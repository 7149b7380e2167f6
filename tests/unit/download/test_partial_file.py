"""Resume after a cut, a kill or lost data, and restart if the partial file cannot be used."""

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
from support.download_source import (
    BODY,
    CHUNK,
    NAME,
    OVERLAP,
    SEEN,
    FakeClock,
    FakeSource,
    RecordingListener,
    extract,
    get,
    names,
    options,
)

from smki_sync.download import TransferRecord, discard_other_partial_files, read_growing_file, space_needed
from smki_sync.download.partial_file import OVERLAP_BYTES
from smki_sync.errors import BadExtract, SourceUnreachable
from smki_sync.events import Restarted, Resumed
from smki_sync.model.extract import ExtractKind
from smki_sync.reader import ExtractReader

PART = NAME + ".part"
JOURNAL = NAME + ".part.journal"
OTHER = random.Random(7).randbytes(len(BODY))


def cut(path: Path, at: int, *, checkpoint_bytes: int = 2 * CHUNK) -> None:
    """An earlier run that ended at an offset with everything marked."""
    with pytest.raises(SourceUnreachable):
        get(FakeSource(breaks=[at]), path, on=options(FakeClock(), checkpoint_bytes=checkpoint_bytes))


def die() -> Exception:
    os.kill(os.getpid(), signal.SIGKILL)
    return AssertionError("not reached")


def killed(path: Path, at: int) -> None:
    """An earlier run that was killed at an offset, in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            get(FakeSource(breaks=[at], fault=die), path)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def resumes(path: Path, *, at: int) -> RecordingListener:
    """Check that the next run resumes at an offset and completes the file."""
    fake, listener = FakeSource(), RecordingListener()
    fetched = get(fake, path, listener=listener)
    assert fetched.path.read_bytes() == BODY
    assert fetched.file.sha256 == sha256(BODY).hexdigest()
    assert fake.asked == [max(at - OVERLAP, 0)]
    assert names(path) == [NAME, NAME + ".json"]
    return listener


def test_overlap_constant_matches_the_program() -> None:
    assert OVERLAP == OVERLAP_BYTES


def test_next_run_resumes_and_reports_it_when_download_was_cut(tmp_path: Path) -> None:
    cut(tmp_path, 500_000)
    listener = resumes(tmp_path, at=500_000)
    assert listener.of(Resumed) == [Resumed(file=NAME, done=500_000, size=len(BODY))]


def test_next_run_resumes_from_last_checkpoint_when_killed(tmp_path: Path) -> None:
    killed(tmp_path, 500_000)
    assert (tmp_path / PART).stat().st_size == 500_000
    resumes(tmp_path, at=400_000)


def test_resume_downloads_at_most_one_checkpoint_and_overlap_twice(tmp_path: Path) -> None:
    killed(tmp_path, 700_000)
    fake = FakeSource()
    get(fake, tmp_path)
    assert fake.given <= len(BODY) - 700_000 + 2 * CHUNK + OVERLAP


def test_download_completes_when_killed_repeatedly(tmp_path: Path) -> None:
    for at in (200_000, 300_000, 400_000, 500_000, 600_000, 700_000):
        killed(tmp_path, at)
    fake = FakeSource()
    assert get(fake, tmp_path).path.read_bytes() == BODY
    assert fake.asked[0] > 500_000 - OVERLAP


def test_download_restarts_when_there_is_no_checkpoint(tmp_path: Path) -> None:
    killed(tmp_path, 100_000)
    assert names(tmp_path) == [PART]
    listener = resumes(tmp_path, at=0)
    assert listener.of(Resumed) == []


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
def test_resume_uses_last_valid_checkpoint_when_disk_lost_data(
    tmp_path: Path, lose: Callable[[Path], None], at: int
) -> None:
    cut(tmp_path, 600_000)
    lose(tmp_path / PART)
    resumes(tmp_path, at=at)


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
def test_resume_uses_readable_part_of_checkpoint_file(
    tmp_path: Path, spoil: Callable[[str], str], at: int
) -> None:
    cut(tmp_path, 600_000)
    journal = tmp_path / JOURNAL
    journal.write_text(spoil(journal.read_text()))
    resumes(tmp_path, at=at)


def test_download_restarts_when_checkpoint_file_is_not_text(tmp_path: Path) -> None:
    cut(tmp_path, 600_000)
    (tmp_path / JOURNAL).write_bytes(b"\xff\xfe\n" * 5)
    resumes(tmp_path, at=0)


@pytest.mark.parametrize("change", [{"modified": SEEN + timedelta(hours=1)}, {"body": BODY + b"more"}])
def test_download_restarts_when_size_or_time_changed(tmp_path: Path, change: dict[str, object]) -> None:
    cut(tmp_path, 600_000)
    fake, listener = FakeSource(**change), RecordingListener()  # type: ignore[arg-type]  # each by its own field's name
    wanted = extract(size=len(fake.body), modified=fake.modified)
    assert get(fake, tmp_path, wanted, listener).path.read_bytes() == fake.body
    assert fake.asked == [0]
    assert [type(event) for event in listener.of(Restarted)] == [Restarted]


def test_download_restarts_when_overlap_differs(tmp_path: Path) -> None:
    cut(tmp_path, 600_000)
    fake, listener = FakeSource(body=OTHER), RecordingListener()
    fetched = get(fake, tmp_path, listener=listener)
    assert fetched.path.read_bytes() == OTHER
    assert fake.asked == [600_000 - OVERLAP, 0]
    assert len(listener.of(Restarted)) == 1
    assert fetched.pieces == 1


def test_download_fails_when_file_differs_at_each_attempt(tmp_path: Path) -> None:
    class Fickle(FakeSource):
        def _chunks(self, offset: int, stop: int | None):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as there
            self.body = random.Random(len(self.asked)).randbytes(len(BODY))
            return super()._chunks(offset, stop)

    fake = Fickle(breaks=[CHUNK * 4, None] * 9)
    with pytest.raises(SourceUnreachable, match="during 3 download attempts") as caught:
        get(fake, tmp_path, on=options(FakeClock(), attempts=9))
    assert caught.value.reason == "changed-while-fetched"
    assert len(fake.asked) == 6
    assert NAME not in names(tmp_path)


XML = b"<CertificateDataResponse>%s</CertificateDataResponse>"
COMMON = gzip.compress(XML[:25] + random.Random(1).randbytes(90_000).hex().encode(), 0, mtime=0)


def test_quarantine_deletes_full_when_mixed_from_two_files(tmp_path: Path) -> None:
    """Same size, same time, same bytes at the seam: what is left is the checksum, and throwing it away."""
    first = b"1" * 30_000 + COMMON
    second = b"2" * 30_000 + COMMON
    wanted = extract(size=len(first))
    with pytest.raises(SourceUnreachable):
        get(FakeSource(body=first, breaks=[2 * CHUNK]), tmp_path, wanted)
    fetched = get(FakeSource(body=second), tmp_path, wanted)
    assert fetched.path.read_bytes() == first  # the beginning of one, the end of the other
    assert fetched.pieces == 2
    kept = json.loads((tmp_path / (NAME + ".json")).read_text())
    assert kept["pieces"] == 2
    assert get(FakeSource(body=second), tmp_path, wanted) == fetched  # what it came in is remembered
    with pytest.raises(BadExtract):
        list(ExtractReader(fetched.chunks(), name=NAME, understand=lambda _number, claims: claims))
    full = replace(fetched.file, extract=replace(wanted, kind=ExtractKind.FULL))
    replace(fetched, file=full).quarantine()
    assert names(tmp_path) == []


def test_transfer_record_has_begin_and_end_of_each_attempt(tmp_path: Path) -> None:
    received: list[TransferRecord] = []
    time = FakeClock()
    get(FakeSource(breaks=[300_000]), tmp_path, on=options(time, attempts=2, on_transfer=received.append))
    assert [(t.begin, t.end, t.outcome) for t in received] == [
        (0, 300_000, "connection-lost"),
        (300_000, len(BODY), "whole"),
    ]
    assert {(t.file, t.size) for t in received} == {(NAME, len(BODY))}
    assert received[1].started - received[0].ended == timedelta(seconds=5)


def test_on_progress_is_called_for_every_chunk_in_order(tmp_path: Path) -> None:
    received: list[int] = []
    get(FakeSource(), tmp_path, on=options(FakeClock(), on_progress=received.append))
    assert received == [*range(0, len(BODY), 100_000), len(BODY), len(BODY)]


def test_growing_file_is_read_up_to_reported_position(tmp_path: Path) -> None:
    read, position = bytearray(), [0]

    def on_progress(size: int) -> None:
        position[0] = size
        if size and not reader:
            reader.append(read_growing_file(tmp_path / PART, iter(lambda: position[0], len(BODY) + 1)))
        while reader and len(read) < size:
            read.extend(next(reader[0]))
        assert len(read) == size

    reader: list[Iterator[bytes]] = []
    get(
        FakeSource(breaks=[500_000, None]),
        tmp_path,
        on=options(FakeClock(), attempts=2, on_progress=on_progress),
    )
    assert read == BODY


def test_growing_file_is_not_read_beyond_position(tmp_path: Path) -> None:
    """A second session writes its half of the part while the first half still has a hole."""
    part = tmp_path / PART
    part.write_bytes(BODY[:1000] + bytes(len(BODY) - 1000))
    reader = read_growing_file(part, [1000, 2000])
    assert next(reader) == BODY[:1000]
    part.write_bytes(BODY)
    assert next(reader) == BODY[1000:2000]


def test_growing_file_reader_fails_when_download_restarts(tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(BODY)
    reader = read_growing_file(tmp_path / PART, [0, 1000, 2000, 0, 1000])
    assert [len(data) for data in (next(reader), next(reader))] == [1000, 1000]
    with pytest.raises(SourceUnreachable, match="restarted while"):
        next(reader)


def test_discard_keeps_partial_files_of_wanted_extracts(tmp_path: Path) -> None:
    cut(tmp_path, 600_000)
    (tmp_path / "SMKIKR_FULL_2026-11-08.xml.gz.part").write_bytes(b"old")
    (tmp_path / "SMKIKR_FULL_2026-11-08.xml.gz.part.journal").write_bytes(b"old")
    (tmp_path / "SMKIKR_DELT_2026-11-11.xml.gz.bad").write_bytes(b"evidence")
    removed = discard_other_partial_files(tmp_path, [extract()])
    assert [path.name for path in removed] == ["SMKIKR_FULL_2026-11-08.xml.gz.part"]
    assert names(tmp_path) == ["SMKIKR_DELT_2026-11-11.xml.gz.bad", PART, JOURNAL]


def test_space_needed_excludes_what_is_already_on_disk(tmp_path: Path) -> None:
    wanted = extract()
    assert space_needed(tmp_path / NAME, wanted) == len(BODY)
    cut(tmp_path, 600_000)
    assert space_needed(tmp_path / NAME, wanted) <= len(BODY) - 600_000
    get(FakeSource(), tmp_path)
    assert space_needed(tmp_path / NAME, wanted) == 0
