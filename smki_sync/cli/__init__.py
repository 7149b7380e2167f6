"""The command line: one module a command, and the one place that exits.

For: ``smki-sync``. A command parses, builds, calls and renders; what it raises becomes a message and an
exit code here, and nowhere else. Only the module of the command that runs is imported. Refuses:
decisions about mirrors and extracts.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Annotated, Final, NoReturn

import typer

from smki_sync import __version__
from smki_sync.cli.exits import Exit, exit_of
from smki_sync.errors import Interrupted, UsageError

COMMANDS: Final[Mapping[str, str]] = {
    "sync": "smki_sync.cli.sync",
    "status": "smki_sync.cli.status",
    "show": "smki_sync.cli.show",
    "quarantine": "smki_sync.cli.quarantine",
    "simulate": "smki_sync.cli.simulate",
    "demo": "smki_sync.cli.demo",
}
"""Commands and the modules that define them, in the order of the help."""

_HELP: Final = """A local mirror of the SMKI Repository: weekly fulls, daily deltas, no gap unnoticed.

Run `smki-sync demo` to see it work, `smki-sync sync` every day. Exit codes: 0 done and current, 3 look
at the report, 4 try again later; the others are in docs/exit-codes.md.
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = _run(words)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has what they wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.OK
    sys.exit(int(code))


def _run(words: Sequence[str]) -> int:
    try:
        result = build(words)(list(words), prog_name="smki-sync", standalone_mode=False)
    except BrokenPipeError:
        raise
    except typer.TyperException as error:
        return _fail(words, _as_usage(error))
    except (typer.Abort, KeyboardInterrupt):
        return _fail(words, Interrupted("interrupted; nothing is half done", hint="Run it again."))
    except Exception as error:  # noqa: BLE001 - the one place that exits: what has no name is a defect of ours
        return _fail(words, error)
    return int(result or 0)


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The application with the one command that ``words`` name, or with all of them (for help)."""
    app = typer.Typer(help=_HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_common)
    named = [words[0]] if words and words[0] in COMMANDS else COMMANDS
    for name in named:
        importlib.import_module(COMMANDS[name]).register(app)
    return app


def _common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        typer.echo(f"smki-sync {__version__}")
        raise typer.Exit


def _fail(words: Sequence[str], error: BaseException) -> int:
    """Say what failed: as the promised document where one was asked for, else to people."""
    from smki_sync.cli.render import failure, failure_text  # noqa: PLC0415 - only a failure needs it

    code = exit_of(error)
    if code is Exit.UNEXPECTED and ("--verbose" in words or "-v" in words):
        traceback.print_exception(error)
    if "--json" in words:
        command = words[0] if words[0] in COMMANDS else "usage"
        typer.echo(json.dumps(failure(command, error, code), indent=2))
    else:
        typer.echo(failure_text(error), err=True)
    return code


def _as_usage(error: typer.TyperException) -> UsageError:
    say = getattr(error, "format_message", None)
    return UsageError(say() if say else str(error), hint="`smki-sync COMMAND --help` shows what it takes.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
