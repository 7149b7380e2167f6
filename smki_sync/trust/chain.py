"""Trust anchors, issuers, and validation of certificate chains at a given time."""

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
    is_self_issued,
    key_id_of_key,
    read_key,
)
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import Body, read_body
from smki_sync.x509.der import read_bundle
from smki_sync.x509.fields import KEY_CERT_SIGN, normalise_name

FURTHER_LIMIT: Final = 32
"""Key identifiers that are also looked up among end entities. Each lookup may scan the mirror, and a
hostile extract can name any number of them."""

DEPTH_LIMIT: Final = 8
"""Authorities in one chain. SMKI has two; cross certificates could form a circle."""

_AUTHORITIES: Final = (Kind.OCA, Kind.DCA)
_FALSE_ROUTE: Final = (FindingCode.SIGNATURE_FALSE, FindingCode.SIGNATURE_UNCHECKED)


class AuthorityStatus(StrEnum):
    """Status of the certificate of an authority in the Repository. ``UNLISTED``: it is only an anchor."""

    IN_USE = "in-use"
    NOT_IN_USE = "not-in-use"
    REVOKED = "revoked"
    UNLISTED = "unlisted"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Authority:
    """A certificate that may have issued others. ``key``: ``None`` if it is not on P-256."""

    der: bytes
    facts: Facts
    body: Body
    key: PublicKey | None
    status: AuthorityStatus
    is_anchor: bool = False

    @property
    def label(self) -> str:
        """Its name and key identifier, for people."""
        return f"{self.facts.subject or self.facts.eui or 'no name'} (key {self.key_id})"

    @property
    def key_id(self) -> KeyId:
        """Its subject key identifier, or the one that SMKI would give its key."""
        return self.facts.ski or key_id_of_key(self.body.spki)

    @property
    def signs_itself(self) -> bool:
        """Whether it claims to be its own issuer."""
        return is_self_issued(self.facts) and self.facts.aki in (None, self.facts.ski)


def authority_of(der: bytes, status: AuthorityStatus, *, is_anchor: bool = False) -> Authority:
    """Read a certificate as that of an authority. Raises ``ValueError`` if it is not a certificate."""
    body = read_body(der)
    return Authority(
        der=der,
        facts=read_facts(der),
        body=body,
        key=read_key(body.spki),
        status=status,
        is_anchor=is_anchor,
    )


def anchors_in(data: bytes) -> tuple[bytes, ...]:
    """Return the certificates of one file, as DER. Raises ``ValueError`` with what is wrong with it."""
    bundle = read_bundle(data)
    for number, der in enumerate(bundle, 1):
        place = f"certificate {number} of {len(bundle)}"
        try:
            anchor = authority_of(der, AuthorityStatus.UNLISTED)
        except ValueError as exc:
            raise ValueError(f"{place} is not a valid certificate: {exc}") from exc
        if anchor.key is None:
            raise ValueError(f"{place} has no key on P-256")
    return bundle


def anchors_of(ders: Iterable[bytes]) -> tuple[Authority, ...]:
    """Read the certificates from :func:`anchors_in` as authorities, each once."""
    unlisted = AuthorityStatus.UNLISTED
    return tuple(authority_of(der, unlisted, is_anchor=True) for der in dict.fromkeys(ders))


def differs_from_anchor(anchors: Iterable[Authority], issuer: str, serial: str, der: bytes) -> bool:
    """Whether a certificate has the issuer and serial number of an anchor, but other bytes."""
    known = {one.der for one in anchors if _issued_as(one.facts) == (normalise_name(issuer), serial)}
    return bool(known) and der not in known


SignatureCheck = Callable[[Authority, bytes, Body], bool]
"""Whether the key of an authority has signed a certificate, given as its DER and its parts."""


def check_signature(authority: Authority, _der: bytes, body: Body) -> bool:
    """Check a signature without a cache."""
    return authority.key is not None and has_signed(authority.key, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """``issuers``: certificates of the one key that has signed, if any. ``findings``: why there is none."""

    issuers: tuple[Authority, ...] = ()
    findings: tuple[TrustFinding, ...] = ()


class Authorities:
    """The authorities of a mirror and the trust anchors, by key identifier and by name."""

    def __init__(
        self,
        stored: Iterable[Authority],
        anchors: Iterable[Authority],
        *,
        find: Callable[[KeyId], Iterable[Authority]],
    ) -> None:
        """Index the authorities ``stored`` in the mirror and the anchors.

        ``find`` returns certificates of end entities with a key identifier. They tell an issuer that is
        not an authority from one that is missing.

        A trust anchor is a name and a key (RFC 5280 6.1.1 (d)), so a stored certificate with both is one
        too. A stored certificate with the issuer and serial number of an anchor, but other bytes, is
        neither an anchor nor an authority: the bytes of the anchor count.
        """
        trusted = list(anchors)
        self._anchor_bytes: dict[tuple[str, str], set[bytes]] = defaultdict(set)
        for anchor in trusted:
            self._anchor_bytes[_issued_as(anchor.facts)].add(anchor.der)
        names = {_name_and_key(anchor) for anchor in trusted}
        genuine = [one for one in stored if not self.differs_from_anchor(one.facts, one.der)]
        rows = [replace(one, is_anchor=_name_and_key(one) in names) for one in genuine]
        listed = {one.der for one in rows}
        self.members = (*rows, *(one for one in trusted if one.der not in listed))
        self.has_anchors = bool(trusted)
        self._by_key: dict[KeyId, list[Authority]] = defaultdict(list)
        self._by_name: dict[str, list[Authority]] = defaultdict(list)
        for one in self.members:
            self._by_key[one.key_id].append(one)
            self._by_name[normalise_name(one.facts.subject)].append(one)
        self._find = find
        self._further: dict[KeyId, tuple[Authority, ...]] = {}

    def differs_from_anchor(self, facts: Facts, der: bytes) -> bool:
        """Whether a certificate has the issuer and serial number of an anchor, but other bytes."""
        if not self._anchor_bytes:
            return False
        known = self._anchor_bytes.get(_issued_as(facts))
        return known is not None and der not in known

    def resolve(
        self, facts: Facts, der: bytes, body: Body, signature_check: SignatureCheck = check_signature
    ) -> Resolved:
        """Find the authority whose key has signed a certificate."""
        if self.differs_from_anchor(facts, der):
            return Resolved(findings=(TrustFinding(FindingCode.ANCHOR_DIFFERS, f"serial {facts.serial}"),))
        if body.outer not in (ECDSA_WITH_SHA256, ECDSA_WITH_SHA256_NULL):
            return Resolved(findings=(TrustFinding(FindingCode.SIGNATURE_UNCHECKED, "another algorithm"),))

        def signers(some: Sequence[Authority]) -> tuple[Authority, ...]:
            return _signers(some, lambda authority: signature_check(authority, der, body))

        named = self._named(facts.aki) if facts.aki else ()
        if found := signers(named):
            return Resolved(issuers=found, findings=_ambiguous(named))
        same_name = [one for one in self._with_name(facts.issuer) if one not in named]
        if found := signers(same_name):
            odd = TrustFinding(
                FindingCode.AKI_NAMES_ANOTHER, f"it names {facts.aki}, {found[0].label} has signed"
            )
            return Resolved(issuers=found, findings=(odd,) if facts.aki else _ambiguous(same_name))
        return Resolved(findings=(_unresolved(facts, named, same_name),))

    def first_choice(self, facts: Facts) -> Sequence[Authority]:
        """Return those whose signatures are tried first, so that a cache can be asked for them."""
        named = self._by_key.get(facts.aki) if facts.aki else self._with_name(facts.issuer)
        return named or ()

    def _with_name(self, name: str) -> Sequence[Authority]:
        return self._by_name.get(normalise_name(name), ())

    def _named(self, key_id: KeyId) -> Sequence[Authority]:
        found = self._by_key.get(key_id)
        if found:
            return found
        if key_id not in self._further and len(self._further) < FURTHER_LIMIT:
            self._further[key_id] = tuple(self._find(key_id))
        return self._further.get(key_id, ())


def _issued_as(facts: Facts) -> tuple[str, str]:
    return normalise_name(facts.issuer), facts.serial


def _name_and_key(authority: Authority) -> tuple[str, bytes]:
    return normalise_name(authority.facts.subject), authority.body.spki


def _signers(some: Sequence[Authority], has_signed: Callable[[Authority], bool]) -> tuple[Authority, ...]:
    """Return the certificates of the first key that has signed. Each key is tried once."""
    tried: set[bytes] = set()
    for one in some:
        spki = one.body.spki
        if spki not in tried and one.key is not None and has_signed(one):
            return tuple(other for other in some if other.body.spki == spki)
        tried.add(spki)
    return ()


def _ambiguous(some: Sequence[Authority]) -> tuple[TrustFinding, ...]:
    keys = {one.body.spki for one in some}
    return (TrustFinding(FindingCode.ISSUER_AMBIGUOUS, f"{len(keys)} keys"),) if len(keys) > 1 else ()


def _unresolved(facts: Facts, named: Sequence[Authority], same_name: Sequence[Authority]) -> TrustFinding:
    """Say why no key fits: the named one has not signed, or is not known."""
    if not facts.aki:
        tried = f"{len(same_name)} with that name tried" if same_name else "none with that name"
        return TrustFinding(FindingCode.ISSUER_UNKNOWN, f"{facts.issuer:.80}, no key identifier; {tried}")
    if not named:
        return TrustFinding(FindingCode.ISSUER_UNKNOWN, f"{facts.issuer:.80}, key {facts.aki:.80}")
    if all(one.key is None for one in named):
        return TrustFinding(FindingCode.SIGNATURE_UNCHECKED, f"the key of {named[0].label} is not on P-256")
    return TrustFinding(FindingCode.SIGNATURE_FALSE, f"key of {named[0].label}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The chain from an issuer up. ``links``: the issuer first. ``findings``: for what it has issued."""

    links: tuple[Authority, ...]
    findings: tuple[TrustFinding, ...]
    anchored: bool

    @property
    def weight(self) -> tuple[int, int, bool]:
        """How much is wrong with it. The lighter of two routes is taken."""
        errors = sum(finding.is_error for finding in self.findings)
        return errors, len(self.findings), not self.anchored


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainVerdict:
    """Result for one certificate.

    ``links``: the chain from its issuer up, as far as it is proven. ``anchored``: whether it ends at a
    trust anchor. ``signed``: whether the key of its issuer has signed it.
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
    """Validates certificates. ``at``: seconds since 1970, UTC."""

    authorities: Authorities
    at: int
    _routes: dict[tuple[int, int], Route] = field(default_factory=dict)

    def validate(
        self, facts: Facts, der: bytes, body: Body, signature_check: SignatureCheck = check_signature
    ) -> ChainVerdict:
        """Take one certificate through all steps."""
        found = [*check_profile(facts, body), *self._validity(facts)]
        if self._is_anchor(facts, der, body):
            return ChainVerdict(findings=tuple(found), anchored=True)
        resolved = self.authorities.resolve(facts, der, body, signature_check)
        found += resolved.findings
        if not resolved.issuers:
            return ChainVerdict(findings=tuple(found))
        below = int(facts.kind in _AUTHORITIES and not is_self_issued(facts))
        route = self._best(resolved.issuers, facts.issuer, below)
        found += route.findings
        return ChainVerdict(findings=tuple(found), links=route.links, anchored=route.anchored, signed=True)

    def _validity(self, facts: Facts) -> list[TrustFinding]:
        if self.at < facts.not_before:
            return [TrustFinding(FindingCode.NOT_YET_VALID)]
        return [TrustFinding(FindingCode.EXPIRED)] if self.at > facts.not_after else []

    def _is_anchor(self, facts: Facts, der: bytes, body: Body) -> bool:
        if not self.authorities.has_anchors or self.authorities.differs_from_anchor(facts, der):
            return False
        return any(
            one.is_anchor
            and one.body.spki == body.spki
            and normalise_name(one.facts.subject) == normalise_name(facts.subject)
            for one in self.authorities.members
        )

    def _best(self, issuers: tuple[Authority, ...], name: str, below: int) -> Route:
        """Return the lightest route among the certificates of the key that has signed."""
        wanted = normalise_name(name)
        routes = [self._route(one, below) for one in issuers if normalise_name(one.facts.subject) == wanted]
        if routes:
            return min(routes, key=lambda route: route.weight)
        other = self._route(issuers[0], below)
        differs = TrustFinding(FindingCode.ISSUER_NAME_DIFFERS, f"{name:.80} is not {issuers[0].label}")
        return Route(links=other.links, findings=(differs, *other.findings), anchored=other.anchored)

    def _route(self, authority: Authority, below: int) -> Route:
        """Return the chain from an authority up. ``below``: authorities between it and the certificate."""
        known = self._routes.get((id(authority), below))
        if known is None:
            above = self._climb(authority, below, (authority,))
            direct = (*self._may_issue(authority, below), *_own_errors(authority))
            findings = (*direct, *above.findings)
            known = Route(links=(authority, *above.links), findings=findings, anchored=above.anchored)
            self._routes[id(authority), below] = known
        return known

    def _climb(self, authority: Authority, below: int, seen: tuple[Authority, ...]) -> Route:
        """Return the chain above an authority. Its errors are combined: each authority has its own."""
        if authority.is_anchor:
            return Route(links=(), findings=(), anchored=True)
        resolved = self.authorities.resolve(authority.facts, authority.der, authority.body)
        parents = [one for one in resolved.issuers if all(one.body.spki != s.body.spki for s in seen)]
        if not parents or len(seen) >= DEPTH_LIMIT:
            return self._end(authority, resolved)
        is_ca = constraints_of(authority.body).is_ca  # if not, that is another finding
        count = below + (is_ca and not is_self_issued(authority.facts))
        routes = [self._via(one, authority, count, seen) for one in parents]
        return min(routes, key=lambda route: route.weight)

    def _via(self, parent: Authority, child: Authority, below: int, seen: tuple[Authority, ...]) -> Route:
        direct = [*self._may_issue(parent, below), *_own_errors(parent)]
        if normalise_name(parent.facts.subject) != normalise_name(child.facts.issuer):
            direct.append(TrustFinding(FindingCode.ISSUER_NAME_DIFFERS))
        errors = [_described(finding, parent) for finding in direct if finding.is_error]
        above = self._climb(parent, below, (*seen, parent))
        findings = (*errors, *above.findings)
        return Route(links=(parent, *above.links), findings=findings, anchored=above.anchored)

    def _end(self, authority: Authority, resolved: Resolved) -> Route:
        """End a chain: at its root, at a missing issuer, at a forgery, or in a circle."""
        found: tuple[TrustFinding, ...] = ()
        if any(finding.code in _FALSE_ROUTE for finding in resolved.findings):
            detail = f"{resolved.findings[0].code} at {authority.label}"
            found = (TrustFinding(FindingCode.ISSUER_NOT_PROVEN, detail),)
        elif self.authorities.has_anchors:
            detail = f"it ends at {authority.label}{_why(authority, resolved)}"
            found = (TrustFinding(FindingCode.NOT_ANCHORED, detail),)
        return Route(links=(), findings=found, anchored=False)

    def _may_issue(self, authority: Authority, below: int) -> list[TrustFinding]:
        """Check the rules for an issuer (RFC 5280 6.1.4 (k) to (n)).

        Of a trust anchor only the dates and the status are checked.
        """
        found = [] if authority.is_anchor else _constrained(authority, below)
        facts, label = authority.facts, authority.label
        if self.at < facts.not_before:
            found.append(TrustFinding(FindingCode.ISSUER_NOT_YET_VALID, label))
        elif self.at > facts.not_after:
            found.append(TrustFinding(FindingCode.ISSUER_EXPIRED, label))
        if authority.status is AuthorityStatus.REVOKED:
            found.append(TrustFinding(FindingCode.ISSUER_REVOKED, label))
        elif authority.status is AuthorityStatus.NOT_IN_USE:
            found.append(TrustFinding(FindingCode.ISSUER_NOT_IN_USE, label))
        return found


def _constrained(authority: Authority, below: int) -> list[TrustFinding]:
    constraints = constraints_of(authority.body)
    if not constraints.is_ca:
        return [TrustFinding(FindingCode.ISSUER_NOT_A_CA, authority.label)]
    found = []
    if not flags_of(authority.body) & KEY_CERT_SIGN:
        found.append(TrustFinding(FindingCode.ISSUER_MAY_NOT_SIGN, authority.label))
    if constraints.path_length is not None and below > constraints.path_length:
        found.append(TrustFinding(FindingCode.PATH_TOO_LONG, f"{below} below {authority.label}"))
    return found


def _own_errors(authority: Authority) -> list[TrustFinding]:
    """Return the errors in the profile of an authority that :func:`_constrained` does not find."""
    if authority.is_anchor:
        return []
    found = [f for f in check_profile(authority.facts, authority.body) if f.is_error]
    return [_described(f, authority) for f in found if f.code is not FindingCode.USAGE_NOT_ALLOWED]


def _described(finding: TrustFinding, authority: Authority) -> TrustFinding:
    """Turn a finding for an authority into one for what it has issued."""
    return TrustFinding(FindingCode.ISSUER_NOT_PROVEN, f"{finding.code} at {authority.label}")


def _why(authority: Authority, resolved: Resolved) -> str:
    if resolved.issuers:
        return ", which signs itself" if authority.signs_itself else ", in a circle"
    return f", whose issuer {authority.facts.issuer:.80} is not known"
