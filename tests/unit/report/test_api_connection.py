"""``smki_sync.connect``: a reader for programs that run for a long time."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from support.mirror_builders import apply, build, entry, eui_of, november

import smki_sync
from smki_sync import api
from smki_sync.api import MirrorConnection, ScanRefused
from smki_sync.errors import MirrorError
from smki_sync.model.certificate import Kind

SUBJECT = eui_of(1)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A mirror directory with one generation: 1 is a device, 2 a supplier."""
    (tmp_path / "generations").mkdir()
    build(tmp_path / "generations/000001.db", [entry(1), entry(2, kind=Kind.ORGANISATION, role=2)])
    (tmp_path / "mirror.db").symlink_to("generations/000001.db")
    return tmp_path


@pytest.fixture
def reader(place: Path) -> Iterator[MirrorConnection]:
    with smki_sync.connect(place) as reader:
        yield reader


def publish(place: Path) -> Path:
    """Replace the generation; return the path of the old one."""
    old, new = place / "generations/000001.db", place / "generations/000002.db"
    build(new, [entry(1), entry(3, eui=SUBJECT)], day=november(16), old=old)
    (place / "next").symlink_to("generations/000002.db")
    (place / "next").replace(place / "mirror.db")
    return old


def is_open(path: Path) -> bool:
    found = []
    for name in Path("/proc/self/fd").iterdir():
        try:
            found.append(name.readlink().name)
        except OSError:  # it was closed meanwhile
            continue
    return path.name in found


def test_reader_has_no_open_transaction_between_queries(place: Path, reader: MirrorConnection) -> None:
    assert reader.certificate(SUBJECT) is not None
    with reader.read() as mirror:
        before = mirror.token
    apply(place / "generations/000001.db", november(10), [entry(1, "N")])
    assert reader.certificate(SUBJECT) is None
    with reader.read() as mirror:
        assert mirror.token != before
        assert [c.status for c in mirror.news(since=before)] == ["N"]


def test_read_is_one_state_while_the_mirror_changes(place: Path, reader: MirrorConnection) -> None:
    with reader.read() as mirror:
        before = mirror.certificates(SUBJECT)
        apply(place / "generations/000001.db", november(10), [entry(1, "N")])
        assert [c.serial for c in mirror.certificates(SUBJECT)] == [c.serial for c in before] != []


def test_next_query_uses_the_new_generation(place: Path, reader: MirrorConnection) -> None:
    old = publish(place)
    with reader.read() as mirror:
        assert len(mirror.certificates(SUBJECT)) == 2
    assert not is_open(old)


def test_idle_reader_releases_the_old_generation(place: Path, reader: MirrorConnection) -> None:
    assert reader.release_replaced() is False
    old = publish(place)
    assert is_open(old)
    assert reader.release_replaced() is True
    assert not is_open(old)
    assert reader.release_replaced() is False


def test_old_generation_is_released_in_the_background(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "RELEASE_SECONDS", 0.01)
    released = Event()

    class Watched(MirrorConnection):
        def release_replaced(self) -> bool:
            done = super().release_replaced()
            if done:
                released.set()
            return done

    with Watched(place):
        old = publish(place)
        assert released.wait(30)
        assert not is_open(old)


def test_threads_share_a_reader(reader: MirrorConnection) -> None:
    found: list[object] = []
    threads = [Thread(target=lambda: found.append(reader.certificate(SUBJECT))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert None not in found


def test_queries_that_scan_are_named_and_refused(place: Path) -> None:
    with smki_sync.connect(place, allow_scans=False) as reader, reader.read() as mirror:
        assert mirror.would_scan()
        assert mirror.would_scan(kind="device")
        assert not mirror.would_scan(kind="organisation")
        assert not mirror.would_scan(role="supplier")
        assert mirror.would_scan(digest=bytes(20))
        assert mirror.would_scan(ski=bytes.fromhex("0000000000000001"))
        assert not mirror.would_scan(ski=bytes.fromhex("0000000000000002"))
        assert mirror.by_ski(bytes.fromhex("0000000000000002"))
        assert list(mirror.find(role=2))
        for query in (mirror.find, lambda: mirror.by_hash(bytes(32)), lambda: mirror.by_ski(b"\1")):
            with pytest.raises(ScanRefused):
                query()


def test_closed_reader_raises_mirror_error(reader: MirrorConnection) -> None:
    reader.close()
    reader.close()
    with pytest.raises(MirrorError, match="closed"):
        reader.certificate(SUBJECT)


def test_connect_raises_mirror_error_without_a_mirror(tmp_path: Path) -> None:
    with pytest.raises(MirrorError):
        smki_sync.connect(tmp_path)
