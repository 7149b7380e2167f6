"""Commands with their options, as a tree.

For: what the three scripts are made from. Refuses: to know of any shell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Offered(Enum):
    """What a shell may offer for a value of which the words are not known."""

    NOTHING = auto()
    FILES = auto()
    DIRECTORIES = auto()


Value = Offered | tuple[str, ...]
"""The words that a value may be, or what else to offer for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. ``value``: ``None`` where it takes none."""

    names: tuple[str, ...]
    help: str
    value: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The program, a group or a command. ``argument``: what stands without an option, if anything does."""

    name: str
    help: str
    options: tuple[Option, ...]
    below: tuple["Node", ...] = ()
    argument: Value | None = None


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every node with its path: nothing, ``/simulate``, ``/simulate/create``."""
    yield path, node
    for sub in node.below:
        yield from walk(sub, f"{path}/{sub.name}")


def function(name: str) -> str:
    """The name of the shell function for a command."""
    return f"_{bare(name)}"


def bare(name: str) -> str:
    """A name that may stand in that of a shell function."""
    return name.replace("-", "_")
