"""Completion in fish: one line a word, on a condition.

For: fish 3. Refuses: to offer files where none may stand.
"""

from shlex import quote

from smki_sync.cli.shells.tree import Node, Offered, Option, Value, walk


def fish(program: Node) -> str:
    """Write the script for fish 3."""
    lines = [f"# {program.name} completion for fish, made by `{program.name} completion fish`"]
    lines.append(f"complete -c {program.name} -f")
    for path, node in walk(program):
        here = _condition(path, node)
        lines += [f"{_fish(program, here)} -a {sub.name} -d {quote(sub.help)}" for sub in node.below]
        lines += [f"{_fish(program, here)} {_option(option)}" for option in node.options]
        if node.argument is not None:
            lines.append(f"{_fish(program, here)} {_value(node.argument)}")
    return "\n".join(lines) + "\n"


def _fish(program: Node, condition: str) -> str:
    return f"complete -c {program.name} -n {quote(condition)}"


def _condition(path: str, node: Node) -> str:
    if not path:
        return "__fish_use_subcommand"
    seen = [f"__fish_seen_subcommand_from {word}" for word in path.strip("/").split("/")]
    if node.below:
        seen.append(f"not __fish_seen_subcommand_from {' '.join(sub.name for sub in node.below)}")
    return "; and ".join(seen)


def _option(option: Option) -> str:
    names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
    value = "" if option.value is None else f" -r {_value(option.value)}"
    return f"{names} -d {quote(option.help)}{value}"


def _value(value: Value) -> str:
    match value:
        case Offered.NOTHING:
            return "-f"
        case Offered.FILES:
            return "-F"
        case Offered.DIRECTORIES:
            return "-f -a '(__fish_complete_directories)'"
        case words:
            return f"-f -a {quote(' '.join(words))}"
