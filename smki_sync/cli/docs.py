"""Generated reference, man page, units (move to packaging/)."""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from smki_sync import __version__
from smki_sync.cli import build
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.scheduler_units import DRILL, SERVICE_USER, SYNC, InstallationPaths, Scheduler, files
from smki_sync.config.file import FILE_VARIABLE, PASSPHRASE_VARIABLE, PASSWORD_VARIABLE, SYSTEM_FILE
from smki_sync.config.loader import VARIABLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An option or an argument. ``value``: the word for it, empty for a flag. ``names``: as it is written."""

    names: tuple[str, ...]
    value: str
    help: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedCommand:
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


def command_tree() -> Iterator[DocumentedCommand]:
    """Every command that does something, in the order of the help."""
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


_HEAD: Final = """\
# Commands

<!-- Made by `make generate` from the commands; not edited by hand. -->

Options follow the command. Data goes to stdout, messages to stderr. `smki-sync COMMAND --help` shows the same text.
See also [Configuration](configuration.md) and [Exit codes](codes.md#exit-codes)."""

_COLUMNS: Final = 118
"""Width of a line of the page, as of the others in docs/."""


def reference() -> str:
    """The page."""
    return "\n".join((_HEAD, *(line for leaf in command_tree() for line in _section(leaf)))) + "\n"


def _section(leaf: DocumentedCommand) -> Iterator[str]:
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


_LEADING: Final = ("'", ".")


def manual() -> str:
    """The page in roff, for man(1), section 1."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield '.\\" Made by `make generate` from the commands; not edited by hand.'
    yield f'.TH SMKI\\-SYNC 1 "" "smki\\-sync {_text_manual(__version__)}" "User Commands"'
    yield from (".SH NAME", "smki\\-sync \\- a local mirror of the SMKI Repository")
    yield from (".SH SYNOPSIS", ".B smki\\-sync", ".I COMMAND", "[OPTION]...")
    yield ".SH DESCRIPTION"
    yield _text_manual(
        "Over SFTP it takes the weekly full extract and the daily deltas, and keeps a local SQLite mirror."
    )
    yield _text_manual("Run `smki-sync sync` once a day; it decides by itself what to do and says why.")
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


def _tail() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code in Exit:
        yield from (".TP", f"\\fB{code.value}\\fR {code.name}", _text_manual(code.means) + ".")
    yield ".SH ENVIRONMENT"
    never = "A secret; never an option."
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
    places = "./smki-sync.toml, the user's configuration directory, then"
    yield _text_manual(f"{places} {SYSTEM_FILE}.")


def _text_manual(text: str) -> str:
    """Text that roff prints as it stands."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith(_LEADING) else plain


USUAL: Final = InstallationPaths(
    program=("/opt/smki-sync/bin/smki-sync",),
    user=SERVICE_USER,
    config=SYSTEM_FILE,
    own=(Path("/var/lib/smki-sync"),),
)
"""Where things are on a server that is set up as docs/scheduling-and-monitoring.md says."""


def generated_files() -> Mapping[str, str]:
    """The files, by their path in the checkout."""
    jobs = (SYNC, DRILL)
    return {
        **{f"packaging/systemd/{one.name}": one.text for one in files(Scheduler.SYSTEMD, USUAL, jobs)},
        **{f"packaging/cron/{one.name}": one.text for one in files(Scheduler.CRON, USUAL, [SYNC])},
        "packaging/man/smki-sync.1": manual(),
        "docs/commands.md": reference(),
    }


def main(checkout: Path) -> None:
    """Write them all."""
    for name, text in generated_files().items():
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
