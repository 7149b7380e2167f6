"""The command line: one module a command, and the one place that exits.

For: ``smki-sync``. A command parses, builds, calls and renders; what it raises becomes a message and an
exit code here, and nowhere else. Only the module of the command that runs is imported, and the machinery
of options (:mod:`.app`) not even always (:mod:`.quick`). Refuses: decisions about mirrors and extracts.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NoReturn

from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.cli.output import open_streams, print_json
from smki_sync.errors import Interrupted

if TYPE_CHECKING:
    import typer


COMMANDS: Final[Mapping[str, str]] = {
    "sync": "smki_sync.cli.sync",
    "status": "smki_sync.cli.status",
    "show": "smki_sync.cli.query",
    "find": "smki_sync.cli.query",
    "changes": "smki_sync.cli.query",
    "export": "smki_sync.cli.export",
    "quarantine": "smki_sync.cli.maintenance",
    "reconcile": "smki_sync.cli.recovery",
    "restore": "smki_sync.cli.recovery",
    "drill": "smki_sync.cli.recovery",
    "prune": "smki_sync.cli.maintenance",
    "backup": "smki_sync.cli.maintenance",
    "prove": "smki_sync.cli.maintenance",
    "compare": "smki_sync.cli.maintenance",
    "report": "smki_sync.cli.export",
    "verify": "smki_sync.cli.verify",
    "init": "smki_sync.cli.setup",
    "schedule": "smki_sync.cli.schedule",
    "doctor": "smki_sync.cli.setup",
    "anchors": "smki_sync.cli.verify",
    "simulate": "smki_sync.cli.simulate",
    "demo": "smki_sync.cli.simulate",
    "completion": "smki_sync.cli.completion",
}
"""Commands and the modules that define them, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_streams()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if (
        signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ):  # which nohup has set, so as to outlive a terminal
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    code = _run(words)
    _hear_no_more()
    sys.exit(int(code))


def _run(words: Sequence[str]) -> int:
    try:
        return _result_of(words)
    except KeyboardInterrupt:
        return interrupted(words)
    except Exception as error:  # noqa: BLE001 - the one place that exits: what has no name is a defect of ours
        return fail(words, error)


def _result_of(words: Sequence[str]) -> int:
    if words[:1] == ["show"]:
        from smki_sync.cli.certificate_view import show_without_typer  # noqa: PLC0415 - no other command needs it

        code = show_without_typer(words[1:])
        if code is not None:
            return code
    from smki_sync.cli.app import run  # noqa: PLC0415 - loads typer, which a plain `show` does without

    return run(words)


def interrupted(words: Sequence[str]) -> int:
    """Say that somebody has stopped it; its exit code."""
    _hear_no_more()
    return fail(words, Interrupted("interrupted; nothing is half done", hint="Run it again."))


def _hear_no_more() -> None:
    """How it ended is decided: a second Ctrl-C, or one that comes too late, changes nothing in that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def build(words: Sequence[str] = ()) -> "typer.Typer":
    """The application with the one command that ``words`` name, or with all of them (for help)."""
    from smki_sync.cli.app import build as build_app  # noqa: PLC0415 - as above

    return build_app(words)


def fail(words: Sequence[str], error: BaseException) -> int:
    """Say what failed: the promised document where one was asked for, a log line, or words for people."""
    from smki_sync.cli.exit_codes import failure, failure_line, failure_text  # noqa: PLC0415 - only a failure needs it

    code = exit_of(error)
    with suppress(OSError):  # a full disk behind a stream changes nothing in how it ended
        if code is Exit.UNEXPECTED and {"--verbose", "-v"} & {*words}:
            import traceback  # noqa: PLC0415 - only a defect needs it

            traceback.print_exception(error)
        wants_json = "--json" in words or _has(words, "--format", "json")
        if wants_json:
            print_json(failure(words[0] if words[0] in COMMANDS else "usage", error, code))
        logs_json = _has(words, "--log-format", "json")
        if logs_json or not wants_json:
            sys.stderr.write((failure_line(error, code) if logs_json else failure_text(error)) + "\n")
    return code


def _has(words: Sequence[str], option: str, value: str) -> bool:
    """Whether an option was given with that value, in either spelling."""
    return f"{option}={value}" in words or (option, value) in pairwise(words)
