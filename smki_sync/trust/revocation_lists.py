"""Parse authority and certificate revocation lists, and decide whether one may replace the list in force."""

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from smki_sync.model.certificate import KeyId, key_id_of, serial_of
from smki_sync.model.extract import ListInForce, ListKind, RevocationList, Revoked
from smki_sync.model.report import NoticeCode
from smki_sync.timestamps import text_of
from smki_sync.trust.chain import ChainValidator
from smki_sync.trust.profiles import (
    ECDSA_WITH_SHA256,
    ECDSA_WITH_SHA256_NULL,
    flags_of,
    key_id_of_key,
    read_key,
)
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import read_body
from smki_sync.x509.der import BIT_STRING, INTEGER, SEQUENCE, check_bits, element, read, read_all
from smki_sync.x509.fields import CRL_SIGN

_PLAIN: Final = {ECDSA_WITH_SHA256_NULL: ECDSA_WITH_SHA256}


class ListParts(NamedTuple):
    """A CertificateList taken apart (RFC 5280 5.1). ``tbs``: what was signed, with its header.

    ``version``, ``rest``: what stands in it before and behind its AlgorithmIdentifier, ``inner``. ``outer``:
    the one beside it. ``signature``: the octets, without the count of unused bits.
    """

    tbs: bytes
    version: bytes
    inner: bytes
    rest: bytes
    outer: bytes
    signature: bytes

    @property
    def is_ecdsa_with_sha256(self) -> bool:
        """Whether both places name the only algorithm of SMKI (GBCS 12), with or without a NULL."""
        return all(_PLAIN.get(one, one) == ECDSA_WITH_SHA256 for one in (self.inner, self.outer))


def take_apart(der: bytes) -> ListParts:
    """Take the list that fills ``der`` apart; raises :class:`~smki_sync.x509.der.MalformedDer`."""
    start, stop = read_all(der, SEQUENCE)
    first, end = read(der, start, stop, SEQUENCE)
    outer_stop = read(der, end, stop, SEQUENCE)[1]
    signature, last = read(der, outer_stop, stop, BIT_STRING)
    check_bits(der, signature, last)
    at = first
    if der[at] == INTEGER:  # a list of version 1 does not write it
        at = read(der, at, end, INTEGER)[1]
    inner_stop = read(der, at, end, SEQUENCE)[1]
    return ListParts(
        tbs=der[start:end],
        version=der[first:at],
        inner=der[at:inner_stop],
        rest=der[inner_stop:end],
        outer=der[end:outer_stop],
        signature=der[signature + 1 : last],
    )


def without_null(der: bytes) -> bytes:
    """Give a list as it would stand without the NULL; ``der`` itself where there is none.

    Its signature proves nothing any more. Raises :class:`~smki_sync.x509.der.MalformedDer`.
    """
    parts = take_apart(der)
    if not {parts.inner, parts.outer} & _PLAIN.keys():
        return der
    inner, outer = (_PLAIN.get(one, one) for one in (parts.inner, parts.outer))
    tbs = element(SEQUENCE, parts.version + inner + parts.rest)
    return element(SEQUENCE, tbs + outer + element(BIT_STRING, b"\0" + parts.signature))


_ROOT_ROLE: Final = 0
_ISSUING_ROLE: Final = 7
_SIGNER_ROLES: Final = {ListKind.ARL: _ROOT_ROLE, ListKind.CRL: _ISSUING_ROLE}
_ECDSA: Final = ECDSA(SHA256())


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSigner:
    """An organisation authority of the mirror. ``subject``: RFC 4514; ``role``: ``None`` where unknown."""

    subject: str
    ski: KeyId | None
    role: int | None
    in_use: bool
    der: bytes

    @property
    def key_id(self) -> KeyId:
        """Its key identifier, its own or the one that SMKI would give it."""
        return self.ski or key_id_of_key(read_body(self.der).spki)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a list does not come into force."""

    code: NoticeCode
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenList:
    """A list may come into force. ``signer``: identifier of the key that has signed it.

    ``is_news``: whether it is another than the one in force.
    """

    signer: KeyId
    is_news: bool


Distrust = Callable[[ListSigner], str | None]
"""Says why a signer is not trusted, ``None`` where it is: the place of rules about chains."""


def trust_all(_signer: ListSigner) -> None:
    """Ask nothing of a signer but what :func:`judge_list` asks."""


def judge_list(
    found: RevocationList,
    kind: ListKind,
    signers: Iterable[ListSigner],
    held: Iterable[ListInForce],
    *,
    distrust: Distrust = trust_all,
) -> ProvenList | Refusal:
    """Say whether a list may come into force.

    Its signer is an organisation authority of the mirror, found by AKI to SKI, proven by the signature,
    In-Use, and of the role that signs such lists: the root an ARL, an issuing authority a CRL, and
    nobody has reason to ``distrust`` it. The list is no older than the one in force of the same key, by
    number and by date.
    """
    signer = _signer(found, signers)
    if isinstance(signer, Refusal):
        return signer
    if unfit := _unfit(signer, kind):
        return Refusal(code=NoticeCode.LIST_SIGNER_UNFIT, why=f"{_label(signer)} {unfit}")
    if unproven := distrust(signer):
        return Refusal(code=NoticeCode.LIST_NOT_ANCHORED, why=f"{_label(signer)} {unproven}")
    key_id = signer.key_id
    before = next(
        (one for one in held if (one.kind, one.issuer, one.key_id) == (kind, found.issuer, key_id)), None
    )
    if before and (why := _why_older(found, before)):
        return Refusal(code=NoticeCode.LIST_OLDER, why=why)
    return ProvenList(signer=key_id, is_news=before is None or not _is_same(found, before))


def _signer(found: RevocationList, signers: Iterable[ListSigner]) -> ListSigner | Refusal:
    """Find whose key has signed; certificates in use of the same key come first."""
    named = [one for one in signers if one.subject == found.issuer and found.key_id in (None, one.key_id)]
    if not named:
        key = f", key {found.key_id}" if found.key_id else ""
        return Refusal(code=NoticeCode.LIST_SIGNER_UNKNOWN, why=f"its signer is {found.issuer}{key}")
    proven = [one for one in named if _has_signed(one, found)]
    if not proven:
        return Refusal(
            code=NoticeCode.LIST_SIGNATURE_FALSE,
            why=f"its signature is not by the key of {_label(named[0])}",
        )
    return max(proven, key=lambda one: one.in_use)


def _label(signer: ListSigner) -> str:
    return f"{signer.subject} (key {signer.key_id})"


def _has_signed(signer: ListSigner, found: RevocationList) -> bool:
    """ECDSA with SHA-256 on P-256 (GBCS 12), and nothing else, over the octets as they were served."""
    parts = take_apart(found.der)
    key = read_key(read_body(signer.der).spki)
    if key is None or not parts.is_ecdsa_with_sha256:
        return False
    try:
        key.verify(parts.signature, parts.tbs, _ECDSA)
    except InvalidSignature:
        return False
    return True


def _unfit(signer: ListSigner, kind: ListKind) -> str | None:
    if not signer.in_use:
        return "is not In-Use in the mirror"
    if signer.role not in (None, _SIGNER_ROLES[kind]):
        return f"has role {signer.role}, and role {_SIGNER_ROLES[kind]} signs such lists"
    flags = flags_of(read_body(signer.der))
    return None if flags & CRL_SIGN else "may not sign lists (keyUsage)"


def _why_older(found: RevocationList, held: ListInForce) -> str | None:
    if held.number is not None and (found.number is None or found.number < held.number):
        return (
            f"its number is {'absent' if found.number is None else found.number}, {held.number} is in force"
        )
    if found.this_update < held.this_update:
        return f"it is of {text_of(found.this_update)}, one of {text_of(held.this_update)} is in force"
    return None


def _is_same(found: RevocationList, held: ListInForce) -> bool:
    return sha256(found.der).hexdigest() == held.sha256


def distrust_by(judge: ChainValidator) -> Distrust:
    """Ask of a signer what ``verify`` asks of its certificate (RFC 5280 6.3.3 (f)): no error up to an anchor.

    ``judge``: knows the anchors, and the time.
    """

    def why(signer: ListSigner) -> str | None:
        verdict = judge.judge(read_facts(signer.der), signer.der, read_body(signer.der))
        if verdict.anchored and not verdict.has_errors:
            return None
        told = (f"{one.code.words} ({one.detail or one.code})" for one in verdict.findings if one.is_error)
        return f"is not proven up to a trust anchor: {'; '.join(told)}"

    return why


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


_DAY_SECONDS: Final = int(timedelta(days=1).total_seconds())


def why_stale(held: ListInForce, *, today: date, max_age_days: int | None) -> str | None:
    """Say why a list in force is not fresh today, ``None`` where it is.

    ``max_age_days``: the operator's own limit on its age; ``None`` leaves it to the list's nextUpdate.
    """
    midnight = int(datetime.combine(today, time(), UTC).timestamp())
    if held.next_update is not None and held.next_update < midnight:
        return f"the next was due by {text_of(held.next_update)}"
    oldest = midnight - (max_age_days or 0) * _DAY_SECONDS
    if max_age_days is not None and held.this_update < oldest:
        return f"it is of {text_of(held.this_update)}, more than {max_age_days} days old"
    return None


def expected(held: Sequence[ListInForce]) -> list[ListInForce]:
    """The lists in force that must be fresh: those whose authority is In-Use.

    An authority that is not any more signs no newer list; what its last one revokes stays revoked.
    """
    return [one for one in held if one.signer_in_use]
