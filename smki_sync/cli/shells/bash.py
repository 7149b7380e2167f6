"""Completion in bash: one function; where the cursor stands follows from the words before it.

For: bash 4.4 and later. Refuses: to need the package bash-completion.
"""

from shlex import quote
from typing import Final

from smki_sync.cli.shells.tree import Node, Offered, Value, function, walk

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


def _names(node: Node) -> tuple[str, ...]:
    return tuple(name for option in node.options for name in option.names)


def _words(node: Node) -> Value:
    """What may stand there that is no option: a command, an argument, or else options after all."""
    if node.below:
        return tuple(sub.name for sub in node.below)
    return _names(node) if node.argument is None else node.argument


def _value(value: Value) -> str:
    match value:
        case Offered.NOTHING:
            return ":"
        case Offered.FILES:
            return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur")'
        case Offered.DIRECTORIES:
            return 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur")'
        case words:
            return f'mapfile -t COMPREPLY < <(compgen -W {quote(" ".join(words))} -- "$cur")'
