"""Every command of a page, typed in from its top to its bottom; what it says is what stands below it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.markdown import TOGETHER, Fence, commands, fences, name_of

from documentation.conftest import Originals
from documentation.marks import is_of_demo, is_run
from documentation.place import Prompt, entered
from documentation.saying import says

_WORLD = re.compile(r"^<!-- world: (\w+)(?: in (\w+))? -->$", re.MULTILINE)
MEANWHILE, BEFORE = "meanwhile: ", "before: "
"""Notes above a block: what the DCC does before it; what is typed in out of the reader's sight."""


def consoles(page: Path) -> list[Fence]:
    return [f for f in fences(page) if f.language == "console" and is_run(f) and not is_of_demo(f)]


TYPED = [page for page in TOGETHER if consoles(page)]


@contextmanager
def world_of(page: Path, originals: Originals, place: Path) -> Iterator[Prompt]:
    """The world that a page names."""
    found = _WORLD.search(page.read_text(encoding="utf-8"))
    assert found, f"{name_of(page)} shows commands and names no world, as in <!-- world: sample -->"
    with entered(originals.of(found[1]), place / "root", below=found[2] or "") as prompt:
        yield prompt


def prepare(fence: Fence, prompt: Prompt) -> None:
    """Do what the note above a block says."""
    if fence.note.startswith(MEANWHILE):
        assert prompt.server
        prompt.server.meanwhile(fence.note.removeprefix(MEANWHILE))
    elif fence.note.startswith(BEFORE):
        for line in fence.note.removeprefix(BEFORE).split(" && "):
            assert prompt.type_in(line).code == 0, line


@pytest.mark.parametrize("page", TYPED, ids=name_of)
def test_the_commands_of_a_page_end_and_say_what_it_shows(
    page: Path, originals: Originals, tmp_path: Path
) -> None:
    with world_of(page, originals, tmp_path) as prompt:
        for fence in consoles(page):
            prepare(fence, prompt)
            for command in commands(fence):
                said = prompt.type_in(command.line)
                told = f"{command.where}: $ {command.line}\nended with {said.code} and said\n{said.text}"
                assert said.code == command.code, told
                assert not command.output or says(command.output, said.text), told
