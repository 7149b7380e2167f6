"""One certificate as the mirror hands it out, typed.

For: everybody who asks. A named tuple, because an export makes millions of them. Refuses: to know how it
was found.
"""

from typing import Any, Final, NamedTuple

from smki_sync.model.certificate import Flag


class Certificate(NamedTuple):
    """One row of ``certificates``. Dates ISO 8601, times UTC with ``Z``, ``role`` a number."""

    eui: str | None
    kind: str
    role: int | None
    usage: str | None
    status: str
    in_use: bool
    serial: str
    issuer: str
    subject: str
    not_before: str
    not_after: str
    ski: str | None
    manufacturing: bool | None
    first_seen: str
    last_changed: str
    withdrawn: str | None
    flags: Flag
    file: str
    der: bytes
    revoked: str | None = None
    revoked_by: str | None = None
    revocation_reason: str | None = None


COLUMNS: Final = ", ".join(Certificate._fields)
"""The columns of the view ``certificates`` that :func:`certificate_of` takes, in this order."""

_IN_USE: Final = Certificate._fields.index("in_use")
_MANUFACTURING: Final = Certificate._fields.index("manufacturing")
_FLAGS: Final = Certificate._fields.index("flags")


def certificate_of(row: tuple[Any, ...]) -> Certificate:
    """Give a row its types."""
    values = list(row)
    values[_IN_USE] = bool(row[_IN_USE])
    made = row[_MANUFACTURING]
    values[_MANUFACTURING] = None if made is None else bool(made)
    values[_FLAGS] = Flag(row[_FLAGS])
    return Certificate._make(values)
