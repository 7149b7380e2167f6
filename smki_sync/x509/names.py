"""Distinguished names: their text, and the role and EUI-64 that an organisation's name carries.

For: issuer and subject of a certificate. The text is that of RFC 4514, as pyca/cryptography writes
it, so that both can be compared as text. Refuses: to guess an encoding: a value that is no text in
its own type's encoding stands as ``#`` and the hex of its element (RFC 4514 2.4).
"""

import re
from dataclasses import dataclass

from smki_sync.model.identity import EUI_OCTETS, Eui, eui_of
from smki_sync.x509.der import BIT_STRING, OID, SEQUENCE, SET, Malformed, children, read
from smki_sync.x509.memo import remember

_SHORT_NAMES = {  # RFC 4514 section 3
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_UNIQUE_IDENTIFIER = "2.5.4.45"  # x500UniqueIdentifier: an organisation's EUI-64 (Appendix M)
_ENCODINGS = {  # by tag, as pyca/cryptography reads them: strings, octets, times, then the two wide ones
    **dict.fromkeys((4, 12, 18, 19, 20, 22, 23, 24, 26), "utf-8"),
    28: "utf-32-be",
    30: "utf-16-be",
}
_ESCAPES = str.maketrans({"\0": "\\00"} | {c: f"\\{c}" for c in '\\"+,;<>'})
_ROLE = re.compile(r"[0-9A-Fa-f]{2}")

ARC_BITS_LIMIT = 128
"""Bits of one arc of an object identifier: the largest in use are UUIDs (X.667)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """``text``: RFC 4514, empty for an empty name. ``role``, ``eui``: ``None`` where it has none."""

    text: str
    role: int | None
    eui: Eui | None


@remember
def read_name(octets: bytes) -> Name:
    """Read the value of a Name, its header left off; raises :class:`Malformed`.

    The role is the first OU that is two hex digits, the EUI-64 the first x500UniqueIdentifier of
    eight whole octets (Appendix M, Organisation profile).
    """
    parts: list[str] = []
    role, eui = None, None
    for tag, start, stop in children(octets, 0, len(octets)):
        if tag != SET or start == stop:
            raise Malformed(f"no part of a name at octet {start} of the name")
        texts = []
        for attribute in children(octets, start, stop):
            kind, value, text = _attribute(octets, *attribute)
            texts.append(f"{kind}={text}")
            if kind == "OU" and role is None and _ROLE.fullmatch(text):
                role = int(text, 16)
            if kind == _UNIQUE_IDENTIFIER and eui is None:
                eui = _eui(value)
        parts.append("+".join(texts))
    return Name(text=",".join(reversed(parts)), role=role, eui=eui)


def _attribute(octets: bytes, tag: int, at: int, end: int) -> tuple[str, bytes, str]:
    """Read one AttributeTypeAndValue: its name, its value as an element, its value as text."""
    if tag != SEQUENCE:
        raise Malformed(f"no attribute at octet {at} of the name")
    start, stop = read(octets, at, end, OID)
    dotted = _dotted(octets[start:stop])
    values = list(children(octets, stop, end))
    if len(values) != 1:
        raise Malformed(f"{len(values)} values in one attribute at octet {at} of the name")
    kind, first, last = values[0]
    return (
        _SHORT_NAMES.get(dotted, dotted),
        octets[stop:end],
        _text(kind, octets[first:last], octets[stop:end]),
    )


def _text(tag: int, value: bytes, element: bytes) -> str:
    """Write a value as RFC 4514 does; a BIT STRING as pyca/cryptography does, its value alone."""
    if tag == BIT_STRING:
        return f"#{value.hex()}"
    try:
        return _escaped(value.decode(_ENCODINGS[tag]))
    except (KeyError, UnicodeDecodeError):
        return f"#{element.hex()}"


def _escaped(text: str) -> str:
    """Escape what RFC 4514 2.4 wants escaped, also a first ``#`` or blank and a last blank."""
    text = text.translate(_ESCAPES)
    if text.startswith("#") or (text.startswith(" ") and len(text) > 1):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if text.endswith(" ") else text


def _eui(element: bytes) -> Eui | None:
    """Read a BIT STRING of eight whole octets as an EUI-64; ``None`` for anything else."""
    whole = bytes((BIT_STRING, 1 + EUI_OCTETS, 0))  # header, and no unused bits
    if len(element) != len(whole) + EUI_OCTETS or not element.startswith(whole):
        return None
    return eui_of(element[len(whole) :])


def _dotted(octets: bytes) -> str:
    """Write the value of an OBJECT IDENTIFIER in dots (X.690 8.19)."""
    arcs: list[int] = []
    arc = 0
    more = True
    for octet in octets:
        arc = arc << 7 | octet & 0x7F
        if arc.bit_length() > ARC_BITS_LIMIT:
            raise Malformed("an object identifier with an absurd number")
        more = octet > 0x7F  # noqa: PLR2004 -- the eighth bit says that the number goes on
        if not more:
            arcs.append(arc)
            arc = 0
    if more:
        raise Malformed("an object identifier that is empty or cut off")
    root = min(arcs[0] // 40, 2)
    return ".".join(map(str, (root, arcs[0] - 40 * root, *arcs[1:])))
