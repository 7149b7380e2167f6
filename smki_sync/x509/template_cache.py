"""Templates: certificates that differ only in a few fields are recognised by all their other bytes.

A full has more than a hundred million device certificates of a handful of forms (Appendix M: one
profile, few issuers, two usages). A template is made from a certificate that was parsed: its bytes up
to the signature, with gaps for serial number, notBefore, public key, key identifier and EUI-64. A
certificate with the same bytes outside of the gaps has the same structure, so the values are read from
the gaps. Before a template is used, a probe with other bytes in every gap is parsed. The template is
accepted only if the parser finds exactly those bytes.

The cache is an optimisation. A certificate that fits no template, or for which an error occurs here,
is parsed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import shake_128
from itertools import pairwise
from struct import Struct
from typing import Final, NamedTuple

from smki_sync.model.certificate import NO_FLAG, Facts, Kind, eui_of, key_id_of, serial_of
from smki_sync.x509.der import (
    BIT_STRING,
    OID,
    SEQUENCE,
    UTC_TIME,
    MalformedDer,
    children,
    element,
    read,
    read_all,
    read_time,
)
from smki_sync.x509.fields import SUBJECT_ALT_NAME, SUBJECT_KEY_ID

TEMPLATES_LIMIT: Final = 1_000
"""Templates kept. Tens occur; a hostile extract must not fill the memory."""

FORMS_LIMIT: Final = 8
"""Forms of certificates with one length of TBSCertificate. One or two occur; each slows down lookups."""

_HEAD: Final = 4  # bytes of a header with a length of two bytes: 30 82 hh ll
_LONG_SEQUENCE: Final = b"\x30\x82"
_SHORT_LENGTH: Final = 0x80  # a smaller length is one byte
_NO_UNUSED_BITS: Final = 0
_UTC_TIME_HEADER: Final = bytes((UTC_TIME, 13))  # of YYMMDDHHMMSSZ, the only form of 13 bytes
_SIGN_BIT: Final = 0x80
_TBS_PARTS: Final = 8  # version, serial, algorithm, issuer, validity, subject, key, extensions

Span = tuple[int, int]
"""First byte, and the byte after the last one."""


class ExaminedCertificate(NamedTuple):
    """The facts of a certificate, and whether the strict parser refuses it."""

    facts: Facts
    refused: bool


Parser = Callable[[bytes], ExaminedCertificate]
"""Parses a certificate. May raise ``ValueError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a certificate has its gaps, and where its signature begins. The last two gaps may be swapped."""

    serial: Span
    not_before: Span
    key: Span
    ski: Span
    eui: Span
    signature: int

    def struct(self) -> Struct:
        """Return what splits the bytes before the signature: fixed, gap, fixed, gap, and so on."""
        gaps = sorted((self.serial, self.not_before, self.key, self.ski, self.eui))
        edges = (_HEAD, *(edge for gap in gaps for edge in gap), self.signature)
        return Struct("".join(f"{stop - start}s" for start, stop in pairwise(edges)))


class Form:
    """Templates with the same layout: the fixed bytes of each, and the result for one certificate of it."""

    def __init__(self, layout: Layout) -> None:
        """Start without templates."""
        self.layout = layout
        self.templates: dict[tuple[bytes, ...], ExaminedCertificate] = {}
        self._struct = layout.struct()
        self._ski_first = layout.ski < layout.eui

    def add(self, der: bytes, known: ExaminedCertificate) -> None:
        """Add the fixed bytes of a certificate as a template."""
        self.templates[self._struct.unpack_from(der, _HEAD)[::2]] = known

    def split(self, der: bytes) -> tuple[bytes, ...] | None:
        """Split a certificate that fits a template of this form. ``None``: it fits none."""
        if not _is_framed(der, self.layout.signature):
            return None
        parts: tuple[bytes, ...] = self._struct.unpack_from(der, _HEAD)
        if parts[::2] not in self.templates or not _is_plain(parts[1][0]):
            return None
        try:
            read_time(_UTC_TIME_HEADER + parts[3])
        except MalformedDer:
            return None  # the parser says what is wrong with it
        return parts

    def result(self, parts: tuple[bytes, ...]) -> ExaminedCertificate:
        """Return the result for a certificate with these parts."""
        template = self.templates[parts[::2]]
        serial, not_before, _key, one, other = parts[1::2]
        ski, eui = (one, other) if self._ski_first else (other, one)
        return _fill(template, serial, not_before, ski, eui)


_forms: dict[bytes, list[Form]] = {}
"""By the header of TBSCertificate, which contains its length."""


def lookup(der: bytes) -> ExaminedCertificate | None:
    """Return the result for a certificate that fits a template. ``None``: it fits none."""
    for form in _forms.get(der[_HEAD : 2 * _HEAD], ()):
        parts = form.split(der)
        if parts:
            return form.result(parts)
    return None


def fits(der: bytes) -> bool:
    """Whether :func:`lookup` has a result. Cheaper than the result."""
    return any(form.split(der) for form in _forms.get(der[_HEAD : 2 * _HEAD], ()))


def store(der: bytes, known: ExaminedCertificate, parser: Parser) -> None:
    """Make a template from a device certificate that ``parser`` has parsed.

    An error here means that there is no template, and nothing else.
    """
    alike = _forms.get(der[_HEAD : 2 * _HEAD], [])
    if sum(len(form.templates) for forms in _forms.values() for form in forms) >= TEMPLATES_LIMIT:
        return
    try:
        layout = _layout(der, known.facts)
        if layout is None:
            return
        form = next((form for form in alike if form.layout == layout), None)
        if form is None and len(alike) >= FORMS_LIMIT:
            return
        form = form or Form(layout)
        if not _is_proven(der, known, layout, parser):
            return
    except Exception:  # noqa: BLE001 - the certificate is hostile; without a template it is still parsed
        return
    form.add(der, known)
    if form not in alike:
        _forms[der[_HEAD : 2 * _HEAD]] = [*alike, form]


def forget() -> None:
    """Drop every template."""
    _forms.clear()


def _is_framed(der: bytes, signature: int) -> bool:
    """Whether the outer length is right and only a BIT STRING at ``signature`` follows."""
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
    """Whether a serial number with this first byte is positive and has no needless byte."""
    return 0 < first < _SIGN_BIT


def _fill(
    template: ExaminedCertificate, serial: bytes, not_before: bytes, ski: bytes, eui: bytes
) -> ExaminedCertificate:
    """Return the result for a certificate like another one, but with these bytes in the gaps."""
    facts = template.facts
    return ExaminedCertificate(
        Facts(
            serial=serial_of(serial),
            issuer=facts.issuer,
            subject=facts.subject,
            not_before=read_time(_UTC_TIME_HEADER + not_before),
            not_after=facts.not_after,
            kind=facts.kind,
            eui=eui_of(eui),
            role=facts.role,
            usage=facts.usage,
            ski=key_id_of(ski),
            aki=facts.aki,
        ),
        template.refused,
    )


def _is_proven(der: bytes, known: ExaminedCertificate, layout: Layout, parser: Parser) -> bool:
    """Whether the parser finds exactly the gaps of a probe, and of the certificate itself."""
    form = Form(layout)
    form.add(der, known)
    probe = _probe(der, layout)
    for one, expected in ((der, known), (probe, parser(probe))):
        parts = form.split(one)
        if parts is None or form.result(parts) != expected:
            return False
    return True


def _probe(der: bytes, layout: Layout) -> bytes:
    """Return the certificate with other, unpredictable bytes in every gap.

    ``hash`` differs in each process, so that nobody can prepare a certificate for a known probe.
    """
    probe = bytearray(der)
    chance = shake_128(f"{hash(der)}".encode()).digest(len(der))
    for start, stop in (layout.serial, layout.key, layout.ski, layout.eui):
        for at in range(start, stop):
            probe[at] = chance[at] if chance[at] != der[at] else chance[at] ^ 1
    first = layout.serial[0]
    probe[first] = 1 + probe[first] % (_SIGN_BIT - 1)
    start, stop = layout.not_before
    probe[start:stop] = b"%02d%02d%02d%02d%02d%02dZ" % (
        chance[0] % 100,
        1 + chance[1] % 12,
        1 + chance[2] % 28,
        chance[3] % 24,
        chance[4] % 60,
        chance[5] % 60,
    )
    return bytes(probe)


def _layout(der: bytes, facts: Facts) -> Layout | None:
    """Find the gaps of a device certificate. ``None``: it is built in another way."""
    if facts.kind is not Kind.DEVICE or facts.eui is None or facts.ski is None or facts.flags != NO_FLAG:
        return None
    start, stop = read_all(der, SEQUENCE)
    at, end = read(der, start, stop, SEQUENCE)
    parts = [(first, last) for _tag, first, last in children(der, at, end)]
    _, signature = read(der, end, stop, SEQUENCE)
    if start != _HEAD or at != 2 * _HEAD or len(parts) != _TBS_PARTS or not _is_framed(der, signature):
        return None
    *_, (key_start, key_stop) = [(first, last) for _tag, first, last in children(der, *parts[6])]
    plain = _is_plain(der[parts[1][0]]) and der.startswith(_UTC_TIME_HEADER, parts[4][0])
    if not plain or der[key_start] != _NO_UNUSED_BITS:
        return None
    ski = _last_bytes(der, parts[7], SUBJECT_KEY_ID, bytes.fromhex(facts.ski))
    eui = _last_bytes(der, parts[7], SUBJECT_ALT_NAME, bytes.fromhex(facts.eui.replace("-", "")))
    if ski is None or eui is None:
        return None
    not_before = parts[4][0] + len(_UTC_TIME_HEADER)
    return Layout(
        serial=parts[1],
        not_before=(not_before, not_before + _UTC_TIME_HEADER[1]),
        key=(key_start + 1, key_stop),  # after the number of unused bits
        ski=ski,
        eui=eui,
        signature=signature,
    )


def _last_bytes(der: bytes, extensions: Span, oid: bytes, value: bytes) -> Span | None:
    """Find the extension that ends in ``value``. ``None``: there is none, or not exactly one with ``oid``."""
    at, end = read(der, *extensions, SEQUENCE)
    header = element(OID, oid)
    ends = [last for _tag, first, last in children(der, at, end) if der.startswith(header, first)]
    if len(ends) != 1:
        return None
    stop = ends[0]
    return (stop - len(value), stop) if der.endswith(value, at, stop) else None
