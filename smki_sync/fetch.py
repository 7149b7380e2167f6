"""Bring one file from a source onto this disk, whole, hashed and durable, or not at all.

For: the deeds, which read extracts only from here, so that a slow reader never holds a server's
session and a transfer is never repeated for a fault in applying. A file is written as ``NAME.part``
and renamed when as many bytes have come as the listing stated; beside it ``NAME.json`` says what it is,
and a later run that finds both intact does not fetch again. Refuses: to look into a file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import file_digest, sha256
from os import fsync
from pathlib import Path
from typing import Final

from smki_sync.errors import SourceUnreachable
from smki_sync.events import Detail, Fetching, Listener
from smki_sync.mirror.directory import sync_directory
from smki_sync.mirror.faults import named
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile
from smki_sync.sources.base import Chunks, Source

_READ: Final = 1 << 18  # octets handed on at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that is here, whole. ``file``: what the ledger will remember of it."""

    file: AppliedFile
    path: Path

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, in order."""
        return chunks_of(self.path)

    def set_aside(self) -> None:
        """It is damaged: keep it as evidence, ``NAME.bad``, and fetch it again next time.

        A full stays as it is: as long as size and time on offer are the same, another transfer of that
        size would bring the same bytes (Appendix P: one full a week).
        """
        if self.file.extract.kind is ExtractKind.DELTA:
            with named(self.path):
                self.path.replace(self.path.with_name(self.path.name + ".bad"))
                _card(self.path).unlink(missing_ok=True)

    def remove(self) -> None:
        """It is applied and no longer needed."""
        with named(self.path):
            self.path.unlink(missing_ok=True)
            _card(self.path).unlink(missing_ok=True)


def chunks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a file on this disk, in order."""
    with named(path), path.open("rb") as handle:
        while chunk := handle.read(_READ):
            yield chunk


def fetch(source: Source, extract: Extract, directory: Path, hear: Listener) -> Fetched:
    """Fetch one extract into ``directory``, unless an earlier run left it there intact.

    Raises what the source raises, and :class:`SourceUnreachable` (``changed-while-fetched``) where
    another number of bytes came than the listing stated.
    """
    path = directory / extract.name
    held = _held(path, extract)
    if held:
        hear.hear(Detail(text=f"{extract.name} is here already, SHA-256 {held.file.sha256}"))
        return held
    part = path.with_name(path.name + ".part")
    with source.fetch(extract.name) as chunks:
        digest = _write(part, chunks, extract, hear)
    fetched = Fetched(file=AppliedFile(extract=extract, size=extract.size, sha256=digest), path=path)
    with named(path):
        _card(path).write_text(json.dumps(_particulars(fetched.file)))
        part.replace(path)
        sync_directory(directory)
    return fetched


def _write(part: Path, chunks: Chunks, extract: Extract, hear: Listener) -> str:
    digest, done = sha256(), 0
    with named(part), part.open("wb") as handle:
        for chunk in chunks:
            handle.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if done > extract.size:
                break
            hear.hear(Fetching(file=extract.name, done=done, size=extract.size))
        handle.flush()
        fsync(handle.fileno())
    if done != extract.size:
        raise SourceUnreachable(
            f"{extract.name} gave {_or_more(done, extract.size)} where the listing said {extract.size}",
            hint="It was replaced or is still being written; the next run looks again.",
            code="changed-while-fetched",
        )
    return digest.hexdigest()


def _or_more(done: int, size: int) -> str:
    return f"{done} bytes or more" if done > size else f"{done} bytes"


def _held(path: Path, extract: Extract) -> Fetched | None:
    """What an earlier run fetched and did not come to apply, if it is still the same file."""
    try:
        card = json.loads(_card(path).read_text())
        with path.open("rb") as handle:
            found = file_digest(handle, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
    file = AppliedFile(extract=extract, size=extract.size, sha256=found)
    return Fetched(file=file, path=path) if card == _particulars(file) else None


def _particulars(file: AppliedFile) -> dict[str, object]:
    stamp = file.extract.modified
    return {"size": file.size, "modified": stamp.isoformat() if stamp else None, "sha256": file.sha256}


def _card(path: Path) -> Path:
    return path.with_name(path.name + ".json")
