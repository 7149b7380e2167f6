"""Extracts that were applied, kept: the last fulls with every delta after them.

For: a Party that wants to be able to come back without the Repository, or to a day of its own choice. Each
file lies under the name that the Repository gave it, with ``NAME.sha256`` beside it as sha256sum writes it,
so an archive is a source like any other (``file:///…``). Refuses: to keep what was not applied, and to
remove anything that it does not know by name.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from smki_sync.catalogue import Names, read_catalogue
from smki_sync.fetch import Fetched
from smki_sync.mirror.directory import sync_directory
from smki_sync.mirror.faults import named
from smki_sync.model.extract import Extract, RemoteFile
from smki_sync.sources.directory import SIDECAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A directory of extracts. ``keep_fulls``: so many fulls stay, and what is needed to go on from them.

    ``overlap_days``: deltas dated so long before a full belong to it (MP147).
    """

    path: Path
    keep_fulls: int
    names: Names
    overlap_days: int

    def keep(self, fetched: Fetched) -> None:
        """Take over a file that was applied; raises :class:`MirrorNotWritable` where that fails."""
        name, target = fetched.path.name, self.path / fetched.path.name
        with named(self.path):
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            aside = self.path / f".{name}.part"
            _move(fetched.path, aside)
            _write(self.path / f"{name}{SIDECAR}", f"{fetched.file.sha256}  {name}\n")
            aside.replace(target)
            sync_directory(self.path)
        fetched.remove()

    def prune(self) -> tuple[Path, ...]:
        """Remove fulls beyond the number that is kept, and the deltas that lead only from those."""
        fulls, deltas = self._extracts()
        kept = fulls[-self.keep_fulls :] if self.keep_fulls else []
        first = min((full.day for full in kept), default=date.max) - timedelta(days=self.overlap_days)
        gone = [
            *(full for full in fulls if full not in kept),
            *(delta for delta in deltas if delta.day < first),
        ]
        with named(self.path):
            for extract in gone:
                (self.path / extract.name).unlink(missing_ok=True)
                (self.path / f"{extract.name}{SIDECAR}").unlink(missing_ok=True)
        return tuple(self.path / extract.name for extract in gone)

    def _extracts(self) -> tuple[list[Extract], list[Extract]]:
        with named(self.path):
            paths = [path for path in self.path.iterdir() if path.is_file()] if self.path.is_dir() else []
            files = [RemoteFile(name=path.name, size=path.stat().st_size) for path in paths]
        found = read_catalogue(files, self.names)
        return [*found.fulls], [*found.deltas]


def _move(source: Path, target: Path) -> None:
    """Move a file, also to another file system; durable when it returns."""
    shutil.move(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
