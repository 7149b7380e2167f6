"""Distinguished names and extensions."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from support.x509_builders import EUI, extension, name, organisation_name, tlv, unwrap

from smki_sync.x509 import fields
from smki_sync.x509.der import MalformedDer
from smki_sync.x509.fields import (
    CRL_SIGN,
    KEY_CERT_SIGN,
    KEY_USAGE,
    SUBJECT_KEY_ID,
    Constraints,
    Unstated,
    normalise_name,
    read_constraints,
    read_hardware_eui,
    read_key_usage,
    read_name,
)

CN = bytes.fromhex("0603550403")
O = bytes.fromhex("060355040A")  # noqa: E741 - the attribute type
OU = bytes.fromhex("060355040B")
UNIQUE_IDENTIFIER = bytes.fromhex("060355042D")


def value_of(subject: x509.Name) -> bytes:
    return unwrap(subject.public_bytes())


def by_hand(*attributes: bytes) -> bytes:
    """A name with one attribute in each part, given as the values of AttributeTypeAndValue."""
    return b"".join(tlv(0x31, tlv(0x30, attribute)) for attribute in attributes)


# Names as text.


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
def test_read_name_writes_what_pyca_writes(subject: x509.Name) -> None:
    assert read_name(value_of(subject)).text == subject.rfc4514_string()


ESCAPED = ["a,b", 'q"', "p+q", "s;t", "<v>", "back\\slash", "\0nul", "#hash", "a#b", " first", "last ", " "]
ESCAPED += ["  ", " \\,"]


@pytest.mark.parametrize("text", ESCAPED)
def test_read_name_escapes_as_pyca_escapes(text: str) -> None:
    subject = name((NameOID.ORGANIZATION_NAME, text))
    assert read_name(value_of(subject)).text == subject.rfc4514_string()


@pytest.mark.parametrize("tag", [4, 12, 18, 19, 20, 22, 23, 24, 26, 28, 30])
def test_read_name_accepts_an_empty_value_of_each_string_type(tag: int) -> None:
    assert read_name(by_hand(CN + tlv(tag, b""))).text == "CN="


@pytest.mark.parametrize(
    ("tag", "data"),
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
def test_read_name_decodes_each_string_type(tag: int, data: bytes) -> None:
    data = by_hand(CN + tlv(tag, data))
    assert read_name(data).text == x509.Name.from_bytes(tlv(0x30, data)).rfc4514_string()


@pytest.mark.parametrize(
    ("tag", "data"),
    [(12, b"\xff"), (20, b"Z\xfcrich"), (30, b"odd"), (28, b"\0\x11\0\0"), (2, b"\5"), (0x30, b"")],
)
def test_read_name_writes_hex_when_a_value_is_not_text(tag: int, data: bytes) -> None:
    element = tlv(tag, data)
    assert read_name(by_hand(CN + element)).text == f"CN=#{element.hex()}"


def test_read_name_writes_a_bit_string_as_its_value() -> None:
    assert read_name(by_hand(CN + tlv(3, b"\0abc"))).text == "CN=#00616263"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (tlv(0x31), ""),
        (tlv(0x31) + by_hand(CN + tlv(12, b"x")), "CN=x"),
        (by_hand(CN + tlv(12, b"x")) + tlv(0x31) + by_hand(O + tlv(12, b"y")), "O=y,CN=x"),
    ],
)
def test_read_name_skips_an_empty_part(data: bytes, text: str) -> None:
    assert read_name(data).text == text


def test_read_name_writes_hex_when_an_object_identifier_is_very_large() -> None:
    oid = b"\x55" + b"\xff" * 19 + b"\x7f"
    assert read_name(by_hand(tlv(6, oid) + tlv(12, b"x"))).text == f"#{oid.hex()}=x"


@pytest.mark.parametrize(
    "data",
    [
        tlv(0x30, b""),
        tlv(0x31, tlv(0x31, CN, tlv(12, b"x"))),
        by_hand(b""),
        by_hand(CN),
        by_hand(CN + tlv(12, b"x") + tlv(12, b"y")),
        by_hand(tlv(12, b"x") + tlv(12, b"y")),
        by_hand(tlv(6, b"") + tlv(12, b"x")),
        by_hand(tlv(6, b"\x55\x84") + tlv(12, b"x")),
        by_hand(tlv(6, b"\x55" + b"\xff" * 30) + tlv(12, b"x")),
        by_hand(CN + tlv(12, b"x"))[:-1],
        by_hand(CN + b"\x0c\x02x"),
        by_hand(CN + b"\x1f\x0c\x00"),
    ],
)
def test_read_name_raises_when_the_structure_is_unsound(data: bytes) -> None:
    with pytest.raises(MalformedDer):
        read_name(data)


# Role and EUI-64 of an organisation.


@pytest.mark.parametrize(
    ("units", "role"),
    [
        ([b"7f"], 0x7F),
        ([b"Supply", b"7f"], 0x7F),
        ([b"02", b"02"], 2),
        ([b"7f", b"02"], Unstated.BROKEN),
        ([b"Supply"], Unstated.SILENT),
    ],
)
def test_read_name_finds_the_role(units: list[bytes], role: int | Unstated) -> None:
    assert read_name(by_hand(*(OU + tlv(12, unit) for unit in units))).role == role


@pytest.mark.parametrize("unit", [b"", b"2", b"002", b"G1", b" 2", b"+2", b"0x", "\u0660\u0662".encode()])
def test_read_name_finds_no_role_when_it_is_not_two_hex_digits(unit: bytes) -> None:
    assert read_name(by_hand(OU + tlv(12, unit))).role is Unstated.SILENT


def test_read_name_finds_no_role_in_a_common_name() -> None:
    assert read_name(by_hand(CN + tlv(12, b"02"))).role is Unstated.SILENT


def test_read_name_finds_the_eui_in_the_unique_identifier() -> None:
    assert read_name(by_hand(UNIQUE_IDENTIFIER + tlv(3, b"\0", EUI))).eui == "00-DB-12-34-56-78-90-A4"
    assert read_name(by_hand(CN + tlv(3, b"\0", EUI))).eui is Unstated.SILENT


@pytest.mark.parametrize(
    "values",
    [
        [tlv(3, b"\0", EUI[:7])],
        [tlv(3, b"\0", EUI, b"\0")],
        [tlv(3, b"\1", EUI)],
        [tlv(4, b"\0", EUI)],
        [tlv(3, b"")],
        [tlv(12, b"00DB1234567890A4")],
        [tlv(3, b"\0", EUI), tlv(3, b"\0", bytes(8))],
        [tlv(3, b"\0", EUI), tlv(3, b"\0", EUI)],
        [tlv(3, b"\0", bytes(9)), tlv(3, b"\0", EUI)],
    ],
)
def test_read_name_calls_the_eui_broken_when_it_is_ambiguous(values: list[bytes]) -> None:
    found = read_name(by_hand(*(UNIQUE_IDENTIFIER + value for value in values)))
    assert found.eui is Unstated.BROKEN


# Names that RFC 5280 7.1 calls equal.


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Z1,OU=07", "CN=z1,OU=07"),
        ("CN=OCA Issuing", "CN=oca  issuing"),
        ("CN=OCA Issuing", "CN=\\ OCA Issuing\\ "),
        ("CN=OCA Issuing", "CN=OCA\tIssuing"),
        ("CN=STRASSE", "CN=Straße"),
        ("CN=\uff2f\uff23\uff21", "CN=oca"),
        ("CN=Cafe\u0301", "CN=CAF\u00c9"),
        ("CN=a+O=b", "O=B+CN=A"),
        ("CN=a\\,b", "CN=A\\,B"),
    ],
)
def test_normalise_name_is_equal_for_equal_names(one: str, other: str) -> None:
    assert normalise_name(one) == normalise_name(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CN=Z1", "CN=Z2"),
        ("CN=a,O=b", "O=b,CN=a"),
        ("CN=a\\,O=b", "CN=a,O=b"),
        ("CN=a\\\\,O=b", "CN=a\\\\\\,O=b"),
        ("CN=a\\+O=b", "CN=a+O=b"),
        ("CN=ab", "CN=a b"),
        ("CN=a\\00\\,O=b", "CN=a,O=b"),
        ("CN=a\uff0cO=b", "CN=a,O=b"),
        ("CN=", ""),
    ],
)
def test_normalise_name_differs_for_other_names(one: str, other: str) -> None:
    assert normalise_name(one) != normalise_name(other)


@pytest.mark.parametrize("text", ESCAPED)
def test_normalise_name_keeps_escaped_text_in_one_attribute(text: str) -> None:
    written = read_name(value_of(name((NameOID.ORGANIZATION_NAME, text), (NameOID.COMMON_NAME, "x")))).text
    assert normalise_name(written).count("\0,") == 1


# Extensions.


def read_list(*extensions: bytes) -> fields.ExtensionList:
    data = tlv(0x30, *extensions)
    return fields.read_extensions(data, 0, len(data))


SKI = extension(0x0E, tlv(4, b"key"))
USAGE = extension(0x0F, bytes.fromhex("03020780"))


def test_read_extensions_finds_values_by_object_identifier() -> None:
    found = read_list(SKI, extension(0x0F, b"x", critical=b"\1\1\xff"))
    assert found.value(SUBJECT_KEY_ID) == tlv(4, b"key")
    assert found.found[KEY_USAGE] == (True, b"x")
    assert found.is_sound
    assert (found.value(b"other"), found.is_broken(b"other")) == (None, False)


@pytest.mark.parametrize(
    "odd",
    [
        USAGE + USAGE,
        USAGE * 3,
        tlv(0x30, bytes.fromhex("0603551D0F")),
        tlv(0x30, bytes.fromhex("0603551D0F"), tlv(4, b"x"), b"\5\0"),
        extension(0x0F, b"x", critical=b"\1\5"),
        extension(0x0F, b"x", critical=b"\5\0"),
    ],
)
def test_read_extensions_calls_one_broken_when_it_is_repeated_or_malformed(odd: bytes) -> None:
    found = read_list(odd, SKI)
    assert (found.value(KEY_USAGE), found.is_broken(KEY_USAGE)) == (None, True)
    assert (found.value(SUBJECT_KEY_ID), found.is_broken(SUBJECT_KEY_ID)) == (tlv(4, b"key"), False)
    assert not found.is_sound


@pytest.mark.parametrize(
    "odd",
    [b"\x30\x7f", tlv(0x31, bytes.fromhex("0603551D11")), tlv(0x30), tlv(0x30, bytes.fromhex("0603551D"))],
)
def test_read_extensions_calls_the_unread_rest_broken(odd: bytes) -> None:
    found = read_list(USAGE, odd, SKI)
    assert found.value(KEY_USAGE) == bytes.fromhex("03020780")
    assert found.is_broken(SUBJECT_KEY_ID)
    assert not found.is_sound


def test_read_extensions_is_incomplete_when_bytes_follow_the_list() -> None:
    data = tlv(0x30, SKI) + b"\0"
    assert not fields.read_extensions(data, 0, len(data)).is_sound


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        ("03020780", 0x80),
        ("03020308", 0x08),
        ("03020106", KEY_CERT_SIGN | CRL_SIGN),
        ("0303070680", 0x106),
        ("0303078000", 0x80),
        ("0303008000", 0x80),
        ("03020788", 0x80),
        ("0303078001", 0x80),
        ("030100", 0),
        ("03020700", 0),
    ],
)
def test_read_key_usage_returns_the_used_bits(value: str, flags: int) -> None:
    assert read_key_usage(bytes.fromhex(value)) == flags


@pytest.mark.parametrize("value", ["0300", "0401", "", "03020880", "0302078000", "04020780"])
def test_read_key_usage_raises_when_it_is_malformed(value: str) -> None:
    with pytest.raises(MalformedDer):
        read_key_usage(bytes.fromhex(value))


@pytest.mark.parametrize(
    ("value", "constraints"),
    [
        ("30060101FF020100", Constraints(is_ca=True, path_length=0)),
        ("30060101FF020103", Constraints(is_ca=True, path_length=3)),
        ("30030101FF", Constraints(is_ca=True)),
        ("3003010100", Constraints()),
        ("3000", Constraints()),
        ("3003020100", Constraints()),
    ],
)
def test_read_constraints_returns_authority_and_path_length(value: str, constraints: Constraints) -> None:
    assert read_constraints(bytes.fromhex(value)) == constraints


@pytest.mark.parametrize("value", ["30050101FF0401", ""])
def test_read_constraints_raises_when_they_are_malformed(value: str) -> None:
    with pytest.raises(MalformedDer):
        read_constraints(bytes.fromhex(value))


HARDWARE = bytes.fromhex("06082B06010505070804")
TYPE = bytes.fromhex("06022A03")


def hardware(*parts: bytes) -> bytes:
    return tlv(0xA0, HARDWARE, *parts)


SOUND = hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI))))


@pytest.mark.parametrize(
    "others", [b"", tlv(0x82, b"example"), tlv(0xA0, bytes.fromhex("06012A"), tlv(0xA0))]
)
def test_read_hardware_eui_returns_the_eui(others: bytes) -> None:
    assert read_hardware_eui(tlv(0x30, others, SOUND)) == "00-DB-12-34-56-78-90-A4"
    assert read_hardware_eui(tlv(0x30, SOUND, others)) == "00-DB-12-34-56-78-90-A4"


@pytest.mark.parametrize(
    "names",
    [
        hardware(),
        hardware(tlv(0xA0)),
        hardware(tlv(0xA0, tlv(0x30))),
        hardware(tlv(0xA0, tlv(0x30, TYPE))),
        hardware(tlv(0xA0, tlv(0x30, tlv(4, EUI)))),
        hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(2, EUI)))),
        hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI[:7])))),
        hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI + b"\0")))),
        hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI), tlv(4, EUI)))),
        hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI)), tlv(4, EUI))),
        hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI))), tlv(4, EUI)),
        hardware(tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI))[:-1])),
        hardware(tlv(0xA1, tlv(0x30, TYPE, tlv(4, EUI)))),
        SOUND + SOUND,
        SOUND + hardware(),
        hardware() + SOUND,
    ],
)
def test_read_hardware_eui_is_broken_when_it_is_ambiguous(names: bytes) -> None:
    assert read_hardware_eui(tlv(0x30, names)) is Unstated.BROKEN


@pytest.mark.parametrize(
    "names",
    [
        b"",
        tlv(0x82, b"example"),
        tlv(0xA4, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI)))),
        tlv(0xA0, HARDWARE[:4]) + tlv(1, bytes.fromhex("0507080400")),
    ],
)
def test_read_hardware_eui_is_silent_without_a_hardware_name(names: bytes) -> None:
    assert read_hardware_eui(tlv(0x30, names)) is Unstated.SILENT


@pytest.mark.parametrize("value", [b"", b"\x30", tlv(0x30, b"\xa0\x7f"), tlv(0x31)])
def test_read_hardware_eui_raises_when_the_names_are_malformed(value: bytes) -> None:
    with pytest.raises(MalformedDer):
        read_hardware_eui(value)
