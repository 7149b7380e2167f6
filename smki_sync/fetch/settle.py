"""Whether a file on offer is published, or still on its way to the Repository's own disk.

For: a file of hours ago costs nothing. One that changed a moment ago is looked at once more after it was
fetched: size and time must be the same in both looks, and where its gz data does not end well the second
look waits as long as the file had been quiet. One that changes is waited for, for a while. Refuses: to judge
a file that does not change; the reader does, and says what is wrong with it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from smki_sync.download.local_file import chunks_of
from smki_sync.errors import BadExtract, SourceMissing, SourceUnreachable
from smki_sync.events import Listener, Waiting
from smki_sync.fetch.terms import MIB, Terms
from smki_sync.model.extract import Extract, RemoteFile
from smki_sync.reader.gzip_stream import MAGIC, Gunzip
from smki_sync.reader.limits import ReaderLimits
from smki_sync.sources.base import Source

LOOK_SECONDS: Final = 15.0
"""Between two looks at a file that changes: uploads write more often than that."""

SHORTEST_LOOK: Final = 0.05
"""Seconds; the shortest pause before a second look."""

PROVE_BYTES: Final = 64 * MIB
"""Largest .gz whose checksum is worked out before it counts as published: a third of a second. A larger one
took long enough to fetch for the second look to tell."""


def same(listed: RemoteFile, extract: Extract) -> bool:
    """Whether a look shows the file that was on offer."""
    return (listed.size, listed.modified) == (extract.size, extract.modified)


def find(source: Source, name: str) -> RemoteFile:
    """Look at one file again; raises ``SourceMissing`` where it has gone."""
    for listed in source.fetch_listing():
        if listed.name == name:
            return listed
    raise SourceMissing(
        f"{name} was on offer at {source.title} and has gone", hint="The next run sees what is there then."
    )


def changed(extract: Extract, what: str) -> SourceUnreachable:
    """Word that a file is not the one that was listed."""
    return SourceUnreachable(
        f"{extract.name} {what} where the listing said {extract.size}",
        hint="It was replaced or is still being written; the next run looks again.",
        code="changed-while-fetched",
    )


def check_settled(source: Source, extract: Extract, part: Path, terms: Terms) -> None:
    """Look again at a young file; raises ``changed-while-fetched`` where it changes."""
    age = _age(extract, terms)
    if abs(age) >= terms.young:
        return
    if not _ends_well(part, extract):
        terms.sleep(min(max(abs(age), SHORTEST_LOOK), LOOK_SECONDS))
    listed = find(source, extract.name)
    if not same(listed, extract):
        raise changed(extract, f"has grown or was replaced: it is listed with {listed.size} bytes")


def _age(extract: Extract, terms: Terms) -> float:
    """Seconds since the file changed; none where nobody knows, which is taken for now."""
    return (terms.clock() - extract.modified).total_seconds() if extract.modified else 0.0


def _ends_well(part: Path, extract: Extract) -> bool:
    """Whether the gz data looks whole: its checksums are right, or it is too large to look at all of it."""
    if extract.size > PROVE_BYTES:
        with part.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    try:
        for _ in Gunzip(chunks_of(part), name=extract.name, limits=ReaderLimits()):
            pass
    except BadExtract:
        return False
    return True


@dataclass(slots=True, kw_only=True)
class Settling:
    """Waits for a file that changes. ``waited``: seconds so far, over all waits for this file."""

    terms: Terms
    hear: Listener
    waited: float = 0.0

    def wait(self, source: Source, extract: Extract, error: SourceUnreachable) -> Extract:
        """Wait until two looks agree; the extract as it is listed then.

        Raises ``error`` again, with how long it was waited for, once ``Terms.changing`` is over.
        """
        last = find(source, extract.name)
        while self.waited < self.terms.changing:
            pause = min(LOOK_SECONDS, self.terms.changing - self.waited)
            self.hear.hear(Waiting(file=extract.name, message=error.message, pause=round(pause, 1)))
            self.terms.sleep(pause)
            self.waited += pause
            listed = find(source, extract.name)
            if listed == last:
                return replace(extract, size=listed.size, modified=listed.modified)
            last = listed
        if not self.waited:
            raise error
        raise SourceUnreachable(
            f"{error.message}; it was waited for {self.waited:.0f} s", hint=error.hint, code=error.reason
        ) from error
