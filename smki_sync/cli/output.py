"""Stdout: data and reports, and what happens when nobody reads them.

For: every command's output. A reader that has gone away is no failure: what is left unsaid is dropped,
and the exit code stays that of the deed. One that cannot take it, as a full disk cannot, is an error of its
own: what stands there is not whole. Refuses: progress and talk, which belong to stderr.
"""

import os
import sys
from collections.abc import Callable, Iterable
from typing import Final

from smki_sync.cli.documents import Json
from smki_sync.errors import UsageError

_COLOURS: Final = {"green": "\x1b[1;32m", "yellow": "\x1b[1;33m"}
_PLAIN: Final = "\x1b[0m"


def say(text: str, *, colour: str = "", end: str = "\n") -> None:
    """Write text for people; ``colour`` shows on a terminal only, and not where NO_COLOR is set."""
    if colour and _is_coloured():
        text = f"{_COLOURS[colour]}{text}{_PLAIN}"
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except OSError as error:
        give_up(error)


def say_stream(lines: Iterable[str], *, before: Callable[[], None] = lambda: None) -> None:
    """Write lines as they come, the first at once; a reader that has gone away ends it.

    A file or a pipe gets them as they are; on a terminal whatever does not print is written out.
    ``before``: called before each, to take away what stands in the way on a terminal.
    """
    written = _written_out if sys.stdout.isatty() else str
    try:
        for number, line in enumerate(lines):
            before()
            sys.stdout.write(written(line))
            if not number:
                sys.stdout.flush()
        sys.stdout.flush()
    except OSError as error:
        give_up(error)


def say_json(document: Json) -> None:
    """Write the one JSON document of a command."""
    import json  # noqa: PLC0415 - no other output needs it

    say(json.dumps(document, indent=2))


def say_octets(octets: bytes) -> None:
    """Write octets as they are."""
    try:
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
    except OSError as error:
        give_up(error)


def open_streams() -> None:
    """Stand in for standard streams that whoever started us has closed."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - for as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115 - as above


def _written_out(line: str) -> str:
    """A name in a CSV cell is data in a file, and on a terminal it could be a command to it."""
    from smki_sync.text import visible  # noqa: PLC0415 - only a stream to a terminal needs it

    return "\n".join(map(visible, line.split("\n")))


def _is_coloured() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def give_up(error: OSError) -> None:
    """Nothing where nobody reads stdout any more; :class:`UsageError` where it cannot be written."""
    _write_nowhere()
    if not isinstance(error, BrokenPipeError):
        raise UsageError(
            f"standard output cannot be written: {error.strerror}",
            hint="What was written of it is not whole. Check space and rights where it goes, then run again.",
            code="output-not-writable",
        ) from error


def _write_nowhere() -> None:
    """Nobody reads stdout any more; the interpreter's own last flush must not fail either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
