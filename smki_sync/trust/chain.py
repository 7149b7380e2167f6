"""Trust anchors, issuers, chain building and validation at a given time."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from smki_sync.model.certificate import Facts, KeyId, Kind
from smki_sync.trust.profiles import (
    ECDSA_WITH_SHA256,
    ECDSA_WITH_SHA256_NULL,
    FindingCode,
    PublicKey,
    TrustFinding,
    check_profile,
    constraints_of,
    flags_of,
    has_signed,
    key_id_of_key,
    read_key,
)
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import Body, read_body
from smki_sync.x509.der import read_bundle
from smki_sync.x509.fields import KEY_CERT_SIGN_CONSTRAINTS

FURTHER_LIMIT: Final = 32
"""Key identifiers that are looked for among end entities too: each may cost a scan of the mirror, and an
extract made to harm can name any number."""


class AuthorityStatus(StrEnum):
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
    standing: AuthorityStatus
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


def authority_of(der: bytes, standing: AuthorityStatus, *, is_anchor: bool = False) -> Authority:
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
    findings: tuple[TrustFinding, ...] = ()


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
            return Resolved(findings=(TrustFinding(FindingCode.SIGNATURE_UNCHECKED, "another algorithm"),))

        def signers(some: Sequence[Authority]) -> tuple[Authority, ...]:
            return _signers(some, lambda authority: proves(authority, der, body))

        named = self._named(facts.aki) if facts.aki else ()
        if found := signers(named):
            return Resolved(issuers=found, findings=_ambiguous(named))
        alike = [one for one in self._by_name.get(facts.issuer, ()) if one not in named]
        if found := signers(alike):
            odd = TrustFinding(
                FindingCode.AKI_NAMES_ANOTHER, f"it names {facts.aki}, {found[0].label} has signed"
            )
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


def _ambiguous(some: Sequence[Authority]) -> tuple[TrustFinding, ...]:
    keys = {one.body.spki for one in some}
    return (TrustFinding(FindingCode.ISSUER_AMBIGUOUS, f"{len(keys)} keys"),) if len(keys) > 1 else ()


def _unresolved(facts: Facts, named: Sequence[Authority], alike: Sequence[Authority]) -> TrustFinding:
    """Say why nobody's key fits: the one that is named has not signed, or is not known."""
    if not facts.aki:
        tried = f"{len(alike)} of that name tried" if alike else "none of that name"
        return TrustFinding(FindingCode.ISSUER_UNKNOWN, f"{facts.issuer:.80}, no key identifier; {tried}")
    if not named:
        return TrustFinding(FindingCode.ISSUER_UNKNOWN, f"{facts.issuer:.80}, key {facts.aki}")
    if all(one.key is None for one in named):
        return TrustFinding(FindingCode.SIGNATURE_UNCHECKED, f"the key of {named[0].label} is not on P-256")
    return TrustFinding(FindingCode.SIGNATURE_FALSE, f"key of {named[0].label}")


DEPTH_LIMIT: Final = 8
"""Authorities in one chain: SMKI has two, and a circle of cross certificates would have no end."""

_AUTHORITIES: Final = (Kind.OCA, Kind.DCA)
_FALSE_ROUTE: Final = (FindingCode.SIGNATURE_FALSE, FindingCode.SIGNATURE_UNCHECKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way from an issuer up. ``links``: the issuer first. ``findings``: against whatever it issued."""

    links: tuple[Authority, ...]
    findings: tuple[TrustFinding, ...]
    anchored: bool

    @property
    def weight(self) -> tuple[int, int, bool]:
        """How much is wrong with it: the lighter of two routes is taken."""
        errors = sum(finding.is_error for finding in self.findings)
        return errors, len(self.findings), not self.anchored


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVerdict:
    """What was found out about one certificate.

    ``links``: the chain from its issuer up, as far as it was proven. ``anchored``: whether that ends at
    a trust anchor. ``signed``: whether its issuer's key has signed it.
    """

    findings: tuple[TrustFinding, ...]
    links: tuple[Authority, ...] = ()
    anchored: bool = False
    signed: bool = False

    @property
    def has_errors(self) -> bool:
        """Whether the certificate is not proven, or not usable at the time."""
        return any(finding.is_error for finding in self.findings)


@dataclass(slots=True)
class ChainValidator:
    """``at``: seconds since 1970, UTC."""

    authorities: Authorities
    at: int
    _routes: dict[tuple[int, int], Route] = field(default_factory=dict)

    def judge(self, facts: Facts, der: bytes, body: Body, proves: Proves = prove) -> ChainVerdict:
        """Take one certificate through all steps. ``proves``: proves signatures, or remembers them."""
        found = [*check_profile(facts, body), *self._validity(facts)]
        if self._is_anchor(facts, body):
            return ChainVerdict(findings=tuple(found), anchored=True)
        resolved = self.authorities.resolve(facts, der, body, proves)
        found += resolved.findings
        if not resolved.issuers:
            return ChainVerdict(findings=tuple(found))
        below = int(facts.kind in _AUTHORITIES and facts.subject != facts.issuer)
        route = self._best(resolved.issuers, facts.issuer, below)
        found += route.findings
        return ChainVerdict(findings=tuple(found), links=route.links, anchored=route.anchored, signed=True)

    def _validity(self, facts: Facts) -> list[TrustFinding]:
        if self.at < facts.not_before:
            return [TrustFinding(FindingCode.NOT_YET_VALID)]
        return [TrustFinding(FindingCode.EXPIRED)] if self.at > facts.not_after else []

    def _is_anchor(self, facts: Facts, body: Body) -> bool:
        if not self.authorities.has_anchors:
            return False
        return any(
            one.is_anchor and one.facts.subject == facts.subject and one.body.spki == body.spki
            for one in self.authorities.members
        )

    def _best(self, issuers: tuple[Authority, ...], name: str, below: int) -> Route:
        """The lightest route among the certificates of the key that has signed."""
        routes = [self._route(one, below) for one in issuers if one.facts.subject == name]
        if routes:
            return min(routes, key=lambda route: route.weight)
        other = self._route(issuers[0], below)
        differs = TrustFinding(FindingCode.ISSUER_NAME_DIFFERS, f"{name:.80} is not {issuers[0].label}")
        return Route(links=other.links, findings=(differs, *other.findings), anchored=other.anchored)

    def _route(self, authority: Authority, below: int) -> Route:
        """The way from an authority up, worked out once. ``below``: authorities between it and the end."""
        known = self._routes.get((id(authority), below))
        if known is None:
            above = self._climb(authority, below, (authority,))
            direct = (*self._may_issue(authority, below), *_own_errors(authority))
            findings = (*direct, *above.findings)
            known = Route(links=(authority, *above.links), findings=findings, anchored=above.anchored)
            self._routes[id(authority), below] = known
        return known

    def _climb(self, authority: Authority, below: int, seen: tuple[Authority, ...]) -> Route:
        """What stands above an authority; its findings are told in one, for each has its own."""
        if authority.is_anchor:
            return Route(links=(), findings=(), anchored=True)
        resolved = self.authorities.resolve(authority.facts, authority.der, authority.body)
        parents = [one for one in resolved.issuers if all(one.body.spki != s.body.spki for s in seen)]
        if not parents or len(seen) >= DEPTH_LIMIT:
            return self._end(authority, resolved)
        is_ca = constraints_of(authority.body).is_ca  # one that is none is another finding, and told once
        count = below + (is_ca and authority.facts.subject != authority.facts.issuer)
        routes = [self._via(one, authority, count, seen) for one in parents]
        return min(routes, key=lambda route: route.weight)

    def _via(self, parent: Authority, child: Authority, below: int, seen: tuple[Authority, ...]) -> Route:
        direct = [*self._may_issue(parent, below), *_own_errors(parent)]
        if parent.facts.subject != child.facts.issuer:
            direct.append(TrustFinding(FindingCode.ISSUER_NAME_DIFFERS))
        errors = [finding for finding in direct if finding.is_error]
        told = [_described(finding, parent) for finding in errors]
        above = self._climb(parent, below, (*seen, parent))
        return Route(links=(parent, *above.links), findings=(*told, *above.findings), anchored=above.anchored)

    def _end(self, authority: Authority, resolved: Resolved) -> Route:
        """The chain goes no further: at its root, at a gap, at a forgery, or in a circle."""
        found: tuple[TrustFinding, ...] = ()
        if any(finding.code in _FALSE_ROUTE for finding in resolved.findings):
            found = (
                TrustFinding(
                    FindingCode.ISSUER_NOT_PROVEN, f"{resolved.findings[0].code} at {authority.label}"
                ),
            )
        elif self.authorities.has_anchors:
            found = (
                TrustFinding(
                    FindingCode.NOT_ANCHORED, f"it ends at {authority.label}{_why(authority, resolved)}"
                ),
            )
        return Route(links=(), findings=found, anchored=False)

    def _may_issue(self, authority: Authority, below: int) -> list[TrustFinding]:
        """Hold an issuer against what it must be (RFC 5280 6.1.4 (k) to (n)).

        A trust anchor is trusted as an issuer whatever it says of itself, but for its dates and its status.
        """
        found = [] if authority.is_anchor else _constrained(authority, below)
        facts, label = authority.facts, authority.label
        if self.at < facts.not_before:
            found.append(TrustFinding(FindingCode.ISSUER_NOT_YET_VALID, label))
        elif self.at > facts.not_after:
            found.append(TrustFinding(FindingCode.ISSUER_EXPIRED, label))
        if authority.standing is AuthorityStatus.REVOKED:
            found.append(TrustFinding(FindingCode.ISSUER_REVOKED, label))
        elif authority.standing is AuthorityStatus.NOT_IN_USE:
            found.append(TrustFinding(FindingCode.ISSUER_NOT_IN_USE, label))
        return found


def _constrained(authority: Authority, below: int) -> list[TrustFinding]:
    constraints = constraints_of(authority.body)
    if not constraints.is_ca:
        return [TrustFinding(FindingCode.ISSUER_NOT_A_CA, authority.label)]
    found = []
    if not flags_of(authority.body) & KEY_CERT_SIGN_CONSTRAINTS:
        found.append(TrustFinding(FindingCode.ISSUER_MAY_NOT_SIGN, authority.label))
    if constraints.path_length is not None and below > constraints.path_length:
        limit = f"{below} below {authority.label}, {constraints.path_length} allowed"
        found.append(TrustFinding(FindingCode.PATH_TOO_LONG, limit))
    return found


def _own_errors(authority: Authority) -> list[TrustFinding]:
    """Errors of an authority's own profile that :func:`_constrained` does not name."""
    if authority.is_anchor:
        return []
    found = [f for f in check_profile(authority.facts, authority.body) if f.is_error]
    return [_described(f, authority) for f in found if f.code is not FindingCode.USAGE_NOT_ALLOWED]


def _described(finding: TrustFinding, authority: Authority) -> TrustFinding:
    """A finding against an authority, as one against what it has issued."""
    return TrustFinding(FindingCode.ISSUER_NOT_PROVEN, f"{finding.code} at {authority.label}")


def _why(authority: Authority, resolved: Resolved) -> str:
    if resolved.issuers:
        return ", which signs itself" if authority.signs_itself else ", in a circle"
    return f", whose issuer {authority.facts.issuer:.80} is not known"


def anchors_in(octets: bytes) -> tuple[bytes, ...]:
    """The certificates of one file, as DER; raises ``ValueError`` that says what is wrong with it."""
    bundle = read_bundle(octets)
    for number, der in enumerate(bundle, 1):
        try:
            anchor = authority_of(der, AuthorityStatus.UNLISTED)
        except ValueError as exc:
            raise ValueError(f"certificate {number} of {len(bundle)} is none: {exc}") from exc
        if anchor.key is None:
            raise ValueError(f"certificate {number} of {len(bundle)} has no key on P-256")
    return bundle


def anchors_of(ders: Iterable[bytes]) -> tuple[Authority, ...]:
    """Certificates that :func:`anchors_in` gave, as issuers; each once."""
    unlisted = AuthorityStatus.UNLISTED
    return tuple(authority_of(der, unlisted, is_anchor=True) for der in dict.fromkeys(ders))
