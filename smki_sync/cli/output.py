"""stdout, tables, text helpers, JSON schema names, output paths."""

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Final, Generic, NamedTuple, Self, TextIO, TypeVar

from smki_sync.config.loader import Config
from smki_sync.errors import OutputError, UsageError
from smki_sync.files import output_error
from smki_sync.text import COLUMNS, visible

Json = dict[str, object]
"""One JSON object: text, numbers, booleans, ``None``, lists and objects of these."""


def schema_of(command: str) -> str:
    """Name the schema of a command's document; the number grows only if a field goes or changes."""
    return f"smki-sync/{command}/1"


_COLOURS: Final = {"green": "\x1b[1;32m", "yellow": "\x1b[1;33m"}
_PLAIN: Final = "\x1b[0m"


def print_text(text: str, *, colour: str = "", end: str = "\n") -> None:
    """Write text for people; ``colour`` shows on a terminal only, and not where NO_COLOR is set."""
    if colour and _is_coloured():
        text = f"{_COLOURS[colour]}{text}{_PLAIN}"
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except OSError as error:
        abandon_stdout(error)


def print_stream(lines: Iterable[str], *, before: Callable[[], None] = lambda: None) -> None:
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
        abandon_stdout(error)


def print_json(document: Json) -> None:
    """Write the one JSON document of a command."""
    import json  # noqa: PLC0415 - no other output needs it

    print_text(json.dumps(document, indent=2))


def print_bytes(octets: bytes) -> None:
    """Write octets as they are."""
    try:
        sys.stdout.buffer.write(octets)
        sys.stdout.buffer.flush()
    except OSError as error:
        abandon_stdout(error)


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


def abandon_stdout(error: OSError) -> None:
    """Nothing where nobody reads stdout any more; :class:`OutputError` if it cannot be written."""
    _write_nowhere()
    if not isinstance(error, BrokenPipeError):
        raise OutputError(
            f"Standard output cannot be written: {error.strerror}.",
            hint="The output is incomplete. Check free space and permissions, then run again.",
        ) from error


def _write_nowhere() -> None:
    """Nobody reads stdout any more; the interpreter's own last flush must not fail either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def outside_mirror(path: Path, config: Config) -> Path:
    """``path``, unless it lies in the mirror directory or means standard output: :class:`UsageError`."""
    if path.name == "-":
        raise UsageError(
            "- is no file: this command does not write to standard output",
            hint="Name a file. `smki-sync find` and `smki-sync changes` write there.",
        )
    root = config.need_mirror().resolve()
    if any(place.is_relative_to(root) for place in (path.resolve(), path.parent.resolve() / path.name)):
        raise UsageError(
            f"{path} is in the mirror directory, which is this program's own",
            hint="Name a file or directory outside it.",
        )
    return path


def check_place(path: Path, *, directory: bool = False) -> Path:
    """``path``, unless it cannot be written; raises as :func:`~smki_sync.files.output_error`.

    ``directory``: it is to be a directory, made with those above it. Tried with a file that has no name.
    """
    place = path.parent
    try:
        if directory:
            place = next(one for one in (path, *path.absolute().parents) if one.exists())
        elif path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
        with TemporaryFile(dir=place):
            return path
    except OSError as exc:
        raise output_error(path, exc) from exc


AFTER_SECONDS: Final = 1.0
"""Before so long an answer says nothing: it is there before anybody asks."""
REDRAW_SECONDS: Final = 0.2
"""Time between two drawings on a terminal: smooth enough to the eye."""
LINE_SECONDS: Final = 30.0
"""Time between two lines elsewhere (contract, Output)."""
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Told how many rows were read, and of how many; a context manager that leaves the terminal in order."""

    def __init__(self, stream: TextIO) -> None:
        """Talk on ``stream``."""
        self._stream = stream
        self._what = "certificates read"
        self._drawn = False
        self._step = REDRAW_SECONDS if stream.isatty() else LINE_SECONDS
        self._next = time.monotonic() + (AFTER_SECONDS if stream.isatty() else LINE_SECONDS)

    def count(self, what: str) -> None:
        """Say what is counted from now on."""
        self._what = what

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total`` have been dealt with."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._step
        self._write(f"{done:,} of {total:,} {self._what} ({done * 100 // total} %)")

    def _write(self, text: str) -> None:
        terminal = self._stream.isatty()
        self._drawn = terminal
        with suppress(OSError, ValueError):
            self._stream.write(f"{_CLEAR}{text}" if terminal else f"{text}\n")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away, so that something else can be written."""
        if self._drawn:
            with suppress(OSError, ValueError):
                self._stream.write(_CLEAR)
                self._stream.flush()
            self._drawn = False

    def __enter__(self) -> Self:
        """Begin; nothing is said yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no half line behind."""
        self.clear()


_GAP: Final = "  "
_CUT: Final = "…"
Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """``width`` in characters; ``cell``: what it shows of a row."""

    title: str
    width: int
    cell: Callable[[Row], str]


def width_here() -> int:
    """Characters in a line of this terminal, or of the narrowest in use where there is none."""
    return shutil.get_terminal_size(fallback=(COLUMNS, 24)).columns


def table(columns: Iterable[Column[Row]], rows: Iterable[Row], *, width: int) -> Iterator[str]:
    """A header and a line for each row; the columns that come first are the last to go."""
    shown = list(_fitting(columns, width))
    yield _line((column.title for column in shown), shown)
    for row in rows:
        yield _line((column.cell(row) for column in shown), shown)


def _fitting(columns: Iterable[Column[Row]], width: int) -> Iterator[Column[Row]]:
    left = width + len(_GAP)
    for number, column in enumerate(columns):
        left -= column.width + len(_GAP)
        if left < 0 and number:
            return
        yield column


def _line(cells: Iterable[str], columns: list[Column[Row]]) -> str:
    padded = (_fit(visible(cell), column.width) for cell, column in zip(cells, columns, strict=True))
    return _GAP.join(padded).rstrip() + "\n"


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - len(_CUT)] + _CUT
