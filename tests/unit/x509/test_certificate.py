"""Every fact is held against what pyca/cryptography says of the same certificate."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from support.x509_builders import (
    AKI,
    CA,
    DEVICE,
    DS,
    EUI,
    ISSUING_OCA,
    KA,
    NOBODY,
    ORGANISATION,
    REAL,
    SKI,
    extension,
    hardware_name,
    issue,
    key_usage,
    name,
    organisation_name,
    split,
    tlv,
    unwrap,
    with_extensions,
    with_field,
    with_null_parameters,
)
from support.x509_oracle import facts_by_cryptography

from smki_sync.model.certificate import Kind, Usage
from smki_sync.x509 import NotACertificate, read_facts, strict_parser_refuses

ROOT = name((NameOID.ORGANIZATIONAL_UNIT_NAME, "00"), (NameOID.COMMON_NAME, "ZA"))
ISSUING = name((NameOID.ORGANIZATIONAL_UNIT_NAME, "07"), (NameOID.COMMON_NAME, "Z1"))
DCA = name((NameOID.COMMON_NAME, "E357"))
AUTHORITY = x509.BasicConstraints(ca=True, path_length=0)
LONG_AGO = datetime(1999, 1, 1, tzinfo=UTC)
TEN_YEARS = datetime(2026, 4, 6, 12, 30, 1, tzinfo=UTC)

BUILT = {
    "device DS": issue(subject=NOBODY, extensions=[DS, SKI, hardware_name(), AKI]),
    "device KA": issue(subject=NOBODY, extensions=[KA, SKI, hardware_name(), AKI]),
    "device with a subject": issue(subject=DCA, extensions=[DS, SKI, hardware_name(), AKI]),
    "device without SKI and AKI": issue(subject=NOBODY, extensions=[DS, hardware_name()]),
    "organisation DS": issue(
        subject=organisation_name("02"), issuer=ISSUING, not_after=TEN_YEARS, extensions=[DS, SKI, AKI]
    ),
    "organisation KA": issue(
        subject=organisation_name("7F", common_name="X"), issuer=ISSUING, extensions=[KA, SKI, AKI]
    ),
    "organisation of another role": issue(subject=organisation_name("87"), extensions=[DS, SKI, AKI]),
    "root OCA": issue(
        subject=ROOT, issuer=ROOT, extensions=[CA, SKI, x509.BasicConstraints(ca=True, path_length=None)]
    ),
    "issuing OCA": issue(subject=ISSUING, issuer=ROOT, extensions=[CA, SKI, AKI, AUTHORITY]),
    "DCA": issue(subject=DCA, issuer=ROOT, extensions=[CA, SKI, AKI, AUTHORITY]),
    "authority by key usage alone": issue(subject=DCA, extensions=[CA]),
    "authority by constraints alone": issue(subject=DCA, extensions=[AUTHORITY]),
    "no authority by constraints": issue(
        subject=DCA, extensions=[x509.BasicConstraints(ca=False, path_length=None)]
    ),
    "both usages": issue(
        subject=NOBODY, extensions=[key_usage("digital_signature", "key_agreement"), hardware_name()]
    ),
    "another usage": issue(subject=NOBODY, extensions=[key_usage("crl_sign"), hardware_name()]),
    "usage of nine bits": issue(subject=NOBODY, extensions=[key_usage("key_agreement", "decipher_only")]),
    "no extension": issue(subject=DCA),
    "an unknown extension": issue(
        subject=NOBODY, extensions=[DS, x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"?"), SKI]
    ),
    "several alternative names": issue(
        subject=NOBODY,
        extensions=[
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("example.com"),
                    x509.OtherName(x509.ObjectIdentifier("1.2.3.4.5.6.7.8.9"), tlv(5)),
                    *hardware_name(),
                ]
            )
        ],
    ),
    "alternative names without hardware": issue(
        subject=DCA, extensions=[x509.SubjectAlternativeName([x509.DNSName("example.com")])]
    ),
    "short hardware serial": issue(subject=DCA, extensions=[hardware_name(EUI[:6])]),
    "issuer and serial in AKI": issue(
        subject=NOBODY, extensions=[x509.AuthorityKeyIdentifier(None, [x509.DirectoryName(DCA)], 5)]
    ),
    "all of AKI": issue(
        subject=NOBODY, extensions=[x509.AuthorityKeyIdentifier(b"key", [x509.DirectoryName(DCA)], 5)]
    ),
    "empty AKI": issue(subject=NOBODY, extensions=[x509.AuthorityKeyIdentifier(None, None, None)]),
    "SKI of no octets": issue(subject=NOBODY, extensions=[x509.SubjectKeyIdentifier(b"")]),
    "serial 1": issue(subject=NOBODY, serial=1),
    "serial with its high bit set": issue(subject=NOBODY, serial=0x80),
    "serial of twenty octets": issue(subject=NOBODY, serial=2**159 - 1),
    "UTCTime": issue(subject=NOBODY, not_before=LONG_AGO, not_after=TEN_YEARS),
    "GeneralizedTime": issue(
        subject=NOBODY,
        not_before=datetime(2050, 1, 1, tzinfo=UTC),
        not_after=datetime(2051, 1, 1, tzinfo=UTC),
    ),
}


@pytest.mark.parametrize("der", REAL)
def test_every_fact_of_a_real_certificate_is_what_the_strict_parser_says(der: bytes) -> None:
    assert read_facts(der) == facts_by_cryptography(der)
    assert not strict_parser_refuses(der)


@pytest.mark.parametrize("profile", BUILT)
def test_every_fact_of_a_built_certificate_is_what_the_strict_parser_says(profile: str) -> None:
    assert read_facts(BUILT[profile]) == facts_by_cryptography(BUILT[profile])


@pytest.mark.parametrize(
    ("profile", "kind", "usage", "role", "eui"),
    [
        ("device DS", Kind.DEVICE, Usage.DIGITAL_SIGNING, None, "00-DB-12-34-56-78-90-A4"),
        ("device KA", Kind.DEVICE, Usage.KEY_AGREEMENT, None, "00-DB-12-34-56-78-90-A4"),
        ("device with a subject", Kind.DEVICE, Usage.DIGITAL_SIGNING, None, "00-DB-12-34-56-78-90-A4"),
        ("organisation DS", Kind.ORGANISATION, Usage.DIGITAL_SIGNING, 2, "00-DB-12-34-56-78-90-A4"),
        ("organisation KA", Kind.ORGANISATION, Usage.KEY_AGREEMENT, 127, "00-DB-12-34-56-78-90-A4"),
        ("root OCA", Kind.OCA, None, 0, None),
        ("issuing OCA", Kind.OCA, None, 7, None),
        ("DCA", Kind.DCA, None, None, None),
        ("authority by key usage alone", Kind.DCA, None, None, None),
        ("authority by constraints alone", Kind.DCA, None, None, None),
        ("no authority by constraints", Kind.ORGANISATION, None, None, None),
        ("both usages", Kind.DEVICE, None, None, "00-DB-12-34-56-78-90-A4"),
        ("short hardware serial", Kind.DEVICE, None, None, None),
    ],
)
def test_a_profile_tells_kind_usage_role_and_eui(
    profile: str, kind: Kind, usage: Usage | None, role: int | None, eui: str | None
) -> None:
    facts = read_facts(BUILT[profile])
    assert (facts.kind, facts.usage, facts.role, facts.eui) == (kind, usage, role, eui)


@pytest.mark.parametrize("der", [DEVICE, ORGANISATION, ISSUING_OCA])
def test_a_certificate_with_null_parameters_reads_as_the_one_without(der: bytes) -> None:
    odd = with_null_parameters(der)
    assert strict_parser_refuses(odd)
    assert read_facts(odd) == read_facts(der)


@pytest.mark.parametrize(("serial", "written"), [(b"\0", "00"), (b"\xff\x01", "FF01"), (b"\0\0\x05", "05")])
def test_a_serial_number_that_is_odd_is_kept_and_the_strict_parser_refuses_it(
    serial: bytes, written: str
) -> None:
    der = with_field(DEVICE, 1, tlv(2, serial))
    assert read_facts(der).serial == written
    assert strict_parser_refuses(der)


@pytest.mark.parametrize("version", [b"\0", b"\1"])
def test_older_versions_are_read_and_the_strict_parser_refuses_them(version: bytes) -> None:
    der = with_field(DEVICE, 0, tlv(0xA0, tlv(2, version)))
    assert read_facts(der) == read_facts(DEVICE)
    assert strict_parser_refuses(der)


def test_a_certificate_of_version_1_has_neither_version_nor_extensions() -> None:
    tbs, *rest = split(unwrap(ISSUING_OCA))
    der = tlv(0x30, tlv(0x30, *split(unwrap(tbs))[1:7]), *rest)
    facts = read_facts(der)
    assert (facts.serial, facts.subject) == ("71872BDBC82789BC1401CE01BA06ADA3", "CN=Z1,OU=07")
    assert (facts.ski, facts.aki, facts.usage) == (None, None, None)


@pytest.mark.parametrize("tags", [(0x81,), (0x82,), (0x81, 0x82), (0xA1, 0xA2)])
def test_unique_identifiers_before_the_extensions_are_passed_over(tags: tuple[int, ...]) -> None:
    extensions = split(unwrap(split(unwrap(DEVICE))[0]))[7]
    unique = b"".join(tlv(tag, b"\0id") for tag in tags)
    assert read_facts(with_field(DEVICE, 7, unique + extensions)) == read_facts(DEVICE)


USAGE_DS = extension(0x0F, bytes.fromhex("03020780"), critical=bytes.fromhex("0101FF"))
SKI_OCTETS = extension(0x0E, bytes.fromhex("0408431C98CE3F707B03"))


@pytest.mark.parametrize(
    "odd",
    [
        extension(0x0F, b""),
        extension(0x0F, bytes.fromhex("0300")),
        extension(0x0F, bytes.fromhex("03020880")),
        extension(0x0F, bytes.fromhex("0302078000")),
        extension(0x0F, bytes.fromhex("04020780")),
        extension(0x0F, bytes.fromhex("03020780"), critical=b"\1\5"),
        extension(0x0F, bytes.fromhex("03020780"), critical=b"\5\0"),
        tlv(0x30, bytes.fromhex("0603551D0F")),
        tlv(0x30, bytes.fromhex("0603551D0F"), tlv(4, bytes.fromhex("03020780")), b"\5\0"),
        tlv(0x30, bytes.fromhex("0603551D")),
        tlv(0x30, b""),
        USAGE_DS + USAGE_DS,
        USAGE_DS + USAGE_DS + USAGE_DS,
    ],
)
def test_a_key_usage_that_is_malformed_or_repeated_says_nothing_and_spoils_nothing(odd: bytes) -> None:
    facts = read_facts(with_extensions(DEVICE, odd, SKI_OCTETS))
    assert facts.usage is None
    assert facts.ski == "431C98CE3F707B03"


def test_octets_without_a_flag_behind_a_key_usage_change_nothing() -> None:
    facts = read_facts(with_extensions(DEVICE, extension(0x0F, bytes.fromhex("0303008000"))))
    assert facts.usage is Usage.DIGITAL_SIGNING


def test_extensions_are_read_up_to_where_their_list_breaks_off() -> None:
    facts = read_facts(with_extensions(DEVICE, USAGE_DS, b"\x30\x7f", SKI_OCTETS))
    assert (facts.usage, facts.ski) == (Usage.DIGITAL_SIGNING, None)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x30",
        b"\x30\x00",
        tlv(0x30, tlv(0x81, b"x")),
        tlv(0x30, b"\x80\x05x"),
        tlv(0x30, tlv(0x80)),
        tlv(4, b"x"),
    ],
)
def test_an_authority_key_identifier_that_names_no_key_says_nothing(value: bytes) -> None:
    assert read_facts(with_extensions(DEVICE, extension(0x23, value))).aki is None


@pytest.mark.parametrize("value", [b"", b"\4", b"\4\0", b"\4\1xx", tlv(3, b"x")])
def test_a_subject_key_identifier_that_is_malformed_or_empty_says_nothing(value: bytes) -> None:
    assert read_facts(with_extensions(DEVICE, extension(0x0E, value))).ski is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("30030101FF", Kind.OCA),
        ("3003010101", Kind.OCA),
        ("3003010100", Kind.ORGANISATION),
        ("30020100", Kind.ORGANISATION),
        ("3000", Kind.ORGANISATION),
        ("3003020105", Kind.ORGANISATION),
        ("30030102FF", Kind.ORGANISATION),
        ("0101FF", Kind.ORGANISATION),
    ],
)
def test_a_subject_is_an_authority_only_where_its_constraints_say_so(value: str, kind: Kind) -> None:
    assert read_facts(with_extensions(ISSUING_OCA, extension(0x13, bytes.fromhex(value)))).kind is kind


HARDWARE = bytes.fromhex("06082B06010505070804")
TYPE = bytes.fromhex("06022A03")


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        tlv(0xA0),
        tlv(0xA0, tlv(0x30)),
        tlv(0xA0, tlv(0x30, TYPE)),
        tlv(0xA0, tlv(0x30, tlv(4, EUI))),
        tlv(0xA0, tlv(0x30, TYPE, tlv(2, EUI))),
        tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI + b"\0"))),
        tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI))[:-1]),
        tlv(0xA1, tlv(0x30, TYPE, tlv(4, EUI))),
    ],
)
def test_a_hardware_module_name_without_an_eui_still_marks_a_device(rest: bytes) -> None:
    names = tlv(0x30, tlv(0xA0, HARDWARE, rest))
    facts = read_facts(with_extensions(ISSUING_OCA, extension(0x11, names)))
    assert (facts.kind, facts.eui) == (Kind.DEVICE, None)


@pytest.mark.parametrize(
    "value", [b"", b"\x30", tlv(0x30), tlv(0x30, b"\xa0\x7f"), tlv(0x30, tlv(0xA0, HARDWARE[:9]))]
)
def test_alternative_names_that_are_malformed_name_no_device(value: bytes) -> None:
    facts = read_facts(with_extensions(ISSUING_OCA, extension(0x11, value)))
    assert (facts.kind, facts.eui) == (Kind.ORGANISATION, None)


@pytest.mark.parametrize(
    "names",
    [
        tlv(0xA4, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI)))),
        tlv(0xA0, HARDWARE[:4]) + tlv(1, bytes.fromhex("0507080400")),
    ],
)
def test_the_octets_of_a_hardware_module_name_elsewhere_than_in_an_other_name_name_no_device(
    names: bytes,
) -> None:
    facts = read_facts(with_extensions(ISSUING_OCA, extension(0x11, tlv(0x30, names))))
    assert (facts.kind, facts.eui) == (Kind.ORGANISATION, None)


def test_the_message_says_where_the_octets_stop_being_a_certificate() -> None:
    with pytest.raises(NotACertificate, match="416 octets at octet 4, only 415 are left"):
        read_facts(DEVICE[:-1])


TIMES = bytes.fromhex("170D3136303430363030303030305A")


@pytest.mark.parametrize(
    ("index", "element"),
    [
        (0, tlv(0xA0, tlv(2, b"\3"))),
        (0, tlv(0xA0, tlv(2, b"\2"), tlv(5))),
        (0, tlv(0xA0, tlv(2))),
        (0, tlv(0xA0)),
        (0, tlv(0xA1, tlv(2, b"\2"))),
        (1, tlv(2)),
        (1, tlv(3, b"\1")),
        (1, b""),
        (2, tlv(0x30)),
        (2, tlv(0x30, tlv(5))),
        (2, tlv(6, b"\x2a")),
        (3, tlv(0x31)),
        (3, tlv(0x30, tlv(0x31))),
        (4, tlv(0x30)),
        (4, tlv(0x30, TIMES)),
        (4, tlv(0x30, TIMES, TIMES, TIMES)),
        (4, tlv(0x30, TIMES, tlv(4, b"160406000000Z"))),
        (4, tlv(0x30, TIMES, tlv(0x17, b"160406"))),
        (5, tlv(0x30, b"\x31")),
        (6, tlv(0x30)),
        (6, tlv(0x30, tlv(0x30, tlv(6, b"\x2a")))),
        (6, tlv(0x30, tlv(0x30, tlv(6, b"\x2a")), tlv(3))),
        (6, tlv(0x30, tlv(0x30, tlv(6, b"\x2a")), tlv(3, b"\x08x"))),
        (6, tlv(0x30, tlv(0x30, tlv(6, b"\x2a")), tlv(3, b"\0x"), tlv(5))),
        (7, tlv(0xA4, tlv(0x30))),
        (7, tlv(0xA3, tlv(0x30)) + tlv(5)),
        (7, tlv(0xA3, tlv(0x30)) * 2),
        (7, b"\xa3"),
    ],
)
def test_a_field_of_unsound_structure_makes_it_no_certificate(index: int, element: bytes) -> None:
    with pytest.raises(NotACertificate):
        read_facts(with_field(DEVICE, index, element))


@pytest.mark.parametrize(
    "behind",
    [
        b"",
        tlv(0x30),
        tlv(0x30, tlv(6, b"\x2a")),
        tlv(0x30, tlv(6, b"\x2a")) + tlv(3),
        tlv(0x30, tlv(6, b"\x2a")) + tlv(3, b"\x08"),
        tlv(0x30, tlv(6, b"\x2a")) + tlv(4, b"\0"),
        tlv(0x30, tlv(6, b"\x2a")) + tlv(3, b"\0") + tlv(5),
    ],
)
def test_a_certificate_ends_with_an_algorithm_and_a_signature(behind: bytes) -> None:
    tbs = split(unwrap(DEVICE))[0]
    with pytest.raises(NotACertificate):
        read_facts(tlv(0x30, tbs, behind))


@pytest.mark.parametrize(
    "der", [b"", b"\0", tlv(0x30), tlv(0x30, tlv(0x30)), tlv(0x31, unwrap(DEVICE)), b"-----BEGIN"]
)
def test_octets_that_are_something_else_are_no_certificate(der: bytes) -> None:
    with pytest.raises(NotACertificate):
        read_facts(der)
    assert strict_parser_refuses(der)
