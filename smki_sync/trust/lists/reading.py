"""Octets to a list, or why they are none.

For: DER and PEM (RFC 5280 5.1; which of them the Repository serves is not public). Refuses: a list that says
less than it seems to: a delta CRL, an indirect one, one for some reasons only; and to prove a signature.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from cryptography import x509

from smki_sync.model.identity import KeyId, key_id_of, serial_of
from smki_sync.model.lists import RevocationList, Revoked
from smki_sync.trust.lists.octets import without_null

_ARMOUR: Final = re.compile(rb"-----BEGIN X509 CRL-----(.+?)-----END X509 CRL-----", re.DOTALL)
_UNDERSTOOD: Final = (x509.CRLNumber, x509.AuthorityKeyIdentifier, x509.IssuingDistributionPoint)
_NUMBER_OCTETS: Final = 20
"""Of a crlNumber, at most (RFC 5280 5.2.3). Python writes no number of some thousand digits."""
_UNREADABLE: Final = (
    ValueError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the strict parser raises for octets that are no list."""


class NotAList(ValueError):
    """The octets are no list, or none that can be taken as it stands; the message says why."""


def read_list(octets: bytes) -> RevocationList:
    """Read a list in DER or PEM; raises :class:`NotAList`. Its ``der`` is as it was served.

    Lines with ``removeFromCRL`` are left out: they say that a certificate is revoked no longer.
    """
    der = _unarmoured(octets)
    try:
        crl = x509.load_der_x509_crl(without_null(der))
        _check_complete(crl)
        return RevocationList(
            issuer=crl.issuer.rfc4514_string(),
            key_id=_key_id(crl),
            number=_number(crl),
            this_update=_seconds(crl.last_update_utc),
            next_update=None if crl.next_update_utc is None else _seconds(crl.next_update_utc),
            revoked=tuple(_lines(crl)),
            der=der,
        )
    except NotAList:
        raise
    except _UNREADABLE as exc:
        raise NotAList(f"no CRL can be read from it: {exc}") from exc


def _unarmoured(octets: bytes) -> bytes:
    found = _ARMOUR.findall(octets)
    if not found:
        return octets
    if len(found) > 1:
        raise NotAList(f"it holds {len(found)} lists")
    try:
        return b64decode(b"".join(found[0].split()), validate=True)
    except ValueError as exc:
        raise NotAList(f"its PEM is no Base64: {exc}") from exc


def _check_complete(crl: x509.CertificateRevocationList) -> None:
    """Refuse what would be misread as a whole list of its issuer (RFC 5280 5.2)."""
    for extension in crl.extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            raise NotAList("it is a delta CRL, which says only what has changed")
        if extension.critical and not isinstance(extension.value, _UNDERSTOOD):
            raise NotAList(f"its critical extension {extension.oid.dotted_string} is unknown")
        point = extension.value
        if isinstance(point, x509.IssuingDistributionPoint) and (
            point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs
        ):
            raise NotAList("it is an indirect or partial CRL")


def _key_id(crl: x509.CertificateRevocationList) -> KeyId | None:
    try:
        found = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None
    return key_id_of(found) if found else None


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None
    if number.bit_length() > 8 * _NUMBER_OCTETS:
        raise NotAList(f"its number has more than {_NUMBER_OCTETS} octets")
    return number


def _lines(crl: x509.CertificateRevocationList) -> Iterator[Revoked]:
    for line in crl:
        reason = _reason(line)
        if reason is not x509.ReasonFlags.remove_from_crl:
            since = _seconds(line.revocation_date_utc)
            octets = _octets_of(line.serial_number)
            yield Revoked(serial_of(octets), since, reason.value if reason else None)


def _octets_of(number: int) -> bytes:
    """An INTEGER as DER has it; a certificate whose serial number is negative is known by its octets, too."""
    return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, signed=True)


def _reason(line: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    found = None
    for extension in line.extensions:
        if isinstance(extension.value, x509.CRLReason):
            found = extension.value.reason
        elif extension.critical:  # a certificate issuer of an indirect CRL is the only one that RFC 5280 has
            raise NotAList(f"a line has the unknown critical extension {extension.oid.dotted_string}")
    return found


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
