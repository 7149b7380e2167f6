"""The writer of Annex B XML, in any form of :mod:`smki_sync.simulator.xmlshape`.

For: a stream of records to a stream of text, in one named shape a file. Refuses: to hold a file in
memory, and to check a claim; a fault may need a false one.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import assert_never
from xml.sax.saxutils import escape

from smki_sync.simulator.xmlshape import Body, Namespace, Serials, XmlShape

NAMESPACE = "urn:smki-sync:simulator"
_PREFIX = "ki:"
_AUDIT_REFERENCE = "1234567890-abc123456"
_SERIAL_DIGITS = 32
_NO_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What no document can hold, not even as a reference (XML 1.0 2.2); a certificate's name may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One CertificateResponse, ready to be written: claims as they are to stand, the body as octets.

    ``authority``: its role and usage are written only where the shape says so.
    """

    alt_name: str | None = None
    name: str | None = None
    serial: str
    status: str
    body: bytes
    role: str | None = None
    usage: str | None = None
    manufacturing: bool = False
    authority: bool = False


def octets(records: Iterable[Record], shape: XmlShape, rng: Random) -> Iterator[bytes]:
    """The file in UTF-8, one chunk a record. ``rng`` shuffles, where the shape asks for it."""
    writer = _Writer(shape=shape, rng=rng)
    yield writer.opening().encode("utf-8-sig" if shape.byte_order_mark else "utf-8")
    for record in records:
        yield writer.record(record).encode()
    yield writer.closing().encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writer:
    shape: XmlShape
    rng: Random

    def opening(self) -> str:
        shape = self.shape
        declaration = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' if shape.declaration else ""
        comment = "<!-- simulated -->\n" if shape.comments else ""
        root = f"<{self._tag('CertificateDataResponse')}{self._binding()}>"
        return f"{declaration}{comment}{root}{self._header() if shape.header else ''}"

    def closing(self) -> str:
        comment = "<!-- end -->" if self.shape.comments else ""
        return f"{self._break(0)}</{self._tag('CertificateDataResponse')}>{comment}{self._break(0)}"

    def record(self, record: Record) -> str:
        elements = [self._element(*claim) for claim in self._claims(record)] + list(self._noise())
        if self.shape.shuffled:
            self.rng.shuffle(elements)
        tag, attribute = self._tag("CertificateResponse"), ' origin="simulator"' if self.shape.unknown else ""
        inside = "".join(f"{self._break(4)}{element}" for element in elements)
        return f"{self._break(2)}<{tag}{attribute}>{inside}{self._break(2)}</{tag}>"

    def _claims(self, record: Record) -> Iterator[tuple[str, str]]:
        """The elements that this record has, in the order of the DCC's samples."""
        shape, silent = self.shape, record.authority and not self.shape.ca_claims
        claims = {
            "CertificateSubjectAltName": record.alt_name,
            "CertificateSubjectName": record.name,
            "CertificateSerial": self._serial(record.serial),
            "CertificateStatus": record.status,
            "CertificateBody": self._body(record.body),
            "CertificateRole": None if silent else record.role,
            "CertificateUsage": None if silent else record.usage,
            "ManufacturingFlag": str(record.manufacturing).lower() if shape.manufacturing else None,
        }
        return ((name, text) for name, text in claims.items() if text is not None)

    def _serial(self, serial: str) -> str:
        match self.shape.serials:
            case Serials.PADDED:
                return serial.zfill(_SERIAL_DIGITS)
            case Serials.BARE:
                return serial.lstrip("0")
            case never:
                assert_never(never)

    def _body(self, der: bytes) -> str:
        text = b64encode(der).decode()
        match self.shape.body:
            case Body.ONE_LINE:
                return text
            case Body.WRAPPED_64:
                return "\n".join(_lines(text, 64))
            case Body.WRAPPED_76:
                return "\n".join(_lines(text, 76))
            case Body.INDENTED:
                return "".join(f"\n      {line}" for line in _lines(text, 64)) + "\n    "
            case never:
                assert_never(never)

    def _header(self) -> str:
        claims = (
            ("ResponseCode", "200"),
            ("ResponseMessage", "Success"),
            ("AuditReference", _AUDIT_REFERENCE),
        )
        return "".join(f"{self._break(2)}{self._element(*claim)}" for claim in claims)

    def _noise(self) -> Iterator[str]:
        """What a reader has to pass over."""
        if self.shape.unknown:
            yield self._element("CertificatePriority", "low")
            yield f"<{self._tag('Extension')}>{self._element('Note', 'new')}</{self._tag('Extension')}>"
        if self.shape.comments:
            yield "<!-- a <CertificateStatus>R</CertificateStatus> that does not count -->"
        if self.shape.instructions:
            yield "<?simulator nothing to do?>"

    def _element(self, name: str, text: str) -> str:
        text = _NO_XML.sub("", text)
        content = f"<![CDATA[{text}]]>" if self.shape.cdata else escape(text)
        return f"<{self._tag(name)}>{content}</{self._tag(name)}>"

    def _tag(self, name: str) -> str:
        return f"{_PREFIX}{name}" if self.shape.namespace is Namespace.PREFIXED else name

    def _binding(self) -> str:
        match self.shape.namespace:
            case Namespace.NONE:
                return ""
            case Namespace.DEFAULT:
                return f' xmlns="{NAMESPACE}"'
            case Namespace.PREFIXED:
                return f' xmlns:{_PREFIX[:-1]}="{NAMESPACE}"'
            case never:
                assert_never(never)

    def _break(self, indent: int) -> str:
        """What stands before an element."""
        return "\n" + " " * indent if self.shape.pretty else ""


def _lines(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]
