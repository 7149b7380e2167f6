"""A local mirror of the SMKI Repository of Great Britain's smart meter system.

Programs that read the mirror from Python call :func:`open`, or :func:`connect` if they run for a long time.

The package has layers. A module imports only from its own layer and lower ones
(``docs/decisions/0001-architecture.md``):

0. domain: :mod:`smki_sync.errors`, :mod:`smki_sync.model`, :mod:`smki_sync.events`
1. rules: :mod:`smki_sync.catalogue`, :mod:`smki_sync.planner`, :mod:`smki_sync.x509`
2. adapters: :mod:`smki_sync.reader`, :mod:`smki_sync.sources`, :mod:`smki_sync.mirror`
3. use cases: :mod:`smki_sync.sync`, :mod:`smki_sync.download`, :mod:`smki_sync.verify`
4. interfaces: :mod:`smki_sync.config`, :mod:`smki_sync.cli`, :mod:`smki_sync.api`

:mod:`smki_sync.simulator` is a test server outside the layers. It shares no reading or writing code with
the client.
"""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smki_sync.api import Mirror, MirrorConnection


__all__ = ["__version__", "connect", "open"]

__version__ = "0.1.0"


def open(path: str | PathLike[str], *, stale_lists: str = "report") -> "Mirror":  # noqa: A001 - named like gzip.open and shelve.open
    """Open a mirror for reading. ``path``: its directory, or ``mirror.db`` in it.

    ``stale_lists="refuse"``: a certificate is not usable if its revocation is unknown.
    See :class:`smki_sync.api.Mirror`.
    """
    from smki_sync.api import Mirror  # noqa: PLC0415 - keeps the import of the package fast

    return Mirror(path, stale_lists=stale_lists)


def connect(
    path: str | PathLike[str], *, stale_lists: str = "report", allow_scans: bool = True
) -> "MirrorConnection":
    """Open a mirror for a program that runs for a long time.

    ``allow_scans=False``: a query that would read every row raises ``ScanRefused``. See
    :class:`smki_sync.api.MirrorConnection`.
    """
    from smki_sync.api import MirrorConnection  # noqa: PLC0415 - keeps the import of the package fast

    return MirrorConnection(path, stale_lists=stale_lists, allow_scans=allow_scans)
