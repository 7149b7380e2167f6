"""The commands with their options, as what a reference and a manual say of them.

For: :mod:`.manual` and :mod:`.reference`. Refuses: to say what the commands' help does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer

from smki_sync.cli import build


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An option or an argument. ``value``: the word for it, empty for a flag. ``names``: as it is written."""

    names: tuple[str, ...]
    value: str
    help: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One command. ``help``: its paragraphs."""

    name: str
    help: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]

    @property
    def usage(self) -> str:
        """How it is called."""
        values = (a.value if a.required else f"[{a.value}]" for a in self.arguments)
        return " ".join(("smki-sync", self.name, *values, *(["[OPTION]..."] if self.options else [])))


def leaves() -> Iterator[Leaf]:
    """Every command that does something, in the order of the help."""
    return _below(typer.main.get_command(build()), ())


def _below(command: Any, path: tuple[str, ...]) -> Iterator[Leaf]:  # noqa: ANN401 - typer's own click has no public types
    below = getattr(command, "commands", {})
    for name, one in below.items():
        yield from _below(one, (*path, name))
    if not below:
        yield _leaf(" ".join(path), command)


def _leaf(name: str, command: Any) -> Leaf:  # noqa: ANN401 - as above
    context = typer.Context(command)
    made = [(p.param_type_name, _parameter(p, context)) for p in command.params]
    return Leaf(
        name=name,
        help=tuple(" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")),
        arguments=tuple(one for kind, one in made if kind == "argument"),
        options=tuple(one for kind, one in made if kind == "option"),
    )


def _parameter(p: Any, context: typer.Context) -> Parameter:  # noqa: ANN401 - as above
    is_option = p.param_type_name == "option"
    return Parameter(
        names=tuple(p.opts) if is_option else (),
        value="" if is_option and p.is_flag else p.metavar or _words(p, context) or p.name.upper(),
        help=" ".join((p.help or "").split()),
        required=p.required,
    )


def _words(p: Any, context: typer.Context) -> str:  # noqa: ANN401 - as above
    """The words that a value may be, where it is one of few."""
    return "|".join(item.value for item in p.shell_complete(context, "") if item.type == "plain")
