"""Requests and answers of the Repository's two web services, as XML."""

from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from smki_sync.mirror.queries import Certificate, EuiIs, SerialIs
from smki_sync.model.certificate import Kind, Status, parse_eui, parse_serial
from smki_sync.usability import UnusableReason

SERIAL_DIGITS: Final = 32
"""Hex digits of a serial number in an answer, as the Repository writes it."""
_HEADER: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_DEPTH: Final = 2
"""Depth of a request: a root element and one criterion."""

_AnyIdentity = EuiIs | SerialIs
_SEARCH: Final[dict[str, Callable[[str], _AnyIdentity]]] = {
    "CertificateSubjectAltName": lambda text: EuiIs(eui=parse_eui(text)),
    "CertificateSubjectName": lambda text: EuiIs(eui=parse_eui(text)),
    "CertificateSerial": lambda text: SerialIs(serials=(parse_serial(text.replace("-", "")),)),
}
_RETRIEVE: Final = {"CertificateSerial": _SEARCH["CertificateSerial"]}


def parse_search(body: bytes) -> EuiIs | SerialIs:
    """Return what a ``CertificateSearchRequest`` asks for.

    Raises:
        ValueError: The request is not valid: the message says why.
    """
    return _parse(body, "CertificateSearchRequest", _SEARCH)


def parse_retrieve(body: bytes) -> EuiIs | SerialIs:
    """Return what a ``CertificateDataRequest`` asks for: a serial number.

    Raises:
        ValueError: The request is not valid: the message says why.
    """
    return _parse(body, "CertificateDataRequest", _RETRIEVE)


def _parse(body: bytes, root: str, criteria: dict[str, Callable[[str], _AnyIdentity]]) -> _AnyIdentity:
    elements = _read_elements(body)
    names = [name for name, _ in elements]
    if names[:1] != [root] or len(names) != _DEPTH or names[1] not in criteria:
        raise ValueError(f"the request must be a {root} with exactly one of: {', '.join(criteria)}")
    return criteria[names[1]](elements[1][1])


def _read_elements(body: bytes) -> list[tuple[str, str]]:
    """Return name and text of each element, parents first.

    Only ASCII without ``<!`` is accepted: so no encoding hides a document type, an entity or a comment.
    """
    if not body.isascii() or b"<!" in body or b"\0" in body:
        raise ValueError("the request must be ASCII XML without a document type, comments and CDATA")
    collector = _Collector()
    parser = expat.ParserCreate("utf-8")  # replaces the encoding that the document declares
    parser.buffer_text = True
    parser.StartElementHandler = collector.start
    parser.EndElementHandler = collector.end
    parser.CharacterDataHandler = collector.text
    parser.ProcessingInstructionHandler = collector.refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as exc:
        raise ValueError(f"the request is not XML: {expat.errors.messages[exc.code]}") from None
    return [(name, "".join(parts).strip()) for name, parts in collector.elements]


class _Collector:
    """Receives the events of the parser. At most one element in the root, and no attributes."""

    def __init__(self) -> None:
        self.elements: list[tuple[str, list[str]]] = []
        self._open: list[list[str]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if attributes:
            raise ValueError("the request must not have attributes")
        if len(self.elements) == _DEPTH or len(self._open) == _DEPTH:
            raise ValueError("the request must have exactly one criterion")
        parts: list[str] = []
        self.elements.append((name, parts))
        self._open.append(parts)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        if len(self._open) < _DEPTH and data.strip():
            raise ValueError("the request has text outside its criterion")
        self._open[-1].append(data)

    def refuse(self, _target: str, _data: str) -> None:
        raise ValueError("the request must not have processing instructions")


def answered_status(certificate: Certificate) -> Status:
    """Return the status to answer. In-Use is answered only if the certificate is usable.

    Callers of the Repository use each certificate with status I. So a certificate that a list revokes, or
    that is below a revoked authority, is R; an expired one is E; one that is not valid yet is P.
    """
    match certificate.unusable:
        case UnusableReason.REVOKED | UnusableReason.ISSUER_REVOKED | UnusableReason.SIGNATURE_FALSE:
            return Status.REVOKED
        case UnusableReason.EXPIRED:
            return Status.EXPIRED
        case UnusableReason.NOT_YET_VALID:
            return Status.PENDING
        case _:
            return Status(certificate.status)


def search_answer(found: Iterable[Certificate]) -> bytes:
    """Return a ``CertificateSearchResponse``."""
    results = "".join(f"<Result>{_elements(_facts(c))}</Result>\n" for c in found)
    return f"{_HEADER}<CertificateSearchResponse>\n{results}</CertificateSearchResponse>\n".encode()


def retrieve_answer(certificate: Certificate) -> bytes:
    """Return a ``CertificateDataResponse`` with one certificate."""
    facts = {**_facts(certificate), "CertificateBody": b64encode(certificate.der).decode()}
    if certificate.manufacturing is not None:
        facts["ManufacturingFlag"] = str(certificate.manufacturing).lower()
    inside = f"<CertificateResponse>{_elements(facts)}</CertificateResponse>"
    return f"{_HEADER}<CertificateDataResponse>\n{inside}\n</CertificateDataResponse>\n".encode()


def _facts(c: Certificate) -> dict[str, str]:
    name = "CertificateSubjectAltName" if c.kind == Kind.DEVICE else "CertificateSubjectName"
    facts = {
        name: c.eui or c.subject,
        "CertificateSerial": serial_text(c.serial),
        "CertificateStatus": answered_status(c).value,
    }
    if c.usage is not None:
        facts["CertificateUsage"] = c.usage
    if c.role is not None:
        facts["CertificateRole"] = str(c.role)
    return facts


def _elements(facts: dict[str, str]) -> str:
    return "".join(f"<{name}>{escape(text)}</{name}>" for name, text in facts.items())


def serial_text(serial: str) -> str:
    """Return a serial number as the Repository writes it: 32 upper-case hex digits in hyphenated pairs."""
    if serial.startswith("-"):
        return serial
    digits = serial.zfill(SERIAL_DIGITS)
    return "-".join(digits[at : at + 2] for at in range(0, len(digits), 2))
