"""Pure: one record of an extract -> an entry for the mirror, or a rejection with its reason.

The X.509 body is the truth. Serial number, name, usage and role around it are claims (Annex B): one
that differs from the body is flagged and not used. A claim fills a field only if the body is silent. If
the body is ambiguous, the field stays empty and the entry has a flag.

Nothing that a file can contain raises an exception here.
"""

import binascii
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from smki_sync.model.certificate import (
    NO_FLAG,
    SERIAL_SIZE_LIMIT,
    Claims,
    Entry,
    Eui,
    Facts,
    Flag,
    Kind,
    Rejected,
    RejectReason,
    Serial,
    Status,
    Usage,
    parse_eui,
    parse_serial,
    serial_size,
)
from smki_sync.x509 import ExaminedCertificate, NotACertificate, examine, template_cache

DETAIL_LIMIT = 200
"""Characters of a detail, which is one line of a report."""

_WHITE_SPACE = b" \t\r\n"  # XML 1.0, production 3
_STATUSES = {status.value: status for status in Status}
_USAGES = {usage.value: usage for usage in Usage}
_ROLES = {f"{role:0{width}}": role for role in range(256) for width in (1, 2, 3)}  # one byte in the body
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}  # xs:boolean
_AUTHORITIES = frozenset({Kind.OCA, Kind.DCA})

Value = TypeVar("Value")


class _Unfit(Exception):
    """A record that goes to the quarantine, and why."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail[:DETAIL_LIMIT]


class PreParsed(NamedTuple):
    """A record that :func:`finish_parse` can read in another process.

    ``der``: the decoded body. The body in ``claims`` is not needed and may be missing.
    """

    number: int
    claims: Claims
    der: bytes


def parse_record(number: int, claims: Claims) -> Entry | Rejected:
    """Read record ``number`` of a file, counted from 1.

    Source of the rules: Annex B and the samples of the DCC, in which serial number and usage of a record
    can belong to another certificate than its body.
    """
    facts = None
    try:
        der = _decode_body(claims.body)
        known = _examine(der)
        facts = known.facts
        _check_serial(facts.serial)
        status = _status(claims.status)
        return _entry(number, claims, der, known, status)
    except _Unfit as unfit:
        return _rejected(number, claims, facts, unfit.reason, unfit.detail)
    except Exception as exc:  # noqa: BLE001 - one hostile record must not stop the file
        detail = f"{type(exc).__name__}: {exc}".encode("ascii", "replace").decode()
        detail = "".join(c if c.isprintable() else "?" for c in detail[:DETAIL_LIMIT])
        return _rejected(number, claims, facts, RejectReason.RECORD_UNREADABLE, detail)


def pre_parse(number: int, claims: Claims) -> PreParsed | Entry | Rejected:
    """Do what :func:`parse_record` does, but leave the larger part of most records to :func:`finish_parse`.

    A record is left to it if it has a known status and a body that fits a template.
    """
    if claims.status not in _STATUSES:
        return parse_record(number, claims)
    try:
        der = _decode_body(claims.body)
        if template_cache.fits(der):
            return PreParsed(number, claims, der)
    except Exception:  # noqa: BLE001 - parse_record() finds the reason
        return parse_record(number, claims)
    return parse_record(number, claims)


def finish_parse(record: PreParsed) -> Entry | Rejected:
    """Read a record that :func:`pre_parse` has prepared."""
    number, claims, der = record
    try:
        return _entry(number, claims, der, examine(der), _STATUSES[claims.status or ""])
    except Exception:  # noqa: BLE001 - parse_record() finds the reason
        return parse_record(number, claims._replace(body=b64encode(der).decode()))


def _rejected(
    number: int, claims: Claims, facts: Facts | None, reason: RejectReason, detail: str
) -> Rejected:
    return Rejected(
        number=number,
        reason=reason,
        detail=detail,
        serial=_claimed_serial(claims.serial) if facts is None else facts.serial,
        issuer=None if facts is None else facts.issuer,
    )


def _claimed_serial(claim: str | None) -> Serial | None:
    try:
        return parse_serial(claim or "")
    except ValueError:
        return None


def _entry(number: int, claims: Claims, der: bytes, known: ExaminedCertificate, status: Status) -> Entry:
    facts = known.facts
    eui = _claimed_eui(claims.name, facts.eui)
    role = _claimed(_ROLES, claims.role)
    usage = _claimed(_USAGES, claims.usage)
    flags = _contradictions(claims.serial, eui, role, usage, facts)
    if facts.flags or facts.kind in _AUTHORITIES:
        eui, role, usage = _allowed(facts, eui, role, usage)
        flags |= facts.flags
    manufacturing = claims.manufacturing
    return Entry(
        number=number,
        der=der,
        facts=facts,
        eui=eui if facts.eui is None else facts.eui,
        role=role if facts.role is None else facts.role,
        usage=usage if facts.usage is None else facts.usage,
        status=status,
        manufacturing=None if manufacturing is None else _claimed(_BOOLEANS, manufacturing.lower()),
        flags=flags | Flag.STRICT_PARSER_REFUSES if known.refused else flags,
    )


def _allowed(
    facts: Facts, eui: Eui | None, role: int | None, usage: Usage | None
) -> tuple[Eui | None, int | None, Usage | None]:
    """Drop claims for fields that the body states ambiguously. The key of an authority has no usage."""
    flags = facts.flags
    return (
        None if Flag.EUI_BROKEN in flags else eui,
        None if Flag.ROLE_BROKEN in flags else role,
        None if Flag.USAGE_BROKEN in flags or facts.kind in _AUTHORITIES else usage,
    )


def _decode_body(body: str | None) -> bytes:
    """Decode Base64 (RFC 4648 section 4). White space is allowed anywhere, as in the samples of Annex B."""
    try:
        return _decode(body or "")
    except ValueError:  # most bodies are one line, so that only the others are decoded twice
        # A character outside of ASCII becomes a question mark, which is not Base64 either.
        text = (body or "").encode("ascii", "replace").translate(None, _WHITE_SPACE)
    if not text:
        raise _Unfit(RejectReason.BODY_MISSING, "CertificateBody is absent or empty")
    try:
        return _decode(text)
    except ValueError as exc:
        detail = f"CertificateBody of {len(text)} characters: {exc}"
        raise _Unfit(RejectReason.BODY_NOT_BASE64, detail) from exc


def _decode(text: str | bytes) -> bytes:
    """Decode Base64 without white space. Raises ``ValueError`` for anything else, also for no text."""
    der = binascii.a2b_base64(text, strict_mode=True)
    if len(text) != -(-len(der) // 3) * 4 or not der:  # binascii accepts more of '=' than needed
        raise ValueError("excess padding")
    return der


def _examine(der: bytes) -> ExaminedCertificate:
    try:
        return examine(der)
    except NotACertificate as exc:
        detail = f"CertificateBody of {len(der)} bytes: {exc}"
        raise _Unfit(RejectReason.BODY_NOT_A_CERTIFICATE, detail) from exc


def _check_serial(serial: Serial) -> None:
    if len(serial) > 2 * SERIAL_SIZE_LIMIT and (size := serial_size(serial)) > SERIAL_SIZE_LIMIT:
        detail = f"the serial number has {size} bytes, more than {SERIAL_SIZE_LIMIT}"
        raise _Unfit(RejectReason.SERIAL_TOO_LONG, detail)


def _status(claim: str | None) -> Status:
    status = _claimed(_STATUSES, claim)
    if status is not None:
        return status
    if claim is None or not claim.strip():
        raise _Unfit(RejectReason.STATUS_MISSING, "CertificateStatus is absent or empty")
    known = ", ".join(_STATUSES)
    raise _Unfit(RejectReason.STATUS_UNKNOWN, f"CertificateStatus is {claim!r:.60}, not one of {known}")


def _claimed(words: Mapping[str, Value], claim: str | None) -> Value | None:
    """Look a claim up among its possible words. Any other word claims nothing."""
    return None if claim is None else words.get(claim.strip())


def _claimed_eui(name: str | None, known: Eui | None) -> Eui | None:
    """Parse a name as an EUI-64. Another name, such as that of an authority, claims nothing."""
    if name is None or name == known:
        return known
    try:
        return parse_eui(name)
    except ValueError:
        return None


def _contradictions(
    serial: str | None, eui: Eui | None, role: int | None, usage: Usage | None, facts: Facts
) -> Flag:
    """Flag the claims that differ from the body."""
    flags = NO_FLAG
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
    """Compare as numbers: letter case and leading zeros do not matter. A text that is not hex differs."""
    if claim == serial or claim is None or not claim.strip():
        return False
    try:
        return parse_serial(claim) != serial
    except ValueError:
        return True


def _differs(claim: Value | None, known: Value | None) -> bool:
    return claim is not None and known is not None and claim != known
