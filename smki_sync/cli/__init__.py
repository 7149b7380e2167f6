"""The command line: one module a command, and the one place that exits.

For: ``smki-sync``. A command parses, builds, calls and renders; what it raises becomes a message and an
exit code here, and nowhere else. Only the module of the command that runs is imported. Refuses:
decisions about mirrors and extracts.
"""

import importlib
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Annotated, Final, NoReturn

import typer

from smki_sync import __version__
from smki_sync.cli.exits import Exit, exit_of
from smki_sync.cli.out import open_streams, say, say_json
from smki_sync.errors import Interrupted, UsageError

COMMANDS: Final[Mapping[str, str]] = {
    "sync": "smki_sync.cli.sync",
    "status": "smki_sync.cli.status",
    "show": "smki_sync.cli.show",
    "quarantine": "smki_sync.cli.quarantine",
    "report": "smki_sync.cli.report",
    "verify": "smki_sync.cli.verify",
    "simulate": "smki_sync.cli.simulate",
    "demo": "smki_sync.cli.demo",
    "completion": "smki_sync.cli.completion",
}
"""Commands and the modules that define them, in the order of the help."""

_HELP: Final = """A local mirror of the SMKI Repository: weekly fulls, daily deltas, no gap unnoticed.

Run `smki-sync demo` to see it work, and `smki-sync sync` once a day.

Exit codes: 0 done and current, 3 look at the report, 4 try again later; all in docs/exit-codes.md.
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = _run(words)
    _hear_no_more()
    sys.exit(int(code))


def _run(words: Sequence[str]) -> int:
    try:
        result = build(words)(list(words), prog_name="smki-sync", standalone_mode=False)
    except typer.TyperException as error:
        return _misused(words, error)
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted(words)
    except Exception as error:  # noqa: BLE001 - the one place that exits: what has no name is a defect of ours
        return _fail(words, error)
    if result == Exit.INTERRUPTED:  # how typer hands a KeyboardInterrupt on
        return _interrupted(words)
    return int(result or 0)


def _interrupted(words: Sequence[str]) -> int:
    _hear_no_more()
    return _fail(words, _INTERRUPTED)


def _hear_no_more() -> None:
    """How it ended is decided: a second Ctrl-C, or one that comes too late, changes nothing in that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


_INTERRUPTED: Final = Interrupted("interrupted; nothing is half done", hint="Run it again.")


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The application with the one command that ``words`` name, or with all of them (for help)."""
    app = typer.Typer(help=_HELP, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_common)
    named = [words[0]] if words and words[0] in COMMANDS else COMMANDS
    for name in named:
        importlib.import_module(COMMANDS[name]).register(app)
    return app


def _say_version(wanted: bool) -> None:
    if wanted:
        say(f"smki-sync {__version__}")
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
    speak = getattr(error, "format_message", None)
    message = speak() if speak else str(error)
    if not message:
        return Exit.USAGE
    return _fail(words, UsageError(message, hint="`smki-sync COMMAND --help` shows what it takes."))


def _fail(words: Sequence[str], error: BaseException) -> int:
    """Say what failed: the promised document where one was asked for, a log line, or words for people."""
    from smki_sync.cli.render import failure, failure_line, failure_text  # noqa: PLC0415 - only a failure needs it

    code = exit_of(error)
    with suppress(OSError):  # a full disk behind a stream changes nothing in how it ended
        if code is Exit.UNEXPECTED and {"--verbose", "-v"} & {*words}:
            traceback.print_exception(error)
        if "--json" in words:
            say_json(failure(words[0] if words[0] in COMMANDS else "usage", error, code))
        logs_json = "--log-format=json" in words or ("--log-format", "json") in pairwise(words)
        if logs_json or "--json" not in words:
            sys.stderr.write((failure_line(error, code) if logs_json else failure_text(error)) + "\n")
    return code
