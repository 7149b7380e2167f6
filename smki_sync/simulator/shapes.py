"""The form of a whole file: XML and container together, chosen by name.

For: ``shapes="plain"`` (as in the DCC's own samples) and ``shapes="every"`` (another form for each
file). Refuses: to write.
"""

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import assert_never

from smki_sync.simulator import gz, xmlshape
from smki_sync.simulator.gz import GzShape
from smki_sync.simulator.xmlshape import XmlShape


class Shapes(StrEnum):
    """Which forms the files of a repository have."""

    PLAIN = "plain"
    EVERY = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShape:
    """The form of one file."""

    xml: XmlShape
    gz: GzShape


def shape_for(shapes: Shapes, rng: Random) -> FileShape:
    """The form of a file whose random source is given."""
    match shapes:
        case Shapes.PLAIN:
            return FileShape(xml=XmlShape(), gz=GzShape())
        case Shapes.EVERY:
            return FileShape(xml=xmlshape.any_shape(rng), gz=gz.any_shape(rng))
        case never:
            assert_never(never)
