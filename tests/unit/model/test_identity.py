"""EUI-64, serial number, key identifier: parsing and formatting."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.model.certificate import (
    Flag,
    Status,
    eui_of,
    key_id_of,
    parse_eui,
    parse_serial,
    serial_decimal,
    serial_from_decimal,
    serial_of,
    serial_size,
)

EUI = "00-DB-12-34-56-78-90-A4"


@pytest.mark.parametrize(
    "written",
    [
        EUI,
        "00db1234567890a4",
        "00:DB:12:34:56:78:90:A4",
        "00db.1234.5678.90a4",
        " 00 DB 12 34 56 78 90 A4\n",
    ],
)
def test_parse_eui_accepts_each_usual_notation(written: str) -> None:
    assert parse_eui(written) == EUI


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("00-DB-12-34-56-78-90", "16 hex digits, this has 14"),
        ("00-DB-12-34-56-78-90-A4-00", "16 hex digits, this has 18"),
        ("", "16 hex digits, this has 0"),
        ("00-DB-12-34-56-78-9O-AZ", "only hex digits, not 'O' 'Z'"),
        ("\uff10\uff10DB1234567890A4", "only hex digits"),
    ],
)
def test_parse_eui_raises_when_the_text_is_wrong(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_eui(written)


def test_eui_of_raises_for_another_number_of_bytes() -> None:
    with pytest.raises(ValueError, match="8 bytes, this has 7"):
        eui_of(bytes(7))


@given(st.integers(min_value=-(2**160), max_value=2**160))
def test_a_serial_number_is_the_same_in_hex_decimal_and_der(number: int) -> None:
    data = number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, signed=True)
    serial = serial_of(data)
    assert serial == parse_serial(f"{number:x}") == serial_from_decimal(str(number))
    assert int(serial, 16) == number
    assert serial_decimal(serial) == str(number)
    assert serial_size(serial) == len(data)
    assert serial_of((b"\xff" if number < 0 else b"\0") + data) == serial


@pytest.mark.parametrize(
    ("data", "hexadecimal", "decimal"),
    [
        (b"\xff", "-01", "-1"),
        (b"\0\xff", "FF", "255"),
        (b"\x80", "-80", "-128"),
        (b"\0", "00", "0"),
        (b"\xff\0", "-0100", "-256"),
    ],
)
def test_serial_of_is_signed(data: bytes, hexadecimal: str, decimal: str) -> None:
    assert (serial_of(data), serial_decimal(serial_of(data))) == (hexadecimal, decimal)


@pytest.mark.parametrize("written", ["-01", "-1", "-0001", " -1\n"])
def test_parse_serial_accepts_negative_numbers(written: str) -> None:
    assert parse_serial(written) == "-01"


@pytest.mark.parametrize(
    "number", [16**9000, -(16**9000) + 1, 10**2000, 10**4000], ids=["long", "negative", "round", "two"]
)
def test_serial_decimal_writes_numbers_of_any_length(number: int) -> None:
    text = serial_decimal(f"{'-' * (number < 0)}{abs(number):X}")
    sys.set_int_max_str_digits(0)
    try:
        assert text == str(number)
    finally:
        sys.set_int_max_str_digits(4300)


@pytest.mark.parametrize("written", ["", "  ", "0x12", "12-34", "GG", "-", "--1"])
def test_parse_serial_raises_when_the_text_is_not_hex(written: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        parse_serial(written)


@pytest.mark.parametrize("written", ["", "12A", "--5", "1_000", "٣", "1" * 5000])
def test_serial_from_decimal_raises_when_the_text_is_not_digits(written: str) -> None:
    with pytest.raises(ValueError, match="is digits"):
        serial_from_decimal(written)


def test_key_id_of_writes_upper_case_hex() -> None:
    assert key_id_of(bytes.fromhex("47d40af3412904a0")) == "47D40AF3412904A0"


def test_status_words_are_for_people() -> None:
    assert [status.words for status in Status] == ["Pending", "In use", "Not in use", "Expired", "Revoked"]


def test_flag_codes_are_kebab_case() -> None:
    assert (Flag.EUI_BROKEN | Flag.STRICT_PARSER_REFUSES).codes == ("strict-parser-refuses", "eui-broken")
    assert Flag(0).codes == ()
