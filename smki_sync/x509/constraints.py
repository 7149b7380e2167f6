"""What a certificate allows its key to do: flags of keyUsage, and basicConstraints with the path length.

For: ``trust``, which is handed the values of the extensions (:mod:`.body`). Refuses: to fail; what is
malformed allows nothing.
"""

from dataclasses import dataclass
from typing import Final

from smki_sync.x509.der import BIT_STRING, BOOLEAN, INTEGER, SEQUENCE, Malformed, check_bits, read, read_all
from smki_sync.x509.memo import remember

KEY_CERT_SIGN: Final = 0x04
CRL_SIGN: Final = 0x02
"""Flags in the first octet of keyUsage (RFC 5280 4.2.1.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """basicConstraints (RFC 5280 4.2.1.9). ``path_length``: ``None`` for no limit."""

    is_ca: bool = False
    path_length: int | None = None


@remember
def read_flags(value: bytes) -> int:
    """Read keyUsage: its first octet, plus 256 where any flag of a later octet is set; 0 for none."""
    try:
        start, stop = read_all(value, BIT_STRING)
        check_bits(value, start, stop)
    except Malformed:
        return 0
    flags = value[start + 1 : stop].rstrip(b"\0")
    return flags[0] + 256 * (len(flags) > 1) if flags else 0


@remember
def read_constraints(value: bytes) -> Constraints:
    """Read basicConstraints; what is malformed makes no authority."""
    try:
        at, end = read_all(value, SEQUENCE)
        if at == end or value[at] != BOOLEAN:
            return Constraints()
        start, at = read(value, at, end, BOOLEAN)
        is_ca, limit = any(value[start:at]), None
        if at < end:
            start, at = read(value, at, end, INTEGER)
            limit = int.from_bytes(value[start:at], signed=True)
    except Malformed:
        return Constraints()
    return Constraints(is_ca=is_ca, path_length=limit)
