"""What a file takes of the limits, and what each refusal says of where and what; found wanting by mutants."""

import pytest
from support.extract_files import (
    DECLARATION,
    NAME,
    accept,
    claims_in,
    document,
    element,
    failure_of,
    gz,
    in_chunks,
    member,
    reader_of,
    reason_of,
    record,
)

from smki_sync.errors import BadExtract
from smki_sync.model.certificate import Rejected
from smki_sync.model.report import NearLimit
from smki_sync.reader import ReaderLimits, read_extract
from smki_sync.reader.gzip_stream import KEYS, NEAR_PERCENT, STEP, LimitUsage, near_of

ROOT = "CertificateDataResponse"
MIB = 1 << 20
NOTHING = dict.fromkeys(KEYS, 0)


def near(data: bytes, limits: ReaderLimits) -> dict[str, int]:
    """Key to figure of the limits that a good file comes near."""
    reader = reader_of(data, limits=limits)
    list(reader)
    return {one.key: one.figure for one in reader.near()}


# What is near


def test_near_starts_at_two_fifths_of_a_limit() -> None:
    limits = ReaderLimits(records=100)
    assert LimitUsage(**NOTHING | {"records": 39}).near(limits) == ()
    assert LimitUsage(**NOTHING | {"records": 40}).near(limits) == (
        NearLimit(key="records", figure=40, limit=100),
    )
    assert LimitUsage(**NOTHING | {"records": 100}).near(limits)[0].share == 1.0


def test_near_names_each_limit() -> None:
    limits = ReaderLimits()
    taken = LimitUsage(**{name: getattr(limits, name) for name in KEYS})
    assert [one.key for one in taken.near(limits)] == list(KEYS.values())
    assert [one.figure for one in taken.near(limits)] == [getattr(limits, name) for name in KEYS]


@pytest.mark.parametrize(("limit", "smallest"), [(1, 1), (5, 2), (16, 7), (100, 40), (101, 41)])
def test_near_of_rounds_up(limit: int, smallest: int) -> None:
    assert near_of(limit) == smallest
    assert smallest * 100 >= limit * NEAR_PERCENT > (smallest - 1) * 100


def test_near_is_empty_for_a_usual_file() -> None:
    assert near(gz(document(record(), record(2))), ReaderLimits()) == {}


def test_near_counts_all_records_and_bytes() -> None:
    xml = document(*(record(n) for n in range(1, 201)))
    limits = ReaderLimits(records=500, decompressed_bytes=2 * len(xml))
    assert near(gz(xml), limits) == {"records": 200, "bytes of XML": len(xml)}


@pytest.mark.parametrize(("length", "told"), [(399, {}), (400, {"characters in one element": 400})])
def test_near_names_the_longest_value(length: int, told: dict[str, int]) -> None:
    longest, shorter = (record(n, CertificateBody="A" * size) for n, size in ((1, length), (2, length - 2)))
    assert near(gz(document(longest, shorter)), ReaderLimits(field_length=1000)) == told


def test_near_names_the_depth_beyond_annex_b() -> None:
    deep = "<x><y><z/></y></x>"
    assert near(gz(document(deep, record())), ReaderLimits(depth=8)) == {"levels of nested elements": 4}
    assert near(gz(document(record())), ReaderLimits(depth=3)) == {}


def test_near_names_the_longest_record_in_steps() -> None:
    xml = document(" " * (4 * STEP), record(), " " * (3 * STEP))
    assert near(gz(xml), ReaderLimits(record_bytes=8 * STEP)) == {"bytes of XML in one record": 4 * STEP}


def test_near_names_the_largest_ratio() -> None:
    units = [record(n) + " " * (STEP // 2) for n in range(1, 101)]
    data = gz(document(*units))
    ratio = len(document(*units)) // len(data)
    found = near(data, ReaderLimits(ratio=2 * ratio, ratio_floor=MIB))
    assert list(found) == [KEYS["ratio"]]
    assert ratio <= found[KEYS["ratio"]] <= 2 * ratio
    assert near(data, ReaderLimits(ratio=2 * ratio, ratio_floor=16 * MIB)) == {}


# At a bound


def test_reader_raises_when_a_record_does_not_end() -> None:
    head = f"{DECLARATION}<{ROOT}>"
    for steps, verdict in ((2, None), (3, "record-too-large")):
        xml = head + " " * (steps * STEP - len(head)) + record() + f"</{ROOT}>"
        assert reason_of(gz(xml), limits=ReaderLimits(record_bytes=2 * STEP)) == verdict


def test_reader_raises_when_libxml2_stops_at_a_long_text() -> None:
    body = record(CertificateBody="A" * (11 * MIB))
    assert reason_of(gz(document(body)), limits=ReaderLimits(record_bytes=64 * MIB, ratio=10_000)) == (
        "record-too-large"
    )


@pytest.mark.parametrize(("ratio", "verdict"), [(10, None), (9, "ratio-exceeded")])
def test_reader_raises_above_the_ratio(ratio: int, verdict: str | None) -> None:
    xml = document(record() + " " * 20_000)
    xml += " " * (-len(xml) % 10)
    data = member(xml.encode(), extra=bytes(len(xml) // 10 - len(gz(xml)) - 2))
    assert len(xml) == 10 * len(data)
    assert reason_of(data, limits=ReaderLimits(ratio=ratio, ratio_floor=99)) == verdict


@pytest.mark.parametrize(("more", "verdict"), [(0, None), (-1, "ratio-exceeded")])
def test_reader_ignores_the_ratio_below_the_floor(more: int, verdict: str | None) -> None:
    xml = document(record() + " " * 20_000)
    assert reason_of(gz(xml), limits=ReaderLimits(ratio=2, ratio_floor=len(xml) + more)) == verdict


# Beyond the first step


def test_reader_measures_depth_in_each_step() -> None:
    many = "".join(record(n) for n in range(1, 400))
    assert len(many) > 2 * STEP
    assert reason_of(gz(document(many, "<x>" * 20 + "</x>" * 20))) == "too-deep"


def test_reader_finds_nested_records_in_each_step() -> None:
    many = "".join(record(n) for n in range(1, 400))
    nested = element("CertificateResponse", "<x>" + record(400) + "</x>")
    (found,) = (r for r in reader_of(gz(document(many, nested))) if isinstance(r, Rejected))
    assert (found.number, found.detail) == (400, "CertificateResponse occurs more than once in the record")


@pytest.mark.parametrize("value", ["<x/>I", "I<x/>", "<x>R</x>I<y/>"])
def test_reader_ignores_unknown_elements_in_a_value(value: str) -> None:
    (claims,) = claims_in(document(record(CertificateStatus=value)))
    assert claims.status == "I"


def test_reader_counts_the_bytes_of_all_steps() -> None:
    xml = document(*(record(n) for n in range(1, 600)))
    reader = reader_of(gz(xml))
    list(reader)
    assert reader.xml_bytes == len(xml) > 2 * STEP


def test_reader_raises_for_another_root_of_four_bytes() -> None:
    assert reason_of(gz("<a/>")) == "not-an-extract"  # the parser's first look tells of no root yet


# What is said


@pytest.mark.parametrize(
    ("data", "limits", "said"),
    [
        (gz(document(record(), record(2))), ReaderLimits(records=1), "after record 2, .*more than 1 records"),
        (gz(document(element("ResponseCode", "500"))), None, "ResponseCode is '500', not 200"),
        (gz(document(element("ResponseCode", ""))), None, "ResponseCode is '', not 200"),
        (gz(document("<x>" * 20 + "</x>" * 20)), None, "after record 0, at byte .*nest deeper than 16"),
        (gz(document(" " * (3 * MIB))), None, "more than 1048576 bytes without the end of a record"),
        (
            gz(document(record(CertificateBody="A" * 70_000))),
            None,
            None,  # the record is rejected, not the file
        ),
        (gz(document("<CertificateResponse/>" * 6)), None, None),
        (
            gz(document()) + b"x",
            None,
            "at byte [0-9]+ of the .gz: something other than zeros follows the gzip",
        ),
        (gz(f"<!DOCTYPE {ROOT}><{ROOT}/>"), None, "it has a DOCTYPE, which no extract needs"),
        (gz(""), None, "the .gz is empty"),
        (gz(gz("")), None, "the .gz contains another .gz, not XML"),
        (gz(" " * 70_000), None, "no root element within the first 65536 bytes"),
        (gz("<a/>"), None, "the root is a, not CertificateDataResponse"),
        (b"", None, "the file has no bytes"),
        (b"text", None, "at byte 0 of the .gz: it starts with 74 65 78 74, not 1f 8b 08"),
        (gz(document())[:-3], None, "the file ends before its last gzip member does"),
        (member(b"x" * 99)[:-8] + bytes(8), None, "the gzip data is damaged"),
        (gz(document(record())), ReaderLimits(decompressed_bytes=40), "holds more than 40 bytes of XML"),
        (
            gz(document(" " * MIB)),
            ReaderLimits(ratio_floor=99),
            "unpacks to [0-9]+ bytes, more than 50 times",
        ),
        (gz(document()[:-9]), None, "after record 0, at byte [0-9]+ of the XML, at its end: line 2: "),
    ],
)
def test_reader_says_where_and_what_is_wrong(
    data: bytes, limits: ReaderLimits | None, said: str | None
) -> None:
    failure = failure_of(data, limits=limits)
    if said is None:
        assert failure is None
        return
    assert failure is not None
    assert failure.message.startswith(f"{NAME}: ")
    with pytest.raises(BadExtract, match=said):
        raise failure


def test_reader_counts_rejected_records_in_its_message() -> None:
    status = element("CertificateStatus", "I")
    rejected = element("CertificateResponse", status + status)
    failure = failure_of(gz(document(record(), rejected * 6)))
    assert failure is not None
    assert failure.message == f"{NAME}: 6 of its 7 records cannot be read"


def test_read_extract_keeps_the_limits() -> None:
    data = gz(document(record(), record(2)))
    with pytest.raises(BadExtract, match=f"^{NAME}: .*more than 1 records"):
        list(read_extract(in_chunks(data, 99), name=NAME, understand=accept, limits=ReaderLimits(records=1)))
