"""One ``CertificateResponse`` element → claims, or why there are none.

For: the elements around a certificate as text, in any order and any namespace, unknown ones ignored
(Annex B as far as it is known). Refuses: to judge what a value means; the rules do.
"""

from lxml.etree import _Element, tostring

from smki_sync.model.certificate import Claims
from smki_sync.reader.libxml import local_name
from smki_sync.reader.limits import near_of

RECORD = "CertificateResponse"
"""The element that holds one certificate (Annex B)."""

BODY = "CertificateBody"
"""The element that holds the certificate itself."""

FIELDS = {
    "CertificateSubjectAltName": "name",
    "CertificateSubjectName": "other_name",
    "CertificateSerial": "serial",
    "CertificateStatus": "status",
    BODY: "body",
    "CertificateRole": "role",
    "CertificateUsage": "usage",
    "ManufacturingFlag": "manufacturing",
}
"""Element → field of ``Claims``; ``other_name`` stands in for a ``name`` that is not there."""

_ANY_RECORD = f"{{*}}{RECORD}"
_XML_SPACE = " \t\r\n"  # what XML calls white space; Python's own strip() takes more


class FieldTooLong(Exception):
    """A claim is longer than the limit; the message names its element."""


class Lengths:
    """How long claims may be. ``longest``: the longest so far of those that came near the limit."""

    __slots__ = ("_limit", "longest", "near")

    def __init__(self, limit: int) -> None:
        """Allow ``limit`` characters."""
        self._limit = limit
        self.near = near_of(limit)
        self.longest = 0

    def take(self, length: int, tag: str) -> None:
        """Look at a claim that is not short; raises ``FieldTooLong``."""
        if length > self._limit:
            raise FieldTooLong(local_name(tag))
        self.longest = max(self.longest, length)


class Repeated(Exception):
    """An element stands in a record once too often; the message names it."""


def read_claims(record: _Element, *, lengths: Lengths, nested: bool) -> Claims:
    """Read what stands in a record; an empty element claims nothing.

    Two elements may name the subject. Where a record has both, ``CertificateSubjectAltName`` is
    taken: it is the one that holds an EUI-64. Raises ``Repeated`` for a known element that stands
    twice and for a record in a record, ``FieldTooLong`` as ``lengths`` says. ``nested``: whether fields
    may have elements in them.
    """
    near = lengths.near
    claims: dict[str, str | None] = {}
    for child in record:
        tag = child.tag
        field = FIELDS.get(tag) or FIELDS.get(local_name(tag))
        holds = nested and len(child)
        if field is None or holds:
            _check_for_record(child)
        if field is None:
            continue
        if field in claims:
            raise Repeated(local_name(tag))
        text = (_own_text(child) if holds else child.text) or ""
        if len(text) >= near:
            lengths.take(len(text), tag)
        claims[field] = text.strip(_XML_SPACE) or None
    if "other_name" in claims:
        other = claims.pop("other_name")
        claims["name"] = claims.get("name") or other
    return Claims(**claims)


def _check_for_record(child: _Element) -> None:
    """Find a record in a record, however deep."""
    if next(child.iter(_ANY_RECORD), None) is not None:
        raise Repeated(RECORD)


def _own_text(element: _Element) -> str:
    """Join an element's text around the unknown elements in it."""
    return "".join([element.text or "", *(child.tail or "" for child in element)])


def evidence(record: _Element, *, limit: int) -> bytes:
    """Write a record as it stood, comments apart, in UTF-8, cut at ``limit`` bytes."""
    return tostring(record, encoding="utf-8", with_tail=False)[:limit]
