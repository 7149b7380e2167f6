"""Requests that are accepted and refused, and the status that is answered."""

import pytest
from lxml import etree
from support.served import request

from smki_sync.mirror.queries import Certificate, EuiIs, SerialIs
from smki_sync.model.certificate import Eui, Flag, Serial
from smki_sync.service.xml_messages import (
    answered_status,
    parse_retrieve,
    parse_search,
    retrieve_answer,
    search_answer,
    serial_text,
)
from smki_sync.usability import UnusableReason

EUI = "00-DB-12-34-56-78-90-A4"
CERTIFICATE = Certificate(
    eui=EUI,
    kind="device",
    role=None,
    usage="DS",
    status="I",
    in_use=True,
    serial="0A0B",
    issuer="CN=<issuer>",
    subject="CN=</subject>&",
    not_before="2020-01-01T00:00:00Z",
    not_after="9999-12-31T23:59:59Z",
    ski=None,
    manufacturing=None,
    first_seen="2026-01-01",
    last_changed="2026-01-01",
    withdrawn=None,
    flags=Flag(0),
    file="SMKIKR_FULL_2026-01-01.xml.gz",
    der=b"\x30\x00",
)


@pytest.mark.parametrize("name", ["CertificateSubjectAltName", "CertificateSubjectName"])
@pytest.mark.parametrize("text", [EUI, EUI.lower(), f"\n {EUI} ", "00db1234567890a4"])
def test_search_is_parsed(name: str, text: str) -> None:
    asked = request("CertificateSearchRequest", name, text).encode()
    assert parse_search(asked) == EuiIs(eui=Eui(EUI))


@pytest.mark.parametrize("text", ["0A0B", "a0b", "00-00-0A-0B", "00000000000000000000000000000a0b"])
def test_retrieve_is_parsed(text: str) -> None:
    asked = request("CertificateDataRequest", "CertificateSerial", text).encode()
    assert parse_retrieve(asked) == SerialIs(serials=(Serial("0A0B"),))


_SEARCH = "<CertificateSearchRequest>{}</CertificateSearchRequest>"
_ONE = f"<CertificateSubjectAltName>{EUI}</CertificateSubjectAltName>"
HOSTILE = {
    "empty": "",
    "text": "hello",
    "json": '{"eui": 1}',
    "nothing-asked": _SEARCH.format(""),
    "two-criteria": _SEARCH.format(_ONE + _ONE),
    "unknown-criterion": _SEARCH.format("<Other>1</Other>"),
    "nested": _SEARCH.format(f"<CertificateSubjectAltName>{_ONE}</CertificateSubjectAltName>"),
    "other-root": f"<CertificateDataRequest>{_ONE}</CertificateDataRequest>",
    "attribute": _SEARCH.format(f'<CertificateSubjectAltName a="1">{EUI}</CertificateSubjectAltName>'),
    "namespace": f'<CertificateSearchRequest xmlns="urn:x">{_ONE}</CertificateSearchRequest>',
    "text-beside": _SEARCH.format(f"x{_ONE}"),
    "not-closed": f"<CertificateSearchRequest>{_ONE}",
    "two-documents": _SEARCH.format(_ONE) * 2,
    "doctype": f"<!DOCTYPE x>{_SEARCH.format(_ONE)}",
    "entity": '<!DOCTYPE x [<!ENTITY a "1">]>' + _SEARCH.format(_ONE.replace("A4", "&a;")),
    "undeclared-entity": _SEARCH.format(_ONE.replace("A4", "&a;")),
    "comment": _SEARCH.format(f"<!-- -->{_ONE}"),
    "cdata": _SEARCH.format(_ONE.replace(EUI, f"<![CDATA[{EUI}]]>")),
    "instruction": _SEARCH.format(f"<?run me?>{_ONE}"),
    "not-an-eui": _SEARCH.format(_ONE.replace("A4", "G4")),
    "long-eui": _SEARCH.format(_ONE.replace("A4", "A4-A4")),
    "no-break-space": _SEARCH.format(_ONE.replace("A4", "A4\xa0")),
    "null": _SEARCH.format(_ONE.replace("A4", "A4\0")),
    "null-reference": _SEARCH.format(_ONE.replace("A4", "A4&#0;")),
    "deep": "<CertificateSearchRequest>" * 200,
    "sql": _SEARCH.format(_ONE.replace(EUI, "' OR 1=1 --")),
    "byte-order-mark": "\ufeff" + _SEARCH.format(_ONE),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_search_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_search(text.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037", "utf-7"])
def test_search_in_another_encoding_is_refused(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x>{_SEARCH.format(_ONE)}'
    with pytest.raises(ValueError, match=r"."):
        parse_search(text.encode(encoding))


def test_declared_encoding_is_ignored() -> None:
    text = f'<?xml version="1.0" encoding="utf-7"?>{_SEARCH.format(_ONE.replace("A4", "+AEE-4"))}'
    with pytest.raises(ValueError, match="hex digits"):
        parse_search(text.encode())


@pytest.mark.parametrize(
    ("status", "unusable", "answered"),
    [
        ("I", None, "I"),
        ("I", UnusableReason.REVOKED, "R"),
        ("I", UnusableReason.ISSUER_REVOKED, "R"),
        ("I", UnusableReason.SIGNATURE_FALSE, "R"),
        ("I", UnusableReason.EXPIRED, "E"),
        ("I", UnusableReason.NOT_YET_VALID, "P"),
        ("R", UnusableReason.REVOKED, "R"),
        ("P", UnusableReason.NOT_IN_USE, "P"),
        ("N", UnusableReason.NOT_IN_USE, "N"),
        ("E", UnusableReason.EXPIRED, "E"),
    ],
)
def test_in_use_is_answered_only_when_usable(
    status: str, unusable: UnusableReason | None, answered: str
) -> None:
    assert answered_status(CERTIFICATE._replace(status=status, unusable=unusable)).value == answered


@pytest.mark.parametrize(
    ("serial", "text"),
    [("0A0B", "-".join(["00"] * 14 + ["0A", "0B"])), ("01" * 20, "-".join(["01"] * 20)), ("-01", "-01")],
)
def test_serial_has_32_digits_in_pairs(serial: str, text: str) -> None:
    assert serial_text(serial) == text


def test_answer_escapes_names_of_authorities() -> None:
    authority = CERTIFICATE._replace(eui=None, kind="oca", usage=None, role=7)
    result = etree.fromstring(search_answer([authority]))
    assert result.findtext("Result/CertificateSubjectName") == authority.subject
    assert result.findtext("Result/CertificateRole") == "7"
    assert result.find("Result/CertificateUsage") is None


@pytest.mark.parametrize(("flag", "text"), [(None, None), (True, "true"), (False, "false")])
def test_manufacturing_flag_is_left_out_when_unknown(flag: bool | None, text: str | None) -> None:
    result = etree.fromstring(retrieve_answer(CERTIFICATE._replace(manufacturing=flag)))
    assert result.findtext("CertificateResponse/ManufacturingFlag") == text
    assert result.findtext("CertificateResponse/CertificateBody") == "MAA="
