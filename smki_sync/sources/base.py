"""The protocol of every source of extracts, and the limits on what one may send.

For: one shape for SFTP, a directory, the simulator and a test's fake, held by one contract suite
(``tests/sources/contract.py``). A source speaks of files; it knows nothing of fulls, deltas or
dates. Refuses: to write, to retry a refused login, to follow a name out of its directory.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from smki_sync.model.extract import RemoteFile

Chunks = Iterator[bytes]
"""The bytes of a file in order, in chunks of any size above zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long to wait for a source and how much to take from it. Times in seconds.

    ``connect``: until TCP stands. ``banner``: until the server names itself. ``login``: until keys are
    agreed and it has said yes or no. ``stall``: without a single byte. ``total``: for one file; 0 is without
    end. ``slow_rate``: the fewest bytes a second, over ``slow_period`` seconds of waiting; 0 is none.
    ``keep_alive``: between signs of life on an idle line; 0 is none. ``entries``: in one listing.
    ``name_length``: of one name, in characters.
    """

    connect: float = 30.0
    banner: float = 30.0
    login: float = 60.0
    stall: float = 120.0
    total: float = 0.0
    slow_rate: float = 1000.0
    slow_period: float = 300.0
    keep_alive: float = 30.0
    entries: int = 10_000
    name_length: int = 255


class Source(Protocol):
    """A place that offers files. A context manager: entering connects, leaving closes.

    Every method raises :class:`~smki_sync.errors.SourceUnreachable` where the fault may pass,
    :class:`~smki_sync.errors.SourceRefused` where host key, login or permission is refused, and
    :class:`~smki_sync.errors.SourceMissing` where the directory or the file is not there.
    """

    @property
    def title(self) -> str:
        """The source for people: its URL without any secret."""

    def __enter__(self) -> Self:
        """Connect."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """Close; promptly also after a fault or in the middle of a file."""

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        """Regular files directly in the directory, ordered by name; one request a call.

        Names that are no plain file name (empty, ``.``, ``..``, a slash, a NUL, undecodable, or
        over ``Limits.name_length``) and anything but regular files are left out.
        """

    def fetch(self, name: str, *, offset: int = 0) -> AbstractContextManager[Chunks]:
        """Open a file and give its bytes from ``offset`` (in bytes) to its end.

        Raises ``SourceUnreachable`` where the file ends before the size that the source states.
        """


OpenSource = Callable[[], Source]
"""How a deed gets a source: it opens one a run and closes it."""
