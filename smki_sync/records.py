"""One record of an extract: its body read, the claims around it checked against the body.

For: deciding what a record says. The X.509 body is the truth; serial number, name, usage and role
around it are claims (Annex B), and one that differs is flagged, never followed. Refuses: to raise
for anything that a file can hold, and to drop a certificate that can be read at all.
"""

import binascii
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from smki_sync.model.certificate import (
    Claims,
    Entry,
    Eui,
    Facts,
    Flag,
    Rejected,
    RejectReason,
    Serial,
    Status,
    Usage,
    parse_eui,
    parse_serial,
)
from smki_sync.x509 import ExaminedCertificate, NotACertificate, examine, template_cache

DETAIL_LIMIT = 200
"""Characters of a detail: a line in a report, whatever the file held."""

_WHITE_SPACE = b" \t\r\n"  # XML 1.0, production 3
_STATUSES = {status.value: status for status in Status}
_USAGES = {usage.value: usage for usage in Usage}
_ROLES = {f"{role:0{width}}": role for role in range(256) for width in (1, 2, 3)}  # one octet in the body
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}  # xs:boolean
_NO_FLAG = Flag(0)

Value = TypeVar("Value")


class _Unfit(Exception):
    """A record that cannot be understood, and why."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail[:DETAIL_LIMIT]


class PreParsed(NamedTuple):
    """A record that is certain to be understood; :func:`finish_parse` does the rest, in whatever process.

    ``der``: the body decoded; that of ``claims`` is not asked again and may be missing.
    """

    number: int
    claims: Claims
    der: bytes


def parse_record(number: int, claims: Claims) -> Entry | Rejected:
    """Read record ``number`` of a file, counted from 1; one that cannot be understood is ``Rejected``.

    Source of the rules: Annex B as the DCC's own samples show it, where the serial number and the
    usage of a record can belong to another certificate than its body.
    """
    known = None
    try:
        der = _der(claims.body)
        known = _examine(der)
        status = _status(claims.status)
    except _Unfit as unfit:
        return _rejected(number, unfit, claims, known)
    return _entry(number, claims, der, known, status)


def pre_parse(number: int, claims: Claims) -> PreParsed | Entry | Rejected:
    """As :func:`parse_record`, but leave the larger part of the work on most records to :func:`finish_parse`.

    What is left is certain to succeed: a known status, and a body that fits a mould.
    """
    if claims.status not in _STATUSES:
        return parse_record(number, claims)
    try:
        der = _der(claims.body)
    except _Unfit as unfit:
        return _rejected(number, unfit, claims, None)
    if template_cache.fits(der):
        return PreParsed(number, claims, der)
    return parse_record(number, claims)


def finish_parse(sifted: PreParsed) -> Entry:
    """Understand a record that was sifted."""
    number, claims, der = sifted
    return _entry(number, claims, der, examine(der), _STATUSES[claims.status or ""])


def _rejected(number: int, unfit: _Unfit, claims: Claims, known: ExaminedCertificate | None) -> Rejected:
    """Make the evidence. The body says which certificate it is about; if it cannot be read, the claim does."""
    return Rejected(
        number=number,
        reason=unfit.reason,
        detail=unfit.detail,
        serial=known.facts.serial if known else _claimed_serial(claims.serial),
        issuer=known.facts.issuer if known else None,
    )


def _claimed_serial(claim: str | None) -> Serial | None:
    if claim is None or not claim.strip():
        return None
    try:
        return parse_serial(claim)
    except ValueError:
        return None


def _entry(number: int, claims: Claims, der: bytes, known: ExaminedCertificate, status: Status) -> Entry:
    facts = known.facts
    eui = _claimed_eui(claims.name, facts.eui)
    role = _claimed(_ROLES, claims.role)
    usage = _claimed(_USAGES, claims.usage)
    odd = _odd(claims.serial, eui, role, usage, facts)
    manufacturing = claims.manufacturing
    return Entry(
        number=number,
        der=der,
        facts=facts,
        eui=eui if facts.eui is None else facts.eui,
        role=role if facts.role is None else facts.role,
        usage=usage if facts.usage is None else facts.usage,
        status=status,
        manufacturing=None if manufacturing is None else _claimed(_TRUTHS, manufacturing.lower()),
        flags=odd | Flag.STRICT_PARSER_REFUSES if known.refused else odd,
    )


def _der(body: str | None) -> bytes:
    """Decode Base64 (RFC 4648 section 4); white space may stand anywhere in it, as in Annex B samples."""
    try:
        return _decode(body or "")
    except ValueError:  # as most bodies stand in one line, the others are asked twice
        # What is no ASCII becomes a question mark, which is no Base64 either.
        text = (body or "").encode("ascii", "replace").translate(None, _WHITE_SPACE)
    if not text:
        raise _Unfit(RejectReason.BODY_MISSING, "CertificateBody is absent or empty")
    try:
        return _decode(text)
    except ValueError as exc:
        detail = f"CertificateBody of {len(text)} characters: {exc}"
        raise _Unfit(RejectReason.BODY_NOT_BASE64, detail) from exc


def _decode(text: str | bytes) -> bytes:
    """Decode Base64 without white space; raises ``ValueError`` for anything else, nothing at all included."""
    der = binascii.a2b_base64(text, strict_mode=True)
    if len(text) != -(-len(der) // 3) * 4 or not der:  # binascii lets more of '=' pass than needed
        raise ValueError("excess padding")
    return der


def _examine(der: bytes) -> ExaminedCertificate:
    try:
        return examine(der)
    except NotACertificate as exc:
        detail = f"CertificateBody of {len(der)} octets: {exc}"
        raise _Unfit(RejectReason.BODY_NOT_A_CERTIFICATE, detail) from exc


def _status(claim: str | None) -> Status:
    status = _claimed(_STATUSES, claim)
    if status is not None:
        return status
    if claim is None or not claim.strip():
        raise _Unfit(RejectReason.STATUS_MISSING, "CertificateStatus is absent or empty")
    known = ", ".join(_STATUSES)
    raise _Unfit(RejectReason.STATUS_UNKNOWN, f"CertificateStatus is {claim!r:.60}, not one of {known}")


def _claimed(words: Mapping[str, Value], claim: str | None) -> Value | None:
    """Look a claim up among the words that it may be; any other word claims nothing."""
    return None if claim is None else words.get(claim.strip())


def _claimed_eui(name: str | None, known: Eui | None) -> Eui | None:
    """Read a name as an EUI-64; a name that is none, such as an authority's, claims nothing."""
    if name is None or name == known:
        return known
    try:
        return parse_eui(name)
    except ValueError:
        return None


def _odd(serial: str | None, eui: Eui | None, role: int | None, usage: Usage | None, facts: Facts) -> Flag:
    """Flag the claims that differ from what the body says itself."""
    flags = _NO_FLAG
    if _serial_differs(serial, facts.serial):
        flags |= Flag.SERIAL_CLAIM_DIFFERS
    if _differs(eui, facts.eui):
        flags |= Flag.EUI_CLAIM_DIFFERS
    if _differs(usage, facts.usage):
        flags |= Flag.USAGE_CLAIM_DIFFERS
    if _differs(role, facts.role):
        flags |= Flag.ROLE_CLAIM_DIFFERS
    return flags


def _serial_differs(claim: str | None, serial: Serial) -> bool:
    """Compare as numbers: case and leading zeros do not matter. What is no number differs."""
    return claim != serial and claim is not None and bool(claim.strip()) and _claimed_serial(claim) != serial


def _differs(claim: Value | None, known: Value | None) -> bool:
    return claim is not None and known is not None and claim != known
