"""A complete downloaded file and its sidecar; reading one that is still arriving."""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Final

from smki_sync.download.partial_file import file_stamp
from smki_sync.errors import SourceUnreachable
from smki_sync.files import open_own_file
from smki_sync.mirror.connection import disk_errors
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile

_READ: Final = 1 << 18  # octets handed on at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadedFile:
    """A file that is here, whole. ``file``: what the ledger will remember of it.

    ``pieces``: runs or connections in which it came.
    """

    file: AppliedFile
    path: Path
    pieces: int = 1

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, in order."""
        return read_chunks(self.path)

    def set_aside(self) -> None:
        """It is damaged: keep it as evidence, ``NAME.bad``, and fetch it again next time.

        A full that came in one piece stays as it is: as long as size and time on offer are the same, another
        transfer of that size would bring the same bytes (Appendix P: one full a week). In several pieces it
        may be put together of two files of the same size and time, and is no evidence of anything: it is
        removed.
        """
        if self.file.extract.kind is ExtractKind.DELTA:
            with disk_errors(self.path):
                self.path.replace(self.path.with_name(self.path.name + ".bad"))
                sidecar_of(self.path).unlink(missing_ok=True)
        elif self.pieces > 1:
            self.remove()

    def remove(self) -> None:
        """It is applied and no longer needed."""
        with disk_errors(self.path):
            self.path.unlink(missing_ok=True)
            sidecar_of(self.path).unlink(missing_ok=True)


def read_chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file on this disk, in order."""
    with disk_errors(path), path.open("rb") as handle:
        while chunk := handle.read(_READ):
            yield chunk


def hold_downloaded(path: Path, extract: Extract) -> DownloadedFile | None:
    """What an earlier run fetched and did not come to apply, if it is still the same file and intact."""
    try:
        card = json.loads(sidecar_of(path).read_text())
        pieces = int(card.get("pieces", 1))
        with path.open("rb") as handle:
            found = file_digest(handle, "sha256").hexdigest()
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    file = AppliedFile(extract=extract, size=extract.size, sha256=found)
    fetched = DownloadedFile(file=file, path=path, pieces=pieces)
    return fetched if card == _particulars(fetched) else None


def leftover_files(path: Path, known: Collection[AppliedFile]) -> DownloadedFile | None:
    """A file that an earlier run has applied, if it is one of ``known`` of its name and intact."""
    if not known or not path.is_file():
        return None
    with disk_errors(path), path.open("rb") as handle:
        found = file_digest(handle, "sha256").hexdigest()
    return next((DownloadedFile(file=file, path=path) for file in known if file.sha256 == found), None)


def write_sidecar(fetched: DownloadedFile) -> None:
    """Say beside the file what it is, before it takes its name."""
    handle = open_own_file(sidecar_of(fetched.path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(handle, "w", encoding="utf-8") as card:
        json.dump(_particulars(fetched), card)
        card.flush()
        os.fsync(card.fileno())


def _particulars(fetched: DownloadedFile) -> dict[str, object]:
    file = fetched.file
    stamp = file_stamp(file.extract)
    return {"size": file.size, "modified": stamp, "sha256": file.sha256, "pieces": fetched.pieces}


def sidecar_of(path: Path) -> Path:
    """The card of the file at ``path``."""
    return path.with_name(path.name + ".json")


_READ_FOLLOW: Final = 1 << 18


def read_growing_file(part: Path, marks: Iterable[int]) -> Iterator[bytes]:
    """Give the bytes of ``part`` up to each mark as it comes; ends with the marks.

    The file may take its final name meanwhile. Raises ``SourceUnreachable`` (``changed-while-fetched``)
    where the marks begin anew: what was given so far belongs to another file.
    """
    at = 0
    # Without a buffer: one would read beyond the mark, and there a second session has left a hole for now.
    with disk_errors(part), part.open("rb", buffering=0) as file:
        for mark in marks:
            if mark < at:
                raise SourceUnreachable(
                    f"{part.name} was begun anew while it was read",
                    hint="Read it again from its beginning.",
                    code="changed-while-fetched",
                )
            while at < mark and (data := file.read(min(_READ_FOLLOW, mark - at))):
                at += len(data)
                yield data
