"""Which XML is read as what, and how each that is no extract is named."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.extract_files import (
    DECLARATION,
    NAME,
    Witness,
    accept,
    claims_in,
    document,
    element,
    failure_of,
    gz,
    in_chunks,
    reader_of,
    reason_of,
    record,
)

from smki_sync.errors import BadExtract, SourceUnreachable
from smki_sync.model.certificate import Claims, Entry, Rejected, RejectReason
from smki_sync.reader import ExtractReader, ReaderLimits, read_extract

ONE = Claims(
    name="00-DB-12-34-56-78-90-A4",
    serial=f"{1:032X}",
    status="I",
    body="MIIB1",
    usage="DS",
    manufacturing="false",
)
ROOT = "CertificateDataResponse"


def rejected_in(xml: str) -> list[Rejected]:
    return [found for found in reader_of(gz(xml)) if isinstance(found, Rejected)]


# --- what is read


def test_reader_returns_the_claims_of_a_record() -> None:
    assert claims_in(document(record())) == [ONE]


def test_reader_numbers_records_from_1() -> None:
    witness = Witness()
    reader = reader_of(gz(document(*(record(n) for n in range(1, 501)))), witness)
    assert [r.number for r in reader] == list(range(1, 501))
    assert [c.body for c in witness.claims] == [f"MIIB{n}" for n in range(1, 501)]
    assert (reader.records, reader.rejected) == (500, 0)


@pytest.mark.parametrize("header", ["", element("ResponseCode", "200"), element("ResponseCode", "\n 200 ")])
@pytest.mark.parametrize("empty", [document(), f"<{ROOT}/>"])
def test_reader_accepts_an_extract_without_records(header: str, empty: str) -> None:
    assert claims_in(document(header)) == claims_in(empty) == []


def test_reader_raises_for_certificates_without_records() -> None:
    renamed = document(record().replace("CertificateResponse", "CertificateEntry"))
    with pytest.raises(BadExtract) as caught:
        claims_in(renamed)
    assert caught.value.reason == "not-an-extract"


def test_reader_ignores_response_elements() -> None:
    header = (
        element("ResponseCode", "200")
        + element("ResponseMessage", "Success")
        + element("AuditReference", "12-ab")
    )
    assert claims_in(document(header, record())) == claims_in(document(record(), header)) == [ONE]


def test_reader_reads_name_and_role_of_an_organisation() -> None:
    body = element("CertificateSubjectName", "90-B3") + element("CertificateRole", "2")
    assert claims_in(document(element("CertificateResponse", body))) == [Claims(name="90-B3", role="2")]


@pytest.mark.parametrize("order", [1, -1])
def test_reader_prefers_the_name_with_the_eui(order: int) -> None:
    names = [element("CertificateSubjectName", "Z1"), element("CertificateSubjectAltName", "00-DB")][::order]
    assert claims_in(document(element("CertificateResponse", "".join(names)))) == [Claims(name="00-DB")]


def test_reader_ignores_an_empty_other_name() -> None:
    names = "<CertificateSubjectAltName/>" + element("CertificateSubjectName", "Z1")
    assert claims_in(document(element("CertificateResponse", names))) == [Claims(name="Z1")]


def test_reader_accepts_elements_in_any_order() -> None:
    whole = record()
    inner = whole.removeprefix("<CertificateResponse>").removesuffix("</CertificateResponse>")
    fields = inner.replace("><", ">\n<").split("\n")
    assert claims_in(document(element("CertificateResponse", "".join(reversed(fields))))) == [ONE]


@pytest.mark.parametrize(
    ("declared", "prefix"),
    [('xmlns="urn:dcc"', ""), ('xmlns:d="urn:dcc"', "d:")],
    ids=["default", "prefixed"],
)
def test_reader_accepts_any_namespace(declared: str, prefix: str) -> None:
    xml = document(record()).replace("</", "\0").replace("<", f"<{prefix}").replace("\0", f"</{prefix}")
    xml = xml.replace(f"<{prefix}?xml", "<?xml").replace(f"<{prefix}{ROOT}", f"<{prefix}{ROOT} {declared}")
    assert claims_in(xml) == [ONE]


def test_reader_accepts_two_namespaces() -> None:
    other = record(2).replace("<CertificateResponse>", '<CertificateResponse xmlns="urn:other">')
    assert [c.body for c in claims_in(document(record(), other))] == ["MIIB1", "MIIB2"]


def test_reader_ignores_unknown_elements_and_attributes() -> None:
    junk = "<New a='b'><CertificateStatus>R</CertificateStatus><ResponseCode>500</ResponseCode></New>"
    odd = record().replace("<CertificateStatus>", f"{junk}{junk}<CertificateStatus note='x'>")
    assert claims_in(
        document("<Page><Count>1</Count></Page>", odd, junk.replace("ResponseCode", "Code"))
    ) == [ONE]


def test_reader_ignores_a_response_code_in_a_record() -> None:
    assert claims_in(document(record(ResponseCode="404"))) == [ONE]


def test_reader_finds_records_in_other_elements() -> None:
    pages = [f"<Page n='{n}'><Set>{record(n)}{record(n)}</Set></Page>" for n in range(1, 400)]
    assert len(claims_in(document(*pages, record()))) == 2 * 399 + 1


def test_reader_ignores_comments_and_instructions_in_a_value() -> None:
    odd = record(
        CertificateBody="MI<!-- x -->IB<?keep going?><![CDATA[1]]>",
        CertificateUsage="<![CDATA[DS]]>",
        Other="&lt;",
    )
    assert claims_in(document("<!-- a --><?b c?>", odd) + "<!-- after --> <?the end?>\n") == [ONE]


def test_reader_ignores_comments_between_elements() -> None:
    odd = record().replace("><", "><!-- CertificateRole --><?CertificateRole 2?><")
    assert claims_in(document(odd)) == [ONE]


def test_reader_decodes_references_and_entities() -> None:
    xml = document(record(CertificateUsage="&#68;&#x53;", CertificateSubjectAltName="a&amp;b"))
    assert claims_in(xml)[0].usage == "DS"
    assert claims_in(xml)[0].name == "a&b"


def test_reader_strips_white_space_around_a_value() -> None:
    xml = document(record(CertificateBody="\r\n\t  MII\n    B1\n  ", CertificateStatus=" I "))
    assert claims_in(xml)[0].body == "MII\n    B1"
    assert claims_in(xml)[0].status == "I"
    odd = document(record(CertificateUsage="\u00a0DS"))
    assert claims_in(odd)[0].usage == "\u00a0DS", "to XML this is no white space"


@pytest.mark.parametrize("empty", ["", "  \n "])
def test_reader_ignores_an_empty_element(empty: str) -> None:
    assert claims_in(document(record(CertificateRole=empty, CertificateUsage=empty)))[0].usage is None


def test_reader_keeps_the_text_around_unknown_elements() -> None:
    xml = document(record(CertificateStatus="I<x>not this</x>N"))
    assert claims_in(xml)[0].status == "IN", "a rule shall see that something is odd"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252", "us-ascii"]
)
def test_reader_accepts_each_declared_encoding(encoding: str) -> None:
    name = "plain" if encoding == "us-ascii" else "Zähler"
    text = document(record(CertificateSubjectAltName=name))
    xml = text.replace("UTF-8", encoding.removesuffix("-sig")).encode(encoding)
    assert claims_in(xml)[0].name == name


@pytest.mark.parametrize("gap", [" ", "\n\t" * 4000])
@pytest.mark.parametrize("encoding", ["UTF-7", "utf-7", "JAVA", "HZ", "ISO-2022-JP"])
def test_reader_raises_for_an_encoding_that_hides_markup(encoding: str, gap: str) -> None:
    xml = document(record()).replace(' encoding="UTF-8"', f"{gap}encoding{gap}={gap}'{encoding}'")
    assert reason_of(gz(xml)) == "not-an-extract"


def test_reader_ignores_a_declaration_elsewhere() -> None:
    xml = document("<a> <?b  encoding='UTF-7'?></a>", record())
    for text in (xml, xml.removeprefix(DECLARATION)):
        assert reason_of(gz(text)) is None


def test_reader_assumes_utf_8_without_a_declaration() -> None:
    assert (
        claims_in(document(record(CertificateSubjectAltName="Zähler")).removeprefix(DECLARATION))[0].name
        == "Zähler"
    )


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
def test_reader_gives_the_same_records_for_any_chunks(size: int) -> None:
    data = gz(document(*(record(n) for n in range(1, 100))))
    assert [r.number for r in reader_of(data, size=size)] == list(range(1, 100))


def test_reader_counts_progress() -> None:
    data = gz(document(*(record(n, CertificateBody=f"{n * 7919:x}" * 50) for n in range(3000))))
    reader = ExtractReader(in_chunks(data, 1000), name=NAME, understand=accept)
    seen = [(reader.records, reader.compressed_bytes) for _ in reader]
    assert [records for records, _ in seen] == list(range(1, 3001))
    assert 0 < seen[0][1] < seen[-1][1] <= len(data)
    assert reader.compressed_bytes == len(data)


def test_read_extract_yields_the_same_records() -> None:
    chunks = [gz(document(record(1), record(2)))]
    found = read_extract(chunks, name=NAME, understand=Witness(rejects=[2]))
    assert [type(r) for r in found] == [Entry, Rejected]
    assert next(found, None) is None


def test_reader_passes_errors_of_the_source_on() -> None:
    data = gz(document(*(record(n) for n in range(50))))

    def dropping() -> Iterator[bytes]:
        yield data[:-100]
        raise SourceUnreachable("the line went dead")

    with pytest.raises(SourceUnreachable, match="line went dead"):
        list(read_extract(dropping(), name=NAME, understand=accept))


# --- what is rejected, and kept as evidence


@pytest.mark.parametrize("again", ["CertificateStatus", "CertificateBody", "CertificateSubjectAltName"])
def test_reader_rejects_a_record_with_a_repeated_element(again: str) -> None:
    twice = record(2).replace("</CertificateResponse>", f"{element(again, 'R')}</CertificateResponse>")
    witness = Witness()
    first, second, third = reader_of(gz(document(record(1), twice, record(3))), witness)
    assert isinstance(second, Rejected)
    assert (second.number, second.reason) == (2, RejectReason.ELEMENT_REPEATED)
    assert again in second.detail
    assert second.xml.decode() == twice
    assert witness.numbers == [first.number, third.number] == [1, 3], "the rule never sees it"


def test_reader_finds_repeated_elements_across_namespaces() -> None:
    twice = record(Extra="").replace(
        "<Extra>", '<CertificateStatus xmlns="urn:x">R</CertificateStatus><Extra>'
    )
    assert [r.reason for r in rejected_in(document(twice))] == [RejectReason.ELEMENT_REPEATED]


@pytest.mark.parametrize(
    "wrap", ["{}", "<Deep><Deeper>{}</Deeper></Deep>", "<CertificateBody>{}</CertificateBody>"]
)
@pytest.mark.parametrize("inner", [record(9), "<CertificateResponse/>"])
def test_reader_rejects_a_record_in_a_record(wrap: str, inner: str) -> None:
    outer = element("CertificateResponse", element("CertificateStatus", "I") + wrap.format(inner))
    witness = Witness()
    found = list(reader_of(gz(document(record(1), outer, record(2))), witness))
    assert [r.number for r in found] == [1, 2, 3]
    assert [c.body for c in witness.claims] == ["MIIB1", "MIIB2"]
    assert isinstance(found[1], Rejected)
    assert found[1].reason is RejectReason.ELEMENT_REPEATED


def test_reader_adds_evidence_to_rejections() -> None:
    found = list(reader_of(gz(document(record(1), record(2, New="ä&amp;ö"), "tail")), Witness(rejects=[2])))
    assert isinstance(found[1], Rejected)
    assert found[1].xml.decode() == record(2, New="ä&amp;ö")
    assert found[1].detail == "as the test wants"


def test_reader_cuts_evidence_at_its_limit() -> None:
    limits = ReaderLimits(evidence_bytes=10)
    (found,) = reader_of(gz(document(record())), Witness(rejects=[1]), limits=limits)
    assert isinstance(found, Rejected)
    assert found.xml == b"<Certifica"


# --- what is refused


@pytest.mark.parametrize(
    "subset",
    [
        "",
        " [<!ENTITY a 'aaaa'>]",
        ' SYSTEM "file:///etc/passwd"',
        ' PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://127.0.0.1:9/x.dtd"',
        ' [<!ENTITY % x SYSTEM "file:///etc/passwd"> %x;]',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_reader_raises_for_a_doctype(subset: str, encoding: str) -> None:
    xml = (
        document(record())
        .replace("UTF-8", encoding)
        .replace(f"<{ROOT}>", f"<!DOCTYPE {ROOT}{subset}><{ROOT}>")
    )
    assert reason_of(gz(xml.encode(encoding))) == "doctype"


def test_reader_raises_for_an_unfinished_doctype() -> None:
    assert reason_of(gz(f"<!DOCTYPE {ROOT} [")) in {"doctype", "not-well-formed"}


@pytest.mark.parametrize(
    "broken",
    [
        document(record().replace("</CertificateStatus>", "</CertificateUsage>")),
        document(record()) * 2,
        document(record()) + "more",
        document(record()) + "\0",
        document(record(CertificateStatus="I\0")),
        document(record(CertificateStatus="&undeclared;")),
        document(record(CertificateStatus="<a b='1' b='2'/>")),
        document("<p:x/>"),
        document("a < b"),
        "\n" + document(record()),
        document(record()).replace("UTF-8", "UTF-16"),
        document(record()).replace("UTF-8", "no-such-encoding"),
    ],
)
def test_reader_raises_when_xml_is_not_well_formed(broken: str) -> None:
    assert reason_of(gz(broken)) == "not-well-formed"


def test_reader_raises_for_bytes_outside_of_the_encoding() -> None:
    assert (
        reason_of(gz(document(record(CertificateSubjectAltName="Zähler")).encode("latin-1")))
        == "not-well-formed"
    )


def test_reader_raises_when_the_xml_is_cut_off() -> None:
    xml = document(record()).rstrip().encode()
    reasons = {reason_of(gz(xml[:cut])) for cut in range(len(xml))}
    assert reasons <= {"empty-file", "not-xml", "not-well-formed"}
    assert reason_of(gz(xml)) is None


@pytest.mark.parametrize("contents", [b"plain text", b"\0\0\0\0\0", b"{}", b"   \n", b"MIIBqg=="])
def test_reader_raises_when_it_is_not_xml(contents: bytes) -> None:
    assert reason_of(gz(contents)) in {"not-xml", "not-well-formed"}


@pytest.mark.parametrize("root", ["html", "CertificateResponse", f"New{ROOT}", f"x:{ROOT}s"])
def test_reader_raises_for_another_root(root: str) -> None:
    assert reason_of(gz(f'<{root} xmlns:x="urn:x">{record()}</{root}>')) == "not-an-extract"


@pytest.mark.parametrize("code", ["500", "", "200 OK", "2 00"])
@pytest.mark.parametrize("wrap", ["{}", "<Header>{}</Header>"])
def test_reader_raises_for_another_response_code(code: str, wrap: str) -> None:
    assert reason_of(gz(document(wrap.format(element("ResponseCode", code)), record()))) == "response-code"


def test_reader_counts_the_records_before_a_fault() -> None:
    failure = failure_of(gz(document(*(record(n) for n in range(7)), "</oops>")))
    assert failure is not None
    assert "after record 7," in failure.message


def test_reader_quotes_the_xml_parser() -> None:
    failure = failure_of(gz(document(record(), "&undeclared;")))
    assert failure is not None
    assert "Entity 'undeclared' not defined" in failure.message


# --- limits: at the bound it is read, beyond it refused


def test_reader_raises_above_the_depth_limit() -> None:
    def nested(depth: int) -> bytes:
        return gz(document("<a>" * (depth - 1), "</a>" * (depth - 1), record()))

    assert reason_of(nested(16)) is None
    assert reason_of(nested(17)) == "too-deep"
    assert reason_of(nested(3000)) == "too-deep"
    assert reason_of(nested(17), limits=ReaderLimits(depth=17)) is None


@pytest.mark.parametrize("size", [41, 70_000, 300_000])
def test_reader_rejects_only_the_record_with_a_long_value(size: int) -> None:
    limits = ReaderLimits(field_length=40)
    assert reason_of(gz(document(record(CertificateBody="A" * 40))), limits=limits) is None
    long = record(CertificateSerial="0a1b", CertificateBody="A" * size)
    first, second, third = reader_of(gz(document(record(), long, record())), limits=limits)
    assert not isinstance(first, Rejected)
    assert not isinstance(third, Rejected)
    assert isinstance(second, Rejected)
    assert (second.reason, second.serial) == (RejectReason.FIELD_TOO_LONG, "0A1B")
    assert "CertificateBody" in second.detail
    assert second.xml


@pytest.mark.parametrize("serial", ["", "no number", "1" * 300])
def test_reader_gives_no_serial_number_when_the_claim_is_implausible(serial: str) -> None:
    long = record(CertificateSerial=serial, CertificateBody="A" * 41)
    (found,) = reader_of(gz(document(long)), limits=ReaderLimits(field_length=40))
    assert isinstance(found, Rejected)
    assert found.serial is None


@pytest.mark.parametrize(
    "endless",
    [
        "<CertificateResponse>" + "<a/>" * 1_000_000,
        "<CertificateResponse>" + " " * 4_000_000,
        "<Junk/>" * 600_000,
        "x" * 4_000_000,
        "<!--" + "x" * 4_000_000,
        "<a b='" + "x" * 4_000_000,
        "<" + "x" * 4_000_000,
    ],
    ids=["elements", "space", "between-records", "text", "comment", "attribute", "name"],
)
def test_reader_raises_when_an_element_does_not_end(endless: str) -> None:
    data = gz(document(record(), endless))
    reader = reader_of(data)
    assert reason_of(data) == "record-too-large"
    assert next(iter(reader)).number == 1


def test_reader_accepts_a_record_of_the_limit() -> None:
    limits = ReaderLimits(record_bytes=300_000)
    large = record(New="x" * (299_900 - len(record())))
    assert reason_of(gz(document(record(), large, large)), limits=limits) is None
    assert reason_of(gz(document(record(), record(New="x" * 500_000))), limits=limits) == "record-too-large"


def test_reader_raises_above_the_record_limit() -> None:
    limits = ReaderLimits(records=3)
    assert reason_of(gz(document(*[record()] * 3)), limits=limits) is None
    assert reason_of(gz(document(*[record()] * 4)), limits=limits) == "too-many-records"


@pytest.mark.parametrize("filler", [" ", "\n", "<!-- c -->", "<?p i?>"])
def test_reader_raises_when_too_much_precedes_the_root(filler: str) -> None:
    xml = document(record())
    before = (filler * 70_000)[: 69_999 // len(filler) * len(filler)]
    assert reason_of(gz(xml.replace(f"<{ROOT}", filler * 20 + f"<{ROOT}"))) is None
    assert reason_of(gz(xml.replace(f"<{ROOT}", before + f"<{ROOT}"))) == "leading-too-long"


def test_reader_accepts_one_bad_record_in_a_small_delta() -> None:
    assert len(list(reader_of(gz(document(record())), Witness(rejects=[1])))) == 1


@pytest.mark.parametrize(
    ("records", "rejected", "good"), [(5, 5, True), (6, 6, False), (80, 8, True), (79, 8, False)]
)
def test_reader_raises_when_too_many_records_are_rejected(records: int, rejected: int, *, good: bool) -> None:
    reader = reader_of(gz(document(*[record()] * records)), Witness(rejects=range(rejected + 1)))
    with nullcontext() if good else pytest.raises(BadExtract, match=f"{rejected} of its {records}") as caught:
        assert len(list(reader)) == records
    assert caught is None or caught.value.reason == "too-many-rejected"
    assert (reader.records, reader.rejected) == (records, rejected)


# --- anything at all


@given(st.binary(max_size=300))
def test_reader_raises_bad_extract_for_any_content(contents: bytes) -> None:
    assert reason_of(gz(contents)) is not None


@given(st.text(max_size=60), st.integers(0, 400))
def test_reader_reads_or_rejects_any_inserted_text(text: str, at: int) -> None:
    xml = document(record(), record(2))
    reason_of(gz((xml[:at] + text + xml[at:]).encode("utf-8", "surrogatepass")))
