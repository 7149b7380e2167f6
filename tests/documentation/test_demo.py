"""The README shows real output of ``smki-sync demo``."""

import subprocess
from pathlib import Path

import pytest
from support.cli import command_line, surroundings
from support.markdown import TOGETHER, commands, fences

from documentation.comparison import matches
from documentation.marks import is_of_demo

SHOWN = [command for page in TOGETHER for f in fences(page) if is_of_demo(f) for command in commands(f)]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The complete output of the demonstration."""
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


def test_readme_shows_output_of_the_demo() -> None:
    assert len(SHOWN) > 1


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_demo_prints_what_the_readme_shows(said: str, number: int) -> None:
    shown = SHOWN[number]
    assert matches(f"$ {shown.line}\n{shown.output}", said, somewhere=True), said
