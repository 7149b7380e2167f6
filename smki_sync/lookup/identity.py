"""Parse an identity: an EUI-64, a prefixed or bare number or hash, or a certificate file."""

import re
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from smki_sync.errors import UsageError
from smki_sync.mirror.identity_queries import EuiIs, Fingerprint, Identity, SerialIs, SkiIs
from smki_sync.model.certificate import (
    KeyId,
    Serial,
    parse_eui,
    parse_serial,
    serial_from_decimal,
)

_HINT: Final = (
    "Write an EUI-64, serial:HEX or serial:DECIMAL, ski:HEX, sha1: or sha256: with HEX or BASE64, or a"
    " certificate file."
)
_FILE_SUFFIXES: Final = {".pem", ".der", ".crt", ".cer"}
_HASH_BYTES: Final = {"sha1": 20, "sha256": 32}
_MAX_DECIMAL_DIGITS: Final = 49
"""Digits of the largest serial number: 20 bytes (RFC 5280 4.1.2.2)."""
_EUI_DIGITS: Final = 16
_HEX_SERIAL: Final = re.compile(r"(?:0x)?[0-9A-Fa-f]{22,40}", re.ASCII)
"""A bare serial number in hex. SMKI uses 16 bytes; a much shorter text is an EUI-64 with a typing error."""
_EUI_TEXT: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[-:. ]?[0-9A-Fa-f]{2}){7}", re.ASCII)
EUI: Final = "eui"


class Reading(NamedTuple):
    """One way to read a text. ``prefix``: what a user writes to choose it."""

    prefix: str
    identity: Identity


class FileCertificate(NamedTuple):
    """A certificate of a file, as bytes, with its issuer and serial number."""

    der: bytes
    issuer: str
    serial: Serial


def parse_identity(text: str) -> list[Reading] | list[FileCertificate]:
    """Return every way to read ``text``, or the certificates of a file; raises :class:`UsageError`."""
    try:
        if _prefixed(text) is None and (_looks_like_a_path(text) or Path(text).is_file()):
            return read_certificate_file(Path(text))
        return parse_readings(text)
    except OSError as exc:
        raise UsageError(f"{text!r:.80}: {exc.strerror}", hint=_HINT) from exc
    except ValueError as exc:
        raise UsageError(f"{text!r:.80}: {exc}", hint=_HINT) from exc


def parse_readings(text: str, notation: str = "") -> list[Reading]:
    """Return every way to read ``text``, which is not the name of a file; raises ``ValueError``.

    ``notation``: one of :data:`NOTATIONS`, or empty to recognise it by length. A prefix in ``text`` wins.
    """
    prefixed = _prefixed(text)
    if prefixed:
        name, parser, rest = prefixed
        return [Reading(f"{name}:", parser(rest))]
    if notation:
        return [Reading("" if notation == EUI else f"{notation}:", NOTATIONS[notation](text))]
    if _EUI_TEXT.fullmatch(text):
        return [Reading("", _eui(text))]
    return _bare_readings(text) or [Reading("", _eui(text))]


def _prefixed(text: str) -> tuple[str, Callable[[str], Identity], str] | None:
    """Return prefix, parser and rest of a text with a known prefix."""
    prefix, colon, rest = text.partition(":")
    parser = _PARSERS.get(prefix.strip().lower()) if colon else None
    return (prefix.strip().lower(), parser, rest.strip()) if parser else None


def _looks_like_a_path(text: str) -> bool:
    """Return whether the text can only mean a file; Base64 also contains slashes."""
    return Path(text).suffix.lower() in _FILE_SUFFIXES or ("/" in text and not _hash_readings(text))


def _bare_readings(text: str) -> list[Reading]:
    """Return the readings of a text without prefix that is not an EUI-64, by its length."""
    readings = _hash_readings(text)
    serials: list[Serial] = []
    if text.isascii() and text.isdigit() and _EUI_DIGITS < len(text) <= _MAX_DECIMAL_DIGITS:
        serials.append(serial_from_decimal(text))
    if _HEX_SERIAL.fullmatch(text):
        serials.append(parse_serial(text.removeprefix("0x")))
    if serials:
        readings.append(Reading("serial:", SerialIs(serials=tuple(dict.fromkeys(serials)))))
    return readings


def _hash_readings(text: str) -> list[Reading]:
    """Return the hashes that ``text`` can be, in hex or Base64."""
    readings = []
    for algorithm, size in _HASH_BYTES.items():
        digest = _hash_bytes(text, size)
        if digest is not None:
            readings.append(Reading(f"{algorithm}:", Fingerprint(algorithm=algorithm, digest=digest)))
    return readings


def _hash_bytes(text: str, size: int) -> bytes | None:
    """Return a hash of ``size`` bytes from hex or Base64; ``None`` if the text is neither."""
    for read in (_hex_bytes, _base64_bytes):
        try:
            digest = read(text)
        except ValueError:
            continue
        if len(digest) == size:
            return digest
    return None


def _serial(text: str) -> Identity:
    """Digits alone may be hex or decimal, so both are looked up."""
    digits = text.replace(":", "").replace(" ", "").removeprefix("0x")
    serials = [parse_serial(digits)]
    if digits.isdigit() and digits.isascii() and digits == text:
        serials.append(serial_from_decimal(digits))
    return SerialIs(serials=tuple(dict.fromkeys(serials)))


def _ski(text: str) -> Identity:
    return SkiIs(ski=KeyId(_hex_bytes(text).hex().upper()))


def _fingerprint(algorithm: str) -> Callable[[str], Identity]:
    def parse(text: str) -> Identity:
        size = _HASH_BYTES[algorithm]
        digest = _hash_bytes(text, size)
        if digest is None:
            raise ValueError(f"a {algorithm} hash has {size} bytes, in hex or Base64")
        return Fingerprint(algorithm=algorithm, digest=digest)

    return parse


_PARSERS: Final[Mapping[str, Callable[[str], Identity]]] = {
    "serial": _serial,
    "ski": _ski,
    "sha1": _fingerprint("sha1"),
    "sha256": _fingerprint("sha256"),
}


def _eui(text: str) -> Identity:
    return EuiIs(eui=parse_eui(text))


NOTATIONS: Final[Mapping[str, Callable[[str], Identity]]] = {EUI: _eui, **_PARSERS}
"""Parsers by notation: :data:`EUI` and the prefixes."""


def _hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError as exc:
        raise ValueError("this is not hex with two digits per byte") from exc


def _base64_bytes(text: str) -> bytes:
    return a2b_base64("".join(text.split()), strict_mode=True)


def read_certificate_file(path: Path) -> list[FileCertificate]:
    """Read PEM with one or more certificates, DER, or Base64 without PEM lines; raises ``ValueError``."""
    from smki_sync.x509 import NotACertificate  # noqa: PLC0415 - only a file needs it

    try:
        return [certificate_in(der) for der in bodies_in(path.read_bytes())]
    except OSError as exc:
        raise ValueError(f"the file cannot be read: {exc.strerror}") from exc
    except NotACertificate as exc:
        raise ValueError(f"the file does not contain a certificate: {exc}") from exc


def certificate_in(der: bytes) -> FileCertificate:
    """Read issuer and serial number of a certificate; raises :class:`~smki_sync.x509.NotACertificate`."""
    from smki_sync.x509 import read_facts  # noqa: PLC0415 - only a file needs it

    facts = read_facts(der)
    return FileCertificate(der=der, issuer=facts.issuer, serial=facts.serial)


def bodies_in(content: bytes) -> tuple[bytes, ...]:
    """Return the DER of each certificate of a file."""
    from smki_sync.x509.der import read_bundle  # noqa: PLC0415 - as above

    bodies = read_bundle(content)
    if bodies != (content,):
        return bodies
    try:
        return (_base64_bytes(content.decode("ascii")),)
    except ValueError:  # not Base64, so DER
        return bodies
