"""DER primitives, times, PEM armour, interning."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from support.x509_builders import DEVICE, ISSUING_OCA, ORGANISATION, tlv

from smki_sync.x509 import der
from smki_sync.x509.der import (
    GENERALIZED_TIME,
    INTERN_ENTRIES,
    INTERN_SIZE,
    UTC_TIME,
    MalformedDer,
    intern_value,
    read_bundle,
    read_pem_or_der,
    read_time,
    to_pem,
)

# Elements.


def test_read_returns_start_and_stop_of_the_value() -> None:
    assert der.read(b"\x04\x02ab", 0, 4, der.OCTET_STRING) == (2, 4)
    assert der.read(b"xx\x04\x01azz", 2, 7, der.OCTET_STRING) == (4, 5)


@pytest.mark.parametrize(
    ("header", "start"),
    [("0481C8", 3), ("048200C8", 4), ("04830000C8", 5), ("0484000000C8", 6), ("048600000000" + "00C8", 8)],
)
def test_read_accepts_a_length_with_needless_bytes(header: str, start: int) -> None:
    data = bytes.fromhex(header) + bytes(200)
    assert der.read(data, 0, len(data), der.OCTET_STRING) == (start, start + 200)


@pytest.mark.parametrize(
    ("data", "defect"),
    [
        ("", "cut off"),
        ("04", "cut off"),
        ("0500", "tag 05 at byte 0, not 04"),
        ("0401", "longer than the 0 bytes"),
        ("04800000", "length at byte 0"),
        ("04850000000002FF", "longer than the 1 bytes"),
        ("04FF", "length at byte 0"),
        ("0482", "length at byte 0"),
        ("048201", "length at byte 0"),
        ("0484FFFFFFFF00", "longer than the 1 bytes"),
    ],
)
def test_read_raises_when_the_element_is_malformed(data: str, defect: str) -> None:
    octets = bytes.fromhex(data)
    with pytest.raises(MalformedDer, match=defect):
        der.read(octets, 0, len(octets), der.OCTET_STRING)


@pytest.mark.parametrize("end", [0, 1, 2, 3])
def test_read_raises_when_the_element_passes_the_end(end: int) -> None:
    with pytest.raises(MalformedDer):
        der.read(b"\x04\x02ab", 0, end, der.OCTET_STRING)


def test_read_raises_when_the_length_passes_the_end() -> None:
    with pytest.raises(MalformedDer, match="length at byte 0"):
        der.read(b"\x04\x82\x00\x00", 0, 3, der.OCTET_STRING)


def test_read_all_raises_when_bytes_follow_the_element() -> None:
    assert der.read_all(b"\x04\x01a", der.OCTET_STRING) == (2, 3)
    with pytest.raises(MalformedDer, match="1 bytes too many at byte 3"):
        der.read_all(b"\x04\x01a\0", der.OCTET_STRING)


def test_children_yields_elements_in_order() -> None:
    assert list(der.children(b"\x04\x01a\x05\x00", 0, 5)) == [(4, 2, 3), (5, 5, 5)]
    assert list(der.children(b"", 0, 0)) == []


@pytest.mark.parametrize(
    ("data", "defect"), [(b"\x04\x01a\x05", "cut off"), (b"\x1f\x81\x01\x00", "several bytes at byte 0")]
)
def test_children_raises_when_an_element_is_malformed(data: bytes, defect: str) -> None:
    with pytest.raises(MalformedDer, match=defect):
        list(der.children(data, 0, len(data)))


@pytest.mark.parametrize("value", [b"", b"\x08\xff"])
def test_check_bits_raises_when_the_unused_bits_are_impossible(value: bytes) -> None:
    with pytest.raises(MalformedDer, match="not a BIT STRING"):
        der.check_bits(value, 0, len(value))
    der.check_bits(b"\x07\x80", 0, 2)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_element_writes_what_read_all_reads(size: int) -> None:
    data = der.element(der.OCTET_STRING, bytes(size))
    start, stop = der.read_all(data, der.OCTET_STRING)
    assert stop - start == size
    assert len(data) - size == 2 + (size > 127) + (size > 255) + (size > 65_535)


# Times.


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("tag", "text", "meant"),
    [
        (UTC_TIME, "160406000000Z", "2016-04-06T00:00:00"),
        (UTC_TIME, "491231235959Z", "2049-12-31T23:59:59"),
        (UTC_TIME, "500101000000Z", "1950-01-01T00:00:00"),
        (UTC_TIME, "700101000000Z", "1970-01-01T00:00:00"),
        (UTC_TIME, "240229120000Z", "2024-02-29T12:00:00"),
        (GENERALIZED_TIME, "99991231235959Z", "9999-12-31T23:59:59"),
        (GENERALIZED_TIME, "20160406000001Z", "2016-04-06T00:00:01"),
        (GENERALIZED_TIME, "00010101000000Z", "0001-01-01T00:00:00"),
        (UTC_TIME, "1604060000Z", "2016-04-06T00:00:00"),
        (UTC_TIME, "160406013000+0130", "2016-04-06T00:00:00"),
        (UTC_TIME, "160405223000-0130", "2016-04-06T00:00:00"),
        (GENERALIZED_TIME, "201604060000Z", "2016-04-06T00:00:00"),
        (GENERALIZED_TIME, "20160406000000.999Z", "2016-04-06T00:00:00"),
        (GENERALIZED_TIME, "20160406010000,5+0100", "2016-04-06T00:00:00"),
    ],
)
def test_read_time_accepts_each_notation(tag: int, text: str, meant: str) -> None:
    assert read_time(tlv(tag, text.encode())) == seconds(meant)


@given(st.datetimes(timezones=st.just(UTC)))
def test_read_time_agrees_with_datetime(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    text = f"{moment.year:04}{moment:%m%d%H%M%S}Z".encode()
    assert read_time(tlv(GENERALIZED_TIME, text)) == int(moment.timestamp())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("00000101000000Z", -62_167_219_200),
        ("00000229000000Z", -62_167_219_200 + 59 * 86_400),
        ("00001231235959Z", -62_135_596_801),
        ("99991231235959Z", 253_402_300_799),
    ],
)
def test_read_time_accepts_the_years_0_and_9999(text: str, meant: int) -> None:
    assert read_time(tlv(GENERALIZED_TIME, text.encode())) == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("99991231235959-0001", der.LATEST),
        ("99991231235959-2359", der.LATEST),
        ("00000101000000+0001", der.EARLIEST),
        ("00000101000000+2359", der.EARLIEST),
    ],
)
def test_read_time_stays_in_range_when_an_offset_leaves_it(text: str, meant: int) -> None:
    assert read_time(tlv(GENERALIZED_TIME, text.encode())) == meant


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (UTC_TIME, ""),
        (UTC_TIME, "160406000000"),
        (UTC_TIME, "160006000000Z"),
        (UTC_TIME, "161306000000Z"),
        (UTC_TIME, "160400000000Z"),
        (UTC_TIME, "160431000000Z"),
        (UTC_TIME, "160132000000Z"),
        (UTC_TIME, "230229000000Z"),
        (UTC_TIME, "160406240000Z"),
        (UTC_TIME, "160406000060Z"),
        (UTC_TIME, "160406006000Z"),
        (UTC_TIME, "160406000000+2400"),
        (UTC_TIME, "160406000000+0060"),
        (UTC_TIME, "20160406000000Z"),
        (UTC_TIME, "160406000000Z "),
        (UTC_TIME, "160406000000.5Z"),
        (UTC_TIME, "16040600000\u0660Z"),
        (GENERALIZED_TIME, "160406000000Z"),
        (GENERALIZED_TIME, "19000229000000Z"),
        (GENERALIZED_TIME, "20160406000000"),
        (GENERALIZED_TIME, "20160406000000.Z"),
        (0x04, "160406000000Z"),
    ],
)
def test_read_time_raises_when_there_is_no_such_time(tag: int, text: str) -> None:
    with pytest.raises(MalformedDer, match="not a time"):
        read_time(tlv(tag, text.encode()))


@pytest.mark.parametrize("data", [b"", tlv(UTC_TIME, b"160406000000Z") + b"\0"])
def test_read_time_raises_when_it_is_not_one_element(data: bytes) -> None:
    with pytest.raises(MalformedDer):
        read_time(data)


# PEM armour.


@given(st.binary(min_size=1, max_size=600))
def test_read_pem_or_der_reads_what_to_pem_writes(data: bytes) -> None:
    assert read_pem_or_der(to_pem(data).encode()) == data


def test_to_pem_writes_what_pyca_writes() -> None:
    theirs = x509.load_der_x509_certificate(DEVICE).public_bytes(Encoding.PEM).decode()
    assert to_pem(DEVICE) == theirs


def test_read_pem_or_der_returns_the_first_certificate() -> None:
    text = f"a supplier and its issuer\n{to_pem(ORGANISATION)}\n{to_pem(ISSUING_OCA)}"
    text = text.replace("\n", "\r\n")
    assert read_pem_or_der(text.encode()) == ORGANISATION
    assert read_bundle(text.encode()) == (ORGANISATION, ISSUING_OCA)


def test_read_pem_or_der_returns_der_unchanged() -> None:
    assert read_pem_or_der(DEVICE) == DEVICE
    assert read_bundle(DEVICE) == (DEVICE,)


# Interning.


class Calls:
    """A function that records its arguments."""

    def __init__(self) -> None:
        self.arguments: list[bytes] = []
        self.__name__ = "calls"
        self.__qualname__ = "calls"

    def __call__(self, data: bytes) -> int:
        self.arguments.append(data)
        return len(data) // (len(data) and 1)


def test_intern_value_calls_once_when_the_argument_repeats() -> None:
    calls = Calls()
    interned = intern_value(calls)
    assert (interned(b"ab"), interned(b"ab"), interned(b"abc")) == (2, 2, 3)
    assert calls.arguments == [b"ab", b"abc"]


def test_intern_value_forgets_long_arguments() -> None:
    calls = Calls()
    interned = intern_value(calls)
    long = bytes(INTERN_SIZE + 1)
    assert (interned(long), interned(long)) == (INTERN_SIZE + 1, INTERN_SIZE + 1)
    assert calls.arguments == [long, long]


def test_intern_value_keeps_only_the_latest_results() -> None:
    calls = Calls()
    interned = intern_value(calls)
    interned(b"first")
    for number in range(INTERN_ENTRIES):
        interned(number.to_bytes(4))
    interned(b"first")
    assert calls.arguments.count(b"first") == 2


def test_intern_value_forgets_exceptions() -> None:
    calls = Calls()
    interned = intern_value(calls)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            interned(b"")
    assert calls.arguments == [b"", b""]
