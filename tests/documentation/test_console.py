"""Run every command of a page, from top to bottom, and compare its output with the page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.markdown import TOGETHER, Fence, commands, fences, name_of

from documentation.comparison import matches
from documentation.conftest import Originals
from documentation.marks import is_of_demo, is_run
from documentation.prompt import Prompt, entered

_WORLD = re.compile(r"^<!-- world: (\w+)(?: in (\w+))? -->$", re.MULTILINE)
MEANWHILE, BEFORE = "meanwhile: ", "before: "
"""Notes above a block: what the DCC changes before it; commands that the reader does not see."""


def consoles(page: Path) -> list[Fence]:
    return [f for f in fences(page) if f.language == "console" and is_run(f) and not is_of_demo(f)]


TYPED = [page for page in TOGETHER if consoles(page)]


@contextmanager
def world_of(page: Path, originals: Originals, place: Path) -> Iterator[Prompt]:
    """Enter the world that a page names."""
    found = _WORLD.search(page.read_text(encoding="utf-8"))
    assert found, f"{name_of(page)} has commands, but no world such as <!-- world: sample -->"
    with entered(originals.of(found[1]), place / "root", below=found[2] or "") as prompt:
        yield prompt


def prepare(fence: Fence, prompt: Prompt) -> None:
    """Carry out the note above a block."""
    if fence.note.startswith(MEANWHILE):
        assert prompt.server
        prompt.server.meanwhile(fence.note.removeprefix(MEANWHILE))
    elif fence.note.startswith(BEFORE):
        for line in fence.note.removeprefix(BEFORE).split(" && "):
            assert prompt.run(line).code == 0, line


@pytest.mark.parametrize("page", TYPED, ids=name_of)
def test_commands_of_a_page_give_the_output_shown(page: Path, originals: Originals, tmp_path: Path) -> None:
    with world_of(page, originals, tmp_path) as prompt:
        for fence in consoles(page):
            prepare(fence, prompt)
            for command in commands(fence):
                said = prompt.run(command.line)
                told = f"{command.where}: $ {command.line}\nexit code {said.code}, output\n{said.text}"
                assert said.code == command.code, told
                assert not command.output or matches(command.output, said.text), told
