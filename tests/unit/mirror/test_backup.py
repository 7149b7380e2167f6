"""A backup: one whole file that stands alone, made while the mirror is in use."""

import sqlite3
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from support.mirror_builders import clock, delta, der_of, entry, november

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.integrity import backup
from smki_sync.mirror.queries import Stamp, open_mirror, read_stamp
from smki_sync.mirror.store import MirrorStore
from unit.mirror.conftest import publish

MANY = 2_000


def copy(directory: MirrorDirectory, target: Path) -> Stamp:
    return backup(directory.link, target, count=lambda _: None, progress=lambda _done, _total: None)


def in_use(path: Path) -> set[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return {der for (der,) in db.execute("SELECT der FROM certificates WHERE in_use")}


def test_a_copy_answers_as_the_mirror_does_and_needs_nothing_beside_it(
    directory: MirrorDirectory, tmp_path: Path
) -> None:
    publish(directory, [entry(n) for n in range(1, MANY + 1)])
    with open_mirror(directory.link) as db:
        stamp = read_stamp(db)
    target = tmp_path / "elsewhere" / "mirror.db"
    target.parent.mkdir()
    assert copy(directory, target) == stamp
    assert [path.name for path in target.parent.iterdir()] == ["mirror.db"]
    assert in_use(target) == in_use(directory.link)


def test_what_still_stands_in_the_write_ahead_log_is_in_the_copy(
    directory: MirrorDirectory, tmp_path: Path
) -> None:
    generation = publish(directory, [entry(1)])
    with closing(sqlite3.connect(f"file:{directory.link}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM mirror").fetchall()  # while it reads, the log cannot be emptied
        with MirrorStore(generation) as store:
            store.apply_delta(delta(november(10)), [entry(2)], clock=clock)
        copy(directory, tmp_path / "copy.db")
    assert in_use(tmp_path / "copy.db") == {der_of(1), der_of(2)}


def test_a_delta_that_commits_meanwhile_neither_waits_nor_stands_half_in_the_copy(
    directory: MirrorDirectory, tmp_path: Path
) -> None:
    generation = publish(directory, [entry(n) for n in range(1, MANY + 1)])
    committed: list[bool] = []

    def commit(_done: int, _total: int) -> None:
        if not committed:
            committed.append(True)
            with MirrorStore(generation) as store:
                store.apply_delta(delta(november(10)), [entry(MANY + 1)], clock=clock)

    stamp = backup(directory.link, tmp_path / "copy.db", count=lambda _: None, progress=commit)
    assert committed
    assert stamp.position == november(9)
    assert len(in_use(tmp_path / "copy.db")) == MANY
    assert len(in_use(directory.link)) == MANY + 1


def test_a_mirror_whose_rows_were_changed_by_hand_gives_no_copy(
    directory: MirrorDirectory, tmp_path: Path
) -> None:
    generation = publish(directory, [entry(n) for n in range(1, 10)])
    with closing(apsw.Connection(str(generation))) as db:
        db.execute("DELETE FROM certificate WHERE id = 3")
    with pytest.raises(MirrorDamaged, match="do not make the digest"):
        copy(directory, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mirror"]


def test_a_mirror_with_a_damaged_page_gives_no_copy_and_keeps_the_one_before(
    directory: MirrorDirectory, tmp_path: Path
) -> None:
    generation = publish(directory, [entry(n) for n in range(1, MANY + 1)])
    target = tmp_path / "copy.db"
    copy(directory, target)
    before = target.read_bytes()
    page = 8192 * 20
    with generation.open("r+b") as file:
        file.seek(page)
        file.write(b"\xff" * 64)
    with pytest.raises(MirrorDamaged):
        copy(directory, target)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "mirror"]
