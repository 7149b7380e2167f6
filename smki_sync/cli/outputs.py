"""Where files for others may go.

For: every command that writes a file where it is told to, asked before the work and not after it. Refuses:
the mirror directory, where a report or a copy would take the place of the mirror itself, and a place where
nothing can be made.
"""

from pathlib import Path
from tempfile import TemporaryFile

from smki_sync.config.whole import Config
from smki_sync.errors import UsageError


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
    """``path``, unless nothing can be made there: :class:`UsageError` (``output-not-writable``).

    ``directory``: it is to be a directory, made with those above it. Tried with a file that has no name.
    """
    place = path.parent
    try:
        if directory:
            place = next(one for one in (path, *path.absolute().parents) if one.exists())
        elif path.is_dir():
            raise IsADirectoryError(None, "it is a directory")
        with TemporaryFile(dir=place):
            return path
    except OSError as exc:
        raise UsageError(
            f"{path} cannot be written: {exc.strerror}",
            hint="Name a place in a directory that exists, and that this user may write to.",
            code="output-not-writable",
        ) from exc
