"""The tutorial, typed in from its first command to its last."""

import re
import shlex
from pathlib import Path

from support.cli import Shell

from smki_sync.cli.exits import Exit

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"

BEHIND = ["sync --dry-run", "status"]
"""The commands that the page says end with exit code 3; ``status`` only after the nine days."""


def typed() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def test_every_command_of_the_tutorial_ends_as_it_says(tmp_path: Path) -> None:
    variables: dict[str, str] = {}
    attention = []
    for line in typed():
        program, *words = shlex.split(line.replace("$PWD", str(tmp_path)))
        if program == "export":
            name, _, value = words[0].partition("=")
            variables[name] = value
            continue
        assert program == "smki-sync"
        ran = Shell(place=tmp_path, variables=variables)(*words)
        assert ran.code in {Exit.OK, Exit.ATTENTION}, f"{line}: {ran.out}{ran.err}"
        if ran.code == Exit.ATTENTION:
            attention.append(" ".join(words))
    assert attention == BEHIND
    assert (tmp_path / "mirror.html").exists()
