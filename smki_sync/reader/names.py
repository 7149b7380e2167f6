"""The names that an XML makes the library remember: how many, found out by looks at a few of its steps.

For: a bound that the library does not have. It keeps every distinct name of an element, an attribute, a
namespace or a processing instruction, and every distinct run of white space between two tags, for as long as
the process lives; an extract has some twenty of them. To look at each step would take half as long again as
reading it, so one in :data:`ONE_IN` is looked at, chosen by chance, that nobody can write around the looks.
Refuses: to keep a name: what is seen is counted by its hash.
"""

import re
from collections.abc import Iterator
from random import Random
from typing import Final

from lxml.etree import _Element

from smki_sync.model.faults import Fault, bad_extract

ONE_IN: Final = 32
"""Steps of 64 KiB for each that is looked at: the looks take 2 % of the time."""

LONG: Final = 64
"""Characters of a name that count as one name: a longer one counts once for each 64 of them."""

SPACES: Final = 60
"""Characters of white space from which the library does not remember it (libxml2, xmlSAX2TextNode)."""

_INSTRUCTION: Final = re.compile(rb"<\?([^\s?]{1,256})")
_NUL: Final = b"\0"


class Names:
    """The distinct names of one file. ``count``: how many it has, put at :data:`ONE_IN` times those seen."""

    def __init__(self, *, name: str, limit: int) -> None:
        """Allow ``limit`` names; ``name`` of the file is for messages."""
        self._name = name
        self._limit = limit
        self._chance = Random()  # noqa: S311 - no secret: it need only not be known to who writes the file
        self._seen: set[int] = set()
        self.count = 0

    def look(self, root: _Element, step: bytes) -> None:
        """Look at a step, or not; ``root``: with all that stands below it now. Raises ``BadExtract``."""
        if self._chance.randrange(ONE_IN):
            return
        for found in _names_in(root, step):
            mark = hash(found)
            if mark not in self._seen:
                self._seen.add(mark)
                self.count += ONE_IN * (1 + len(found) // LONG)
        if self.count > self._limit:
            what = f"it has more than {self._limit} distinct names of elements, attributes or namespaces"
            raise bad_extract(Fault.TOO_MANY_NAMES, self._name, what)


def _names_in(root: _Element, step: bytes) -> Iterator[str | bytes]:
    """All that the library has to remember of a step, some of it several times."""
    plain = step.replace(_NUL, b"")  # what it finds is ASCII, in UTF-16 too
    yield from _INSTRUCTION.findall(plain)
    declares_namespaces = b"xmlns" in plain
    for element in root.iter():
        for name in (element.tag, *element.attrib):
            yield from name.removeprefix("{").split("}")
        for text in (element.text, element.tail):
            if text and len(text) < SPACES and text.isspace():
                yield text
        if declares_namespaces:
            yield from (word for pair in element.nsmap.items() for word in pair if word)
