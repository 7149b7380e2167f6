"""What a person may write to name a certificate, as an identity that the mirror can look up.

For: every command that asks the mirror. Refuses: to guess between two readings without trying
both, and to hide what is wrong with a text.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from smki_sync.errors import MirrorError, UsageError
from smki_sync.mirror.connection import named
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries.identity import EuiIs, Fingerprint, Identity, SerialIs, SkiIs
from smki_sync.model.certificate import ROLE_NAMES
from smki_sync.model.identity import KeyId, parse_eui, parse_serial, serial_from_decimal

_HINT: Final = (
    "Write an EUI-64, serial:HEX or serial:DECIMAL, ski:HEX, sha1:HEX, sha256:HEX, or a certificate file."
)
_ROLES: Final = {name.lower(): number for number, name in ROLE_NAMES.items()}
_SUFFIXES: Final = {".pem", ".der", ".crt", ".cer"}
_HASH_OCTETS: Final = {"sha1": 20, "sha256": 32}


def link_in(directory: Path) -> Path:
    """Where the mirror is opened; :class:`MirrorError` (``no-mirror``) where there is none."""
    link = MirrorDirectory(directory).link
    with named(link.parent):
        is_there = link.is_symlink()
    if not is_there:
        raise MirrorError(
            f"there is no mirror in {link.parent}", hint="Run `smki-sync sync`.", code="no-mirror"
        )
    return link


def parse_role(text: str | None) -> int | None:
    """A Remote Party Role by number or name, any case."""
    if text is None or (text.isascii() and text.isdigit()):
        return None if text is None else int(text)
    if text.lower() not in _ROLES:
        raise UsageError(
            f"{text!r:.40} is no Remote Party Role", hint=f"One of {', '.join(ROLE_NAMES.values())}."
        )
    return _ROLES[text.lower()]


def parse_identity(text: str) -> Identity:
    """Read an identity; :class:`UsageError` says what is wrong with it."""
    prefix, colon, rest = text.partition(":")
    reader = _READERS.get(prefix.lower()) if colon else None
    try:
        if reader:
            return reader(rest.strip())
        if _is_name_of_file(text) or Path(text).is_file():
            return _of_file(Path(text))
        return EuiIs(eui=parse_eui(text))
    except OSError as exc:
        raise UsageError(f"{text!r:.80}: {exc.strerror}", hint=_HINT) from exc
    except ValueError as exc:
        raise UsageError(f"{text!r:.80}: {exc}", hint=_HINT) from exc


def _is_name_of_file(text: str) -> bool:
    """Whether that can only have been meant as a file."""
    return "/" in text or Path(text).suffix.lower() in _SUFFIXES


def _serial(text: str) -> Identity:
    """Digits alone may be hex or decimal: both are looked up."""
    digits = text.replace(":", "").replace(" ", "").removeprefix("0x")
    serials = [parse_serial(digits)]
    if digits.isdigit() and digits.isascii() and digits == text:
        serials.append(serial_from_decimal(digits))
    return SerialIs(serials=tuple(dict.fromkeys(serials)))


def _ski(text: str) -> Identity:
    return SkiIs(ski=KeyId(_octets(text).hex().upper()))


def _fingerprint(algorithm: str) -> Callable[[str], Identity]:
    def read(text: str) -> Identity:
        digest = _octets(text)
        if len(digest) != _HASH_OCTETS[algorithm]:
            raise ValueError(f"{algorithm} has {_HASH_OCTETS[algorithm]} octets, this has {len(digest)}")
        return Fingerprint(algorithm=algorithm, digest=digest)

    return read


_READERS: Final[Mapping[str, Callable[[str], Identity]]] = {
    "serial": _serial,
    "ski": _ski,
    "sha1": _fingerprint("sha1"),
    "sha256": _fingerprint("sha256"),
}


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError as exc:
        raise ValueError("that is not hex, two digits an octet") from exc


def _of_file(path: Path) -> Identity:
    """A certificate at hand is looked up by its serial number, which has an index."""
    from smki_sync.x509 import NotACertificate, read_facts  # noqa: PLC0415 - only a file needs it
    from smki_sync.x509.pem import read_pem_or_der  # noqa: PLC0415 - as above

    try:
        return SerialIs(serials=(read_facts(read_pem_or_der(path.read_bytes())).serial,))
    except OSError as exc:
        raise ValueError(f"it cannot be read: {exc.strerror}") from exc
    except NotACertificate as exc:
        raise ValueError(f"no certificate can be read from it: {exc}") from exc
