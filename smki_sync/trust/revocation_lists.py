"""Parse authority and certificate revocation lists, and decide which may come into force.

A list may replace the list in force of the same kind, issuer, key and scope. Lists with different
scopes are in force together.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from smki_sync.model.certificate import KeyId
from smki_sync.model.extract import ListInForce, ListKind, RevocationList
from smki_sync.model.report import NoticeCode
from smki_sync.planner import CLOCK_TOLERANCE
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
from smki_sync.x509.der import SEQUENCE, MalformedDer, children, read_all
from smki_sync.x509.fields import CRL_SIGN, normalise_name
from smki_sync.x509.revocation_list import NotAList, read_header, split_list, unwrap_list

_ALGORITHMS: Final = (ECDSA_WITH_SHA256, ECDSA_WITH_SHA256_NULL)
_ECDSA: Final = ECDSA(SHA256())
_ROOT_ROLE: Final = 0
_ISSUING_ROLE: Final = 7
_SIGNER_ROLES: Final = {ListKind.ARL: _ROOT_ROLE, ListKind.CRL: _ISSUING_ROLE}
_TOLERANCE_SECONDS: Final = int(CLOCK_TOLERANCE.total_seconds())
_DAY_SECONDS: Final = int(timedelta(days=1).total_seconds())


def read_list(data: bytes) -> RevocationList:
    """Read a list in any wrapping of DER, PEM and Base64, except its entries. Raises :class:`NotAList`.

    The entries are parsed when they are iterated over, so that a list without a genuine signature costs
    little.
    """
    der = unwrap_list(data)
    header = read_header(der)
    return RevocationList(
        issuer=header.issuer,
        key_id=header.key_id,
        number=header.number,
        this_update=header.this_update,
        next_update=header.next_update,
        revoked=header.entries,
        der=der,
        scope=header.scope,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSigner:
    """An organisation authority of the mirror. ``subject``: RFC 4514. ``role``: ``None`` if unknown."""

    subject: str
    ski: KeyId | None
    role: int | None
    in_use: bool
    der: bytes

    @property
    def key_id(self) -> KeyId:
        """Its subject key identifier, or the one that SMKI would give its key."""
        return self.ski or key_id_of_key(read_body(self.der).spki)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a list does not come into force."""

    code: NoticeCode
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenList:
    """A list may come into force. ``signer``: identifier of the key that has signed it.

    ``is_news``: whether it differs from the one in force. ``entries``: how many it has.
    """

    signer: KeyId
    is_news: bool
    entries: int


SignerCheck = Callable[[ListSigner], str | None]
"""Says why a signer is not trusted, ``None`` if it is."""


def trust_every_signer(_signer: ListSigner) -> None:
    """Trust each signer that :func:`check_list` accepts."""


def signer_check(validator: ChainValidator) -> SignerCheck:
    """Require that a signer has a chain without errors to a trust anchor (RFC 5280 6.3.3 (f))."""

    def why_not(signer: ListSigner) -> str | None:
        verdict = validator.validate(read_facts(signer.der), signer.der, read_body(signer.der))
        if verdict.anchored and not verdict.has_errors:
            return None
        errors = (f"{one.code.words} ({one.detail or one.code})" for one in verdict.findings if one.is_error)
        return f"is not proven up to a trust anchor: {'; '.join(errors)}"

    return why_not


def check_list(
    found: RevocationList,
    kind: ListKind,
    signers: Iterable[ListSigner],
    in_force: Iterable[ListInForce],
    *,
    now: int,
    signer_check: SignerCheck = trust_every_signer,
) -> ProvenList | Refusal:
    """Decide whether a list may come into force. ``now``: seconds since 1970, UTC.

    Its signer must be an organisation authority of the mirror, found by name and key identifier and
    proven by the signature. It must be In-Use, accepted by ``signer_check``, and of the role that signs
    such lists: the root for an ARL, an issuing authority for a CRL. The list must not be dated in the
    future, and not be older than the list in force of the same key and scope. Its entries are read only
    after all of that.
    """
    signer = _find_signer(found, signers)
    if isinstance(signer, Refusal):
        return signer
    before = next((one for one in in_force if is_successor(found, kind, signer.key_id, one)), None)
    if refusal := _refuse_signer(signer, kind, signer_check) or _refuse_date(found, before, now):
        return refusal
    if before and not before.forgotten and sha256(found.der).hexdigest() == before.sha256:
        return ProvenList(signer=signer.key_id, is_news=False, entries=before.entries)
    try:
        entries = len(found.revoked)
    except NotAList as exc:
        return Refusal(code=NoticeCode.LIST_UNREADABLE, why=str(exc))
    return ProvenList(signer=signer.key_id, is_news=True, entries=entries)


def _refuse_signer(signer: ListSigner, kind: ListKind, signer_check: SignerCheck) -> Refusal | None:
    if unfit := _why_unfit(signer, kind):
        return Refusal(code=NoticeCode.LIST_SIGNER_UNFIT, why=f"{_label(signer)} {unfit}")
    if unproven := signer_check(signer):
        return Refusal(code=NoticeCode.LIST_NOT_ANCHORED, why=f"{_label(signer)} {unproven}")
    return None


def _refuse_date(found: RevocationList, before: ListInForce | None, now: int) -> Refusal | None:
    if found.this_update > now + _TOLERANCE_SECONDS:
        why = f"it is dated {text_of(found.this_update)}, which is in the future"
        return Refusal(code=NoticeCode.LIST_DATED_IN_FUTURE, why=why)
    if before and not before.forgotten and (why_older := _why_older(found, before, now)):
        return Refusal(code=NoticeCode.LIST_OLDER, why=why_older)
    return None


def is_successor(found: RevocationList, kind: ListKind, key_id: KeyId, before: ListInForce) -> bool:
    """Whether a list would replace another one: same kind, issuer, key and scope."""
    return (before.kind, before.key_id, before.scope) == (kind, key_id, found.scope) and (
        normalise_name(before.issuer) == normalise_name(found.issuer)
    )


def _find_signer(found: RevocationList, signers: Iterable[ListSigner]) -> ListSigner | Refusal:
    """Find whose key has signed. Of several certificates of one key, one that is In-Use is taken."""
    name = normalise_name(found.issuer)
    named = [
        one for one in signers if normalise_name(one.subject) == name and found.key_id in (None, one.key_id)
    ]
    if not named:
        key = f", key {found.key_id:.80}" if found.key_id else ""
        return Refusal(code=NoticeCode.LIST_SIGNER_UNKNOWN, why=f"its signer is {found.issuer:.200}{key}")
    proven = [one for one in named if _has_signed(one, found)]
    if not proven:
        return Refusal(
            code=NoticeCode.LIST_SIGNATURE_FALSE,
            why=f"its signature is not from the key of {_label(named[0])}",
        )
    return max(proven, key=lambda one: one.in_use)


def _label(signer: ListSigner) -> str:
    return f"{signer.subject} (key {signer.key_id})"


def _has_signed(signer: ListSigner, found: RevocationList) -> bool:
    """Check an ECDSA signature with SHA-256 on P-256 (GBCS 12) over the bytes as they were served."""
    parts = split_list(found.der)
    key = read_key(read_body(signer.der).spki)
    if key is None or parts.inner not in _ALGORITHMS or parts.outer not in _ALGORITHMS:
        return False
    try:
        key.verify(parts.signature, parts.tbs, _ECDSA)
    except InvalidSignature:
        return False
    return True


def _why_unfit(signer: ListSigner, kind: ListKind) -> str | None:
    if not signer.in_use:
        return "is not In-Use in the mirror"
    if signer.role not in (None, _SIGNER_ROLES[kind]):
        return f"has role {signer.role}, but role {_SIGNER_ROLES[kind]} signs such lists"
    flags = flags_of(read_body(signer.der))
    return None if flags & CRL_SIGN else "may not sign lists (keyUsage)"


def _why_older(found: RevocationList, before: ListInForce, now: int) -> str | None:
    """Compare the numbers first, then the dates, unless the list in force is dated in the future."""
    if before.number is not None and found.number is None:
        return f"it has no number, and number {before.number} is in force"
    if before.number is not None and found.number is not None and found.number != before.number:
        if found.number > before.number:
            return None
        return f"its number is {found.number}, and number {before.number} is in force"
    if found.this_update < before.this_update <= now + _TOLERANCE_SECONDS:
        return (
            f"it is dated {text_of(found.this_update)}, and one dated {text_of(before.this_update)} is in"
            " force"
        )
    return None


def why_stale(held: ListInForce, *, today: date, max_age_days: int | None) -> str | None:
    """Say why a list in force is stale today, ``None`` if it is not.

    ``max_age_days``: limit of the operator on its age. ``None``: only its nextUpdate counts.
    """
    midnight = int(datetime.combine(today, time(), UTC).timestamp())
    if held.next_update is not None and held.next_update < midnight:
        return f"the next one was due by {text_of(held.next_update)}"
    oldest = midnight - (max_age_days or 0) * _DAY_SECONDS
    if max_age_days is not None and held.this_update < oldest:
        return f"it is dated {text_of(held.this_update)}, more than {max_age_days} days ago"
    return None


def expected(held: Sequence[ListInForce]) -> list[ListInForce]:
    """Return the lists in force that must be fresh: those whose authority is In-Use.

    Another authority signs no newer list. What its last list revokes stays revoked.
    """
    return [one for one in held if one.signer_in_use]


_ONLY_USERS: Final = 0x81
_ONLY_AUTHORITIES: Final = 0x82
_SOME_REASONS: Final = 0x83
"""Parts of an IssuingDistributionPoint that leave certificates or reasons out (RFC 5280 5.2.5)."""

_PARTIAL: Final = {
    ListKind.ARL: {_ONLY_USERS, _SOME_REASONS},
    ListKind.CRL: {_ONLY_AUTHORITIES, _SOME_REASONS},
}


def is_complete(kind: ListKind, scope: str) -> bool:
    """Whether a list with this scope covers every certificate of its kind, for every reason."""
    try:
        data = bytes.fromhex(scope)
        if not data:
            return True
        parts = children(data, *read_all(data, SEQUENCE))
        return not {tag for tag, first, last in parts if any(data[first:last])} & _PARTIAL[kind]
    except (MalformedDer, ValueError):
        return False
