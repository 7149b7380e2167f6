"""PEM armour around a certificate (RFC 7468), on and off.

For: files that people hold and the text that other tools take. Refuses: anything but certificates.
"""

import re
from base64 import b64decode, b64encode
from typing import Final

_ARMOUR: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_COLUMNS: Final = 64  # RFC 7468, section 2


def to_pem(der: bytes) -> str:
    """A certificate in PEM, with a line end after the last line."""
    text = b64encode(der).decode()
    body = "\n".join(text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


def read_pem_or_der(octets: bytes) -> bytes:
    """The DER of a certificate file; of the first certificate where a PEM file holds several."""
    found = _ARMOUR.search(octets)
    return b64decode(found[1]) if found else octets


def read_bundle(octets: bytes) -> tuple[bytes, ...]:
    """The DER of every certificate in a PEM file; of one where the file is no PEM.

    Raises ``ValueError`` for Base64 that is none.
    """
    found = _ARMOUR.findall(octets)
    return tuple(b64decode(b"".join(one.split()), validate=True) for one in found) if found else (octets,)
