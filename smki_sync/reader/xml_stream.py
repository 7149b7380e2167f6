"""Annex B XML as a stream of records with bounded memory."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from random import Random
from typing import Final, cast

from lxml import etree
from lxml.etree import XMLSyntaxError, _Element, tostring

from smki_sync.errors import BadExtract, Fault, bad_extract
from smki_sync.model.certificate import SERIAL_SIZE_LIMIT, Claims, Serial, parse_serial
from smki_sync.reader.gzip_stream import PeekableStream, ReaderLimits, near_of

SAMPLE_INTERVAL: Final = 32
"""Steps of 64 KiB for each one whose names are counted, which takes 2 % of the time."""

LONG_NAME: Final = 64
"""Characters of a name. A longer name counts once for each 64 characters."""

LONG_SPACE: Final = 60
"""Characters of white space that libxml2 does not intern any more (xmlSAX2TextNode)."""

_INSTRUCTION: Final = re.compile(rb"<\?([^\s?]{1,256})")
_NUL: Final = b"\0"


class ElementNames:
    """Counts the distinct names of one file. ``count``: an estimate from samples."""

    def __init__(self, *, name: str, limit: int) -> None:
        """Allow ``limit`` names. Messages contain ``name``."""
        self._name = name
        self._limit = limit
        self._random = Random()  # noqa: S311 - not a secret: the author of a file must not know it
        self._seen: set[int] = set()
        self.count = 0

    def sample(self, root: _Element, step: bytes) -> None:
        """Perhaps count the names of a step, which are now below ``root``. Raises ``BadExtract``."""
        if self._random.randrange(SAMPLE_INTERVAL):
            return
        for found in _names_in(root, step):
            mark = hash(found)
            if mark not in self._seen:
                self._seen.add(mark)
                self.count += SAMPLE_INTERVAL * (1 + len(found) // LONG_NAME)
        if self.count > self._limit:
            what = f"it has more than {self._limit} distinct names of elements, attributes or namespaces"
            raise bad_extract(Fault.TOO_MANY_NAMES, self._name, what)


def _names_in(root: _Element, step: bytes) -> Iterator[str | bytes]:
    """Yield what the library interns of a step, some of it several times."""
    plain = step.replace(_NUL, b"")  # the pattern is ASCII, also in UTF-16
    yield from _INSTRUCTION.findall(plain)
    declares_namespaces = b"xmlns" in plain
    for element in root.iter():
        for name in (element.tag, *element.attrib):
            yield from name.removeprefix("{").split("}")
        for text in (element.text, element.tail):
            if text and len(text) < LONG_SPACE and text.isspace():
                yield text
        if declares_namespaces:
            yield from (word for pair in element.nsmap.items() for word in pair if word)


XML_ERR_DOCUMENT_EMPTY = 4  # no "<" where the first should be (libxml2, xmlerror.h)
XML_ERR_RESOURCE_LIMIT = 114  # its own bounds: 256 elements deep, 10 MB of lookahead


@lru_cache(maxsize=256)  # an extract has a dozen names; a hostile one must not fill the memory
def local_name(tag: str) -> str:
    """Remove the namespace of ``{namespace}name``."""
    return tag.rpartition("}")[2]


def malformed(exc: XMLSyntaxError, *, name: str, where: str) -> BadExtract:
    """Translate a syntax error. ``name``: of the file. ``where``: the place in it, for people."""
    code: int = exc.code  # type: ignore[attr-defined]  # lxml-stubs lack it
    logged = exc.error_log.last_error  # type: ignore[attr-defined]  # as above; the log has more details
    found = f"line {logged.line}: {' '.join(logged.message.split())}" if logged else exc.msg
    fault = Fault.NOT_WELL_FORMED
    if code == XML_ERR_DOCUMENT_EMPTY:
        fault = Fault.NOT_XML
    elif code == XML_ERR_RESOURCE_LIMIT:
        fault = Fault.TOO_DEEP if "depth" in found else Fault.RECORD_TOO_LARGE
    return bad_extract(fault, name, f"{where}: {found:.200}")


RECORD = "CertificateResponse"
"""Element with one certificate and its claims (Annex B)."""

BODY = "CertificateBody"
"""Element with the certificate itself."""

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
"""Element → field of ``Claims``. ``other_name`` replaces a missing ``name``."""

_SERIAL_LENGTH: Final = 4 * SERIAL_SIZE_LIMIT
"""Characters of a serial number with blanks and leading zeros."""

_ANY_RECORD = f"{{*}}{RECORD}"
_XML_SPACE = " \t\r\n"  # white space of XML; strip() of Python removes more


class FieldTooLong(Exception):
    """A claim is longer than the limit. The message is the name of its element."""


class FieldLengths:
    """Limits the length of claims. ``longest``: the longest one so far that came near the limit."""

    __slots__ = ("_limit", "longest", "near")

    def __init__(self, limit: int) -> None:
        """Allow ``limit`` characters."""
        self._limit = limit
        self.near = near_of(limit)
        self.longest = 0

    def check(self, length: int, tag: str) -> None:
        """Check a claim that comes near the limit. Raises ``FieldTooLong``."""
        if length > self._limit:
            raise FieldTooLong(local_name(tag))
        self.longest = max(self.longest, length)


class Repeated(Exception):
    """An element occurs twice in a record. The message is its name."""


def read_claims(record: _Element, *, lengths: FieldLengths, nested: bool) -> Claims:
    """Read the claims of a record. An empty element claims nothing.

    Two elements can name the subject. If a record has both, ``CertificateSubjectAltName`` counts: it
    contains an EUI-64. ``nested``: whether fields may contain elements. Raises ``Repeated`` for a known
    element that occurs twice and for a record in a record, and ``FieldTooLong`` as ``lengths`` says.
    """
    near = lengths.near
    claims: dict[str, str | None] = {}
    for child in record:
        tag = child.tag
        field = FIELDS.get(tag) or FIELDS.get(local_name(tag))
        has_children = nested and len(child)
        if field is None or has_children:
            _check_for_record(child)
        if field is None:
            continue
        if field in claims:
            raise Repeated(local_name(tag))
        text = (_own_text(child) if has_children else child.text) or ""
        if len(text) >= near:
            lengths.check(len(text), tag)
        claims[field] = text.strip(_XML_SPACE) or None
    if "other_name" in claims:
        other = claims.pop("other_name")
        claims["name"] = claims.get("name") or other
    return Claims(**claims)


def read_serial(record: _Element) -> Serial | None:
    """Read the claimed serial number of a record that is rejected, if it is one of plausible length."""
    for child in record:
        if FIELDS.get(local_name(child.tag)) == "serial" and len(child.text or "") < _SERIAL_LENGTH:
            with suppress(ValueError):
                return parse_serial(child.text or "")
    return None


def _check_for_record(child: _Element) -> None:
    """Raise ``Repeated`` for a record in a record, at any depth."""
    if next(child.iter(_ANY_RECORD), None) is not None:
        raise Repeated(RECORD)


def _own_text(element: _Element) -> str:
    """Join the text of an element around the unknown elements in it."""
    return "".join([element.text or "", *(child.tail or "" for child in element)])


def evidence(record: _Element, *, limit: int) -> bytes:
    """Write a record in UTF-8, without comments, cut at ``limit`` bytes."""
    return tostring(record, encoding="utf-8", with_tail=False)[:limit]


ROOT = "CertificateDataResponse"
"""Root of each extract, in any namespace or none (Annex B)."""

_GZIP_MAGIC = b"\x1f\x8b"

_DECLARED = re.compile(
    rb"""^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?<\?xml\s.*?\sencoding\s*=\s*["']([^"']+)["']""", re.DOTALL
)
_PLAIN = re.compile(
    rb"utf-?(8|16(le|be)?)|(us-)?ascii|iso[-_]8859-\d+|latin-?1|(windows-|cp)125\d", re.IGNORECASE
)
"""Encodings in which markup is ASCII, or ASCII with a NUL next to each byte."""


class _DoctypeBegins(Exception):
    """A DOCTYPE has begun."""


class _PrologTarget:
    """A parser target that keeps the tag of the root and stops at a DOCTYPE."""

    def __init__(self) -> None:
        self.root: str | None = None

    def doctype(self, *_identifiers: str | None) -> None:
        raise _DoctypeBegins

    def start(self, tag: str, _attributes: object) -> None:
        self.root = self.root or tag

    def close(self) -> None:
        """Do nothing: this parser is dropped before its end, but each target needs this method."""


def check_prolog(head: bytes, *, name: str, limit: int) -> None:
    """Check the first ``limit`` bytes of an XML document.

    Raises ``BadExtract`` for an empty file, another format, a DOCTYPE, an encoding in which markup can
    be hidden, another root, or no root within ``limit``. XML that ends before its root passes: the main
    parser reports it best.
    """
    if not head:
        raise bad_extract(Fault.EMPTY_FILE, name, "the .gz is empty")
    if head.startswith(_GZIP_MAGIC):
        raise bad_extract(Fault.NOT_XML, name, "the .gz contains another .gz, not XML")
    root = _find_root(head, name)
    if root is None and len(head) >= limit:
        raise bad_extract(Fault.LEADING_TOO_LONG, name, f"no root element within the first {limit} bytes")
    if root is not None:
        _check_encoding(head, name=name)
        check_root(root, name=name)


def check_markup(data: bytes, *, name: str) -> None:
    """Raise ``BadExtract`` for a document that is empty, has a DOCTYPE, or hides markup in its encoding."""
    if not data.strip():
        raise bad_extract(Fault.EMPTY_FILE, name, "it is empty")
    _find_root(data, name)
    _check_encoding(data, name=name)


def check_root(tag: str, *, name: str) -> None:
    """Raise ``BadExtract`` unless the root is that of an extract, in any namespace."""
    if local_name(tag) != ROOT:
        raise bad_extract(Fault.NOT_AN_EXTRACT, name, f"the root is {tag:.80}, not {ROOT}")


def _check_encoding(head: bytes, *, name: str) -> None:
    """Raise ``BadExtract`` for an encoding that can write ``<`` in several ways, such as UTF-7.

    Checks of bytes, such as the limit on names, would see another document than the parser.
    """
    declaration = head.replace(b"\0", b"").partition(b"?>")[0]  # it is ASCII, also in UTF-16
    found = _DECLARED.search(declaration)
    if found and not _PLAIN.fullmatch(found[1]):
        what = f"its encoding is {found[1][:40].decode('ascii', 'replace')}, and an extract has UTF-8"
        raise bad_extract(Fault.NOT_AN_EXTRACT, name, what)


def _find_root(head: bytes, name: str) -> str | None:
    """Return the tag of the root, ``None`` if the bytes end before it."""
    target = _PrologTarget()
    # lxml needs only these methods; its stub requires all.
    parser = etree.XMLParser(
        target=target,  # type: ignore[arg-type]
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
    )
    try:
        parser.feed(head)
    except _DoctypeBegins:
        raise bad_extract(Fault.DOCTYPE, name, "it has a DOCTYPE, which no extract needs") from None
    except etree.XMLSyntaxError as exc:
        if target.root is None:
            raise malformed(exc, name=name, where="before the root element") from exc
    return target.root


RESPONSE_CODE = "ResponseCode"
SUCCESS = "200"
"""Value of ``ResponseCode`` in an extract, if it has one (Annex B)."""


FLAT = 3
"""Depth of elements in an extract of Annex B: root, record, field."""


class XmlRecordStream:
    """Parses one XML document. ``records``: number so far. ``xml_bytes``: parsed so far.

    ``deepest``: depth of elements so far, at least the three of Annex B. ``longest_wait``: most bytes so
    far without the end of a record, in whole steps; 0 if each step had one. ``nested``: whether any
    element is deeper than the fields of records below the root. It is found once for each step, because
    that costs less than once for each field.
    """

    def __init__(self, *, name: str, limits: ReaderLimits) -> None:
        """Prepare to parse. Messages contain ``name``."""
        self._name = name
        self._limits = limits
        self._parser = etree.XMLPullParser(
            events=("start", "end"),
            tag=[f"{{*}}{element}" for element in (ROOT, RESPONSE_CODE, RECORD)],
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            remove_comments=True,
            remove_pis=True,
            collect_ids=False,
        )
        depths = range(max(limits.depth, FLAT) + 2)
        self._reaches = [etree.XPath(f"boolean({'/*' * depth or '/'})", regexp=False) for depth in depths]
        self._beyond_fields = etree.XPath("boolean(/*/*/*/*)", regexp=False)
        self._names = ElementNames(name=name, limit=limits.names)
        self._root: _Element | None = None
        self._open: _Element | None = None
        self._waiting = 0
        self.longest_wait = 0
        self.deepest = FLAT
        self.records = 0
        self.xml_bytes = 0
        self.nested = True

    def read(self, pieces: Iterable[bytes]) -> Iterator[_Element]:
        """Yield each ``CertificateResponse`` when it ends. Raises ``BadExtract``."""
        stream = PeekableStream(pieces)
        limit = self._limits.leading_bytes
        check_prolog(stream.peek(limit), name=self._name, limit=limit)
        while step := stream.take():
            yield from self._read_step(step)
        root = self._close()
        check_root(root.tag, name=self._name)  # it may not end within the first bytes
        self._check_for_strays(root)

    def _check_for_strays(self, root: _Element) -> None:
        """Refuse certificates without records: the format has changed."""
        if not self.records and next(root.iter(f"{{*}}{BODY}"), None) is not None:
            what = f"it contains certificates, but no {RECORD}"
            raise self._fault(Fault.NOT_AN_EXTRACT, what)

    def _close(self) -> _Element:
        try:
            return self._parser.close()
        except etree.XMLSyntaxError as exc:
            raise malformed(exc, name=self._name, where=f"{self._where()}, at its end") from exc

    def _read_step(self, step: bytes) -> Iterator[_Element]:
        """Parse some bytes, yield the records that end in them, and free what is finished."""
        broken = self._feed(step)
        self.nested = self._root is None or bool(self._beyond_fields(self._root))
        last = None
        for last in self._finished():
            yield last
        if broken:
            raise malformed(broken, name=self._name, where=self._where()) from broken
        if self._root is not None:
            self._names.sample(self._root, step)
            if self.nested:
                self._measure_depth(self._root)
        if last is None:
            self._wait(len(step))
        else:
            self._waiting = 0
            self._free_before(last)

    def _feed(self, step: bytes) -> etree.XMLSyntaxError | None:
        """Parse some bytes. Return a syntax error, because the records before it are still to be read."""
        self.xml_bytes += len(step)
        try:
            self._parser.feed(step)
        except etree.XMLSyntaxError as exc:
            return exc
        return None

    def _finished(self) -> Iterator[_Element]:
        """Yield the outermost record elements that have ended."""
        events = cast("Iterator[tuple[str, _Element]]", self._parser.read_events())  # for these two kinds
        for event, element in events:
            if event == "start":
                if self._root is None:
                    self._root = element
                elif self._open is None and element.tag.endswith(RECORD):
                    self._open = element
            elif element is self._open:
                self._open = None
                self._count()
                yield element
            elif self._open is None and element.tag.endswith(RESPONSE_CODE):
                self._check_response(element)

    def _count(self) -> None:
        self.records += 1
        if self.records > self._limits.records:
            raise self._fault(Fault.TOO_MANY_RECORDS, f"it has more than {self._limits.records} records")

    def _check_response(self, element: _Element) -> None:
        code = (element.text or "").strip()
        if code != SUCCESS:
            raise self._fault(Fault.RESPONSE_CODE, f"{RESPONSE_CODE} is {code!r:.40}, not {SUCCESS}")

    def _measure_depth(self, root: _Element) -> None:
        while self._reaches[self.deepest + 1](root):
            self.deepest += 1
            if self.deepest > self._limits.depth:
                raise self._fault(Fault.TOO_DEEP, f"elements nest deeper than {self._limits.depth}")

    def _wait(self, size: int) -> None:
        """Limit what is held in memory while no record ends."""
        self._waiting += size
        self.longest_wait = max(self.longest_wait, self._waiting)
        if self._waiting > self._limits.record_bytes:
            raise self._fault(
                Fault.RECORD_TOO_LARGE,
                f"more than {self._limits.record_bytes} bytes without the end of a record",
            )

    def _free_before(self, record: _Element) -> None:
        """Free everything before ``record``, also in the elements around it.

        The record itself stays until the next one has ended: libxml2 may still write its tail.
        """
        element, parent = record, record.getparent()
        while parent is not None:
            del parent[: parent.index(element)]
            element, parent = parent, parent.getparent()

    def _where(self) -> str:
        return f"after record {self.records}, at byte {self.xml_bytes} of the XML"

    def _fault(self, fault: Fault, what: str) -> BadExtract:
        return bad_extract(fault, self._name, f"{self._where()}: {what}")
