"""Extracts that were applied, kept: the last fulls with every delta after them.

For: a Party that wants to be able to come back without the Repository, or to a day of its own choice. Each
file lies under the name that the Repository gave it, with ``NAME.sha256`` beside it as sha256sum writes it,
so an archive is a source like any other (``file:///…``). A file gets its name there when it is whole and
its hash is stated; until then it stays where it was, so whoever is killed in between can do it again.
Refuses: to keep what was not applied, and to remove anything that it does not know by name.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from smki_sync.catalogue import FileNames, read_catalogue
from smki_sync.download import DownloadedFile
from smki_sync.files import sync_directory
from smki_sync.mirror.connection import disk_errors
from smki_sync.model.extract import Extract, RemoteFile
from smki_sync.sources.directory import SIDECAR

_PART: Final = ".part"
"""Behind the name of a file that is not whole yet; a dot stands before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A directory of extracts. ``keep_fulls``: so many fulls stay, and what is needed to go on from them.

    ``overlap_days``: deltas dated so long before a full belong to it (MP147).
    """

    path: Path
    keep_fulls: int
    names: FileNames
    overlap_days: int

    def keep(self, fetched: DownloadedFile) -> None:
        """Take a file that was applied into the archive; where it was, it stays.

        Raises :class:`MirrorNotWritable` where that fails; what the archive had before is whole.
        """
        target = self.path / fetched.path.name
        stated = self.path / f"{target.name}{SIDECAR}"
        with disk_errors(self.path):
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            with _made_aside(target) as file:
                _bring(fetched.path, file)
                with _made_aside(stated) as sidecar:
                    sidecar.write_text(f"{fetched.file.sha256}  {target.name}\n")
            sync_directory(self.path)

    def prune(self) -> tuple[Path, ...]:
        """Remove fulls beyond the number that is kept, and the deltas that lead only from those.

        Before there is a full, every delta stays: it leads on from whatever mirror somebody has.
        What a run that was killed has left half made goes too.
        """
        fulls, deltas = self._extracts()
        kept = fulls[-self.keep_fulls :]
        first = kept[0].day - timedelta(days=self.overlap_days) if kept else date.min
        gone = [
            *(full for full in fulls if full not in kept),
            *(delta for delta in deltas if delta.day < first),
        ]
        with disk_errors(self.path):
            for half in self._half_made():
                half.unlink(missing_ok=True)
            for extract in gone:  # the hash first: a file without one is found again, and not the reverse
                (self.path / f"{extract.name}{SIDECAR}").unlink(missing_ok=True)
                (self.path / extract.name).unlink(missing_ok=True)
        return tuple(self.path / extract.name for extract in gone)

    def _extracts(self) -> tuple[list[Extract], list[Extract]]:
        with disk_errors(self.path):
            files = [RemoteFile(name=path.name, size=path.stat().st_size) for path in self._files()]
        found = read_catalogue(files, self.names)
        return [*found.fulls], [*found.deltas]

    def _files(self) -> list[Path]:
        return [path for path in self.path.iterdir() if path.is_file()] if self.path.is_dir() else []

    def _half_made(self) -> Iterator[Path]:
        """What is under way to the name of an extract, or of its sidecar."""
        for path in self._files():
            name = path.name.removeprefix(".").removesuffix(_PART).removesuffix(SIDECAR)
            found = read_catalogue([RemoteFile(name=name, size=1)], self.names)
            if path.name in (f".{name}{_PART}", f".{name}{SIDECAR}{_PART}") and (found.fulls or found.deltas):
                yield path


@contextmanager
def _made_aside(target: Path) -> Iterator[Path]:
    """A path beside ``target`` that takes its name when the block ends, durably, or is gone."""
    aside = target.with_name(f".{target.name}{_PART}")
    aside.unlink(missing_ok=True)
    try:
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)  # also where it was another name of the target: then nothing moves


def _bring(source: Path, aside: Path) -> None:
    """Give a file a second name; a copy where another file system, or one without links, is in between."""
    try:
        aside.hardlink_to(source)
    except OSError:
        shutil.copy2(source, aside)
