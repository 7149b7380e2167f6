"""What the README shows of ``smki-sync demo`` is what it says."""

import subprocess
from pathlib import Path

import pytest
from support.cli import command_line, surroundings
from support.markdown import TOGETHER, commands, fences

from documentation.marks import is_of_demo
from documentation.saying import says

SHOWN = [command for page in TOGETHER for f in fences(page) if is_of_demo(f) for command in commands(f)]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that a demonstration says, in the order in which it says it."""
    place: Path = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        command_line("demo"),
        env=surroundings(
            place, {"PYTHONUNBUFFERED": "1", "TMPDIR": str(place), "SMKI_SYNC_TODAY": "2026-11-23"}
        ),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert list(place.iterdir()) == []
    return done.stdout


def test_the_readme_shows_a_part_of_the_demonstration() -> None:
    assert len(SHOWN) > 1


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_what_is_shown_of_the_demonstration_is_what_it_says(said: str, number: int) -> None:
    shown = SHOWN[number]
    assert says(f"$ {shown.line}\n{shown.output}", said, somewhere=True), said
