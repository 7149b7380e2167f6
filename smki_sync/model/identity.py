"""EUI-64, serial number and key identifier: look-alikes, each parsed once, at the door.

For: turning what a person or a file wrote into the one canonical form that the mirror stores.
Refuses: to guess. A wrong text is a ``ValueError`` that says what is wrong with it.
"""

import re
from typing import NewType

Eui = NewType("Eui", str)
"""An EUI-64 as ``00-DB-12-34-56-78-90-A4``: eight upper-case hex pairs joined by hyphens."""

Serial = NewType("Serial", str)
"""A certificate serial number as upper-case hex of whole octets without a leading zero octet."""

KeyId = NewType("KeyId", str)
"""A subject or authority key identifier as upper-case hex; SMKI uses 8 octets (Appendix M)."""

EUI_OCTETS = 8
_SEPARATORS = re.compile(r"[-:.\s]")
_HEX = re.compile(r"[0-9A-F]*")


def parse_eui(text: str) -> Eui:
    """Read an EUI-64 in any usual notation: hyphens, colons, dots, blanks or none, any case.

    Raises ``ValueError`` naming the defect: a digit that is not hex, or the wrong length.
    """
    digits = _SEPARATORS.sub("", text).upper()
    bad = sorted(set(_HEX.sub("", digits)))
    if bad:
        raise ValueError(f"an EUI-64 has only hex digits, not {' '.join(map(repr, bad))}")
    if len(digits) != 2 * EUI_OCTETS:
        raise ValueError(f"an EUI-64 has 16 hex digits, this has {len(digits)}")
    return eui_of(bytes.fromhex(digits))


def eui_of(octets: bytes) -> Eui:
    """Write eight octets as an EUI-64; raises ``ValueError`` for another number of octets."""
    if len(octets) != EUI_OCTETS:
        raise ValueError(f"an EUI-64 has 8 octets, this has {len(octets)}")
    return Eui(octets.hex("-").upper())


def parse_serial(text: str) -> Serial:
    """Read a serial number as the Repository writes it: hex, any case, any leading zeros.

    Raises ``ValueError`` for an empty text or one with other characters.
    """
    digits = text.strip().upper()
    if not digits or not _HEX.fullmatch(digits):
        raise ValueError(f"a serial number is hex digits, not {text!r:.60}")
    return serial_of(bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2)))


def serial_of(octets: bytes) -> Serial:
    """Write the octets of a DER INTEGER as a serial number, sign octet dropped."""
    return Serial(octets.lstrip(b"\0").hex().upper() or "00")


def serial_from_decimal(text: str) -> Serial:
    """Read a serial number in decimal, as DUIS alerts and XML signatures write it."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"a decimal serial number is digits, not {text!r:.60}")
    return parse_serial(f"{int(text):X}")


def key_id_of(octets: bytes) -> KeyId:
    """Write the octets of a key identifier."""
    return KeyId(octets.hex().upper())
