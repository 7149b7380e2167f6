"""``smki-sync completion``: what a shell has to know to complete commands, options and their values.

For: a script that is made from the commands themselves, once; the shell then completes without starting
this program. Refuses: to write into anybody's start-up files.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final, assert_never

import typer

from smki_sync.cli import build
from smki_sync.cli.output import say
from smki_sync.cli.shells import Node, Offered, Option, bash, fish, zsh

PROGRAM: Final = "smki-sync"
_OFFERED: Final = {"DIR": Offered.DIRECTORIES, "FILE": Offered.FILES, "IDENTITY": Offered.FILES}
"""What may stand for a value, by the word that the help has for it; an identity may be a file."""


class Shell(StrEnum):
    """Shells that a script can be made for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("completion")(completion)


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script that completes commands, options and values in bash, zsh or fish.

    Make it anew after an upgrade. Where to put it: docs/other-tools.md.
    """
    match shell:
        case Shell.BASH:
            script = bash(tree())
        case Shell.ZSH:
            script = zsh(tree())
        case Shell.FISH:
            script = fish(tree())
        case _:
            assert_never(shell)
    say(script, end="")


def tree() -> Node:
    """The program with its commands, as they are defined."""
    return _node(PROGRAM, typer.main.get_command(build()))


def _node(name: str, command: Any) -> Node:  # noqa: ANN401 - typer's own click has no public types
    context = typer.Context(command)
    values = [p for p in command.params if p.param_type_name == "argument"]
    return Node(
        name=name,
        help=command.get_short_help_str(limit=100),
        options=(*_options(command, context), Option(names=("--help",), help="Say what it takes.")),
        below=tuple(_node(sub, one) for sub, one in getattr(command, "commands", {}).items()),
        argument=_offered(values[0], context) if values else None,
    )


def _options(command: Any, context: typer.Context) -> Iterator[Option]:  # noqa: ANN401 - as above
    for p in command.params:
        if p.param_type_name == "option":
            value = None if p.is_flag else _offered(p, context)
            yield Option(names=tuple(p.opts), help=p.help or "", value=value)


def _offered(p: Any, context: typer.Context) -> Offered | tuple[str, ...]:  # noqa: ANN401 - as above
    words = tuple(item.value for item in p.shell_complete(context, "") if item.type == "plain")
    return words or _OFFERED.get(p.metavar or "", Offered.NOTHING)
