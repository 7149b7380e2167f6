"""The published directory: names, dates, atomic publication, removal.

For: a directory that a client may read at any moment without seeing a file half written. Refuses: to
touch a name that it was not told.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from smki_sync.model.extract import ExtractKind

HIDDEN = ".simulator"
"""Where the simulator keeps what is not published; files are written there and then moved."""

ARL = "SMKIKR_ARL.crl.gz"
CRL = "SMKIKR_CRL.crl.gz"
ANCHORS_NORTH = "SMKIKR_ANCHOR_SLOTS_NORTH.xml.gz"
ANCHORS_CENTRAL_SOUTH = "SMKIKR_ANCHOR_SLOTS_CENTRAL_SOUTH.xml.gz"
TEMPORARY = ".part"

_STEMS = {ExtractKind.FULL: "SMKIKR_FULL_", ExtractKind.DELTA: "SMKIKR_DELT_"}
_NAME = re.compile(r"SMKIKR_(?:FULL|DELT)_(\d{4}-\d\d-\d\d)\.xml\.gz")


def extract_name(kind: ExtractKind, day: date) -> str:
    """The name of a full or a delta (Appendix O 2.3.3)."""
    return f"{_STEMS[kind]}{day.isoformat()}.xml.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The directory at ``path``; publishing needs its hidden directory."""

    path: Path

    def put(self, name: str, chunks: Iterable[bytes], modified: int) -> None:
        """Publish a file in one step. ``modified``: its time stamp, seconds since 1970."""
        aside = self.path / HIDDEN / f"{name}.aside"
        with aside.open("wb") as file:
            file.writelines(chunks)
        os.utime(aside, (modified, modified))
        aside.replace(self.path / name)

    def read(self, name: str) -> bytes:
        """A published file whole; ``FileNotFoundError`` where it is not there."""
        return (self.path / name).read_bytes()

    def remove(self, name: str) -> None:
        """Take a file away; ``FileNotFoundError`` where it is not there."""
        (self.path / name).unlink()

    def names(self) -> tuple[str, ...]:
        """What is published, in order."""
        return tuple(sorted(p.name for p in self.path.iterdir() if p.is_file() and p.name[0] != "."))

    def days(self, kind: ExtractKind) -> tuple[date, ...]:
        """Dates of the published fulls or deltas, the oldest first."""
        found = []
        for name in self.names():
            match = _NAME.fullmatch(name)
            if match and name.startswith(_STEMS[kind]):
                with suppress(ValueError):  # 30 February, published as a fault
                    found.append(date.fromisoformat(match[1]))
        return tuple(sorted(found))
