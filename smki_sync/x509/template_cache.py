"""Certificates that are alike but for a few fields, recognised by all the octets in which they are alike.

For: the devices' certificates, of which a full holds a hundred million and more, cast in a handful of
moulds (Appendix M: one profile, few issuers, two usages). A mould is learned from a certificate that
the walk in :mod:`.facts` has read: its octets up to the signature, with gaps where serial number,
validity, public key, key identifier and EUI-64 stand. A certificate whose other octets are the same,
every header among them, has the same structure: what the walk would find is known without walking.
Whether the strict parser refuses it is known with it: that parser looks at the same fixed octets, at
the serial number's sign and at the date's form. Refuses: to judge what it has not seen. What fits no
mould is walked and asked about; tests hold both ways against each other, octet by octet.
"""

from dataclasses import dataclass
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple

from smki_sync.model.certificate import Facts, Kind, eui_of, key_id_of, serial_of
from smki_sync.x509.der import BIT_STRING, SEQUENCE, MalformedDer, children, read, read_all, read_time
from smki_sync.x509.fields import SUBJECT_ALT_NAME, SUBJECT_KEY_ID

MOULDS_LIMIT: Final = 1_000
"""Moulds kept: tens occur; an extract made to harm must not fill the memory."""

_HEAD: Final = 4  # octets of a header with a length of two octets: 30 82 hh ll
_LONG_SEQUENCE: Final = b"\x30\x82"
_SHORT_LENGTH: Final = 0x80  # below this a length is one octet
_NO_UNUSED_BITS: Final = 0  # where there are some, the strict parser looks at them
_UTC_TIME: Final = b"\x17\x0d"  # header of YYMMDDHHMMSSZ, the only form of 13 octets
_SIGN_BIT: Final = 0x80
_TBS_PARTS: Final = 8  # version, serial, algorithm, issuer, validity, subject, key, extensions

Span = tuple[int, int]
"""First octet and the one behind the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a certificate has its gaps, in this order but for the last two, and where its signature is."""

    serial: Span
    not_before: Span
    key: Span
    ski: Span
    eui: Span
    signature: int

    def struct(self) -> Struct:
        """What cuts the octets before the signature: fixed, gap, fixed, gap, and so on."""
        gaps = sorted((self.serial, self.not_before, self.key, self.ski, self.eui))
        edges = (_HEAD, *(edge for gap in gaps for edge in gap), self.signature)
        return Struct("".join(f"{stop - start}s" for start, stop in pairwise(edges)))


class ExaminedCertificate(NamedTuple):
    """What is known of a certificate: its facts, and whether the strict parser refuses it."""

    facts: Facts
    refused: bool


class Shape:
    """Moulds with the same layout: the fixed octets of each, and what is known of one cast in it."""

    def __init__(self, layout: Layout) -> None:
        """No mould is known yet."""
        self.layout = layout
        self.moulds: dict[tuple[bytes, ...], ExaminedCertificate] = {}
        self._cut = layout.struct()
        self._ski_first = layout.ski < layout.eui

    def add(self, der: bytes, known: ExaminedCertificate) -> None:
        """Keep a certificate's fixed octets as a mould."""
        self.moulds[self._cut.unpack_from(der, _HEAD)[::2]] = known

    def parts(self, der: bytes) -> tuple[bytes, ...] | None:
        """Cut a certificate of this shape, whose gaps can be read; ``None`` for any other octets."""
        if not _is_framed(der, self.layout.signature):
            return None
        parts: tuple[bytes, ...] = self._cut.unpack_from(der, _HEAD)
        if parts[::2] not in self.moulds or not _is_plain(parts[1][0]):
            return None
        try:
            read_time(_UTC_TIME + parts[3])
        except MalformedDer:
            return None  # the walk will say what is wrong with it
        return parts

    def known(self, parts: tuple[bytes, ...]) -> ExaminedCertificate:
        """What is known of a certificate that was cut into these parts."""
        like = self.moulds[parts[::2]]
        serial, not_before, _key, one, other = parts[1::2]
        ski, eui = (one, other) if self._ski_first else (other, one)
        return _cast(like, serial, not_before, ski, eui)


_shapes: dict[bytes, list[Shape]] = {}
"""By the header of the to-be-signed part, which holds its length."""


def lookup(der: bytes) -> ExaminedCertificate | None:
    """What is known of a certificate that fits a mould; ``None`` where it fits none."""
    for shape in _shapes.get(der[_HEAD : 2 * _HEAD], ()):
        parts = shape.parts(der)
        if parts:
            return shape.known(parts)
    return None


def fits(der: bytes) -> bool:
    """Whether :func:`lookup` knows a certificate; cheaper than asking what."""
    return any(shape.parts(der) for shape in _shapes.get(der[_HEAD : 2 * _HEAD], ()))


def store(der: bytes, known: ExaminedCertificate) -> None:
    """Take a certificate that was walked as a mould for those to come, if it is a device's."""
    try:
        layout = _layout(der, known.facts)
    except MalformedDer:  # somewhere in the extensions, which the walk leaves unread from there on
        return
    if layout is None or sum(len(s.moulds) for shapes in _shapes.values() for s in shapes) >= MOULDS_LIMIT:
        return
    alike = _shapes.setdefault(der[_HEAD : 2 * _HEAD], [])
    shape = next((s for s in alike if s.layout == layout), None)
    if shape is None:
        shape = Shape(layout)
        alike.append(shape)
    shape.add(der, known)


def forget() -> None:
    """Drop every mould."""
    _shapes.clear()


def _is_framed(der: bytes, signature: int) -> bool:
    """Whether the outer length is right and a BIT STRING at ``signature`` is all that follows."""
    size = len(der)
    return (
        signature + 2 < size
        and der.startswith(_LONG_SEQUENCE)
        and (der[2] << 8 | der[3]) == size - _HEAD
        and der[signature] == BIT_STRING
        and der[signature + 1] == size - signature - 2 < _SHORT_LENGTH
        and der[signature + 2] == _NO_UNUSED_BITS
    )


def _is_plain(first: int) -> bool:
    """Whether a serial number with this first octet is positive and no octet longer than it need be."""
    return 0 < first < _SIGN_BIT


def _cast(
    like: ExaminedCertificate, serial: bytes, not_before: bytes, ski: bytes, eui: bytes
) -> ExaminedCertificate:
    """What is known of a certificate like another but for these octets."""
    facts = like.facts
    return ExaminedCertificate(
        Facts(
            serial=serial_of(serial),
            issuer=facts.issuer,
            subject=facts.subject,
            not_before=read_time(_UTC_TIME + not_before),
            not_after=facts.not_after,
            kind=facts.kind,
            eui=eui_of(eui),
            role=facts.role,
            usage=facts.usage,
            ski=key_id_of(ski),
            aki=facts.aki,
        ),
        like.refused,
    )


def _layout(der: bytes, facts: Facts) -> Layout | None:
    """Find the gaps of a device's certificate; ``None`` where it is built in any other way."""
    if facts.kind is not Kind.DEVICE or facts.eui is None or facts.ski is None:
        return None
    start, stop = read_all(der, SEQUENCE)
    at, end = read(der, start, stop, SEQUENCE)
    parts = [(first, last) for _tag, first, last in children(der, at, end)]
    _, signature = read(der, end, stop, SEQUENCE)
    if start != _HEAD or at != 2 * _HEAD or len(parts) != _TBS_PARTS or not _is_framed(der, signature):
        return None
    *_, (key_start, key_stop) = [(first, last) for _tag, first, last in children(der, *parts[6])]
    plain = _is_plain(der[parts[1][0]]) and der.startswith(_UTC_TIME, parts[4][0])
    if not plain or der[key_start] != _NO_UNUSED_BITS:
        return None
    ski = _last_octets(der, parts[7], SUBJECT_KEY_ID, bytes.fromhex(facts.ski))
    eui = _last_octets(der, parts[7], SUBJECT_ALT_NAME, bytes.fromhex(facts.eui.replace("-", "")))
    if ski is None or eui is None:
        return None
    key = (key_start + 1, key_stop)  # behind the count of unused bits
    began = parts[4][0] + len(_UTC_TIME)
    return Layout(
        serial=parts[1],
        not_before=(began, began + _UTC_TIME[1]),
        key=key,
        ski=ski,
        eui=eui,
        signature=signature,
    )


def _last_octets(der: bytes, extensions: Span, oid: bytes, octets: bytes) -> Span | None:
    """Where an extension ends in these octets, so that only headers and fixed values stand before them."""
    at, end = read(der, *extensions, SEQUENCE)
    # Exactly one: of an extension that is repeated the facts would say nothing.
    (stop,) = [last for _tag, first, last in children(der, at, end) if der.startswith(oid, first)]
    return (stop - len(octets), stop) if der.endswith(octets, at, stop) else None
