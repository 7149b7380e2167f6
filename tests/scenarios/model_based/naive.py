"""A mirror in twenty lines: a dictionary that takes files, read with the standard library alone.

Shares nothing with the program, so that what both say alike is not an error of both.
"""

import gzip
import zlib
from base64 import b64decode
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

DAMAGED = (OSError, EOFError, zlib.error, ET.ParseError)


@dataclass
class Naive:
    """``status``: the last word on each certificate, by its DER. ``gone``: no longer listed by a full."""

    status: dict[bytes, str] = field(default_factory=dict)
    gone: set[bytes] = field(default_factory=set)

    def take(self, name: str, octets: bytes) -> None:
        """Apply a file."""
        said = read(octets)
        if "FULL" in name:
            self.gone |= {der for der, status in self.status.items() if status == "I"}
        self.status |= said
        self.gone -= said.keys()

    def in_use(self) -> set[bytes]:
        return {der for der, status in self.status.items() if status == "I"} - self.gone


def read(octets: bytes) -> dict[bytes, str]:
    """The status of each certificate in a file; one of :data:`DAMAGED` where it is not whole."""
    root = ET.fromstring(gzip.decompress(octets))  # noqa: S314 - the simulator's own files
    records = root.iter("CertificateResponse")
    found = ((one.findtext("CertificateBody", ""), one.findtext("CertificateStatus", "")) for one in records)
    return {b64decode(body): status for body, status in found if len(body) > _SHORTEST}


_SHORTEST = 100
"""Characters of Base64 that no certificate is below; the poisoned record's body is."""


def is_whole(octets: bytes) -> bool:
    try:
        read(octets)
    except DAMAGED:
        return False
    return True
