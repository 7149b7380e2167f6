"""A mirror in forty lines: a dictionary that takes files, read with the standard library alone.

Shares nothing with the program, so that what both say alike is not an error of both.
"""

import gzip
import zlib
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import date, timedelta
from xml.etree import ElementTree as ET

DAMAGED = (OSError, EOFError, zlib.error, ET.ParseError)


OVERLAP = timedelta(days=2)
"""A delta dated so long before a full, or later, wins over the full."""


@dataclass
class Naive:
    """``told``: the latest statement of a delta on each certificate, by its DER.

    ``full``: date of the newest full; ``listed``: what it lists. ``ever``: the last status of each
    certificate that was ever In-Use by a full.
    """

    told: dict[bytes, tuple[date, str]] = field(default_factory=dict)
    full: date = date.min
    listed: set[bytes] = field(default_factory=set)
    ever: set[bytes] = field(default_factory=set)

    def take(self, name: str, octets: bytes) -> None:
        """Apply a file."""
        said, day = read(octets), date.fromisoformat(name[12:22])
        if "FULL" not in name:
            later = {der for der in said if day >= self.told.get(der, (day, ""))[0]}
            self.told |= {der: (day, said[der]) for der in later}
        elif day >= self.full:
            unread = set() if is_complete(octets) else self.in_use()
            self.full, self.listed = day, said.keys() | unread
            self.ever |= self.listed

    def status(self, der: bytes) -> str | None:
        """The status of a certificate; ``None``: the newest full does not list it, and says so last."""
        day, status = self.told.get(der, (date.min, ""))
        if self.full == date.min or (day > date.min and day >= self.full - OVERLAP):
            return status
        return "I" if der in self.listed else None

    def known(self) -> set[bytes]:
        return self.ever | self.told.keys()

    def in_use(self) -> set[bytes]:
        return {der for der in self.known() if self.status(der) == "I"}


def read(octets: bytes) -> dict[bytes, str]:
    """The status of each certificate in a file; one of :data:`DAMAGED` where it is not whole."""
    return {b64decode(body): status for body, status in _records(octets) if len(body) > _SHORTEST}


def is_complete(octets: bytes) -> bool:
    """Whether each record holds a certificate; otherwise a full says nothing of what it does not list."""
    return all(len(body) > _SHORTEST for body, _ in _records(octets))


def _records(octets: bytes) -> list[tuple[str, str]]:
    root = ET.fromstring(gzip.decompress(octets))  # noqa: S314 - the simulator's own files
    records = root.iter("CertificateResponse")
    return [(one.findtext("CertificateBody", ""), one.findtext("CertificateStatus", "")) for one in records]


_SHORTEST = 100
"""Characters of Base64 that no certificate is below; the poisoned record's body is."""


def is_whole(octets: bytes) -> bool:
    try:
        read(octets)
    except DAMAGED:
        return False
    return True
