"""Certificates and certification path of an organisation, in the form that service requests need.

Element names and order: DUIS XML schema 5.4 (November 2025), types UpdateSecurityCredentialsKRP (6.15.1),
RequestHandoverOfDCCControlledDevice (6.21), UpdateSecurityCredentialsCoS (6.23) and ServiceOptOut (8.5).
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from smki_sync.lookup.verdicts import CheckAnswer, CheckVerdict, choose, verdict_of, why_not
from smki_sync.mirror.queries import Certificate, Connection, EuiIs, find_certificates
from smki_sync.model.certificate import Eui, Usage
from smki_sync.trust.chain import Authority, ChainValidator, ChainVerdict
from smki_sync.usability import UsabilityRule
from smki_sync.x509 import read_facts
from smki_sync.x509.certificate import read_body

DUIS_SCHEMA: Final = "5.4"
"""Version of the DUIS XML schema that the element names and their order are taken from."""
DUIS_NAMESPACE: Final = "http://www.dccinterface.co.uk/ServiceUserGateway"
PATH_LIMIT: Final = 3
"""Certificates in CertificationPathCertificates (DUIS XML schema 5.4)."""
_SUPPLIER: Final = 2
_NETWORK_OPERATOR: Final = 3
_ACCESS_CONTROL_BROKER: Final = 4
_LOAD_CONTROLLER: Final = 8


class BundlePurpose(StrEnum):
    """What the bundle is for: a service request, or a plain form."""

    UPDATE_KRP = "6.15.1"
    HANDOVER = "6.21"
    UPDATE_COS = "6.23"
    OPT_OUT = "8.5"
    PEM = "pem"
    DER = "der"


class BundleElement(StrEnum):
    """A replacement certificate, by its DUIS element; in the order of the schema."""

    DIGITAL_SIGNING = "DigitalSigningCertificate"
    KEY_AGREEMENT = "KeyAgreementCertificate"
    TOP_UP = "KeyAgreementTopUpCertificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestForm:
    """The form of one service request.

    ``containers``: elements around the certificates, the outer one first. ``roles``: whose certificates it
    replaces. ``usages``: the ones that it contains by default. ``required``: the one that the schema demands.
    """

    containers: tuple[str, ...]
    roles: frozenset[int]
    usages: tuple[Usage, ...] = tuple(Usage)
    required: Usage | None = None
    allows_top_up: bool = True


REQUEST_FORMS: Final[Mapping[BundlePurpose, RequestForm]] = {
    BundlePurpose.UPDATE_KRP: RequestForm(
        containers=("ReplacementCertificates", "SupplierOrNetworkOperatorCertificates"),
        roles=frozenset({_SUPPLIER, _NETWORK_OPERATOR, _LOAD_CONTROLLER}),
    ),
    BundlePurpose.HANDOVER: RequestForm(
        containers=("ReplacementCertificates",),
        roles=frozenset({_SUPPLIER, _NETWORK_OPERATOR}),
        required=Usage.DIGITAL_SIGNING,
    ),
    BundlePurpose.UPDATE_COS: RequestForm(
        containers=("SupplierReplacementCertificates",),
        roles=frozenset({_SUPPLIER}),
        required=Usage.DIGITAL_SIGNING,
    ),
    BundlePurpose.OPT_OUT: RequestForm(
        containers=("ReplacementCertificates",),
        roles=frozenset({_ACCESS_CONTROL_BROKER}),
        usages=(Usage.KEY_AGREEMENT,),
        required=Usage.KEY_AGREEMENT,
        allows_top_up=False,
    ),
}
"""Service requests: from the DUIS XML schema, and the modes of replacement in the MMC XML schema 5.4."""

_ELEMENT_OF: Final = {
    Usage.DIGITAL_SIGNING: BundleElement.DIGITAL_SIGNING,
    Usage.KEY_AGREEMENT: BundleElement.KEY_AGREEMENT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest:
    """Whose certificates, and the rule with the time of use.

    ``usages``: wanted ones. ``top_up``: candidates for the prepayment certificate; ``None``: not wanted.
    ``with_root``: the path includes a self-signed root, which devices hold already.
    """

    eui: Eui
    role: int
    rule: UsabilityRule
    usages: tuple[Usage, ...]
    top_up: tuple[Certificate, ...] | None = None
    with_root: bool = False


class BundleItem(NamedTuple):
    """One replacement certificate."""

    element: BundleElement
    certificate: Certificate


class BundleCandidate(NamedTuple):
    """A certificate that was considered."""

    certificate: Certificate
    verdict: CheckVerdict
    why: str


class BundleProblem(NamedTuple):
    """Why there is no bundle. ``code``: a verdict of `check`, or ``path``. ``candidates``: to choose from."""

    element: str
    code: str
    why: str
    candidates: tuple[BundleCandidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The result. With ``problems`` it must not be used. ``path``: DER, the issuer first.

    ``anchor``: name and key of the trust anchor at the end of the path. ``remarks``: for people.
    """

    items: tuple[BundleItem, ...] = ()
    path: tuple[bytes, ...] = ()
    anchor: str = ""
    problems: tuple[BundleProblem, ...] = ()
    remarks: tuple[str, ...] = ()


def make_bundle(db: Connection, validator: ChainValidator, request: BundleRequest) -> Bundle:
    """Choose the certificates and build their path. ``validator``: for the time of the request."""
    every = find_certificates(db, EuiIs(eui=request.eui), request.rule, role=request.role, any_status=True)
    items: list[BundleItem] = []
    problems: list[BundleProblem] = []
    remarks: list[str] = []
    for element, candidates in _wanted(request, every):
        answer = choose(candidates) if candidates else None
        if answer is None or answer.verdict is not CheckVerdict.READY or answer.certificate is None:
            problems.append(_problem(element, answer, candidates))
            continue
        items.append(BundleItem(element, answer.certificate))
        remarks += _other_keys(element, answer.certificate, candidates)
    if problems:
        return Bundle(problems=tuple(problems))
    return _with_path(validator, request, items, tuple(remarks))


def _wanted(
    request: BundleRequest, every: Sequence[Certificate]
) -> Iterator[tuple[BundleElement, list[Certificate]]]:
    """Yield each wanted element with its candidates. The prepayment certificate is named, never guessed."""
    named = {(c.issuer, c.serial) for c in request.top_up or ()}
    keys = {c.ski for c in request.top_up or () if c.ski}
    for usage in request.usages:
        own = [c for c in every if c.usage == usage]
        yield _ELEMENT_OF[usage], [c for c in own if c.ski not in keys and (c.issuer, c.serial) not in named]
    if request.top_up is not None:
        yield (
            BundleElement.TOP_UP,
            [c for c in every if c.usage == Usage.KEY_AGREEMENT and (c.issuer, c.serial) in named],
        )


def _problem(
    element: BundleElement, answer: CheckAnswer | None, candidates: Sequence[Certificate]
) -> BundleProblem:
    considered = [BundleCandidate(c, verdict_of(c), why_not(c)) for c in candidates]
    listed = tuple(sorted(considered, key=lambda one: one.verdict is not CheckVerdict.READY))
    if answer is None:
        why = "No certificate has this EUI-64, role and usage."
        if element is BundleElement.TOP_UP:
            why = "The named certificate is not a key agreement certificate of this EUI-64 and role."
        return BundleProblem(element, CheckVerdict.MISSING, why, ())
    return BundleProblem(element, answer.verdict, answer.why, listed)


def _other_keys(
    element: BundleElement, chosen: Certificate, candidates: Sequence[Certificate]
) -> Iterator[str]:
    """Say that the newest of several usable keys was chosen."""
    usable = [c for c in candidates if c.unusable is None and c.ski != chosen.ski]
    if usable:
        serials = ", ".join(c.serial for c in usable)
        yield (
            f"{element}: {chosen.serial} is the newest of several usable keys. Not used: {serials}."
            " Check that none of them is the prepayment certificate, or name it with --top-up."
            if element is BundleElement.KEY_AGREEMENT
            else f"{element}: {chosen.serial} is the newest of several usable keys. Not used: {serials}."
        )


def _with_path(
    validator: ChainValidator, request: BundleRequest, items: list[BundleItem], remarks: tuple[str, ...]
) -> Bundle:
    """Add the certification path, if each certificate has one that ends at a trust anchor."""
    problems: list[BundleProblem] = []
    path: dict[bytes, None] = {}
    anchors: dict[str, None] = {}
    for item in items:
        verdict = _validate(validator, item.certificate)
        reasons = _path_errors(validator, verdict)
        if reasons:
            candidate = BundleCandidate(item.certificate, CheckVerdict.READY, "")
            problems.append(BundleProblem(item.element, "path", reasons, (candidate,)))
            continue
        anchors[verdict.links[-1].label] = None
        path |= dict.fromkeys(
            authority.der for authority in _sent(verdict.links, with_root=request.with_root)
        )
    if not problems and len(path) > PATH_LIMIT:
        why = f"The path has {len(path)} certificates; a request takes {PATH_LIMIT}."
        problems.append(BundleProblem("CertificationPathCertificates", "path", why, ()))
    if problems:
        return Bundle(problems=tuple(problems))
    return Bundle(items=tuple(items), path=tuple(path), anchor="; ".join(anchors), remarks=remarks)


def _validate(validator: ChainValidator, c: Certificate) -> ChainVerdict:
    return validator.validate(read_facts(c.der), c.der, read_body(c.der))


def _path_errors(validator: ChainValidator, verdict: ChainVerdict) -> str:
    """Return why the path cannot be used; empty if it can."""
    errors = [f"{f.code.words}{f' ({f.detail})' if f.detail else ''}" for f in verdict.findings if f.is_error]
    if errors:
        return f"{'; '.join(errors)}."
    if not validator.authorities.has_anchors:
        return "trust.anchors is not configured, so the path cannot end at a trust anchor."
    return "" if verdict.anchored and verdict.links else "The path does not end at a trust anchor."


def _sent(links: Sequence[Authority], *, with_root: bool) -> Iterable[Authority]:
    """Return the path without a self-signed root, which devices hold already."""
    if with_root or len(links) == 1 or not links[-1].signs_itself:
        return links
    return links[:-1]


def duis_elements(bundle: Bundle, form: RequestForm) -> str:
    """Return the DUIS elements in order, with the certificates in Base64 without line breaks."""
    inner = [
        f"<sr:{item.element}>{_base64(item.certificate.der)}</sr:{item.element}>" for item in bundle.items
    ]
    replacements = _nested(form.containers, inner)
    path = [f"<sr:Certificate>{_base64(der)}</sr:Certificate>" for der in bundle.path]
    return "\n".join((*replacements, *_nested(("CertificationPathCertificates",), path))) + "\n"


def _nested(names: Sequence[str], inner: Iterable[str]) -> list[str]:
    """Put lines into elements; the outer element declares the namespace."""
    lines = [f"{'  ' * len(names)}{line}" for line in inner]
    for depth, name in reversed(list(enumerate(names))):
        declaration = "" if depth else f' xmlns:sr="{DUIS_NAMESPACE}"'
        lines = [f"{'  ' * depth}<sr:{name}{declaration}>", *lines, f"{'  ' * depth}</sr:{name}>"]
    return lines


def _base64(der: bytes) -> str:
    return b64encode(der).decode()
