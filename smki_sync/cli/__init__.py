"""The command line: runs one command and exits with its code.

A command parses its options, calls a use case and prints the result. Errors become a message and an exit
code here. Only the module of the command that runs is imported; a plain `show` also skips typer.
"""

import gc
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

from smki_sync.cli.exit_codes import INTERRUPTED, Exit, exit_of
from smki_sync.cli.output import open_streams, print_json, print_text, release_streams

if TYPE_CHECKING:
    import typer


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it, to outlive a terminal
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    code = _run(words)
    _ignore_signals()
    release_streams()
    sys.exit(int(code))


def _run(words: Sequence[str]) -> int:
    try:
        return _result_of(words)
    except KeyboardInterrupt:
        return interrupted(words)
    except Exception as error:  # noqa: BLE001 - every error becomes an exit code here
        return fail(words, error)


def _result_of(words: Sequence[str]) -> int:
    if words[:1] == ["show"]:
        from smki_sync.cli.certificate_view import show_without_typer  # noqa: PLC0415 - no other command needs it

        gc.freeze()  # the modules stay: the collector need not visit them at the end either
        gc.enable()
        code = show_without_typer(words[1:])
        if code is not None:
            return code
    if words == ["--version"]:
        print_text(version_text())
        return Exit.OK
    from smki_sync.cli.app import run  # noqa: PLC0415 - loads typer, which a plain `show` does not need

    return run(words)


def version_text() -> str:
    """Return the version of the program and of the schema of its mirror."""
    from smki_sync import __version__  # noqa: PLC0415 - no other command needs it
    from smki_sync.mirror.schema import SCHEMA_VERSION  # noqa: PLC0415 - as above

    return f"smki-sync {__version__}, schema {SCHEMA_VERSION} of the mirror"


def interrupted(words: Sequence[str]) -> int:
    """Print that the command was interrupted; return its exit code."""
    _ignore_signals()
    return fail(words, INTERRUPTED)


def _ignore_signals() -> None:
    """Ignore further signals: the exit code is decided, and a second Ctrl-C must not change it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def build(words: Sequence[str] = ()) -> "typer.Typer":
    """Return the application with the command that ``words`` name, or with all commands."""
    from smki_sync.cli.app import build as build_app  # noqa: PLC0415 - as above

    return build_app(words)


def fail(words: Sequence[str], error: BaseException) -> int:
    """Print an error as JSON, as a log line or as text, as the options ask; return its exit code."""
    from smki_sync.cli.commands import COMMANDS  # noqa: PLC0415 - only a failure needs it
    from smki_sync.cli.exit_codes import failure, failure_line, failure_text  # noqa: PLC0415 - only a failure needs it

    code = exit_of(error)
    with suppress(Exception):  # an error of a stream does not change the exit code
        if code is Exit.UNEXPECTED and {"--verbose", "-v"} & {*words}:
            import traceback  # noqa: PLC0415 - only a bug needs it

            traceback.print_exception(error)
        wants_json = "--json" in words or _has(words, "--format", "json")
        if wants_json:
            print_json(failure(words[0] if words[0] in COMMANDS else "usage", error, code))
        logs_json = _has(words, "--log-format", "json")
        if logs_json or not wants_json:
            sys.stderr.write((failure_line(error, code) if logs_json else failure_text(error)) + "\n")
    return code


def _has(words: Sequence[str], name: str, value: str) -> bool:
    """Return whether an option was given with this value, as one word or as two."""
    return f"{name}={value}" in words or (name, value) in pairwise(words)
