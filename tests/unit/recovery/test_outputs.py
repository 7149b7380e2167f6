"""A place where nothing can be written is said before the work, which may take hours, and not after it."""

import shutil
from pathlib import Path

import pytest
from support.cli import Shell

WRITING = {
    "reconcile": ("reconcile", "--list"),
    "report": ("report", "--output"),
    "backup": ("backup", "--force"),
    "restore": ("restore", "--rehearse", "--output"),
    "export": ("export", "--force", "--format", "csv", "--output"),
    "verify": ("verify", "--list"),
}


@pytest.mark.parametrize("command", WRITING)
@pytest.mark.parametrize("output", ["file/below", "/proc/nothing-can-be-made-here/x"])
def test_a_place_that_cannot_be_written_is_said_before_anything_is_done(
    smki: Shell, place: Path, command: str, output: str
) -> None:
    (place / "file").touch()
    if command in {"reconcile", "restore"}:  # had they begun, they would have met this first
        shutil.rmtree(place / "repository")
    ran = smki(*WRITING[command], output)
    assert ran.code == 2, ran.err
    assert output in ran.err.replace("\n", "")
    assert not (place / "mirror" / "rehearsal").exists()


@pytest.mark.parametrize("command", ["reconcile", "report", "backup"])
def test_a_directory_in_the_place_of_a_file_is_said_before_anything_is_done(
    smki: Shell, place: Path, command: str
) -> None:
    (place / "made").mkdir()
    shutil.rmtree(place / "repository")
    ran = smki(*WRITING[command], "made")
    assert ran.code == 2
    assert "made cannot be written: it is a directory" in ran.err
    assert sorted(path.name for path in place.iterdir()) == ["made", "mirror"]


def test_asking_whether_a_place_can_be_written_leaves_nothing_there(smki: Shell, place: Path) -> None:
    smki("restore", "--rehearse", "--output", "evidence/of/the/year", "--source", "file:///nowhere")
    assert len(list((place / "evidence" / "of" / "the" / "year").iterdir())) == 2
    assert smki("reconcile", "--list", "drift.csv", "--source", "file:///nowhere").code == 4
    assert not (place / "drift.csv").exists()
    assert sorted(path.name for path in place.iterdir()) == ["evidence", "mirror", "repository"]


@pytest.mark.parametrize("command", sorted({*WRITING} - {"restore", "report"}))
def test_standard_output_is_no_file_and_none_is_made_of_that_name(
    smki: Shell, place: Path, command: str
) -> None:
    ran = smki(*WRITING[command], "-")
    assert (ran.code, ran.raw) == (2, b"")
    assert "cannot write to standard output" in " ".join(ran.err.split())
    assert sorted(path.name for path in place.iterdir()) == ["mirror", "repository"]
