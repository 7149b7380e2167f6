import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from support.x509_builders import EUI, name, organisation_name, tlv, unwrap

from smki_sync.x509.der import MalformedDer
from smki_sync.x509.fields import read_name

CN = bytes.fromhex("0603550403")
OU = bytes.fromhex("060355040B")
UNIQUE_IDENTIFIER = bytes.fromhex("060355042D")


def value_of(subject: x509.Name) -> bytes:
    return unwrap(subject.public_bytes())


def by_hand(*attributes: bytes) -> bytes:
    """A name with one attribute in each part, given as the values of AttributeTypeAndValue."""
    return b"".join(tlv(0x31, tlv(0x30, attribute)) for attribute in attributes)


@pytest.mark.parametrize(
    "subject",
    [
        x509.Name([]),
        organisation_name("7F", common_name="Z1"),
        name((NameOID.ORGANIZATIONAL_UNIT_NAME, "07"), (NameOID.COMMON_NAME, "Z1")),
        name(
            (NameOID.COUNTRY_NAME, "GB"),
            (NameOID.STATE_OR_PROVINCE_NAME, "Kent"),
            (NameOID.LOCALITY_NAME, "Deal"),
            (NameOID.STREET_ADDRESS, "High Street"),
            (NameOID.ORGANIZATION_NAME, "Société"),
            (NameOID.DOMAIN_COMPONENT, "example"),
            (NameOID.USER_ID, "u"),
        ),
        name((NameOID.SERIAL_NUMBER, "42"), (NameOID.EMAIL_ADDRESS, "a@example.com")),
        name(
            (x509.ObjectIdentifier("2.999.123456789012345678"), "x"), (x509.ObjectIdentifier("1.39.0"), "y")
        ),
        x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(NameOID.COMMON_NAME, "two"),
                        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "in one"),
                    ]
                )
            ]
        ),
    ],
)
def test_a_name_reads_as_the_strict_parser_writes_it(subject: x509.Name) -> None:
    assert read_name(value_of(subject)).text == subject.rfc4514_string()


@pytest.mark.parametrize(
    "text",
    [
        "a,b",
        'q"',
        "p+q",
        "s;t",
        "<v>",
        "back\\slash",
        "\0nul",
        "#hash",
        "a#b",
        " first",
        "last ",
        " ",
        "  ",
        " \\,",
    ],
)
def test_characters_are_escaped_as_the_strict_parser_escapes_them(text: str) -> None:
    subject = name((NameOID.ORGANIZATION_NAME, text))
    assert read_name(value_of(subject)).text == subject.rfc4514_string()


@pytest.mark.parametrize("tag", [4, 12, 18, 19, 20, 22, 23, 24, 26, 28, 30])
def test_an_empty_value_is_an_empty_text_in_every_string_type(tag: int) -> None:
    assert read_name(by_hand(CN + tlv(tag, b""))).text == "CN="


@pytest.mark.parametrize(
    ("tag", "octets"),
    [
        (4, b"Z1"),
        (12, "Zürich".encode()),
        (18, b"42"),
        (19, b"Z1"),
        (20, b"Z1"),
        (22, b"Z1"),
        (23, b"160406000000Z"),
        (24, b"20160406000000Z"),
        (26, b"Z1"),
        (28, "Z1".encode("utf-32-be")),
        (30, "Zürich".encode("utf-16-be")),
    ],
)
def test_every_string_type_is_read_in_its_encoding(tag: int, octets: bytes) -> None:
    octets = by_hand(CN + tlv(tag, octets))
    assert read_name(octets).text == x509.Name.from_bytes(tlv(0x30, octets)).rfc4514_string()


@pytest.mark.parametrize(
    ("tag", "octets"),
    [(12, b"\xff"), (20, b"Z\xfcrich"), (30, b"odd"), (28, b"\0\x11\0\0"), (2, b"\5"), (0x30, b"")],
)
def test_a_value_that_is_no_text_stands_as_the_hex_of_its_element(tag: int, octets: bytes) -> None:
    element = tlv(tag, octets)
    assert read_name(by_hand(CN + element)).text == f"CN=#{element.hex()}"


def test_the_role_of_an_organisation_is_its_first_unit_of_two_hex_digits() -> None:
    units = by_hand(OU + tlv(12, b"Supply"), OU + tlv(12, b"7f"), OU + tlv(12, b"02"))
    assert read_name(units).role == 0x7F


@pytest.mark.parametrize("unit", [b"", b"2", b"002", b"G1", b" 2", b"+2", b"0x", "\u0660\u0662".encode()])
def test_a_unit_that_is_not_two_hex_digits_is_no_role(unit: bytes) -> None:
    assert read_name(by_hand(OU + tlv(12, unit))).role is None


def test_a_common_name_of_two_hex_digits_is_no_role() -> None:
    assert read_name(by_hand(CN + tlv(12, b"02"))).role is None


def test_the_eui_of_an_organisation_is_its_first_unique_identifier_of_eight_octets() -> None:
    octets = by_hand(
        UNIQUE_IDENTIFIER + tlv(3, b"\0", bytes(9)),
        UNIQUE_IDENTIFIER + tlv(3, b"\0", EUI),
        UNIQUE_IDENTIFIER + tlv(3, b"\0", bytes(8)),
    )
    assert read_name(octets).eui == "00-DB-12-34-56-78-90-A4"


@pytest.mark.parametrize(
    "value",
    [
        tlv(3, b"\0", EUI[:7]),
        tlv(3, b"\1", EUI),
        tlv(4, b"\0", EUI),
        tlv(3, b""),
        tlv(12, b"00DB1234567890A4"),
    ],
)
def test_a_unique_identifier_that_is_not_eight_whole_octets_is_no_eui(value: bytes) -> None:
    assert read_name(by_hand(UNIQUE_IDENTIFIER + value)).eui is None


@pytest.mark.parametrize(
    "octets",
    [
        tlv(0x30, b""),
        tlv(0x31, b""),
        tlv(0x31, tlv(0x31, CN, tlv(12, b"x"))),
        by_hand(b""),
        by_hand(CN),
        by_hand(CN + tlv(12, b"x") + tlv(12, b"y")),
        by_hand(tlv(12, b"x") + tlv(12, b"y")),
        by_hand(tlv(6, b"") + tlv(12, b"x")),
        by_hand(tlv(6, b"\x55\x84") + tlv(12, b"x")),
        by_hand(tlv(6, b"\x55" + b"\xff" * 19 + b"\x7f") + tlv(12, b"x")),
        by_hand(CN + tlv(12, b"x"))[:-1],
        by_hand(CN + b"\x0c\x02x"),
        by_hand(CN + b"\x1f\x0c\x00"),
    ],
)
def test_a_name_of_unsound_structure_is_refused(octets: bytes) -> None:
    with pytest.raises(MalformedDer):
        read_name(octets)
