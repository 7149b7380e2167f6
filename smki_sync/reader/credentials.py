"""Read the credentials that a device or the DCC reports, from MMC and DUIS XML.

Element names: MMC and DUIS XML schemas 5.4 (November 2025). Files are not trusted: the limits are those of
an extract, for one record.
"""

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from lxml import etree
from lxml.etree import _Element

from smki_sync.errors import Fault, bad_extract
from smki_sync.reader.gzip_stream import ReaderLimits
from smki_sync.reader.xml_stream import check_markup, local_name, malformed

_DETAILS: Final = "RemotePartyDetails"
_OUTCOME: Final = "ReplacementOutcome"
_UPDATED: Final = "SecurityCredentialsUpdated"
_COS_ALERT: Final = "CoSCertificateAlert"
_DEVICE_CERTIFICATE: Final = "RetrieveDeviceSecurityCredentialsDeviceRsp"
_SUCCESS: Final = "success"


class ReportedCredential(NamedTuple):
    """One credential, as reported. ``None``: not reported.

    ``role``, ``usage``: words of the schema. ``party``: EUI-64. ``sha1``: of the certificate.
    ``serial``: in decimal. ``body``: the certificate. ``status``: of the device, if it is not success.
    """

    role: str | None = None
    usage: str | None = None
    party: str | None = None
    sha1: bytes | None = None
    serial: str | None = None
    body: bytes | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialReport:
    """The credentials of one file. ``device``: its EUI-64, or ``None``."""

    device: str | None
    credentials: tuple[ReportedCredential, ...]


def looks_like_xml(head: bytes) -> bool:
    """Whether a file begins as XML does, in UTF-8 or UTF-16."""
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<")


def read_credentials(data: bytes, *, name: str, limits: ReaderLimits | None = None) -> CredentialReport:
    """Read one file. Messages contain ``name``.

    Raises:
        BadExtract: It is too large or too deep, has a DOCTYPE, or is not well-formed XML.
        ValueError: It does not report credentials, or a value cannot be read.
    """
    limits = limits or ReaderLimits()
    root = _parse(data, name, limits)
    credentials = tuple(_credentials(root))
    if not credentials:
        raise ValueError(
            f"the root element is {local_name(root.tag)}, and it does not report credentials:"
            f" expected {_DETAILS} (6.24.1), {_OUTCOME}, {_UPDATED} or {_COS_ALERT}"
        )
    return CredentialReport(device=_device(root), credentials=credentials)


def _parse(data: bytes, name: str, limits: ReaderLimits) -> _Element:
    if len(data) > limits.record_bytes:
        raise bad_extract(Fault.RECORD_TOO_LARGE, name, f"it has more than {limits.record_bytes} bytes")
    check_markup(data, name=name)
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as exc:
        raise malformed(exc, name=name, where="in the XML") from exc
    too_deep = etree.XPath("boolean(" + "/*" * (limits.depth + 1) + ")", regexp=False)
    if too_deep(root):
        raise bad_extract(Fault.TOO_DEEP, name, f"elements nest deeper than {limits.depth}")
    return root


def _device(root: _Element) -> str | None:
    """Return the device: the originator of a response, or the device that an alert names."""
    for element in ("DeviceID", "BusinessOriginatorID"):
        found = next(root.iter(f"{{*}}{element}"), None)
        if found is not None and found.text:
            return found.text.strip()
    return None


def _credentials(root: _Element) -> Iterator[ReportedCredential]:
    """Yield the credentials in the order of the file."""
    for element in root.iter(*(f"{{*}}{name}" for name in _READERS)):
        yield from _READERS[local_name(element.tag)](element)


def _text(element: _Element, name: str) -> str | None:
    found = next(element.iter(f"{{*}}{name}"), None)
    return (found.text or "").strip() or None if found is not None else None


def _digest(element: _Element, name: str) -> bytes | None:
    text = _text(element, name)
    return None if text is None else _base64(text, name)


def _base64(text: str, name: str) -> bytes:
    try:
        return b64decode("".join(text.split()), validate=True)
    except ValueError as exc:
        raise ValueError(f"{name} is not Base64: {text!r:.60}") from exc


def _status(element: _Element) -> str | None:
    status = _text(element, "ASN1Status") or _text(element, "StatusCode")
    return None if status in (None, _SUCCESS) else status


def _of_details(element: _Element) -> Iterator[ReportedCredential]:
    """Read an answer to service request 6.24.1."""
    yield ReportedCredential(
        role=_text(element, "RemotePartyRole"),
        usage=_text(element, "CertificateUsage"),
        party=_text(element, "ExistingRemotePartyID"),
        sha1=_digest(element, "ExistingCertificateHash"),
        status=_status(element),
    )


def _of_outcome(element: _Element) -> Iterator[ReportedCredential]:
    """Read the outcome of an update: the new certificate if it succeeded, otherwise the existing one."""
    status = _status(element)
    which = "Existing" if status else "New"
    yield ReportedCredential(
        role=_text(element, "RemotePartyRole"),
        usage=_text(element, "CertificateType"),
        party=_text(element, f"{which}RemotePartyID"),
        sha1=_digest(element, f"{which}CertificateHash"),
        status=status,
    )


def _of_alert(element: _Element) -> Iterator[ReportedCredential]:
    role = _text(element, "RemotePartyRole")
    for one in element.iterchildren("{*}Certificates"):
        yield ReportedCredential(
            role=role, usage=_text(one, "CertificateType"), sha1=_digest(one, "CertificateHash")
        )


def _of_cos_alert(element: _Element) -> Iterator[ReportedCredential]:
    yield ReportedCredential(serial=_text(element, "CertificateSerialNumber"))


def _of_device(element: _Element) -> Iterator[ReportedCredential]:
    """Read an answer to service request 6.24.2: the certificate of the device itself."""
    text = _text(element, "Certificate")
    body = None if text is None else _base64(text, "Certificate")
    yield ReportedCredential(body=body, status=_status(element))


_READERS: Final = {
    _DETAILS: _of_details,
    _OUTCOME: _of_outcome,
    _UPDATED: _of_alert,
    _COS_ALERT: _of_cos_alert,
    _DEVICE_CERTIFICATE: _of_device,
}
