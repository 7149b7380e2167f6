"""One DER file a certificate, in a tree of directories that stay small.

For: programs that take files. ``ab/cd/SERIAL-HASH.der``: the directories are the first digits of a hash over
issuer and serial number, the name is the serial number and the next digits of that hash, so that two issuers
may use one number. Refuses: names from certificates; a path is made of hex digits alone.
"""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.queries import Certificate

_HEX: Final = re.compile(r"[0-9A-F]+")
_SERIAL_DIGITS: Final = 64
"""Longest serial number in a name: RFC 5280 allows 40 digits, a file's name 255 octets."""


def write_tree(found: Iterable[Certificate], directory: Path) -> None:
    """Write each certificate into its file below ``directory``."""
    made: set[Path] = set()
    for c in found:
        path = directory / path_of(c)
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(c.der)


def path_of(c: Certificate) -> Path:
    """Where a certificate lies in the tree."""
    if not _HEX.fullmatch(c.serial):
        raise MirrorDamaged(f"a serial number in the mirror is not hex: {c.serial!r:.60}")
    digest = sha256(f"{c.issuer}\0{c.serial}".encode()).hexdigest()
    return Path(digest[:2], digest[2:4], f"{c.serial[:_SERIAL_DIGITS]}-{digest[4:20]}.der")
