"""The table error -> exit code; error output."""

from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self, assert_never

from smki_sync.cli.output import Json, schema_of
from smki_sync.errors import (
    BadExtract,
    ConfigError,
    Interrupted,
    Locked,
    MirrorError,
    OutOfMemory,
    SmkiSyncError,
    SourceError,
    SourceRefused,
    UsageError,
)
from smki_sync.text import wrapped

if TYPE_CHECKING:
    from smki_sync.model.report import Outcome


class Exit(IntEnum):
    """How a command ended. ``means``: for people; ``wrapper``: what a script around it should do."""

    means: str
    wrapper: str

    def __new__(cls, code: int, means: str, wrapper: str) -> Self:
        """Make a plain int that also carries its two sentences."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.means = means
        member.wrapper = wrapper
        return member

    OK = 0, "done, and the mirror is current", "nothing"
    UNEXPECTED = 1, "a defect in this program", "report it"
    USAGE = 2, "the command line is wrong", "fix it"
    ATTENTION = (
        3,
        (
            "the mirror is usable, but not current or not complete: deltas missing, repository late,"
            " resync put off, records quarantined"
        ),
        "look at the report",
    )
    UNREACHABLE = (
        4,
        "the repository could not be reached, or dropped out for longer than the retries",
        "try again later",
    )
    REFUSED = 5, "host key or login refused", "never retry by itself"
    BAD_EXTRACT = (
        6,
        "a file is damaged or not what it claims; nothing of it was applied",
        "wait for a republished file, tell the DCC",
    )
    MIRROR = (
        7,
        "the mirror is damaged, its disk is full or not writable, or this machine is out of memory",
        "make room where the message says so; else restore",
    )
    CONFIG = 8, "configuration is invalid", "fix it"
    LOCKED = 9, "another run holds the mirror", "wait"
    FINDING = 10, "the answer is no: not found, drift, failed verification", "read the answer"
    INTERRUPTED = 130, "Ctrl-C or SIGTERM; nothing is half done", "run again"


_OF_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (SourceRefused, Exit.REFUSED),
    (SourceError, Exit.UNREACHABLE),
    (BadExtract, Exit.BAD_EXTRACT),
    (MirrorError, Exit.MIRROR),
    (MemoryError, Exit.MIRROR),
    (ConfigError, Exit.CONFIG),
    (UsageError, Exit.USAGE),
    (Locked, Exit.LOCKED),
    (Interrupted, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
)
"""First match wins: a class stands before its base."""


def exit_of(error: BaseException) -> Exit:
    """Give the exit code of a failure; what the tree of errors does not name is a defect of ours."""
    return next((code for kind, code in _OF_ERROR if isinstance(error, kind)), Exit.UNEXPECTED)


def exit_of_outcome(outcome: "Outcome") -> Exit:
    """Give the exit code of a run that ended by itself: never 0 while behind."""
    from smki_sync.model.report import Outcome  # noqa: PLC0415 - only a run needs it, and `show` starts without

    match outcome:
        case Outcome.CURRENT:
            return Exit.OK
        case Outcome.BEHIND:
            return Exit.ATTENTION
        case Outcome.FAILED:
            return Exit.UNEXPECTED  # a failure is raised and goes through exit_of; a report has no such end
        case _:
            assert_never(outcome)


def table() -> str:
    """Render the codes as the Markdown table of docs/codes.md, without a newline at its end."""
    head = ("| code | name | means | a wrapper should |", "|---|---|---|---|")
    return "\n".join((*head, *(f"| {e.value} | {e.name} | {e.means} | {e.wrapper} |" for e in Exit)))


FAILED: Final = "failed"
"""The outcome of a run that failed: :attr:`~smki_sync.model.report.Outcome.FAILED`, without loading it."""


def failure(command: str, error: BaseException, code: Exit) -> Json:
    """Give the document of any command that failed; ``error.code`` is the stable word of the tree."""
    word, message, hint = _facts_of(error)
    return {
        "schema": schema_of(command),
        "outcome": FAILED,
        "error": {"code": word, "exit": code.value, "message": message, "hint": hint},
    }


def failure_line(error: BaseException, code: Exit) -> str:
    """Give the line of a JSON log that says what failed."""
    word, message, hint = _facts_of(error)
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"time": stamp, "level": "error", "event": "failed"}
    import json  # noqa: PLC0415 - only a log of a failure needs it

    return json.dumps(head | {"code": word, "exit": code.value, "message": message, "hint": hint})


def failure_text(error: BaseException) -> str:
    """Say to people what failed and what to do next, in lines of at most 80 columns."""
    _, message, hint = _facts_of(error)
    # The findings of a configuration are ours and stand one a line; any other line end is from outside.
    first, *more = message.split("\n") if isinstance(error, ConfigError) else [message]
    lines = [*wrapped(f"smki-sync: {first}"), *(line for text in more for line in wrapped(text, indent="  "))]
    return "\n".join((*lines, *wrapped(hint, indent="  ")))


def _facts_of(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, SmkiSyncError):
        return error.reason, error.message, error.hint
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted; nothing is half done", "run again"
    if isinstance(error, MemoryError):
        return _facts_of(OutOfMemory("the program was given no more memory; nothing is half done"))
    what = f"a defect in this program: {type(error).__name__}: {error}"
    return "unexpected", what, "please report it, with what was run and what it said"
