"""Several sources as one: each file comes from the first that offers it.

For: a Party that keeps an archive, or is lent one: what has left the seven-day window of the Repository may
still be there. Refuses: to hide that a source could not be reached; :attr:`Several.unreached` says which,
and a run that could not ask the Repository never counts as current.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from smki_sync.errors import SourceError, SourceMissing, SourceRefused
from smki_sync.model.extract import RemoteFile
from smki_sync.sources.base import Chunks, OpenSource, Source


@dataclass(slots=True)
class Ring:
    """The sources of a run, in the order in which they are tried, and what became of them.

    ``origins``: which source a listed file comes from, by their numbers; it outlives a connection.
    ``unreached``: the fault of each source that could not be asked, by its number.
    """

    openers: Sequence[OpenSource]
    origins: dict[str, int] = field(default_factory=dict)
    unreached: dict[int, SourceError] = field(default_factory=dict)

    def open(self) -> "Several":
        """One source that stands for all of them."""
        return Several(self)


class Several:
    """A :class:`~smki_sync.sources.base.Source` made of several."""

    def __init__(self, ring: Ring) -> None:
        """Remember which; nothing is opened before entering."""
        self._ring = ring
        self._open: dict[int, Source] = {}

    @property
    def title(self) -> str:
        """All of them, in order."""
        return ", else ".join(opener().title for opener in self._ring.openers)

    def __enter__(self) -> Self:
        """Connect to each; raises the first one's fault where none can be reached.

        A refusal of the first stands at once: no archive makes up for a wrong key (exit code 5).
        """
        self._ring.unreached.clear()
        for number, opener in enumerate(self._ring.openers):
            try:
                self._open[number] = opener().__enter__()
            except SourceError as error:
                if number == 0 and isinstance(error, SourceRefused):
                    raise
                self._ring.unreached[number] = error
        if not self._open:
            raise self._ring.unreached[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close each."""
        while self._open:
            _, source = self._open.popitem()
            source.__exit__(kind, error, trace)

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """What any of them offers; of a name that several offer, what the first of them has."""
        files: dict[str, RemoteFile] = {}
        for number, source in sorted(self._open.items()):
            for file in self._list(number, source):
                if file.name not in files:
                    self._ring.origins[file.name] = number
                    files[file.name] = replace(file, origin=source.title)
        if not files and self._ring.unreached:
            raise next(iter(self._ring.unreached.values()))
        return tuple(files[name] for name in sorted(files))

    def _list(self, number: int, source: Source) -> Iterator[RemoteFile]:
        try:
            yield from source.fetch_listing()
        except SourceError as error:  # an archive that is not plugged in shows itself only here
            self._ring.unreached[number] = error

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file of the source that was listed with it."""
        number = self._ring.origins.get(name)
        if number not in self._open:
            raise SourceMissing(f"{name} is not on offer at {self.title}")
        return self._open[number].fetch(name, offset=offset)
