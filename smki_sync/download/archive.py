"""Archive of applied extracts: the latest fulls and every delta after them.

Each file has its name in the Repository and a checksum file ``NAME.sha256`` in the format of sha256sum, so an
archive is an ordinary source (``file:///…``). A file gets its name in the archive when it is complete and its
checksum file exists. Until then it also stays in the download directory, so a killed run can repeat the step.
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
from smki_sync.files import disk_errors, sync_directory
from smki_sync.model.extract import Extract, RemoteFile
from smki_sync.sources.checksum_file import SIDECAR

_PART: Final = ".part"
"""Suffix of a file that is not complete; its name also starts with a dot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A directory of extracts. ``keep_fulls``: how many fulls to keep, with the deltas after them.

    ``overlap_days``: deltas dated this many days before a full belong to it (MP147).
    """

    path: Path
    keep_fulls: int
    names: FileNames
    overlap_days: int

    def keep(self, downloaded: DownloadedFile) -> None:
        """Add an applied file; the original stays where it is.

        Raises :class:`MirrorNotWritable`; the previous content of the archive is then unchanged.
        """
        target = self.path / downloaded.path.name
        sidecar = self.path / f"{target.name}{SIDECAR}"
        with disk_errors(self.path):
            self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
            with _atomic_target(target) as file:
                _link_or_copy(downloaded.path, file)
                with _atomic_target(sidecar) as checksum:
                    checksum.write_text(f"{downloaded.file.sha256}  {target.name}\n")
            sync_directory(self.path)

    def prune(self) -> tuple[Path, ...]:
        """Delete fulls beyond ``keep_fulls``, and the deltas that only those need.

        Without any full, every delta stays: it continues an existing mirror. Unfinished files of a killed run
        are deleted too.
        """
        fulls, deltas = self._extracts()
        kept = fulls[-self.keep_fulls :]
        first = kept[0].day - timedelta(days=self.overlap_days) if kept else date.min
        expired = [
            *(full for full in fulls if full not in kept),
            *(delta for delta in deltas if delta.day < first),
        ]
        with disk_errors(self.path):
            for unfinished in self._unfinished():
                unfinished.unlink(missing_ok=True)
            for extract in expired:  # the checksum first: a file without one is found again by the next run
                (self.path / f"{extract.name}{SIDECAR}").unlink(missing_ok=True)
                (self.path / extract.name).unlink(missing_ok=True)
        return tuple(self.path / extract.name for extract in expired)

    def _extracts(self) -> tuple[list[Extract], list[Extract]]:
        with disk_errors(self.path):
            files = [RemoteFile(name=path.name, size=path.stat().st_size) for path in self._files()]
        catalogue = read_catalogue(files, self.names)
        return [*catalogue.fulls], [*catalogue.deltas]

    def _files(self) -> list[Path]:
        return [path for path in self.path.iterdir() if path.is_file()] if self.path.is_dir() else []

    def _unfinished(self) -> Iterator[Path]:
        """Find temporary files of extracts and of their checksum files."""
        for path in self._files():
            name = path.name.removeprefix(".").removesuffix(_PART).removesuffix(SIDECAR)
            catalogue = read_catalogue([RemoteFile(name=name, size=1)], self.names)
            is_temporary = path.name in (f".{name}{_PART}", f".{name}{SIDECAR}{_PART}")
            if is_temporary and (catalogue.fulls or catalogue.deltas):
                yield path


@contextmanager
def _atomic_target(target: Path) -> Iterator[Path]:
    """Give a temporary path that is renamed to ``target``, durably, when the block ends without an error."""
    temporary = target.with_name(f".{target.name}{_PART}")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # also if it was a link to the target: then replace() did nothing


def _link_or_copy(source: Path, target: Path) -> None:
    """Link a file; copy it if the target is on another file system, or on one without links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
