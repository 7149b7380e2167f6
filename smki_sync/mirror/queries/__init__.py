"""Questions for people and programs, answered from ``mirror.db``, read-only.

For: every command that asks, and whoever embeds the mirror. A reader opens the link, sees one state for
as long as it keeps its transaction, never waits for a writer. Refuses: to write, to talk to the network::

    with open_mirror(directory.link) as db:
        stamp = read_stamp(db)
        for certificate in find(db, Wanted(kinds=(Kind.ORGANISATION,), role=2)):
            ...

A name is loaded when it is first asked for, with its module and no other.

* :mod:`.opening` the current mirror, one snapshot
* :mod:`.stamp` what identifies a snapshot
* :mod:`.state` position, counts, quarantine
* :mod:`.row` one certificate, typed
* :mod:`.identity` what names one certificate, and looking it up
* :mod:`.wanted` filters, combined, and everything that passes them, as a stream
* :mod:`.place` where the journal goes on
* :mod:`.feed` the journal, in order
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from smki_sync.mirror.queries.feed import Gap, Journal, Line, read_changes, read_journal, start_after
    from smki_sync.mirror.queries.identity import (
        EuiIs,
        Fingerprint,
        Identity,
        SerialIs,
        SkiIs,
        find_certificates,
    )
    from smki_sync.mirror.queries.opening import Connection, open_mirror
    from smki_sync.mirror.queries.place import AfterLine, OnDay, Place
    from smki_sync.mirror.queries.row import Certificate
    from smki_sync.mirror.queries.stamp import Stamp, read_stamp
    from smki_sync.mirror.queries.state import (
        Quarantined,
        read_census,
        read_incidents,
        read_position,
        read_quarantine,
    )
    from smki_sync.mirror.queries.wanted import Standing, Wanted, find, read_issuers


__all__ = [
    "AfterLine",
    "Certificate",
    "Connection",
    "EuiIs",
    "Fingerprint",
    "Gap",
    "Identity",
    "Journal",
    "Line",
    "OnDay",
    "Place",
    "Quarantined",
    "SerialIs",
    "SkiIs",
    "Stamp",
    "Standing",
    "Wanted",
    "find",
    "find_certificates",
    "open_mirror",
    "read_census",
    "read_changes",
    "read_incidents",
    "read_issuers",
    "read_journal",
    "read_position",
    "read_quarantine",
    "read_stamp",
    "start_after",
]

_NAMES: Final = {
    "feed": (
        "Gap",
        "Journal",
        "Line",
        "read_changes",
        "read_journal",
        "start_after",
    ),
    "identity": ("EuiIs", "Fingerprint", "Identity", "SerialIs", "SkiIs", "find_certificates"),
    "opening": ("Connection", "open_mirror"),
    "place": ("AfterLine", "OnDay", "Place"),
    "row": ("Certificate",),
    "stamp": ("Stamp", "read_stamp"),
    "state": ("Quarantined", "read_census", "read_incidents", "read_position", "read_quarantine"),
    "wanted": ("Standing", "Wanted", "find", "read_issuers"),
}
_HOMES: Final = {name: home for home, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load the module that has a name of this room."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
