"""The reference of the command line as Markdown, made from the commands themselves.

For: docs/cli.md, which ``make generate`` writes. Refuses: to say what the commands' help does not; what needs
more words stands in docs/commands.md.
"""

import textwrap
from collections.abc import Iterator
from typing import Final

from smki_sync.cli.docs import Leaf, Parameter, leaves

_HEAD: Final = """\
# Command line

<!-- Made by `make generate` from the commands; not edited by hand. -->

Every command and option as `smki-sync COMMAND --help` says it. [Commands](commands.md) says more, with
examples; where else a value may come from is in [Configuration](configuration.md), and how a command ended in
[Exit codes](exit-codes.md)."""

_COLUMNS: Final = 118
"""Width of a line of the page, as of the others in docs/."""


def reference() -> str:
    """The page."""
    return "\n".join((_HEAD, *(line for leaf in leaves() for line in _section(leaf)))) + "\n"


def _section(leaf: Leaf) -> Iterator[str]:
    yield from ("", f"## {leaf.name}", "", f"`{leaf.usage}`")
    for paragraph in leaf.help:
        yield from ("", textwrap.fill(_text(paragraph), _COLUMNS, break_on_hyphens=False))
    rows = [*leaf.arguments, *leaf.options]
    if rows:
        yield from ("", "| argument or option | value | what it is, or does |", "|---|---|---|")
    for one in rows:
        names = ", ".join(f"`{name}`" for name in one.names or (one.value,))
        value = f"`{_text(one.value)}` " if one.names and one.value else ""
        yield f"| {names} | {value}| {_help(one)} |"


def _help(one: Parameter) -> str:
    return _text(one.help) + (" Required." if one.required and one.names else "")


def _text(text: str) -> str:
    """Text that stands in a cell, and is no markup."""
    return text.replace("|", "\\|").replace("<", "&lt;")
