"""The mirror directory: which generation is current, what may be removed, what never."""

from pathlib import Path

import pytest
from support.mirror_builders import ask, build, entry

from smki_sync.errors import MirrorDamaged, MirrorError, MirrorNotWritable
from smki_sync.mirror.directory import BUILDING, MirrorDirectory
from unit.mirror.conftest import publish


def names(directory: MirrorDirectory) -> list[str]:
    return sorted(path.name for path in directory.generations.iterdir())


def touch(directory: MirrorDirectory, *found: str) -> None:
    for name in found:
        (directory.generations / name).write_bytes(b"")


def test_prepare_makes_the_rooms_private_to_owner_and_group(tmp_path: Path) -> None:
    directory = MirrorDirectory(tmp_path / "deep" / "mirror")
    directory.prepare()
    directory.prepare()
    for room in (directory.root, directory.generations, directory.downloads):
        assert room.is_dir()
        assert room.stat().st_mode & 0o027 == 0


@pytest.mark.parametrize("room", [".", "generations", "downloads"])
def test_a_room_in_which_everybody_may_write_is_refused(directory: MirrorDirectory, room: str) -> None:
    open_room = directory.root / room
    open_room.chmod(0o757)
    with pytest.raises(MirrorError, match=f"{open_room} is world-writable") as caught:
        directory.prepare()
    assert (caught.value.reason, f"chmod o-w {open_room}" in caught.value.hint) == ("mirror-open", True)
    open_room.chmod(0o775)  # a group of the operator's choice
    directory.prepare()


def test_prepare_says_where_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MirrorNotWritable, match="file"):
        MirrorDirectory(tmp_path / "file" / "mirror").prepare()


def test_before_the_first_full_nothing_is_current(directory: MirrorDirectory) -> None:
    assert directory.current() is None


def test_publishing_makes_a_generation_what_mirror_db_opens(directory: MirrorDirectory) -> None:
    path = publish(directory, [entry(1)])
    assert directory.current() == path
    assert directory.link.resolve() == path.resolve()
    assert ask(directory.link, "SELECT count(*) FROM certificates") == [(1,)]


def test_publishing_again_takes_over_and_leaves_the_old_one_in_place(directory: MirrorDirectory) -> None:
    first = publish(directory, [entry(1)])
    second = publish(directory, [entry(1), entry(2)])
    assert directory.current() == second
    assert ask(directory.link, "SELECT count(*) FROM certificates") == [(2,)]
    assert ask(first, "SELECT count(*) FROM certificates") == [(1,)]


def test_publishing_passes_over_what_a_killed_one_left(directory: MirrorDirectory) -> None:
    (directory.root / ".mirror.db.next").symlink_to("nowhere")
    path = publish(directory, [entry(1)])
    assert directory.current() == path
    assert not (directory.root / ".mirror.db.next").is_symlink()


def test_a_mirror_directory_can_be_moved(directory: MirrorDirectory, tmp_path: Path) -> None:
    publish(directory, [entry(1)])
    moved = MirrorDirectory(directory.root.rename(tmp_path / "moved"))
    assert moved.current() == moved.generations / "000001.db"
    assert ask(moved.link, "SELECT count(*) FROM certificates") == [(1,)]


def test_a_plain_file_in_place_of_the_link_is_damage(directory: MirrorDirectory) -> None:
    directory.link.write_bytes(b"")
    with pytest.raises(MirrorDamaged, match=r"mirror\.db is not the symbolic link"):
        directory.current()


def test_a_link_to_nothing_is_damage(directory: MirrorDirectory) -> None:
    publish(directory, [entry(1)]).unlink()
    with pytest.raises(MirrorDamaged, match=r"points at .*000001.db, which is not there") as caught:
        directory.current()
    assert "smki-sync restore" in caught.value.hint


def test_a_link_to_a_directory_is_damage(directory: MirrorDirectory) -> None:
    directory.link.symlink_to("generations")
    with pytest.raises(MirrorDamaged, match=r"points to generations, which is not a generation"):
        directory.current()


def test_generations_are_numbered_from_one_and_no_number_is_used_again(directory: MirrorDirectory) -> None:
    assert directory.next_generation().name == "000001.db"
    touch(directory, "000004.db-wal", "notes.txt", "12.db")
    assert directory.next_generation().name == "000005.db"


def test_the_next_generation_of_no_directory_is_the_first(tmp_path: Path) -> None:
    assert MirrorDirectory(tmp_path / "gone").next_generation().name == "000001.db"


def test_what_a_killed_build_left_is_removed_with_its_side_files(directory: MirrorDirectory) -> None:
    publish(directory, [entry(1)])
    held = names(directory)
    left = [f"000002.db{BUILDING}", f"000002.db{BUILDING}-journal", f"000003.db{BUILDING}-wal"]
    touch(directory, *left, "notes.txt")
    assert [path.name for path in directory.discard_unfinished()] == left
    assert names(directory) == sorted([*held, "notes.txt"])


def test_before_the_first_full_a_build_is_unfinished_too(directory: MirrorDirectory) -> None:
    touch(directory, f"000001.db{BUILDING}")
    assert len(directory.discard_unfinished()) == 1
    assert names(directory) == []


def test_a_build_that_was_finished_and_never_published_does_not_oust_the_one_before(
    directory: MirrorDirectory,
) -> None:
    """A run killed just before publishing leaves one that no reader ever saw: it is no predecessor."""
    publish(directory, [entry(1)])
    build(directory.next_generation(), [entry(1)])
    directory.discard_unfinished()
    publish(directory, [entry(1), entry(2)])
    directory.discard_superseded(keep=1)
    assert "000001.db" in names(directory)


def test_older_generations_are_not_unfinished(directory: MirrorDirectory) -> None:
    publish(directory, [entry(1)])
    publish(directory, [entry(1)])
    held = names(directory)
    assert directory.discard_unfinished() == ()
    assert names(directory) == held


def test_generations_are_not_removed_because_the_link_is_broken(directory: MirrorDirectory) -> None:
    """A backup that follows links puts a copy in its place: the generations are the way back."""
    publish(directory, [entry(1)])
    directory.link.unlink()
    directory.link.write_bytes(b"copy")
    directory.discard_unfinished()
    assert "000001.db" in names(directory)


@pytest.mark.parametrize(("keep", "left"), [(0, [3]), (1, [2, 3]), (2, [1, 2, 3]), (9, [1, 2, 3])])
def test_superseded_generations_go_but_for_the_newest(
    directory: MirrorDirectory, keep: int, left: list[int]
) -> None:
    for _ in range(3):
        publish(directory, [entry(1)])
    gone = directory.discard_superseded(keep=keep)
    assert [path.name for path in gone] == [f"{n:06d}.db" for n in (1, 2, 3) if n not in left]
    assert sorted({name[:6] for name in names(directory)}) == [f"{n:06d}" for n in left]
    assert ask(directory.link, "SELECT count(*) FROM certificates") == [(1,)]


def test_nothing_is_superseded_before_the_first_full(directory: MirrorDirectory) -> None:
    touch(directory, "000001.db")
    assert directory.discard_superseded(keep=0) == ()
    assert names(directory) == ["000001.db"]


def test_what_the_link_points_to_is_never_removed(directory: MirrorDirectory) -> None:
    path = publish(directory, [entry(1)])
    with pytest.raises(AssertionError, match="is current"):
        directory.discard(path)
    assert ask(directory.link, "SELECT count(*) FROM certificates") == [(1,)]


def test_what_the_link_points_to_is_never_removed_under_another_path(directory: MirrorDirectory) -> None:
    path = publish(directory, [entry(1)])
    detour = directory.root / ".." / directory.root.name / "generations" / path.name
    with pytest.raises(AssertionError, match="is current"):
        directory.discard(detour)
    assert path.exists()


def test_link_out_of_the_directory_is_damage(directory: MirrorDirectory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    elsewhere.write_bytes(b"")
    directory.link.symlink_to(elsewhere)
    with pytest.raises(MirrorDamaged, match="not a generation of this mirror"):
        directory.current()
    assert directory.discard_superseded(keep=0) == ()


def test_absolute_link_of_a_copied_directory_does_not_open_the_original(
    directory: MirrorDirectory, tmp_path: Path
) -> None:
    generation = publish(directory, [entry(1)])
    copy = MirrorDirectory(tmp_path / "copy")
    copy.prepare()
    copy.link.symlink_to(generation)
    with pytest.raises(MirrorDamaged, match="not a generation of this mirror"):
        copy.current()


def test_lost_link_is_damage_and_not_an_empty_mirror(directory: MirrorDirectory) -> None:
    publish(directory, [entry(1)])
    directory.link.unlink()
    assert directory.is_link_lost()
    with pytest.raises(MirrorDamaged, match="is missing") as caught:
        directory.current()
    assert caught.value.reason == "link-lost"


def test_discarding_what_is_not_there_is_no_fault(directory: MirrorDirectory) -> None:
    directory.discard(directory.generations / "000009.db")


def test_history_and_lock_lie_in_the_directory(directory: MirrorDirectory) -> None:
    assert directory.history == directory.root / "history.db"
    assert directory.lock == directory.root / "lock"


def test_what_a_killed_publishing_and_a_killed_sorting_left_is_removed(directory: MirrorDirectory) -> None:
    publish(directory, [entry(1)])
    held = names(directory)
    (directory.root / ".mirror.db.next").symlink_to("generations/000002.db")
    touch(directory, "etilqs_1234")
    assert len(directory.discard_unfinished()) == 2
    assert names(directory) == held
    assert not (directory.root / ".mirror.db.next").is_symlink()
    assert ask(directory.link, "SELECT count(*) FROM certificates") == [(1,)]


def test_a_directory_that_vanished_is_named_by_whoever_comes_to_tidy_it(directory: MirrorDirectory) -> None:
    """A run that met it there ended as a defect of the program, without a word on what to do."""
    directory.downloads.rmdir()
    with pytest.raises(MirrorNotWritable, match="downloads"):
        directory.discard_downloads()
