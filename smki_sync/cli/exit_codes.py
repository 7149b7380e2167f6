"""Exit codes: the table from errors to codes, and the output of a failed command."""

from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Self, assert_never

from smki_sync.cli.output import Json, schema_of
from smki_sync.errors import (
    BadExtract,
    ConfigError,
    InternalError,
    Interrupted,
    Locked,
    MirrorError,
    OutOfMemory,
    OutputError,
    ResourceError,
    SmkiSyncError,
    SourceError,
    SourceNotReadable,
    SourceReadFailed,
    SourceRefused,
    UsageError,
)
from smki_sync.text import wrapped

if TYPE_CHECKING:
    from smki_sync.model.report import Outcome


class Exit(IntEnum):
    """How a command ended. ``means``: for people; ``wrapper``: what a calling script should do."""

    means: str
    wrapper: str

    def __new__(cls, code: int, means: str, wrapper: str) -> Self:
        """Return an ``int`` that also carries its two texts."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.means = means
        member.wrapper = wrapper
        return member

    OK = 0, "done; for `sync` and `status`: and the mirror is current", "nothing"
    UNEXPECTED = 1, "an internal error (a bug in this program)", "report it, with the output of `--verbose`"
    USAGE = 2, "the command line is wrong", "fix it"
    ATTENTION = (
        3,
        (
            "the mirror is usable, but not current or not complete: deltas missing, Repository late,"
            " resync postponed, records quarantined, or a notice has not been accepted"
        ),
        "read the report",
    )
    UNREACHABLE = (
        4,
        "the Repository could not be reached, or was lost for longer than the retries",
        "try again later",
    )
    REFUSED = (
        5,
        "the host key or the login was refused",
        "do not retry automatically (5 failed logins lock the account)",
    )
    BAD_EXTRACT = (
        6,
        "a file is damaged or is not what it claims to be; nothing of it was applied",
        "wait until the file is published again; contact the DCC",
    )
    MIRROR = 7, "the mirror is damaged or does not exist", "run `smki-sync sync` or `smki-sync restore`"
    CONFIG = 8, "the configuration is invalid", "fix it"
    LOCKED = 9, "another run holds the lock of the mirror", "wait"
    FINDING = (
        10,
        "the answer is no: no match found, the mirror differs, or verification failed",
        "read the answer",
    )
    RESOURCES = (
        11,
        (
            "a problem of this machine: no space, no permission, no memory, a local file that cannot be read,"
            " or a file system that lacks a feature"
        ),
        "fix it, then run again",
    )
    INTERRUPTED = 130, "Ctrl-C or SIGTERM; no file is partly applied", "run again"


_EXIT_OF_ERROR: tuple[tuple[type[BaseException], Exit], ...] = (
    (SourceNotReadable, Exit.RESOURCES),
    (SourceReadFailed, Exit.RESOURCES),
    (SourceRefused, Exit.REFUSED),
    (SourceError, Exit.UNREACHABLE),
    (BadExtract, Exit.BAD_EXTRACT),
    (ResourceError, Exit.RESOURCES),
    (MirrorError, Exit.MIRROR),
    (OutputError, Exit.RESOURCES),
    (ConfigError, Exit.CONFIG),
    (UsageError, Exit.USAGE),
    (Locked, Exit.LOCKED),
    (Interrupted, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (InternalError, Exit.UNEXPECTED),
    (MemoryError, Exit.RESOURCES),
    (OSError, Exit.RESOURCES),
)
"""The first match decides, so a class is listed before its base class."""


def exit_of(error: BaseException) -> Exit:
    """Return the exit code of an error; an error that is not in the table is a bug."""
    return next((code for kind, code in _EXIT_OF_ERROR if isinstance(error, kind)), Exit.UNEXPECTED)


def exit_of_outcome(outcome: "Outcome") -> Exit:
    """Return the exit code of a completed run: never 0 while the mirror is behind."""
    from smki_sync.model.report import Outcome  # noqa: PLC0415 - `show` starts without it

    match outcome:
        case Outcome.CURRENT:
            return Exit.OK
        case Outcome.BEHIND:
            return Exit.ATTENTION
        case Outcome.FAILED:
            return Exit.UNEXPECTED  # never in a report: a failure is raised and goes through exit_of
        case _:
            assert_never(outcome)


def table() -> str:
    """Return the codes as the Markdown table of docs/codes.md, without a final newline."""
    head = ("| code | name | means | a wrapper should |", "|---|---|---|---|")
    return "\n".join((*head, *(f"| {e.value} | {e.name} | {e.means} | {e.wrapper} |" for e in Exit)))


FAILED: Final = "failed"
""":attr:`~smki_sync.model.report.Outcome.FAILED`, without importing it."""


def failure(command: str, error: BaseException, code: Exit) -> Json:
    """Return the document of a failed command; ``error.code`` is a stable word."""
    word, message, hint = _facts_of(error)
    return {
        "schema": schema_of(command),
        "outcome": FAILED,
        "error": {"code": word, "exit": code.value, "message": message, "hint": hint},
    }


def failure_line(error: BaseException, code: Exit) -> str:
    """Return the line of a JSON log for an error."""
    word, message, hint = _facts_of(error)
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"time": stamp, "level": "error", "event": "failed"}
    import json  # noqa: PLC0415 - only a log of a failure needs it

    return json.dumps(head | {"code": word, "exit": code.value, "message": message, "hint": hint})


def failure_text(error: BaseException) -> str:
    """Return the error and its hint for people, in lines of at most 80 columns."""
    _, message, hint = _facts_of(error)
    # A configuration error lists one finding per line. Other line ends come from outside.
    first, *more = message.split("\n") if isinstance(error, ConfigError) else [message]
    lines = [*wrapped(f"smki-sync: {first}"), *(line for text in more for line in wrapped(text, indent="  "))]
    return "\n".join((*lines, *wrapped(hint, indent="  ")))


INTERRUPTED: Final = Interrupted(
    "Interrupted. The mirror is unchanged since the last committed file.", hint="Run the command again."
)
_NO_MEMORY: Final = OutOfMemory(
    "The program ran out of memory. The mirror is unchanged since the last committed file."
)


def _facts_of(error: BaseException) -> tuple[str, str, str]:
    """Return code, message and hint."""
    match error:
        case SmkiSyncError():
            return error.reason, error.message, error.hint
        case KeyboardInterrupt():
            return _facts_of(INTERRUPTED)
        case MemoryError():
            return _facts_of(_NO_MEMORY)
        case OSError():
            return _facts_of(_resource_error(error))
        case _:
            return _facts_of(InternalError(f"Internal error (bug): {type(error).__name__}: {error}"))


def _resource_error(error: OSError) -> ResourceError:
    """Return the error of a system call that no adapter translated."""
    place = error.filename2 or error.filename
    message = f"{place}: {error.strerror}" if place else f"The operating system reports: {error}"
    if not place and isinstance(error, FileNotFoundError):
        message = "The working directory does not exist any more."
    return ResourceError(
        message,
        hint="Check that the path exists, and that space and permissions suffice.",
        code="system-error",
    )
