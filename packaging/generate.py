"""Generate docs/commands.md, the manual page, systemd units and the cron file from the code."""

import sys
import textwrap
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from smki_sync import __version__
from smki_sync.cli import build
from smki_sync.cli.arguments import EXAMPLES_HEADING
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.scheduler_units import DRILL, SERVICE_USER, SYNC, InstallationPaths, Scheduler, files
from smki_sync.config.file import FILE_VARIABLE, PASSPHRASE_VARIABLE, PASSWORD_VARIABLE, SYSTEM_FILE
from smki_sync.config.loader import VARIABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedParameter:
    """An option or an argument. ``value``: its metavar, empty for a flag. ``names``: of an option."""

    names: tuple[str, ...]
    value: str
    help: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedCommand:
    """One command. ``help``: its paragraphs."""

    name: str
    help: tuple[str, ...]
    arguments: tuple[DocumentedParameter, ...]
    options: tuple[DocumentedParameter, ...]
    examples: tuple[str, ...]

    @property
    def usage(self) -> str:
        """The synopsis."""
        values = (a.value if a.required else f"[{a.value}]" for a in self.arguments)
        return " ".join(("smki-sync", self.name, *values, *(["[OPTION]..."] if self.options else [])))


def command_tree() -> Iterator[DocumentedCommand]:
    """Yield every command, in the order of the help."""
    return _below(typer.main.get_command(build()), ())


def _below(command: Any, path: tuple[str, ...]) -> Iterator[DocumentedCommand]:  # noqa: ANN401 - typer's own click has no public types
    below = getattr(command, "commands", {})
    for name, one in below.items():
        yield from _below(one, (*path, name))
    if not below:
        yield _leaf(" ".join(path), command)


def _leaf(name: str, command: Any) -> DocumentedCommand:  # noqa: ANN401 - as above
    context = typer.Context(command)
    made = [(p.param_type_name, _parameter(p, context)) for p in command.params]
    return DocumentedCommand(
        name=name,
        help=tuple(" ".join(paragraph.split()) for paragraph in (command.help or "").split("\n\n")),
        arguments=tuple(one for kind, one in made if kind == "argument"),
        options=tuple(one for kind, one in made if kind == "option"),
        examples=tuple(examples_of(command)),
    )


def examples_of(command: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    """Yield the examples at the end of the help of a command."""
    heading, *examples = (command.epilog or "").split("\n")
    if heading == EXAMPLES_HEADING:
        yield from (example.strip() for example in examples)


def _parameter(p: Any, context: typer.Context) -> DocumentedParameter:  # noqa: ANN401 - as above
    is_option = p.param_type_name == "option"
    return DocumentedParameter(
        names=tuple(p.opts) if is_option else (),
        value="" if is_option and p.is_flag else p.metavar or _words(p, context) or p.name.upper(),
        help=" ".join((p.help or "").split()),
        required=p.required,
    )


def _words(p: Any, context: typer.Context) -> str:  # noqa: ANN401 - as above
    """Return the choices of a value, if there are any."""
    return "|".join(item.value for item in p.shell_complete(context, "") if item.type == "plain")


_HEAD: Final = """\
# Commands

<!-- Made by `make generate` from the commands; not edited by hand. -->

Options follow the command. Data goes to stdout, messages to stderr. `smki-sync COMMAND --help` shows the same
text. See also [Configuration](configuration.md) and [Exit codes](codes.md#exit-codes)."""

_COLUMNS: Final = 118
"""Line width of the pages in docs/."""

_SHARED: Final = 3
"""An option with the same text in as many commands is described once."""

_NOT_RUN: Final = "<!-- not run: tests/unit/cli/test_help.py does -->"


def reference() -> str:
    """Return docs/commands.md."""
    commands = list(command_tree())
    counts = Counter(option for command in commands for option in command.options)
    shared = {option: None for option, count in counts.items() if count >= _SHARED}
    lines = [_HEAD, "", "## smki-sync", *_table(_program_options())]
    lines += ["", "## Shared options", *_table(shared)]
    for command in commands:
        lines += _section(command, shared)
    return "\n".join(lines) + "\n"


def _program_options() -> Iterator[DocumentedParameter]:
    program = typer.main.get_command(build())
    return (_parameter(p, typer.Context(program)) for p in program.params)


def _section(command: DocumentedCommand, shared: Container[DocumentedParameter]) -> Iterator[str]:
    yield from ("", f"## {command.name}", "", f"`{command.usage}`")
    for paragraph in command.help:
        yield from ("", textwrap.fill(_text(paragraph), _COLUMNS, break_on_hyphens=False))
    own = [*command.arguments, *(option for option in command.options if option not in shared)]
    yield from _table(own)
    if names := [f"`{option.names[0]}`" for option in command.options if option in shared]:
        text = f"[Shared options](#shared-options): {', '.join(names)}."
        yield from ("", textwrap.fill(text, _COLUMNS, break_on_hyphens=False))
    yield from ("", _NOT_RUN, "```console", *(f"$ {example}" for example in command.examples), "```")


def _table(parameters: Iterable[DocumentedParameter]) -> Iterator[str]:
    rows = list(parameters)
    if rows:
        yield from ("", "| argument or option | value | meaning |", "|---|---|---|")
    for one in rows:
        names = ", ".join(f"`{name}`" for name in one.names or (one.value,))
        value = f"`{_text(one.value)}` " if one.names and one.value else ""
        yield f"| {names} | {value}| {_help(one)} |"


def _help(one: DocumentedParameter) -> str:
    return _text(one.help) + (" Required." if one.required and one.names else "")


def _text(text: str) -> str:
    """Return text for a table cell, without markup."""
    return text.replace("|", "\\|").replace("<", "&lt;")


_LEADING: Final = ("'", ".")


def manual() -> str:
    """Return the manual page for section 1, in roff."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield '.\\" Made by `make generate` from the commands; not edited by hand.'
    yield f'.TH SMKI\\-SYNC 1 "" "smki\\-sync {_text_manual(__version__)}" "User Commands"'
    yield from (".SH NAME", "smki\\-sync \\- a local mirror of the SMKI Repository")
    yield from (".SH SYNOPSIS", ".B smki\\-sync", ".I COMMAND", "[OPTION]...")
    yield ".SH DESCRIPTION"
    yield _text_manual("Keeps a local SQLite mirror of the SMKI Repository up to date, over SFTP.")
    yield _text_manual("Run `smki-sync sync` once a day.")
    yield ".SH COMMANDS"
    for leaf in command_tree():
        yield from _command(leaf)
    yield from _tail()


def _command(leaf: DocumentedCommand) -> Iterator[str]:
    yield f".SS {_text_manual(' '.join((leaf.name, *(one.value for one in leaf.arguments))))}"
    for number, paragraph in enumerate(leaf.help):
        if number:
            yield ".PP"
        yield _text_manual(paragraph)
    for one in leaf.options:
        value = f" \\fI{_text_manual(one.value)}\\fR" if one.value else ""
        yield from (".TP", f"\\fB{_text_manual(', '.join(one.names))}\\fR{value}", _text_manual(one.help))
    yield from (".PP", "Examples:")
    for example in leaf.examples:
        yield from (".br", _text_manual(example))


def _tail() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code in Exit:
        yield from (".TP", f"\\fB{code.value}\\fR {code.name}", _text_manual(code.means) + ".")
    yield ".SH ENVIRONMENT"
    never = "A secret. There is no option for it."
    known = {
        **{name: f"Sets {key}." for name, key in VARIABLES.items()},
        FILE_VARIABLE: "The configuration file.",
    }
    for name, meaning in {
        **known,
        PASSWORD_VARIABLE: never,
        PASSPHRASE_VARIABLE: never,
    }.items():
        yield from (".TP", f"\\fB{_text_manual(name)}\\fR", _text_manual(meaning))
    yield ".SH FILES"
    places = "smki-sync/smki-sync.toml in the user's configuration directory, then"
    yield _text_manual(f"{places} {SYSTEM_FILE}.")


def _text_manual(text: str) -> str:
    """Return text that roff prints unchanged."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith(_LEADING) else plain


USUAL: Final = InstallationPaths(
    program=("/opt/smki-sync/bin/smki-sync",),
    user=SERVICE_USER,
    config=SYSTEM_FILE,
    own=(Path("/var/lib/smki-sync"),),
)
"""Paths on a server that is set up as docs/scheduling-and-monitoring.md describes."""


def generated_files() -> Mapping[str, str]:
    """Return the files, by their path in the checkout."""
    jobs = (SYNC, DRILL)
    return {
        **{f"packaging/systemd/{one.name}": one.text for one in files(Scheduler.SYSTEMD, USUAL, jobs)},
        **{f"packaging/cron/{one.name}": one.text for one in files(Scheduler.CRON, USUAL, [SYNC])},
        "packaging/man/smki-sync.1": manual(),
        "docs/commands.md": reference(),
    }


def main(checkout: Path) -> None:
    """Write all files."""
    for name, text in generated_files().items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
