"""A complete downloaded file and its sidecar; reading one that is still arriving."""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Final

from smki_sync.download.partial_file import timestamp_of
from smki_sync.errors import SourceUnreachable
from smki_sync.files import disk_errors, open_own_file
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile

_READ_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadedFile:
    """A complete file on this disk. ``file``: what the ledger records about it.

    ``pieces``: the number of runs or connections in which it arrived.
    """

    file: AppliedFile
    path: Path
    pieces: int = 1

    def chunks(self) -> Iterator[bytes]:
        """Read it in order."""
        return read_chunks(self.path)

    def quarantine(self) -> None:
        """Handle a damaged file.

        A delta is renamed to ``NAME.bad``, and the next run downloads it again. A full that arrived in one
        piece stays: while its listed size and time are the same, another download would bring the same bytes
        (Appendix P: one full a week). A full in several pieces may be a mixture of two files of the same size
        and time. It proves nothing, and is deleted.
        """
        if self.file.extract.kind is ExtractKind.DELTA:
            with disk_errors(self.path):
                self.path.replace(self.path.with_name(self.path.name + ".bad"))
                sidecar_of(self.path).unlink(missing_ok=True)
        elif self.pieces > 1:
            self.remove()

    def remove(self) -> None:
        """Delete it and its sidecar."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)
            sidecar_of(self.path).unlink(missing_ok=True)


def read_chunks(path: Path) -> Iterator[bytes]:
    """Read a local file in order."""
    with disk_errors(path), path.open("rb") as handle:
        while chunk := handle.read(_READ_BYTES):
            yield chunk


def find_downloaded(path: Path, extract: Extract) -> DownloadedFile | None:
    """Return the file of an earlier run, if it is the listed version and intact."""
    try:
        sidecar = json.loads(sidecar_of(path).read_text())
        pieces = int(sidecar.get("pieces", 1))
        with path.open("rb") as handle:
            digest = file_digest(handle, "sha256").hexdigest()
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    file = AppliedFile(extract=extract, size=extract.size, sha256=digest)
    downloaded = DownloadedFile(file=file, path=path, pieces=pieces)
    return downloaded if sidecar == _sidecar_content(downloaded) else None


def find_leftover(path: Path, applied: Collection[AppliedFile]) -> DownloadedFile | None:
    """Return the file at ``path`` if it is one of the ``applied`` files of its name, and intact."""
    if not applied or not path.is_file():
        return None
    with disk_errors(path), path.open("rb") as handle:
        digest = file_digest(handle, "sha256").hexdigest()
    return next((DownloadedFile(file=file, path=path) for file in applied if file.sha256 == digest), None)


def write_sidecar(downloaded: DownloadedFile) -> None:
    """Write the sidecar, durably, before the file gets its final name."""
    handle = open_own_file(sidecar_of(downloaded.path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(handle, "w", encoding="utf-8") as sidecar:
        json.dump(_sidecar_content(downloaded), sidecar)
        sidecar.flush()
        os.fsync(sidecar.fileno())


def _sidecar_content(downloaded: DownloadedFile) -> dict[str, object]:
    file = downloaded.file
    modified = timestamp_of(file.extract)
    return {"size": file.size, "modified": modified, "sha256": file.sha256, "pieces": downloaded.pieces}


def sidecar_of(path: Path) -> Path:
    """Return the path of the sidecar of the file at ``path``."""
    return path.with_name(path.name + ".json")


def read_growing_file(part: Path, positions: Iterable[int]) -> Iterator[bytes]:
    """Read ``part`` up to each position as it arrives; ends with the positions.

    The file may get its final name meanwhile. Raises ``SourceUnreachable`` (``changed-while-fetched``) if a
    position is lower than the one before: the download restarted, and the bytes so far are of another file.
    """
    at = 0
    # Unbuffered: a buffer would read beyond the position, where a download that restarts writes again.
    with disk_errors(part), part.open("rb", buffering=0) as file:
        for position in positions:
            if position < at:
                raise SourceUnreachable(
                    f"The download of {part.name} restarted while the file was being read",
                    hint="Read the file again from the beginning.",
                    code="changed-while-fetched",
                )
            while at < position and (data := file.read(min(_READ_BYTES, position - at))):
                at += len(data)
                yield data
