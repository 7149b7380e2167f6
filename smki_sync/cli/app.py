"""The commands as a typer application: options, help, and what is wrong with a command line.

For: every command; only the one that is named is imported. Refuses: to exit.
"""

import importlib
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from smki_sync import __version__
from smki_sync.cli import COMMANDS, fail, interrupted
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import give_up, say

_HELP: Final = """A local mirror of the SMKI Repository: weekly fulls, daily deltas, no gap unnoticed.

Run `smki-sync demo` to see it work, and `smki-sync sync` once a day.

Exit codes: 0 done and current, 3 look at the report, 4 try again later; all in docs/exit-codes.md.
"""


def run(words: Sequence[str]) -> int:
    """Run the command that ``words`` name; its exit code. Raises what the command raises."""
    try:
        command = _told(typer.main.get_command(build(words)))
        result = command(list(words), prog_name="smki-sync", standalone_mode=False)
    except typer.TyperException as error:
        return _misused(words, error)
    except OSError as error:
        if words and "--help" not in words:
            raise
        give_up(error)  # the library has written the help
        return Exit.OK
    except typer.Abort:
        return interrupted(words)
    if result == Exit.INTERRUPTED:  # how typer hands a KeyboardInterrupt on
        return interrupted(words)
    return int(result or 0)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The application with the one command that ``words`` name, or with all of them (for help)."""
    app = typer.Typer(help=_HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_common)
    named = [words[0]] if words and words[0] in COMMANDS else COMMANDS
    for name in named:
        importlib.import_module(COMMANDS[name]).register(app)
    return app


def _told(command: Any) -> Any:  # noqa: ANN401 - typer's own click has no public types
    """The command, its help in paragraphs that flow, and no type shown for a flag, which takes no value."""
    command.help = "\n\n".join(" ".join(text.split()) for text in (command.help or "").split("\n\n"))
    for parameter in command.get_params(typer.Context(command)):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for below in getattr(command, "commands", {}).values():
        _told(below)
    return command


def _say_version(wanted: bool) -> None:
    if wanted:
        from smki_sync.mirror.schema import SCHEMA_VERSION  # noqa: PLC0415 - no other command needs it here

        say(f"smki-sync {__version__}, schema {SCHEMA_VERSION} of the mirror")
        raise typer.Exit


def _common(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say the version and exit.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """Options before the command."""


def _misused(words: Sequence[str], error: typer.TyperException) -> int:
    """The command line is wrong; where it was empty, the help that was shown says all."""
    from smki_sync.cli.misuse import misuse_of  # noqa: PLC0415 - only a wrong command line needs it

    misuse = misuse_of(error)
    return fail(words, misuse) if misuse else Exit.USAGE
