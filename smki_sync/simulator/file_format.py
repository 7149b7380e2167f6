"""Write Annex B XML and gzip in every permitted form."""

import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import assert_never
from xml.sax.saxutils import escape

_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16
_DEFLATE, _UNIX = 8, 3
LEVELS = range(10)


@dataclass(frozen=True, slots=True, kw_only=True)
class GzShape:
    """One form of a gzip file.

    Args:
        level: Compression level from 0 (stored blocks) to 9.
        member_bytes: Size of the content of a member; 0 = one member.
        empty_members: Whether there are empty members before, between and after the others.
        extra: Whether there is the optional header field; also ``name``, ``comment``, ``header_crc``.
        modified: MTIME in seconds since 1970; 0 = none.
    """

    level: int = 6
    member_bytes: int = 0
    empty_members: bool = False
    extra: bool = False
    name: bool = True
    comment: bool = False
    header_crc: bool = False
    modified: int = 0


def random_gz_shape(rng: Random) -> GzShape:
    """Return a random form."""
    return GzShape(
        level=rng.choice(LEVELS),
        member_bytes=rng.choice((0, 1_000, 20_000)),
        empty_members=rng.random() < 1 / 2,
        extra=rng.random() < 1 / 2,
        name=rng.random() < 1 / 2,
        comment=rng.random() < 1 / 2,
        header_crc=rng.random() < 1 / 2,
    )


def gzip_chunks(content: Iterable[bytes], shape: GzShape, name: str) -> Iterator[bytes]:
    """Return a gzip file. ``name``: the name of the content in the header, if the form has one."""
    header = _header(shape, name)
    empty = b"".join(_member((), shape, header)) if shape.empty_members else b""
    yield empty
    for part in _parts(content, shape.member_bytes):
        yield from _member(part, shape, header)
        yield empty


def _parts(content: Iterable[bytes], size: int) -> Iterator[Iterator[bytes]]:
    """Split the content into parts of at least ``size`` bytes. Consume each before the next one."""
    rest = iter(content)
    for chunk in rest:
        yield _part(chunk, rest, size)


def _part(chunk: bytes, rest: Iterator[bytes], size: int) -> Iterator[bytes]:
    written = len(chunk)
    yield chunk
    while not size or written < size:
        chunk = next(rest, b"")
        if not chunk:
            return
        written += len(chunk)
        yield chunk


def _member(content: Iterable[bytes], shape: GzShape, header: bytes) -> Iterator[bytes]:
    deflate = zlib.compressobj(shape.level, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc, size = 0, 0
    yield header
    for chunk in content:
        crc, size = zlib.crc32(chunk, crc), size + len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush()
    yield crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


def _header(shape: GzShape, name: str) -> bytes:
    flags = (
        _FHCRC * shape.header_crc | _FEXTRA * shape.extra | _FNAME * shape.name | _FCOMMENT * shape.comment
    )
    header = bytes((0x1F, 0x8B, _DEFLATE, flags)) + shape.modified.to_bytes(4, "little") + bytes((0, _UNIX))
    if shape.extra:
        field = b"SI" + (4).to_bytes(2, "little") + b"\0\1\2\3"
        header += len(field).to_bytes(2, "little") + field
    if shape.name:
        header += name.encode("latin-1") + b"\0"
    if shape.comment:
        header += b"simulated\0"
    if shape.header_crc:
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    return header


class Namespace(StrEnum):
    """How the names of elements are qualified."""

    NONE = "none"
    DEFAULT = "default"
    PREFIXED = "prefixed"


class Body(StrEnum):
    """How the Base64 of a certificate is formatted."""

    ONE_LINE = "one-line"
    WRAPPED_64 = "wrapped-64"
    WRAPPED_76 = "wrapped-76"
    INDENTED = "indented"


class Serials(StrEnum):
    """Serial numbers with all 32 digits, or without leading zeros."""

    PADDED = "padded"
    BARE = "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlShape:
    """One form of an XML file. The defaults are those of the samples of the DCC.

    Args:
        header: Whether there are ResponseCode and the elements that belong to it.
        pretty: Whether each element has its own line.
        shuffled: Whether the elements of a record are in random order.
        unknown: Whether there are elements and attributes that are not in Annex B.
        ca_claims: Whether records of authorities have a role and a usage.
    """

    namespace: Namespace = Namespace.NONE
    body: Body = Body.ONE_LINE
    serials: Serials = Serials.PADDED
    declaration: bool = True
    byte_order_mark: bool = False
    header: bool = True
    pretty: bool = True
    shuffled: bool = False
    unknown: bool = False
    comments: bool = False
    instructions: bool = False
    cdata: bool = False
    ca_claims: bool = False
    manufacturing: bool = True


def random_xml_shape(rng: Random) -> XmlShape:
    """Return a random form."""
    random_choices = iter(lambda: rng.random() < 1 / 2, None)
    return XmlShape(
        namespace=rng.choice(list(Namespace)),
        body=rng.choice(list(Body)),
        serials=rng.choice(list(Serials)),
        declaration=next(random_choices),
        byte_order_mark=next(random_choices),
        header=next(random_choices),
        pretty=next(random_choices),
        shuffled=next(random_choices),
        unknown=next(random_choices),
        comments=next(random_choices),
        instructions=next(random_choices),
        cdata=next(random_choices),
        ca_claims=next(random_choices),
        manufacturing=next(random_choices),
    )


NAMESPACE = "urn:smki-sync:simulator"
_PREFIX = "ki:"
_AUDIT_REFERENCE = "1234567890-abc123456"
_SERIAL_DIGITS = 32
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML cannot contain (XML 1.0 2.2), but the name of a certificate can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One CertificateResponse: claims as text, and the body as DER.

    ``authority``: its role and usage are written only if the form has ``ca_claims``.
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


def xml_chunks(records: Iterable[Record], shape: XmlShape, rng: Random) -> Iterator[bytes]:
    """Return an XML file in UTF-8, one chunk for each record. ``rng`` is for the form ``shuffled``."""
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
        root = f"<{self._tag('CertificateDataResponse')}{self._namespace_declaration()}>"
        return f"{declaration}{comment}{root}{self._header() if shape.header else ''}"

    def closing(self) -> str:
        comment = "<!-- end -->" if self.shape.comments else ""
        return f"{self._line_break(0)}</{self._tag('CertificateDataResponse')}>{comment}{self._line_break(0)}"

    def record(self, record: Record) -> str:
        elements = [self._element(*claim) for claim in self._claims(record)]
        elements += self._unexpected_elements()
        if self.shape.shuffled:
            self.rng.shuffle(elements)
        tag, attribute = self._tag("CertificateResponse"), ' origin="simulator"' if self.shape.unknown else ""
        inside = "".join(f"{self._line_break(4)}{element}" for element in elements)
        return f"{self._line_break(2)}<{tag}{attribute}>{inside}{self._line_break(2)}</{tag}>"

    def _claims(self, record: Record) -> Iterator[tuple[str, str]]:
        """Return the elements of a record, in the order of the samples of the DCC."""
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
            case unexpected:
                assert_never(unexpected)

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
            case unexpected:
                assert_never(unexpected)

    def _header(self) -> str:
        claims = (
            ("ResponseCode", "200"),
            ("ResponseMessage", "Success"),
            ("AuditReference", _AUDIT_REFERENCE),
        )
        return "".join(f"{self._line_break(2)}{self._element(*claim)}" for claim in claims)

    def _unexpected_elements(self) -> Iterator[str]:
        """Return what a reader must ignore."""
        if self.shape.unknown:
            yield self._element("CertificatePriority", "low")
            yield f"<{self._tag('Extension')}>{self._element('Note', 'new')}</{self._tag('Extension')}>"
        if self.shape.comments:
            yield "<!-- a <CertificateStatus>R</CertificateStatus> that does not count -->"
        if self.shape.instructions:
            yield "<?simulator nothing to do?>"

    def _element(self, name: str, text: str) -> str:
        text = _NOT_XML.sub("", text)
        content = f"<![CDATA[{text}]]>" if self.shape.cdata else escape(text)
        return f"<{self._tag(name)}>{content}</{self._tag(name)}>"

    def _tag(self, name: str) -> str:
        return f"{_PREFIX}{name}" if self.shape.namespace is Namespace.PREFIXED else name

    def _namespace_declaration(self) -> str:
        match self.shape.namespace:
            case Namespace.NONE:
                return ""
            case Namespace.DEFAULT:
                return f' xmlns="{NAMESPACE}"'
            case Namespace.PREFIXED:
                return f' xmlns:{_PREFIX[:-1]}="{NAMESPACE}"'
            case unexpected:
                assert_never(unexpected)

    def _line_break(self, indent: int) -> str:
        """Return the white space before an element."""
        return "\n" + " " * indent if self.shape.pretty else ""


def _lines(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), width)]


class Shapes(StrEnum):
    """The forms of the files of a repository."""

    PLAIN = "plain"
    EVERY = "every"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShape:
    """The form of one file."""

    xml: XmlShape
    gz: GzShape


def shape_for(shapes: Shapes, rng: Random) -> FileShape:
    """Return the form of a file."""
    match shapes:
        case Shapes.PLAIN:
            return FileShape(xml=XmlShape(), gz=GzShape())
        case Shapes.EVERY:
            return FileShape(xml=random_xml_shape(rng), gz=random_gz_shape(rng))
        case unexpected:
            assert_never(unexpected)
