"""A complete local file is used; any other is downloaded again."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from support.download_source import (
    BODY,
    CHUNK,
    NAME,
    OVERLAP,
    SEEN,
    FakeSource,
    RecordingListener,
    extract,
    get,
    names,
)

from smki_sync.errors import MirrorNotWritable, SourceUnreachable
from smki_sync.events import Detail, Downloading
from smki_sync.model.extract import Extract


def test_download_returns_complete_file_and_hash(tmp_path: Path) -> None:
    fetched = get(FakeSource(), tmp_path)
    assert fetched.path.read_bytes() == BODY
    assert b"".join(fetched.chunks()) == BODY
    assert fetched.file.sha256 == sha256(BODY).hexdigest()
    assert (fetched.file.size, fetched.file.extract) == (len(BODY), extract())
    assert names(tmp_path) == [NAME, NAME + ".json"]


def test_chunks_of_local_file_have_at_most_256_kib(tmp_path: Path) -> None:
    sizes = {len(chunk) for chunk in get(FakeSource(), tmp_path).chunks()}
    assert 0 < min(sizes) <= max(sizes) <= 1 << 18


def test_download_reports_progress_for_every_chunk(tmp_path: Path) -> None:
    listener = RecordingListener()
    get(FakeSource(), tmp_path, listener=listener)
    received = [e for e in listener.events if isinstance(e, Downloading)]
    assert [e.done for e in received] == [*range(CHUNK, len(BODY), CHUNK), len(BODY)]
    assert {(e.file, e.size) for e in received} == {(NAME, len(BODY))}


def test_download_is_skipped_when_file_is_already_complete(tmp_path: Path) -> None:
    fake, listener = FakeSource(), RecordingListener()
    first = get(fake, tmp_path)
    assert get(fake, tmp_path, listener=listener) == first
    assert fake.asked == [0]
    assert [type(event) for event in listener.events] == [Detail]


def test_download_is_repeated_when_file_was_damaged(tmp_path: Path) -> None:
    fake = FakeSource()
    path = get(fake, tmp_path).path
    path.write_bytes(b"x" + BODY[1:])
    assert b"".join(get(fake, tmp_path).chunks()) == BODY
    assert len(fake.asked) == 2


@pytest.mark.parametrize("cut", [0, 1, len(BODY) - 1])
def test_download_is_repeated_when_file_was_truncated(tmp_path: Path, cut: int) -> None:
    fake = FakeSource()
    get(fake, tmp_path).path.write_bytes(BODY[:cut])
    assert get(fake, tmp_path).path.read_bytes() == BODY
    assert len(fake.asked) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"{}", None])
def test_download_is_repeated_when_sidecar_is_unusable(tmp_path: Path, content: bytes | None) -> None:
    fake = FakeSource()
    get(fake, tmp_path)
    sidecar = tmp_path / (NAME + ".json")
    if content is None:
        sidecar.unlink()
    else:
        sidecar.write_bytes(content)
    assert get(fake, tmp_path).path.read_bytes() == BODY
    assert len(fake.asked) == 2


@pytest.mark.parametrize(
    "now",
    [extract(modified=SEEN.replace(hour=4)), extract(modified=None)],
    ids=["another time", "no time"],
)
def test_download_is_repeated_when_listed_time_changed(tmp_path: Path, now: Extract) -> None:
    get(FakeSource(), tmp_path)
    fake = FakeSource(body=BODY[::-1])
    assert b"".join(get(fake, tmp_path, now).chunks()) == BODY[::-1]
    assert fake.asked == [0]


def test_download_is_repeated_when_listed_size_changed(tmp_path: Path) -> None:
    get(FakeSource(), tmp_path)
    fake = FakeSource(body=BODY + b"more")
    fetched = get(fake, tmp_path, extract(size=len(BODY) + 4))
    assert fetched.path.read_bytes() == BODY + b"more"
    assert fetched.file.size == len(BODY) + 4


def test_download_is_skipped_when_listing_has_no_time(tmp_path: Path) -> None:
    fake = FakeSource()
    get(fake, tmp_path, extract(modified=None))
    get(fake, tmp_path, extract(modified=None))
    assert fake.asked == [0]


@pytest.mark.parametrize("stated", [len(BODY) - 1, len(BODY) + 1])
def test_download_fails_when_size_differs_from_listing(tmp_path: Path, stated: int) -> None:
    with pytest.raises(SourceUnreachable, match=f"gave {len(BODY)} bytes.* {stated}") as caught:
        get(FakeSource(), tmp_path, extract(size=stated))
    assert caught.value.reason == "changed-while-fetched"
    assert NAME not in names(tmp_path)


def test_download_leaves_only_partial_file_when_transfer_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match="the line is down"):
        get(FakeSource(breaks=[300_000]), tmp_path)
    assert NAME not in names(tmp_path)
    fake = FakeSource()
    assert b"".join(get(fake, tmp_path).chunks()) == BODY
    assert fake.asked == [300_000 - OVERLAP]
    assert names(tmp_path) == [NAME, NAME + ".json"]


def test_partial_file_without_checkpoints_is_ignored(tmp_path: Path) -> None:
    (tmp_path / (NAME + ".part")).write_bytes(b"something else" * 100_000)
    fake = FakeSource()
    assert get(fake, tmp_path).path.read_bytes() == BODY
    assert fake.asked == [0]


def test_download_keeps_old_file_when_transfer_fails(tmp_path: Path) -> None:
    """The old file is replaced only by the complete new one; its sidecar no longer matches the listing."""
    get(FakeSource(), tmp_path)
    now = extract(modified=SEEN.replace(hour=4))
    with pytest.raises(SourceUnreachable):
        get(FakeSource(breaks=[300_000]), tmp_path, now)
    content = json.loads((tmp_path / (NAME + ".json")).read_text())
    assert content["sha256"] == sha256((tmp_path / NAME).read_bytes()).hexdigest()
    fake = FakeSource()
    get(fake, tmp_path, now)
    assert fake.asked == [300_000 - OVERLAP]


def test_remove_deletes_file_and_sidecar(tmp_path: Path) -> None:
    fetched = get(FakeSource(), tmp_path)
    fetched.remove()
    fetched.remove()
    assert names(tmp_path) == []


def test_download_raises_mirror_error_when_directory_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MirrorNotWritable):
        get(FakeSource(), tmp_path / "gone")


def test_chunks_raise_mirror_error_when_file_is_missing(tmp_path: Path) -> None:
    fetched = get(FakeSource(), tmp_path)
    fetched.path.unlink()
    with pytest.raises(MirrorNotWritable):
        list(fetched.chunks())


def test_download_stops_when_source_sends_too_much(tmp_path: Path) -> None:
    """What is more than was listed is no use to anybody and must not fill the disk."""

    class Flood(FakeSource):
        def _chunks(self, offset: int, _stop: int | None) -> Iterator[bytes]:
            assert offset == 0
            for sent in range(1_000):
                assert sent < 100, "the download does not stop"
                yield BODY[:CHUNK]

    with pytest.raises(SourceUnreachable) as caught:
        get(Flood(), tmp_path)
    assert caught.value.reason == "changed-while-fetched"
