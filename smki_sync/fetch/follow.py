"""The bytes of a file while it is still coming in, no further than they are there in order.

For: whoever reads a full before the last byte is here. :attr:`Terms.came` says how far; what it says goes,
by whatever way the reader has, into ``marks``. Refuses: to vouch for the file: its trailer, and whether the
Repository has it still, is known only at the end.

    for data in follow(part, marks): ...
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from smki_sync.errors import SourceUnreachable
from smki_sync.mirror.connection import named

_READ: Final = 1 << 18


def follow(part: Path, marks: Iterable[int]) -> Iterator[bytes]:
    """Give the bytes of ``part`` up to each mark as it comes; ends with the marks.

    The file may take its final name meanwhile. Raises ``SourceUnreachable`` (``changed-while-fetched``)
    where the marks begin anew: what was given so far belongs to another file.
    """
    at = 0
    # Without a buffer: one would read beyond the mark, and there a second session has left a hole for now.
    with named(part), part.open("rb", buffering=0) as file:
        for mark in marks:
            if mark < at:
                raise SourceUnreachable(
                    f"{part.name} was begun anew while it was read",
                    hint="Read it again from its beginning.",
                    code="changed-while-fetched",
                )
            while at < mark and (data := file.read(min(_READ, mark - at))):
                at += len(data)
                yield data
