"""DER revocation list -> its signed parts and its entries, which are read one at a time (RFC 5280 5.1).

The header is small and is read first, so that issuer and signature can be checked before any entry.
"""

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from smki_sync.model.certificate import KeyId, serial_of
from smki_sync.model.extract import Revoked
from smki_sync.x509 import fields
from smki_sync.x509.der import (
    BIT_STRING,
    ENUMERATED,
    GENERALIZED_TIME,
    INTEGER,
    SEQUENCE,
    UTC_TIME,
    MalformedDer,
    check_bits,
    children,
    read,
    read_all,
    read_time,
)
from smki_sync.x509.fields import ExtensionList, read_name

CRL_NUMBER: Final = bytes.fromhex("551D14")
DELTA_INDICATOR: Final = bytes.fromhex("551D1B")
DISTRIBUTION_POINT: Final = bytes.fromhex("551D1C")
REASON_CODE: Final = bytes.fromhex("551D15")
_UNDERSTOOD: Final = (CRL_NUMBER, fields.AUTHORITY_KEY_ID, DISTRIBUTION_POINT)

NUMBER_SIZE: Final = 20
"""Bytes of a crlNumber, at most (RFC 5280 5.2.3). Python does not write numbers of thousands of digits."""

_EXTENSIONS: Final = 0xA0  # [0] EXPLICIT
_VERSION_2: Final = b"\1"
_INDIRECT: Final = 0x84  # IssuingDistributionPoint: indirectCRL [4] IMPLICIT BOOLEAN
_ONLY_ATTRIBUTES: Final = 0x85  # onlyContainsAttributeCerts [5] IMPLICIT BOOLEAN
_TIMES: Final = (UTC_TIME, GENERALIZED_TIME)

_REASONS: Final = {  # RFC 5280 5.3.1
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
_REMOVED: Final = "removeFromCRL"


class NotAList(ValueError):
    """The bytes are not a revocation list, or one that cannot be used. The message says why."""


class ListParts(NamedTuple):
    """Parts of a CertificateList (RFC 5280 5.1).

    ``tbs``: what was signed, with its header. ``inner``, ``outer``: the AlgorithmIdentifiers inside and
    outside of it. ``signature``: its bytes. ``after_inner``: where the issuer starts, and where ``tbs`` ends.
    """

    tbs: bytes
    inner: bytes
    outer: bytes
    signature: bytes
    after_inner: tuple[int, int]


def split_list(der: bytes) -> ListParts:
    """Split the list that fills ``der``. Raises :class:`~.der.MalformedDer`."""
    start, stop = read_all(der, SEQUENCE)
    at, end = read(der, start, stop, SEQUENCE)
    outer_stop = read(der, end, stop, SEQUENCE)[1]
    signature, last = read(der, outer_stop, stop, BIT_STRING)
    check_bits(der, signature, last)
    if last != stop:
        raise MalformedDer(f"{stop - last} bytes after the signature")
    if at < end and der[at] == INTEGER:  # a list of version 1 has no version
        number, at = read(der, at, end, INTEGER)
        if der[number:at] != _VERSION_2:
            raise MalformedDer("not a version of a revocation list")
    inner_stop = read(der, at, end, SEQUENCE)[1]
    return ListParts(
        tbs=der[start:end],
        inner=der[at:inner_stop],
        outer=der[end:outer_stop],
        signature=der[signature + 1 : last],
        after_inner=(inner_stop, end),
    )


@dataclass(frozen=True)
class RevokedEntries:
    """The entries of a list, parsed each time they are iterated over. Raises :class:`NotAList` meanwhile.

    Entries with ``removeFromCRL`` are left out: they say that a certificate is no longer revoked.
    """

    der: bytes
    start: int
    stop: int

    def __iter__(self) -> Iterator[Revoked]:
        """Yield one entry at a time."""
        try:
            for entry in _entries(self.der, self.start, self.stop):
                if entry.reason != _REMOVED:
                    yield entry
        except MalformedDer as exc:
            raise NotAList(f"an entry cannot be read: {exc}") from exc

    @cached_property
    def count(self) -> int:
        """How many entries there are. Reads all of them once."""
        return sum(1 for _ in self)

    def __len__(self) -> int:
        """Return :attr:`count`."""
        return self.count


def _entries(der: bytes, at: int, stop: int) -> Iterator[Revoked]:
    while at < stop:
        start, at = read(der, at, stop, SEQUENCE)
        number, end = read(der, start, at, INTEGER)
        if number == end:
            raise MalformedDer(f"a serial number without bytes at byte {start}")
        if end == at or der[end] not in _TIMES:
            raise MalformedDer(f"no revocation date at byte {end}")
        _, after = read(der, end, at, der[end])
        reason = _reason(der, after, at) if after < at else None
        yield Revoked(serial_of(der[number:end]), read_time(der[end:after]), reason)


def _reason(der: bytes, at: int, stop: int) -> str | None:
    """Read the reason in the extensions of an entry. An unknown reason still revokes."""
    extensions = fields.read_extensions(der, at, stop)
    if not extensions.complete:
        raise MalformedDer(f"the extensions of an entry at byte {at}")
    for oid, extension in extensions.found.items():
        # RFC 5280 defines one: the certificate issuer of an indirect list.
        if extension.critical and oid != REASON_CODE:
            raise NotAList(f"an entry has the unknown critical extension {oid.hex():.40}")
    value = extensions.value(REASON_CODE)
    if value is None:
        return None
    start, end = read_all(value, ENUMERATED)
    return _REASONS.get(int.from_bytes(value[start:end]))


class ListHeader(NamedTuple):
    """A list without its entries. ``parts``: what its signature covers.

    ``issuer``: RFC 4514 text. ``key_id``: of the key that is said to have signed it. ``scope``: hex of its
    issuingDistributionPoint, empty without one. Times are in seconds since 1970, UTC.
    """

    parts: ListParts
    issuer: str
    key_id: KeyId | None
    number: int | None
    scope: str
    this_update: int
    next_update: int | None
    entries: RevokedEntries


def read_header(der: bytes) -> ListHeader:
    """Read a list in DER, except its entries. Raises :class:`NotAList`."""
    try:
        return _read_header(der)
    except MalformedDer as exc:
        raise NotAList(f"it is not a revocation list: {exc}") from exc


def _read_header(der: bytes) -> ListHeader:
    parts = split_list(der)
    at, end = parts.after_inner
    start, at = read(der, at, end, SEQUENCE)
    issuer = read_name(der[start:at])
    this_update, at = _time(der, at, end)
    if this_update is None:
        raise MalformedDer(f"no time of issue at byte {at}")
    next_update, at = _time(der, at, end)
    entries = RevokedEntries(der, at, at)
    if at < end and der[at] == SEQUENCE:
        start, at = read(der, at, end, SEQUENCE)
        entries = RevokedEntries(der, start, at)
    extensions = _list_extensions(der, at, end)
    aki = extensions.value(fields.AUTHORITY_KEY_ID)
    return ListHeader(
        parts=parts,
        issuer=issuer.text,
        key_id=None if aki is None else fields.read_authority_key_id(aki),
        number=_number(extensions),
        scope=(extensions.value(DISTRIBUTION_POINT) or b"").hex(),
        this_update=this_update,
        next_update=next_update,
        entries=entries,
    )


def _time(der: bytes, at: int, end: int) -> tuple[int | None, int]:
    """Read a time if there is one, and return where the next element is."""
    if at == end or der[at] not in _TIMES:
        return None, at
    stop = read(der, at, end, der[at])[1]
    return read_time(der[at:stop]), stop


def _list_extensions(der: bytes, at: int, end: int) -> ExtensionList:
    """Read the extensions, which are the last part. Refuse what could be misread (RFC 5280 5.2)."""
    if at == end:
        return fields.NO_EXTENSIONS
    start, stop = read(der, at, end, _EXTENSIONS)
    if stop != end:
        raise MalformedDer(f"{end - stop} bytes after the extensions")
    extensions = fields.read_extensions(der, start, stop)
    if not extensions.is_sound:
        raise NotAList("an extension occurs twice, or cannot be read")
    if DELTA_INDICATOR in extensions.found:
        raise NotAList("it is a delta CRL, which contains only changes")
    for oid, extension in extensions.found.items():
        if extension.critical and oid not in _UNDERSTOOD:
            raise NotAList(f"its critical extension {_dotted(oid)} is unknown")
    point = extensions.value(DISTRIBUTION_POINT)
    if point is not None:
        start, stop = read_all(point, SEQUENCE)
        tags = {tag for tag, first, last in children(point, start, stop) if any(point[first:last])}
        if tags & {_INDIRECT, _ONLY_ATTRIBUTES}:
            raise NotAList("it is an indirect CRL or one for attribute certificates")
    return extensions


def _dotted(oid: bytes) -> str:
    return f"2.5.29.{oid[2]}" if oid[:2] == b"\x55\x1d" and len(oid) == 3 else oid.hex()[:40]  # noqa: PLR2004


def _number(extensions: ExtensionList) -> int | None:
    value = extensions.value(CRL_NUMBER)
    if value is None:
        return None
    start, stop = read_all(value, INTEGER)
    number = int.from_bytes(value[start:stop], signed=True)
    if number.bit_length() > 8 * NUMBER_SIZE:
        raise NotAList(f"its number has more than {NUMBER_SIZE} bytes")
    return number


_BOM: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n\0\x1a"
_LAYERS: Final = 4  # Base64 of PEM of Base64 occurs in no known system; more is not plausible
_ARMOUR: Final = re.compile(rb"-----BEGIN (?:X509 )?CRL-----(.+?)-----END (?:X509 )?CRL-----", re.DOTALL)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/\-_]+={0,2}")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def unwrap_list(data: bytes) -> bytes:
    """Find the DER in a file: DER, PEM or Base64, also wrapped several times, with blanks around it.

    The signature proves the content, so every plausible wrapping is accepted. Raises :class:`NotAList`.
    """
    for _ in range(_LAYERS):
        data = data.removeprefix(_BOM).lstrip(_BLANK)
        if data[:1] == bytes((SEQUENCE,)) and (der := _first_element(data)):
            return der
        found = set(_ARMOUR.findall(data))
        if len(found) > 1:
            raise NotAList(f"it contains {len(found)} lists")
        text = b"".join((found.pop() if found else data).split())
        if not _BASE64.fullmatch(text):
            break
        data = _decode(text)
    raise NotAList("it is not a revocation list in DER, PEM or Base64")


def _first_element(data: bytes) -> bytes | None:
    """Return the element at the start of ``data`` if only blanks follow it."""
    try:
        _, stop = read(data, 0, len(data), SEQUENCE)
    except MalformedDer:
        return None
    return None if data[stop:].strip(_BLANK) else data[:stop]


def _decode(text: bytes) -> bytes:
    plain = text.translate(_URL_SAFE).rstrip(b"=")
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except ValueError as exc:
        raise NotAList(f"its Base64 cannot be read: {exc}") from exc
