"""completion (see above)."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from shlex import quote
from typing import Annotated, Any, Final, assert_never

import typer

from smki_sync.cli import build
from smki_sync.cli.output import print_text


class CompletionValues(Enum):
    """What a shell may offer for a value of which the words are not known."""

    NOTHING = auto()
    FILES = auto()
    DIRECTORIES = auto()


Value = CompletionValues | tuple[str, ...]
"""The words that a value may be, or what else to offer for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionOption:
    """One option. ``value``: ``None`` where it takes none."""

    names: tuple[str, ...]
    help: str
    value: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionNode:
    """The program, a group or a command. ``argument``: what stands without an option, if anything does."""

    name: str
    help: str
    options: tuple[CompletionOption, ...]
    below: tuple["CompletionNode", ...] = ()
    argument: Value | None = None


def walk(node: CompletionNode, path: str = "") -> Iterator[tuple[str, CompletionNode]]:
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


def bash(program: CompletionNode) -> str:
    """Write the script for bash 4.4 and later."""
    nodes = list(walk(program))
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
        function=function(program.name),
        paths=f"            {deeper}) path=$path/${{COMP_WORDS[i]}} ;;",
        values="\n".join(f"        {quote(at)}) {_value(value)}; return ;;" for at, value in valued),
        options="\n".join(f"            {_quoted(path)}) {_value(_names(node))} ;;" for path, node in nodes),
        words="\n".join(f"            {_quoted(path)}) {_value(_words(node))} ;;" for path, node in nodes),
    )


def _quoted(path: str) -> str:
    return quote(path) if path else '""'


def _names(node: CompletionNode) -> tuple[str, ...]:
    return tuple(name for option in node.options for name in option.names)


def _words(node: CompletionNode) -> Value:
    """What may stand there that is no option: a command, an argument, or else options after all."""
    if node.below:
        return tuple(sub.name for sub in node.below)
    return _names(node) if node.argument is None else node.argument


def _value(value: Value) -> str:
    match value:
        case CompletionValues.NOTHING:
            return ":"
        case CompletionValues.FILES:
            return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")'
        case CompletionValues.DIRECTORIES:
            return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")'
        case words:
            return f'mapfile -t COMPREPLY < <(compgen -W {quote(" ".join(words))} -- "$cur")'


def zsh(program: CompletionNode) -> str:
    """Write the script for zsh; it can be loaded by compinit or sourced after it."""
    functions = "\n".join(_function(program.name + path.replace("/", "_"), n) for path, n in walk(program))
    name = function(program.name)
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


def _function(name: str, node: CompletionNode) -> str:
    options = [f"        {_option(names, o)}" for o in node.options for names in o.names]
    if node.below:
        return _group(function(name), node, options)
    rest = [] if node.argument is None else [f"        {quote('*:value:' + _value_zsh(node.argument))}"]
    return "\n".join([f"{function(name)}() {{", "    _arguments \\", " \\\n".join(options + rest), "}"])


def _group(name: str, node: CompletionNode, options: list[str]) -> str:
    described = "\n".join(f"        {quote(f'{sub.name}:{_plain(sub.help)}')}" for sub in node.below)
    chosen = "\n".join(f"            {sub.name}) {name}_{bare(sub.name)} ;;" for sub in node.below)
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


def _option(name: str, option: CompletionOption) -> str:
    value = "" if option.value is None else f":value:{_value_zsh(option.value)}"
    return quote(f"*{name}[{_plain(option.help)}]{value}")


def _value_zsh(value: Value) -> str:
    match value:
        case CompletionValues.NOTHING:
            return " "
        case CompletionValues.FILES:
            return "_files"
        case CompletionValues.DIRECTORIES:
            return "_files -/"
        case words:
            return f"({' '.join(words)})"


def _plain(text: str) -> str:
    """Text without the characters that mean something to _arguments."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")").replace(":", ",")


def fish(program: CompletionNode) -> str:
    """Write the script for fish 3."""
    lines = [f"# {program.name} completion for fish, made by `{program.name} completion fish`"]
    lines.append(f"complete -c {program.name} -f")
    for path, node in walk(program):
        here = _condition(path, node)
        lines += [f"{_fish(program, here)} -a {sub.name} -d {quote(sub.help)}" for sub in node.below]
        lines += [f"{_fish(program, here)} {_option_fish(option)}" for option in node.options]
        if node.argument is not None:
            lines.append(f"{_fish(program, here)} {_value_fish(node.argument)}")
    return "\n".join(lines) + "\n"


def _fish(program: CompletionNode, condition: str) -> str:
    return f"complete -c {program.name} -n {quote(condition)}"


def _condition(path: str, node: CompletionNode) -> str:
    if not path:
        return "__fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {word}" for word in path.strip("/").split("/")]
    if node.below:
        seen.append(f"not __fish_seen_subcommand_from {' '.join(sub.name for sub in node.below)}")
    return "; and ".join(seen)


def _option_fish(option: CompletionOption) -> str:
    names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
    value = "" if option.value is None else f" -r {_value_fish(option.value)}"
    return f"{names} -d {quote(option.help)}{value}"


def _value_fish(value: Value) -> str:
    match value:
        case CompletionValues.NOTHING:
            return "-f"
        case CompletionValues.FILES:
            return "-F"
        case CompletionValues.DIRECTORIES:
            return "-f -a '(__fish_complete_directories)'"
        case words:
            return f"-f -a {quote(' '.join(words))}"


PROGRAM: Final = "smki-sync"
_OFFERED: Final = {
    "DIR": CompletionValues.DIRECTORIES,
    "FILE": CompletionValues.FILES,
    "IDENTITY": CompletionValues.FILES,
}
"""What may stand for a value, by the word that the help has for it; an identity may be a file."""


class Shell(StrEnum):
    """Shells that a script can be made for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register_completion(app: typer.Typer) -> None:
    """Add the command."""
    app.command("completion")(completion)


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script that completes commands, options and values in bash, zsh or fish.

    Make it anew after an upgrade. Where to put it: docs/querying.md.
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
    print_text(script, end="")


def tree() -> CompletionNode:
    """The program with its commands, as they are defined."""
    return _node(PROGRAM, typer.main.get_command(build()))


def _node(name: str, command: Any) -> CompletionNode:  # noqa: ANN401 - typer's own click has no public types
    context = typer.Context(command)
    values = [p for p in command.params if p.param_type_name == "argument"]
    return CompletionNode(
        name=name,
        help=command.get_short_help_str(limit=100),
        options=(*_options(command, context), CompletionOption(names=("--help",), help="Say what it takes.")),
        below=tuple(_node(sub, one) for sub, one in getattr(command, "commands", {}).items()),
        argument=_offered(values[0], context) if values else None,
    )


def _options(command: Any, context: typer.Context) -> Iterator[CompletionOption]:  # noqa: ANN401 - as above
    for p in command.params:
        if p.param_type_name == "option":
            value = None if p.is_flag else _offered(p, context)
            yield CompletionOption(names=tuple(p.opts), help=p.help or "", value=value)


def _offered(p: Any, context: typer.Context) -> CompletionValues | tuple[str, ...]:  # noqa: ANN401 - as above
    words = tuple(item.value for item in p.shell_complete(context, "") if item.type == "plain")
    return words or _OFFERED.get(p.metavar or "", CompletionValues.NOTHING)
