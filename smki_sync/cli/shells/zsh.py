"""Completion in zsh: one function a command, each by the shell's own ``_arguments``.

For: zsh 5 with compinit. Refuses: to be loaded before compinit.
"""

from shlex import quote

from smki_sync.cli.shells.tree import Node, Offered, Option, Value, bare, function, walk


def zsh(program: Node) -> str:
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


def _function(name: str, node: Node) -> str:
    options = [f"        {_option(names, o)}" for o in node.options for names in o.names]
    if node.below:
        return _group(function(name), node, options)
    rest = [] if node.argument is None else [f"        {quote('*:value:' + _value(node.argument))}"]
    return "\n".join([f"{function(name)}() {{", "    _arguments \\", " \\\n".join(options + rest), "}"])


def _group(name: str, node: Node, options: list[str]) -> str:
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


def _option(name: str, option: Option) -> str:
    value = "" if option.value is None else f":value:{_value(option.value)}"
    return quote(f"*{name}[{_plain(option.help)}]{value}")


def _value(value: Value) -> str:
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
