"""Whether a list may come into force.

For: :func:`judge`: who has signed it, whether they may, and whether it is older than the one in force.
Refuses: to read a list, and to follow a chain: whoever has trust anchors hands :data:`Distrust` in.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256

from smki_sync.model.identity import KeyId
from smki_sync.model.lists import HeldList, ListKind, RevocationList
from smki_sync.model.report import AttentionCode
from smki_sync.timestamps import text_of
from smki_sync.trust.keys import key_id_of_key, read_key
from smki_sync.trust.lists.octets import take_apart
from smki_sync.trust.profiles import flags_of
from smki_sync.x509.certificate import read_body
from smki_sync.x509.constraints import CRL_SIGN

_ROOT_ROLE: Final = 0
_ISSUING_ROLE: Final = 7
_SIGNER_ROLES: Final = {ListKind.ARL: _ROOT_ROLE, ListKind.CRL: _ISSUING_ROLE}
_ECDSA: Final = ECDSA(SHA256())


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
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

    code: AttentionCode
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A list may come into force. ``signer``: identifier of the key that has signed it.

    ``is_news``: whether it is another than the one in force.
    """

    signer: KeyId
    is_news: bool


Distrust = Callable[[Signer], str | None]
"""Says why a signer is not trusted, ``None`` where it is: the place of rules about chains."""


def trust_all(_signer: Signer) -> None:
    """Ask nothing of a signer but what :func:`judge` asks."""


def judge(
    found: RevocationList,
    kind: ListKind,
    signers: Iterable[Signer],
    held: Iterable[HeldList],
    *,
    distrust: Distrust = trust_all,
) -> Proven | Refusal:
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
        return Refusal(code=AttentionCode.LIST_SIGNER_UNFIT, why=f"{_label(signer)} {unfit}")
    if unproven := distrust(signer):
        return Refusal(code=AttentionCode.LIST_NOT_ANCHORED, why=f"{_label(signer)} {unproven}")
    key_id = signer.key_id
    before = next(
        (one for one in held if (one.kind, one.issuer, one.key_id) == (kind, found.issuer, key_id)), None
    )
    if before and (why := _why_older(found, before)):
        return Refusal(code=AttentionCode.LIST_OLDER, why=why)
    return Proven(signer=key_id, is_news=before is None or not _is_same(found, before))


def _signer(found: RevocationList, signers: Iterable[Signer]) -> Signer | Refusal:
    """Find whose key has signed; certificates in use of the same key come first."""
    named = [one for one in signers if one.subject == found.issuer and found.key_id in (None, one.key_id)]
    if not named:
        key = f", key {found.key_id}" if found.key_id else ""
        return Refusal(code=AttentionCode.LIST_SIGNER_UNKNOWN, why=f"its signer is {found.issuer}{key}")
    proven = [one for one in named if _has_signed(one, found)]
    if not proven:
        return Refusal(
            code=AttentionCode.LIST_SIGNATURE_FALSE,
            why=f"its signature is not by the key of {_label(named[0])}",
        )
    return max(proven, key=lambda one: one.in_use)


def _label(signer: Signer) -> str:
    return f"{signer.subject} (key {signer.key_id})"


def _has_signed(signer: Signer, found: RevocationList) -> bool:
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


def _unfit(signer: Signer, kind: ListKind) -> str | None:
    if not signer.in_use:
        return "is not In-Use in the mirror"
    if signer.role not in (None, _SIGNER_ROLES[kind]):
        return f"has role {signer.role}, and role {_SIGNER_ROLES[kind]} signs such lists"
    flags = flags_of(read_body(signer.der))
    return None if flags & CRL_SIGN else "may not sign lists (keyUsage)"


def _why_older(found: RevocationList, held: HeldList) -> str | None:
    if held.number is not None and (found.number is None or found.number < held.number):
        return (
            f"its number is {'absent' if found.number is None else found.number}, {held.number} is in force"
        )
    if found.this_update < held.this_update:
        return f"it is of {text_of(found.this_update)}, one of {text_of(held.this_update)} is in force"
    return None


def _is_same(found: RevocationList, held: HeldList) -> bool:
    return sha256(found.der).hexdigest() == held.sha256
