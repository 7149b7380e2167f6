"""Completion scripts for bash, zsh and fish, from a tree of commands.

For: ``smki-sync completion``. The scripts need nothing but the shell itself: no other completion
package, and not this program. Refuses: to know where the tree comes from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from shlex import quote
from typing import Final


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


def _walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every node with its path: nothing, ``/simulate``, ``/simulate/create``."""
    yield path, node
    for sub in node.below:
        yield from _walk(sub, f"{path}/{sub.name}")


# bash: one function; where the cursor stands follows from the words before it.

_BASH: Final = """\
# {program} completion for bash, made by `{program} completion bash`
{function}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} path= i
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path/${{COMP_WORDS[i]}}" in
{paths}
        esac
    done
    COMPREPLY=()
    case "$path $prev" in
{values}
    esac
    if [[ $cur == -* ]]; then
        case "$path" in
{options}
        esac
    else
        case "$path" in
{words}
        esac
    fi
}}
complete -F {function} {program}
"""


def bash(program: Node) -> str:
    """Write the script for bash 4.4 and later."""
    nodes = list(_walk(program))
    deeper = "|".join(quote(path) for path, _ in nodes if path)
    valued = [
        (f"{path} {name}", option.value)
        for path, node in nodes
        for option in node.options
        if option.value is not None
        for name in option.names
    ]
    return _BASH.format(
        program=program.name,
        function=_function(program.name),
        paths=f"            {deeper}) path=$path/${{COMP_WORDS[i]}} ;;",
        values="\n".join(f"        {quote(at)}) {_bash_value(value)}; return ;;" for at, value in valued),
        options="\n".join(
            f"            {_quoted(path)}) {_bash_value(_names(node))} ;;" for path, node in nodes
        ),
        words="\n".join(
            f"            {_quoted(path)}) {_bash_value(_words(node))} ;;" for path, node in nodes
        ),
    )


def _quoted(path: str) -> str:
    return quote(path) if path else '""'


def _names(node: Node) -> tuple[str, ...]:
    return tuple(name for option in node.options for name in option.names)


def _words(node: Node) -> Value:
    """What may stand there that is no option: a command, an argument, or else options after all."""
    if node.below:
        return tuple(sub.name for sub in node.below)
    return _names(node) if node.argument is None else node.argument


def _bash_value(value: Value) -> str:
    match value:
        case Offered.NOTHING:
            return ":"
        case Offered.FILES:
            return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")'
        case Offered.DIRECTORIES:
            return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")'
        case words:
            return f'mapfile -t COMPREPLY < <(compgen -W {quote(" ".join(words))} -- "$cur")'


# zsh: one function a node, each by the shell's own _arguments.


def zsh(program: Node) -> str:
    """Write the script for zsh; it can be loaded by compinit or sourced after it."""
    functions = "\n".join(
        _zsh_function(program.name + path.replace("/", "_"), n) for path, n in _walk(program)
    )
    name = _function(program.name)
    return f"""\
#compdef {program.name}
# {program.name} completion for zsh, made by `{program.name} completion zsh`
{functions}
if [[ ${{funcstack[1]}} == {name} ]]; then
    {name} "$@"
else
    compdef {name} {program.name}
fi
"""


def _zsh_function(name: str, node: Node) -> str:
    options = [f"        {_zsh_option(names, o)}" for o in node.options for names in o.names]
    if node.below:
        return _zsh_group(_function(name), node, options)
    rest = [] if node.argument is None else [f"        {quote('*:value:' + _zsh_value(node.argument))}"]
    return "\n".join([f"{_function(name)}() {{", "    _arguments \\", " \\\n".join(options + rest), "}"])


def _zsh_group(name: str, node: Node, options: list[str]) -> str:
    described = "\n".join(f"        {quote(f'{sub.name}:{_plain(sub.help)}')}" for sub in node.below)
    chosen = "\n".join(f"            {sub.name}) {name}_{_bare(sub.name)} ;;" for sub in node.below)
    known = " \\\n".join(options)
    return f"""\
{name}() {{
    local curcontext=$curcontext state line
    local -a commands
    commands=(
{described}
    )
    _arguments -C \\
{known} \\
        '1: :->command' \\
        '*:: :->rest'
    case $state in
    command) _describe command commands ;;
    rest)
        case $line[1] in
{chosen}
        esac ;;
    esac
}}"""


def _zsh_option(name: str, option: Option) -> str:
    value = "" if option.value is None else f":value:{_zsh_value(option.value)}"
    return quote(f"*{name}[{_plain(option.help)}]{value}")


def _zsh_value(value: Value) -> str:
    match value:
        case Offered.NOTHING:
            return " "
        case Offered.FILES:
            return "_files"
        case Offered.DIRECTORIES:
            return "_files -/"
        case words:
            return f"({' '.join(words)})"


def _plain(text: str) -> str:
    """Text without the characters that mean something to _arguments."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")").replace(":", ",")


# fish: one line a word, on a condition.


def fish(program: Node) -> str:
    """Write the script for fish 3."""
    lines = [f"# {program.name} completion for fish, made by `{program.name} completion fish`"]
    lines.append(f"complete -c {program.name} -f")
    for path, node in _walk(program):
        here = _fish_condition(path, node)
        lines += [f"{_fish(program, here)} -a {sub.name} -d {quote(sub.help)}" for sub in node.below]
        lines += [f"{_fish(program, here)} {_fish_option(option)}" for option in node.options]
        if node.argument is not None:
            lines.append(f"{_fish(program, here)} {_fish_value(node.argument)}")
    return "\n".join(lines) + "\n"


def _fish(program: Node, condition: str) -> str:
    return f"complete -c {program.name} -n {quote(condition)}"


def _fish_condition(path: str, node: Node) -> str:
    if not path:
        return "__fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {word}" for word in path.strip("/").split("/")]
    if node.below:
        seen.append(f"not __fish_seen_subcommand_from {' '.join(sub.name for sub in node.below)}")
    return "; and ".join(seen)


def _fish_option(option: Option) -> str:
    names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
    value = "" if option.value is None else f" -r {_fish_value(option.value)}"
    return f"{names} -d {quote(option.help)}{value}"


def _fish_value(value: Value) -> str:
    match value:
        case Offered.NOTHING:
            return "-f"
        case Offered.FILES:
            return "-F"
        case Offered.DIRECTORIES:
            return "-f -a '(__fish_complete_directories)'"
        case words:
            return f"-f -a {quote(' '.join(words))}"


def _function(name: str) -> str:
    return f"_{_bare(name)}"


def _bare(name: str) -> str:
    return name.replace("-", "_")
