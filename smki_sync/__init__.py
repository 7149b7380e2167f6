"""A local mirror of the SMKI Repository of Great Britain's smart meter system.

The package is laid out in layers; nothing imports upward (``docs/decisions/0001-architecture.md``):

0. words: :mod:`smki_sync.errors`, :mod:`smki_sync.model`, :mod:`smki_sync.events`
1. rules: :mod:`smki_sync.catalogue`, :mod:`smki_sync.planner`, :mod:`smki_sync.x509`
2. adapters: :mod:`smki_sync.reader`, :mod:`smki_sync.sources`, :mod:`smki_sync.mirror`
3. deeds: :mod:`smki_sync.sync`
4. doors: :mod:`smki_sync.config`, :mod:`smki_sync.cli`, :mod:`smki_sync.api`

Aside stands :mod:`smki_sync.simulator`, which shares no reading or writing code with the client.

:func:`open` is the door for programs that embed the mirror.
"""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smki_sync.api import Mirror


__all__ = ["__version__", "open"]

__version__ = "0.1.0"


def open(path: str | PathLike[str]) -> "Mirror":  # noqa: A001 - as gzip.open and shelve.open are named
    """Open a mirror for reading: its directory, or ``mirror.db`` in it. See :class:`smki_sync.api.Mirror`."""
    from smki_sync.api import Mirror  # noqa: PLC0415 - importing the package stays cheap

    return Mirror(path)
