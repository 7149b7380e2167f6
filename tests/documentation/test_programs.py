"""Every Python block of a page runs next to the sample mirror and prints the text below it."""

import subprocess
import sys
from itertools import zip_longest

import pytest
from support.cli import surroundings
from support.markdown import TOGETHER, Fence, fences

from documentation.conftest import Originals
from documentation.marks import is_run

Shown = tuple[Fence, str | None]
"""A program, and the text block after it, if any."""


def programs() -> list[Shown]:
    found: list[Shown] = []
    for page in TOGETHER:
        blocks = fences(page)
        found += [
            (one, after.text if after and after.language == "text" else None)
            for one, after in zip_longest(blocks, blocks[1:])
            if one.language == "python" and is_run(one)
        ]
    return found


def where(part: object) -> str:
    return part.where if isinstance(part, Fence) else ""


@pytest.mark.parametrize(("program", "output"), programs(), ids=where)
def test_program_prints_the_text_below_it(program: Fence, output: str | None, originals: Originals) -> None:
    home = originals.of("sample") / "home"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program.text],
        cwd=home / "mirror",
        env=surroundings(home),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert output is None or done.stdout == output


def test_most_programs_have_their_output_below() -> None:
    assert len([output for _, output in programs() if output]) > 5
