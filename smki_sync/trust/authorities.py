"""Who may have issued a certificate: authorities by key identifier and by name, and who their keys signed.

For: step 6 and 7 of a verification. An issuer is found by AKI to SKI and proven by its signature, never by
name alone: the DCC's own test PKI has two keys under one name. Where a certificate has no AKI, every
authority of its issuer's name is tried. Refuses: to say whether an issuer may issue (:mod:`.chain` does).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from smki_sync.model.certificate import Facts
from smki_sync.model.identity import KeyId
from smki_sync.trust.findings import Code, Finding
from smki_sync.trust.keys import (
    ECDSA_WITH_SHA256,
    ECDSA_WITH_SHA256_NULL,
    PublicKey,
    has_signed,
    key_id_of_key,
    read_key,
)
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import Body, read_body

FURTHER_LIMIT: Final = 32
"""Key identifiers that are looked for among end entities too: each may cost a scan of the mirror, and an
extract made to harm can name any number."""


class Standing(StrEnum):
    """What the Repository says of an authority's certificate. ``UNLISTED``: it is an anchor alone."""

    IN_USE = "in-use"
    NOT_IN_USE = "not-in-use"
    REVOKED = "revoked"
    UNLISTED = "unlisted"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Authority:
    """A certificate that may have issued others, with its key read once; ``None`` for a key not on P-256."""

    der: bytes
    facts: Facts
    body: Body
    key: PublicKey | None
    standing: Standing
    is_anchor: bool = False

    @property
    def label(self) -> str:
        """Its name and key identifier, for people."""
        return f"{self.facts.subject or self.facts.eui or 'no name'} (key {self.key_id})"

    @property
    def key_id(self) -> KeyId:
        """Its key identifier, its own or the one that SMKI would give it."""
        return self.facts.ski or key_id_of_key(self.body.spki)

    @property
    def signs_itself(self) -> bool:
        """Whether it claims to be its own issuer."""
        return self.facts.subject == self.facts.issuer and self.facts.aki in (None, self.facts.ski)


def authority_of(der: bytes, standing: Standing, *, is_anchor: bool = False) -> Authority:
    """Read a certificate as one that may issue; raises ``ValueError`` where it is none."""
    body = read_body(der)
    return Authority(
        der=der,
        facts=read_facts(der),
        body=body,
        key=read_key(body.spki),
        standing=standing,
        is_anchor=is_anchor,
    )


Proves = Callable[[Authority, bytes, Body], bool]
"""Says whether an authority's key has signed a certificate, given as its DER and its parts."""


def prove(authority: Authority, _der: bytes, body: Body) -> bool:
    """Prove a signature now, whatever is remembered."""
    return authority.key is not None and has_signed(authority.key, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """``issuers``: certificates of the one key that has signed; empty where none has. ``findings``: why."""

    issuers: tuple[Authority, ...] = ()
    findings: tuple[Finding, ...] = ()


class Authorities:
    """Those of a mirror and the trust anchors, by key identifier and by name."""

    def __init__(
        self,
        held: Iterable[Authority],
        anchors: Iterable[Authority],
        *,
        find: Callable[[KeyId], Iterable[Authority]],
    ) -> None:
        """``held``: of the mirror. ``find``: gives certificates of end entities with a key identifier.

        A trust anchor is a name and a key (RFC 5280 6.1.1 (d)): whatever certificate of ``held`` has those
        of an anchor is one too. End entities tell an issuer that is no authority from one that is not there.
        """
        trusted = list(anchors)
        names = {_identity(anchor) for anchor in trusted}
        rows = [replace(one, is_anchor=_identity(one) in names) for one in held]
        listed = {one.der for one in rows}
        self.members = (*rows, *(one for one in trusted if one.der not in listed))
        self.has_anchors = bool(trusted)
        self._by_key: dict[KeyId, list[Authority]] = defaultdict(list)
        self._by_name: dict[str, list[Authority]] = defaultdict(list)
        for one in self.members:
            self._by_key[one.key_id].append(one)
            self._by_name[one.facts.subject].append(one)
        self._find = find
        self._further: dict[KeyId, tuple[Authority, ...]] = {}

    def resolve(self, facts: Facts, der: bytes, body: Body, proves: Proves = prove) -> Resolved:
        """Find whose key has signed a certificate."""
        if body.outer not in (ECDSA_WITH_SHA256, ECDSA_WITH_SHA256_NULL):
            return Resolved(findings=(Finding(Code.SIGNATURE_UNCHECKED, "another algorithm"),))

        def signers(some: Sequence[Authority]) -> tuple[Authority, ...]:
            return _signers(some, lambda authority: proves(authority, der, body))

        named = self._named(facts.aki) if facts.aki else ()
        if found := signers(named):
            return Resolved(issuers=found, findings=_ambiguous(named))
        alike = [one for one in self._by_name.get(facts.issuer, ()) if one not in named]
        if found := signers(alike):
            odd = Finding(Code.AKI_NAMES_ANOTHER, f"it names {facts.aki}, {found[0].label} has signed")
            return Resolved(issuers=found, findings=(odd,) if facts.aki else _ambiguous(alike))
        return Resolved(findings=(_unresolved(facts, named, alike),))

    def first_choice(self, facts: Facts) -> Sequence[Authority]:
        """Those whose signatures are tried first; what is remembered is asked for them beforehand."""
        named = self._by_key.get(facts.aki) if facts.aki else self._by_name.get(facts.issuer)
        return named or ()

    def _named(self, key_id: KeyId) -> Sequence[Authority]:
        found = self._by_key.get(key_id)
        if found:
            return found
        if key_id not in self._further and len(self._further) < FURTHER_LIMIT:
            self._further[key_id] = tuple(self._find(key_id))
        return self._further.get(key_id, ())


def _identity(authority: Authority) -> tuple[str, bytes]:
    return authority.facts.subject, authority.body.spki


def _signers(some: Sequence[Authority], proves: Callable[[Authority], bool]) -> tuple[Authority, ...]:
    """Those with the first key that has signed; each key is tried once, whatever certificates it has."""
    tried: set[bytes] = set()
    for one in some:
        spki = one.body.spki
        if spki not in tried and one.key is not None and proves(one):
            return tuple(other for other in some if other.body.spki == spki)
        tried.add(spki)
    return ()


def _ambiguous(some: Sequence[Authority]) -> tuple[Finding, ...]:
    keys = {one.body.spki for one in some}
    return (Finding(Code.ISSUER_AMBIGUOUS, f"{len(keys)} keys"),) if len(keys) > 1 else ()


def _unresolved(facts: Facts, named: Sequence[Authority], alike: Sequence[Authority]) -> Finding:
    """Say why nobody's key fits: the one that is named has not signed, or is not known."""
    if not facts.aki:
        tried = f"{len(alike)} of that name tried" if alike else "none of that name"
        return Finding(Code.ISSUER_UNKNOWN, f"{facts.issuer:.80}, no key identifier; {tried}")
    if not named:
        return Finding(Code.ISSUER_UNKNOWN, f"{facts.issuer:.80}, key {facts.aki}")
    if all(one.key is None for one in named):
        return Finding(Code.SIGNATURE_UNCHECKED, f"the key of {named[0].label} is not on P-256")
    return Finding(Code.SIGNATURE_FALSE, f"key of {named[0].label}")
