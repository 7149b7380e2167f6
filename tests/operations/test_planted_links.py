"""Links and directories that another user has planted: nothing is written through them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import Ran, Shell

from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.errors import MirrorNotWritable, UsageError
from smki_sync.files import atomic_file, atomic_tree, open_own_file

PROBLEM_OF_THE_MACHINE = exit_of(MirrorNotWritable(""))
ANOTHER_USER = 65_534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def sync(smki: Shell, repository: Path) -> Ran:
    return smki("sync", "--mirror", "mirror", "--source", repository.as_uri(), "--json")


def snapshot(directory: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(directory.rglob("*"))
    }


@needs_root
@pytest.mark.parametrize("owned", [".", "generations", "downloads"])
def test_sync_writes_nothing_when_a_directory_belongs_to_another_user(
    smki: Shell, repository: Path, owned: str
) -> None:
    assert sync(smki, repository).code == Exit.OK
    mirror = smki.place / "mirror"
    os.chown(mirror / owned, ANOTHER_USER, -1)
    before = snapshot(mirror)
    ran = sync(smki, repository)
    assert (ran.code, ran.error["code"]) == (PROBLEM_OF_THE_MACHINE, "wrong-user")
    assert f"({ANOTHER_USER})" in ran.error["message"]
    assert "root (0)" in ran.error["message"]
    assert snapshot(mirror) == before


@needs_root
def test_first_sync_writes_nothing_into_a_directory_of_another_user(smki: Shell, repository: Path) -> None:
    (smki.place / "mirror").mkdir()
    os.chown(smki.place / "mirror", ANOTHER_USER, -1)
    assert sync(smki, repository).error["code"] == "wrong-user"
    assert list((smki.place / "mirror").iterdir()) == []


def plant_symbolic_link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def plant_hard_link(path: Path, victim: Path) -> None:
    path.hardlink_to(victim)


def plant_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def plant_foreign_file(path: Path, _: Path) -> None:
    path.write_text("theirs")
    os.chown(path, ANOTHER_USER, -1)


PLANTS: list[Callable[[Path, Path], None]] = [plant_symbolic_link, plant_hard_link, plant_pipe]
if os.geteuid() == 0:
    PLANTS.append(plant_foreign_file)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.write_text("unchanged")
    return path


@pytest.mark.parametrize("plant", PLANTS)
def test_sync_fails_when_its_lock_file_is_planted(
    smki: Shell, repository: Path, victim: Path, plant: Callable[[Path, Path], None]
) -> None:
    assert sync(smki, repository).code == Exit.OK
    lock = smki.place / "mirror" / "lock"
    lock.unlink()
    plant(lock, victim)
    assert sync(smki, repository).code == PROBLEM_OF_THE_MACHINE
    assert victim.read_text() == "unchanged"


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("flags", [os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC])
def test_open_own_file_rejects_what_is_planted(
    tmp_path: Path, victim: Path, plant: Callable[[Path, Path], None], flags: int
) -> None:
    plant(tmp_path / "planted", victim)
    with pytest.raises(OSError):  # noqa: PT011 - the error differs, and all are translated alike
        os.close(open_own_file(tmp_path / "planted", flags))
    assert victim.read_text() == "unchanged"


def test_open_own_file_empties_only_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "own"
    path.write_text("old")
    os.close(open_own_file(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    assert path.read_text() == ""


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("plant", [plant_symbolic_link, plant_hard_link])
def test_output_file_never_changes_the_target_of_a_link(
    tmp_path: Path, victim: Path, plant: Callable[[Path, Path], None], force: bool
) -> None:
    plant(tmp_path / "out", victim)
    if force:
        with atomic_file(tmp_path / "out", force=True) as file:
            file.write("new")
        assert (tmp_path / "out").read_text() == "new"
        assert not (tmp_path / "out").is_symlink()
    else:
        with pytest.raises(UsageError, match="already exists"), atomic_file(tmp_path / "out", force=False):
            raise AssertionError
    assert victim.read_text() == "unchanged"


def test_output_file_does_not_replace_a_file_that_appears_meanwhile(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_file(tmp_path / "out", force=False) as file:
            file.write("new")
            (tmp_path / "out").write_text("theirs")

    with pytest.raises(UsageError, match="already exists"):
        write()
    assert (tmp_path / "out").read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_temporary_names_cannot_be_predicted(tmp_path: Path) -> None:
    names = set[str]()
    for _ in range(2):
        with atomic_file(tmp_path / "out", force=True):
            names |= {path.name for path in tmp_path.iterdir() if path.suffix == ".partial"}
        with atomic_tree(tmp_path / "tree", force=True):
            names |= {path.name for path in tmp_path.iterdir() if path.suffix == ".partial"}
    assert len(names) == 4


@pytest.mark.parametrize(
    "words",
    [
        "report --output out",
        "report --output out --days 3",
        "backup out",
        "export --format csv --output out --force",
        "export --format jsonl --output out --force",
        "reconcile --list out",
        "verify --list out",
    ],
)
def test_commands_never_write_through_a_planted_link(
    smki: Shell, repository: Path, victim: Path, words: str
) -> None:
    (smki.place / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{repository.as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    assert smki("sync").code == Exit.OK
    (smki.place / "out").symlink_to(victim)
    (smki.place / ".out.part").symlink_to(victim)
    (smki.place / "out.part").symlink_to(victim)
    ran = smki(*words.split())
    assert ran.code != Exit.UNEXPECTED, ran.err
    assert victim.read_text() == "unchanged"
