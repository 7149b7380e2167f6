"""One certificate through all steps, up to a trust anchor, at a given time.

For: :class:`Judge`, which is made once for a mirror, its anchors and a time, and then asked for one
certificate after the other. Everything about an authority is worked out once, so a certificate costs its
profile and one signature. Refuses: to stop at the first defect, and to read a clock.

Without any anchor the chain is followed as far as it goes; that it ends there is then no finding.
"""

from dataclasses import dataclass, field
from typing import Final

from smki_sync.model.certificate import Facts, Kind
from smki_sync.trust.authorities import Authorities, Authority, Proves, Resolved, Standing, prove
from smki_sync.trust.findings import Code, Finding
from smki_sync.trust.profiles import check_profile, constraints_of, flags_of
from smki_sync.x509.certificate import Body
from smki_sync.x509.constraints import KEY_CERT_SIGN

DEPTH_LIMIT: Final = 8
"""Authorities in one chain: SMKI has two, and a circle of cross certificates would have no end."""

_AUTHORITIES: Final = (Kind.OCA, Kind.DCA)
_FALSE_ROUTE: Final = (Code.SIGNATURE_FALSE, Code.SIGNATURE_UNCHECKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way from an issuer up. ``links``: the issuer first. ``findings``: against whatever it issued."""

    links: tuple[Authority, ...]
    findings: tuple[Finding, ...]
    anchored: bool

    @property
    def weight(self) -> tuple[int, int, bool]:
        """How much is wrong with it: the lighter of two routes is taken."""
        errors = sum(finding.is_error for finding in self.findings)
        return errors, len(self.findings), not self.anchored


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found out about one certificate.

    ``links``: the chain from its issuer up, as far as it was proven. ``anchored``: whether that ends at
    a trust anchor. ``signed``: whether its issuer's key has signed it.
    """

    findings: tuple[Finding, ...]
    links: tuple[Authority, ...] = ()
    anchored: bool = False
    signed: bool = False

    @property
    def has_errors(self) -> bool:
        """Whether the certificate is not proven, or not usable at the time."""
        return any(finding.is_error for finding in self.findings)


@dataclass(slots=True)
class Judge:
    """``at``: seconds since 1970, UTC."""

    authorities: Authorities
    at: int
    _routes: dict[tuple[int, int], Route] = field(default_factory=dict)

    def judge(self, facts: Facts, der: bytes, body: Body, proves: Proves = prove) -> Verdict:
        """Take one certificate through all steps. ``proves``: proves signatures, or remembers them."""
        found = [*check_profile(facts, body), *self._validity(facts)]
        if self._is_anchor(facts, body):
            return Verdict(findings=tuple(found), anchored=True)
        resolved = self.authorities.resolve(facts, der, body, proves)
        found += resolved.findings
        if not resolved.issuers:
            return Verdict(findings=tuple(found))
        below = int(facts.kind in _AUTHORITIES and facts.subject != facts.issuer)
        route = self._best(resolved.issuers, facts.issuer, below)
        found += route.findings
        return Verdict(findings=tuple(found), links=route.links, anchored=route.anchored, signed=True)

    def _validity(self, facts: Facts) -> list[Finding]:
        if self.at < facts.not_before:
            return [Finding(Code.NOT_YET_VALID)]
        return [Finding(Code.EXPIRED)] if self.at > facts.not_after else []

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
        differs = Finding(Code.ISSUER_NAME_DIFFERS, f"{name:.80} is not {issuers[0].label}")
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
            direct.append(Finding(Code.ISSUER_NAME_DIFFERS))
        errors = [finding for finding in direct if finding.is_error]
        told = [_told(finding, parent) for finding in errors]
        above = self._climb(parent, below, (*seen, parent))
        return Route(links=(parent, *above.links), findings=(*told, *above.findings), anchored=above.anchored)

    def _end(self, authority: Authority, resolved: Resolved) -> Route:
        """The chain goes no further: at its root, at a gap, at a forgery, or in a circle."""
        found: tuple[Finding, ...] = ()
        if any(finding.code in _FALSE_ROUTE for finding in resolved.findings):
            found = (Finding(Code.ISSUER_NOT_PROVEN, f"{resolved.findings[0].code} at {authority.label}"),)
        elif self.authorities.has_anchors:
            found = (Finding(Code.NOT_ANCHORED, f"it ends at {authority.label}{_why(authority, resolved)}"),)
        return Route(links=(), findings=found, anchored=False)

    def _may_issue(self, authority: Authority, below: int) -> list[Finding]:
        """Hold an issuer against what it must be (RFC 5280 6.1.4 (k) to (n)).

        A trust anchor is trusted as an issuer whatever it says of itself, but for its dates and its status.
        """
        found = [] if authority.is_anchor else _constrained(authority, below)
        facts, label = authority.facts, authority.label
        if self.at < facts.not_before:
            found.append(Finding(Code.ISSUER_NOT_YET_VALID, label))
        elif self.at > facts.not_after:
            found.append(Finding(Code.ISSUER_EXPIRED, label))
        if authority.standing is Standing.REVOKED:
            found.append(Finding(Code.ISSUER_REVOKED, label))
        elif authority.standing is Standing.NOT_IN_USE:
            found.append(Finding(Code.ISSUER_NOT_IN_USE, label))
        return found


def _constrained(authority: Authority, below: int) -> list[Finding]:
    constraints = constraints_of(authority.body)
    if not constraints.is_ca:
        return [Finding(Code.ISSUER_NOT_A_CA, authority.label)]
    found = []
    if not flags_of(authority.body) & KEY_CERT_SIGN:
        found.append(Finding(Code.ISSUER_MAY_NOT_SIGN, authority.label))
    if constraints.path_length is not None and below > constraints.path_length:
        limit = f"{below} below {authority.label}, {constraints.path_length} allowed"
        found.append(Finding(Code.PATH_TOO_LONG, limit))
    return found


def _own_errors(authority: Authority) -> list[Finding]:
    """Errors of an authority's own profile that :func:`_constrained` does not name."""
    if authority.is_anchor:
        return []
    found = [f for f in check_profile(authority.facts, authority.body) if f.is_error]
    return [_told(f, authority) for f in found if f.code is not Code.USAGE_NOT_ALLOWED]


def _told(finding: Finding, authority: Authority) -> Finding:
    """A finding against an authority, as one against what it has issued."""
    return Finding(Code.ISSUER_NOT_PROVEN, f"{finding.code} at {authority.label}")


def _why(authority: Authority, resolved: Resolved) -> str:
    if resolved.issuers:
        return ", which signs itself" if authority.signs_itself else ", in a circle"
    return f", whose issuer {authority.facts.issuer:.80} is not known"
