"""Help: groups, one line per command, `-h`, examples that parse, and commands that were replaced."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from support.cli import Shell

from smki_sync.cli import build
from smki_sync.cli.arguments import EXAMPLES_HEADING
from smki_sync.cli.commands import COMMANDS, REPLACED, CommandGroup

ROOT: Any = typer.main.get_command(build())  # typer's own click has no public types


def commands(
    command: Any = ROOT,  # noqa: ANN401 - as above
    path: tuple[str, ...] = (),
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group below the program, with its path."""
    for name, one in getattr(command, "commands", {}).items():
        yield (*path, name), one
        yield from commands(one, (*path, name))


ALL = list(commands())


def examples_of(command: Any) -> list[str]:  # noqa: ANN401 - as above
    heading, *examples = (command.epilog or "").split("\n")
    assert heading == EXAMPLES_HEADING
    return [example.strip() for example in examples]


def test_help_lists_every_command_in_its_group_on_one_line(smki: Shell) -> None:
    shown = smki("--help", COLUMNS="80").out.splitlines()
    assert max(map(len, shown)) <= 80
    headings = [line.strip("╭╮─ ") for line in shown if line.startswith("╭")]
    assert headings == ["Options", *CommandGroup]
    for name, info in COMMANDS.items():
        assert f"│ {name:<10}  {info.summary:<65}│" in [f"{line[:-1].rstrip():<79}│" for line in shown], name


@pytest.mark.parametrize("name", COMMANDS)
def test_summary_is_the_first_line_of_the_help_of_the_command(name: str) -> None:
    assert ROOT.commands[name].help.split("\n")[0] == COMMANDS[name].summary
    assert len(COMMANDS[name].summary) <= 65


def test_commands_are_listed_group_by_group() -> None:
    groups = [info.group for info in COMMANDS.values()]
    assert groups == sorted(groups, key=list(CommandGroup).index)


@pytest.mark.parametrize("words", [(), ("sync",), ("simulate",), ("simulate", "create"), ("show",)])
def test_short_help_option_is_the_same_as_the_long_one(smki: Shell, words: tuple[str, ...]) -> None:
    short, long = smki(*words, "-h"), smki(*words, "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "Usage: smki-sync" in short.out


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(path) for path, _ in ALL])
def test_help_ends_with_two_or_three_examples_that_parse(
    path: tuple[str, ...],
    command: Any,  # noqa: ANN401 - as above
) -> None:
    examples = examples_of(command)
    assert len(examples) in {2, 3}
    for example in examples:
        program, *words = shlex.split(re.sub(r" > \S+$", "", example))
        assert program == "smki-sync"
        assert tuple(words[: len(path)]) == path
        parsed, rest = ROOT, words
        while hasattr(parsed, "commands"):
            name, *rest = rest
            parsed = parsed.commands[name]
        parsed.make_context(name, rest)  # raises for an option or a value that does not exist


@pytest.mark.parametrize("name", REPLACED)
def test_replaced_command_exits_2_and_names_its_replacement(smki: Shell, name: str) -> None:
    ran = smki(name, "--json")
    assert (ran.code, ran.error["code"]) == (2, "usage")
    assert REPLACED[name] in ran.error["hint"]
    assert name not in COMMANDS
