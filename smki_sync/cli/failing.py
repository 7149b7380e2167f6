"""A failure, as the JSON that scripts rely on, as a line of the log and as text for people.

For: every command that fails. Refuses: to print, to decide; text from outside reaches a terminal only
through :func:`~.words.visible`.
"""

from datetime import UTC, datetime
from typing import Final

from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.errors import ConfigError, OutOfMemory, SmkiSyncError
from smki_sync.text import block

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
    lines = [*block(f"smki-sync: {first}"), *(line for text in more for line in block(text, indent="  "))]
    return "\n".join((*lines, *block(hint, indent="  ")))


def _facts_of(error: BaseException) -> tuple[str, str, str]:
    if isinstance(error, SmkiSyncError):
        return error.reason, error.message, error.hint
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", "interrupted; nothing is half done", "run again"
    if isinstance(error, MemoryError):
        return _facts_of(OutOfMemory("the program was given no more memory; nothing is half done"))
    what = f"a defect in this program: {type(error).__name__}: {error}"
    return "unexpected", what, "please report it, with what was run and what it said"
