"""EUI-64, serial number, key identifier: what people write becomes the one form that the mirror stores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.model.certificate import (
    Status,
    eui_of,
    key_id_of,
    parse_eui,
    parse_serial,
    serial_from_decimal,
    serial_of,
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
def test_an_eui_is_read_in_any_usual_notation(written: str) -> None:
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
def test_a_wrong_eui_is_refused_with_what_is_wrong_with_it(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_eui(written)


def test_an_eui_of_another_number_of_octets_is_refused() -> None:
    with pytest.raises(ValueError, match="8 octets, this has 7"):
        eui_of(bytes(7))


@given(st.integers(min_value=0, max_value=2**160))
def test_a_serial_number_is_the_same_in_hex_in_decimal_and_in_der(number: int) -> None:
    octets = number.to_bytes(number.bit_length() // 8 + 1)
    assert serial_of(octets) == parse_serial(f"{number:x}") == serial_from_decimal(str(number))
    assert int(serial_of(octets), 16) == number


@pytest.mark.parametrize("written", ["", "  ", "0x12", "12-34", "GG"])
def test_a_serial_number_that_is_not_hex_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        parse_serial(written)


@pytest.mark.parametrize("written", ["", "12A", "-5", "1_000", "٣"])
def test_a_decimal_serial_number_that_is_not_digits_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is digits"):
        serial_from_decimal(written)


def test_a_key_identifier_is_upper_case_hex() -> None:
    assert key_id_of(bytes.fromhex("47d40af3412904a0")) == "47D40AF3412904A0"


def test_every_status_has_words_for_people() -> None:
    assert [status.words for status in Status] == ["Pending", "In use", "Not in use", "Expired", "Revoked"]
