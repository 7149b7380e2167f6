"""Standard output, progress on stderr, tables, JSON schema names and output paths."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, Self, TextIO, TypeVar

from smki_sync.errors import OutputError, UsageError
from smki_sync.text import COLUMNS, visible

if TYPE_CHECKING:
    from smki_sync.config.loader import Config

Json = dict[str, object]
"""One JSON object: text, numbers, booleans, ``None``, lists and objects of these."""


def schema_of(command: str) -> str:
    """Return the schema name of a command's document; its number grows if a field is removed."""
    return f"smki-sync/{command}/1"


_COLOURS: Final = {"green": "\x1b[1;32m", "yellow": "\x1b[1;33m"}
_PLAIN: Final = "\x1b[0m"


def print_text(text: str, *, colour: str = "", end: str = "\n") -> None:
    """Print text for people; ``colour`` is used only on a terminal, and not if NO_COLOR is set."""
    if colour and _is_coloured():
        text = f"{_COLOURS[colour]}{text}{_PLAIN}"
    try:
        sys.stdout.write(text + end)
        sys.stdout.flush()
    except OSError as error:
        abandon_stdout(error)


def print_stream(lines: Iterable[str], *, before: Callable[[], None] = lambda: None) -> None:
    """Print lines as they come, the first without delay; stop if the reader of the pipe has closed it.

    On a terminal, characters that do not print are escaped. ``before`` is called before each line.
    """
    escape = _escape_line if sys.stdout.isatty() else str
    try:
        for number, line in enumerate(lines):
            before()
            sys.stdout.write(escape(line))
            if not number:
                sys.stdout.flush()
        sys.stdout.flush()
    except OSError as error:
        abandon_stdout(error)


def print_json(document: Json) -> None:
    """Print the JSON document of a command."""
    import json  # noqa: PLC0415 - no other output needs it

    print_text(json.dumps(document, indent=2))


def print_message(text: str) -> None:
    """Print text to stderr. A full disk or a closed pipe there does not change the result of the command."""
    with suppress(OSError, ValueError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def print_bytes(content: bytes) -> None:
    """Print bytes unchanged."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError as error:
        abandon_stdout(error)


def open_streams() -> None:
    """Replace standard streams that the calling process has closed."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 - open until the program ends
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: PTH123, SIM115 - as above


def release_streams() -> None:
    """Flush both streams for the last time; an error here must not change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _redirect_to_null(stream)


def _escape_line(line: str) -> str:
    """Escape control characters: a name in a CSV cell could be a command to the terminal."""
    return "\n".join(map(visible, line.split("\n")))


def _is_coloured() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def abandon_stdout(error: OSError) -> None:
    """Do nothing if the reader has closed the pipe; raise :class:`OutputError` for any other error."""
    _redirect_to_null(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        raise OutputError(
            f"Standard output cannot be written: {error.strerror}.",
            hint="The output is incomplete. Check free space and permissions, then run again.",
        ) from error


def _redirect_to_null(stream: TextIO) -> None:
    """Send the rest to the null device, so that the last flush of the interpreter succeeds."""
    with suppress(OSError, ValueError):
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, stream.fileno())
        os.close(handle)


def outside_mirror(path: Path, config: "Config") -> Path:
    """Return ``path``; raises :class:`UsageError` if it is in the mirror directory or is ``-``."""
    if path.name == "-":
        raise UsageError(
            "This command cannot write to standard output (-).",
            hint="Name a file, or use `smki-sync find` or `smki-sync changes`.",
        )
    root = config.need_mirror().resolve()
    if any(place.is_relative_to(root) for place in (path.resolve(), path.parent.resolve() / path.name)):
        raise UsageError(
            f"{path} is in the mirror directory, which only this program may change.",
            hint="Name a path outside it.",
        )
    return path


def check_place(path: Path, *, directory: bool = False) -> Path:
    """Return ``path``; raise as :func:`~smki_sync.files.output_error` if it cannot be written.

    ``directory``: it will be a directory, created with its parents. Tried with an unnamed temporary file.
    """
    from tempfile import TemporaryFile  # noqa: PLC0415 - `show` starts without it

    from smki_sync.files import output_error  # noqa: PLC0415 - as above

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


FIRST_PROGRESS_SECONDS: Final = 1.0
"""A command shows no progress before this time: most are done by then."""
REDRAW_SECONDS: Final = 0.2
"""Time between two updates on a terminal."""
PROGRESS_SECONDS: Final = 30.0
"""Time between two lines of progress if there is no terminal."""
_CLEAR: Final = "\r\x1b[K"


class ProgressCounter:
    """Shows how many rows were read; a context manager that clears its line at the end."""

    def __init__(self, stream: TextIO) -> None:
        """Write to ``stream``."""
        self._stream = stream
        self._counted = "certificates read"
        self._drawn = False
        self._step = REDRAW_SECONDS if stream.isatty() else PROGRESS_SECONDS
        self._next = time.monotonic() + (FIRST_PROGRESS_SECONDS if stream.isatty() else PROGRESS_SECONDS)

    def count(self, what: str) -> None:
        """Set what is counted from now on."""
        self._counted = what

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done; a total of 0 is not known."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._step
        if total:
            self._write(f"{done:,} of {total:,} {self._counted} ({done * 100 // total} %)")
        else:
            self._write(f"{done:,} {self._counted}")

    def _write(self, text: str) -> None:
        terminal = self._stream.isatty()
        self._drawn = terminal
        with suppress(OSError, ValueError):
            self._stream.write(f"{_CLEAR}{text}" if terminal else f"{text}\n")
            self._stream.flush()

    def clear(self) -> None:
        """Clear the line, so that other output can be written."""
        if self._drawn:
            with suppress(OSError, ValueError):
                self._stream.write(_CLEAR)
                self._stream.flush()
            self._drawn = False

    def __enter__(self) -> Self:
        """Start; nothing is shown yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the line."""
        self.clear()


_GAP: Final = "  "
_CUT: Final = "…"
Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """``width`` in characters; ``cell``: returns the text of a row."""

    title: str
    width: int
    cell: Callable[[Row], str]


def choose_columns(text: str, available: Mapping[str, Column[Row]]) -> list[Column[Row]]:
    """Parse the value of --columns: names separated by commas; raises :class:`UsageError`."""
    names = [name.strip().lower() for name in text.split(",")]
    unknown = next((name for name in names if name not in available), None)
    if unknown is not None:
        raise UsageError(
            f"--columns: there is no column {unknown!r:.40}.", hint=f"Choose from {', '.join(available)}."
        )
    return [available[name] for name in names]


def width_here() -> int:
    """Return the width of the terminal in characters; 80 without a terminal."""
    import shutil  # noqa: PLC0415 - `show` starts without it

    return shutil.get_terminal_size(fallback=(COLUMNS, 24)).columns


def table(columns: Iterable[Column[Row]], rows: Iterable[Row], *, width: int) -> Iterator[str]:
    """Yield a header and one line per row; on a narrow terminal the last columns are left out."""
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
