import pytest

from smki_sync.x509 import der
from smki_sync.x509.der import MalformedDer


def test_a_short_element_is_given_by_where_its_value_stands() -> None:
    assert der.read(b"\x04\x02ab", 0, 4, der.OCTET_STRING) == (2, 4)


def test_an_element_is_read_where_it_stands_and_what_follows_is_left_alone() -> None:
    assert der.read(b"xx\x04\x01azz", 2, 7, der.OCTET_STRING) == (4, 5)


@pytest.mark.parametrize(
    ("header", "start"),
    [("0481C8", 3), ("048200C8", 4), ("04830000C8", 5), ("0484000000C8", 6)],
)
def test_a_length_may_take_one_to_four_octets_even_where_fewer_would_do(header: str, start: int) -> None:
    octets = bytes.fromhex(header) + bytes(200)
    assert der.read(octets, 0, len(octets), der.OCTET_STRING) == (start, start + 200)


@pytest.mark.parametrize(
    ("octets", "defect"),
    [
        ("", "cut off"),
        ("04", "cut off"),
        ("0500", "tag 05 at octet 0, not 04"),
        ("0401", "1 octets at octet 2, only 0 are left"),
        ("04800000", "length at octet 0"),
        ("04850000000001FF", "length at octet 0"),
        ("04FF", "length at octet 0"),
        ("0482", "length at octet 0"),
        ("048201", "length at octet 0"),
        ("0484FFFFFFFF00", "4294967295 octets"),
    ],
)
def test_an_element_that_is_unsound_is_refused_with_its_defect(octets: str, defect: str) -> None:
    data = bytes.fromhex(octets)
    with pytest.raises(MalformedDer, match=defect):
        der.read(data, 0, len(data), der.OCTET_STRING)


@pytest.mark.parametrize("end", [0, 1, 2, 3])
def test_nothing_is_read_beyond_the_end_although_the_octets_go_on(end: int) -> None:
    with pytest.raises(MalformedDer):
        der.read(b"\x04\x02ab", 0, end, der.OCTET_STRING)


def test_a_length_is_not_read_beyond_the_end_although_the_octets_go_on() -> None:
    with pytest.raises(MalformedDer, match="length at octet 0"):
        der.read(b"\x04\x82\x00\x00", 0, 3, der.OCTET_STRING)


def test_an_element_that_must_fill_its_octets_may_have_nothing_behind_it() -> None:
    assert der.read_all(b"\x04\x01a", der.OCTET_STRING) == (2, 3)
    with pytest.raises(MalformedDer, match="1 octets too many at octet 3"):
        der.read_all(b"\x04\x01a\0", der.OCTET_STRING)


def test_children_are_given_in_order_with_their_tags() -> None:
    assert list(der.children(b"\x04\x01a\x05\x00", 0, 5)) == [(4, 2, 3), (5, 5, 5)]
    assert list(der.children(b"", 0, 0)) == []


def test_children_must_fill_their_parent() -> None:
    with pytest.raises(MalformedDer):
        list(der.children(b"\x04\x01a\x05", 0, 4))


def test_a_tag_of_several_octets_is_refused() -> None:
    with pytest.raises(MalformedDer, match="several octets at octet 0"):
        list(der.children(b"\x1f\x81\x01\x00", 0, 4))


@pytest.mark.parametrize("value", [b"", b"\x08\xff"])
def test_a_bit_string_begins_with_a_count_of_at_most_seven_unused_bits(value: bytes) -> None:
    with pytest.raises(MalformedDer, match="no BIT STRING"):
        der.check_bits(value, 0, len(value))
    der.check_bits(b"\x07\x80", 0, 2)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_what_is_written_is_read_again(size: int) -> None:
    octets = der.element(der.OCTET_STRING, bytes(size))
    start, stop = der.read_all(octets, der.OCTET_STRING)
    assert stop - start == size
    assert len(octets) - size == 2 + (size > 127) + (size > 255) + (size > 65_535)
