"""Facts and parts of certificates, compared with those that pyca/cryptography finds."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
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

from smki_sync.model.certificate import Flag, Kind, Usage
from smki_sync.x509 import NotACertificate, read_facts, strict_parser_refuses
from smki_sync.x509.certificate import read_body, read_certificate
from smki_sync.x509.der import MalformedDer

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
    "empty SKI": issue(subject=NOBODY, extensions=[x509.SubjectKeyIdentifier(b"")]),
    "serial 1": issue(subject=NOBODY, serial=1),
    "serial with its high bit set": issue(subject=NOBODY, serial=0x80),
    "serial of twenty bytes": issue(subject=NOBODY, serial=2**159 - 1),
    "UTCTime": issue(subject=NOBODY, not_before=LONG_AGO, not_after=TEN_YEARS),
    "GeneralizedTime": issue(
        subject=NOBODY,
        not_before=datetime(2050, 1, 1, tzinfo=UTC),
        not_after=datetime(2051, 1, 1, tzinfo=UTC),
    ),
}


@pytest.mark.parametrize("der", REAL)
def test_read_facts_agrees_with_pyca_for_real_certificates(der: bytes) -> None:
    assert read_facts(der) == facts_by_cryptography(der)
    assert not strict_parser_refuses(der)


@pytest.mark.parametrize("profile", BUILT)
def test_read_facts_agrees_with_pyca_for_built_certificates(profile: str) -> None:
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
def test_read_facts_finds_kind_usage_role_and_eui(
    profile: str, kind: Kind, usage: Usage | None, role: int | None, eui: str | None
) -> None:
    facts = read_facts(BUILT[profile])
    assert (facts.kind, facts.usage, facts.role, facts.eui) == (kind, usage, role, eui)


@pytest.mark.parametrize("der", [DEVICE, ORGANISATION, ISSUING_OCA])
def test_read_facts_ignores_null_parameters(der: bytes) -> None:
    odd = with_null_parameters(der)
    assert strict_parser_refuses(odd)
    assert read_facts(odd) == read_facts(der)


@pytest.mark.parametrize(
    ("serial", "written", "refused"),
    [
        (b"\0", "00", False),
        (b"\xff", "-01", False),
        (b"\0\xff", "FF", False),
        (b"\x80", "-80", False),
        (b"\xff\x01", "-FF", False),
        (b"\xff\x00", "-0100", False),
        (b"\0\0\x05", "05", True),
        (b"\xff\xff", "-01", True),
    ],
)
def test_read_facts_reads_serial_numbers_as_signed(serial: bytes, written: str, refused: bool) -> None:
    der = with_field(DEVICE, 1, tlv(2, serial))
    assert read_facts(der).serial == written
    assert strict_parser_refuses(der) == refused


@pytest.mark.parametrize(
    ("serial", "flagged"),
    [(b"\x7f" * 20, False), (b"\0" + b"\xff" * 20, True), (b"\x80" + bytes(19), False), (b"\1" * 21, True)],
)
def test_read_facts_flags_a_serial_number_above_20_bytes(serial: bytes, flagged: bool) -> None:
    facts = read_facts(with_field(DEVICE, 1, tlv(2, serial)))
    assert (Flag.SERIAL_TOO_LONG in facts.flags) == flagged


@pytest.mark.parametrize("version", [b"\0", b"\1", b"\3", b"\x7f", b"\xff", b"\1" * 30])
def test_read_facts_accepts_any_version(version: bytes) -> None:
    der = with_field(DEVICE, 0, tlv(0xA0, tlv(2, version)))
    assert read_facts(der) == read_facts(DEVICE)
    assert strict_parser_refuses(der)


def test_read_facts_accepts_version_1_without_extensions() -> None:
    tbs, *rest = split(unwrap(ISSUING_OCA))
    der = tlv(0x30, tlv(0x30, *split(unwrap(tbs))[1:7]), *rest)
    facts = read_facts(der)
    assert (facts.serial, facts.subject) == ("71872BDBC82789BC1401CE01BA06ADA3", "CN=Z1,OU=07")
    assert (facts.ski, facts.aki, facts.usage) == (None, None, None)


@pytest.mark.parametrize("tags", [(0x81,), (0x82,), (0x81, 0x82), (0xA1, 0xA2)])
def test_read_facts_skips_unique_identifiers(tags: tuple[int, ...]) -> None:
    extensions = split(unwrap(split(unwrap(DEVICE))[0]))[7]
    unique = b"".join(tlv(tag, b"\0id") for tag in tags)
    assert read_facts(with_field(DEVICE, 7, unique + extensions)) == read_facts(DEVICE)


USAGE_DS = extension(0x0F, bytes.fromhex("03020780"), critical=bytes.fromhex("0101FF"))
SKI_EXTENSION = extension(0x0E, bytes.fromhex("0408431C98CE3F707B03"))


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
        USAGE_DS + USAGE_DS,
        USAGE_DS + USAGE_DS + USAGE_DS,
    ],
)
def test_read_facts_flags_a_broken_key_usage(odd: bytes) -> None:
    facts = read_facts(with_extensions(DEVICE, odd, SKI_EXTENSION))
    assert facts.usage is None
    assert Flag.USAGE_BROKEN in facts.flags
    assert facts.ski == "431C98CE3F707B03"


@pytest.mark.parametrize("value", ["0303008000", "0303078000", "03020788"])
def test_read_facts_ignores_bits_that_do_not_count(value: str) -> None:
    facts = read_facts(with_extensions(DEVICE, extension(0x0F, bytes.fromhex(value))))
    assert facts.usage is Usage.DIGITAL_SIGNING


def test_read_facts_reads_extensions_until_their_list_breaks_off() -> None:
    facts = read_facts(with_extensions(DEVICE, USAGE_DS, b"\x30\x7f", SKI_EXTENSION))
    assert (facts.usage, facts.ski) == (Usage.DIGITAL_SIGNING, None)
    assert Flag.EXTENSIONS_BROKEN in facts.flags


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
def test_read_facts_finds_no_aki_when_it_names_no_key(value: bytes) -> None:
    assert read_facts(with_extensions(DEVICE, extension(0x23, value))).aki is None


@pytest.mark.parametrize("value", [b"", b"\4", b"\4\0", b"\4\1xx", tlv(3, b"x")])
def test_read_facts_finds_no_ski_when_it_is_malformed_or_empty(value: bytes) -> None:
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
def test_read_facts_finds_an_authority_by_its_constraints(value: str, kind: Kind) -> None:
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
def test_read_facts_finds_a_device_when_its_eui_is_broken(rest: bytes) -> None:
    names = tlv(0x30, tlv(0xA0, HARDWARE, rest))
    facts = read_facts(with_extensions(ISSUING_OCA, extension(0x11, names)))
    assert (facts.kind, facts.eui) == (Kind.DEVICE, None)
    assert Flag.EUI_BROKEN in facts.flags


@pytest.mark.parametrize(
    ("value", "broken"),
    [
        (b"", True),
        (b"\x30", True),
        (tlv(0x30, b"\xa0\x7f"), True),
        (tlv(0x30), False),
        (tlv(0x30, tlv(0xA0, HARDWARE[:9])), False),
    ],
)
def test_read_facts_finds_no_device_without_a_hardware_name(value: bytes, broken: bool) -> None:
    facts = read_facts(with_extensions(ISSUING_OCA, extension(0x11, value)))
    assert (facts.kind, facts.eui) == (Kind.ORGANISATION, None)
    assert (Flag.EUI_BROKEN in facts.flags) == broken


def test_read_facts_says_where_the_structure_is_unsound() -> None:
    with pytest.raises(NotACertificate, match="element at byte 0 is longer than the 415 bytes"):
        read_facts(DEVICE[:-1])


TIMES = bytes.fromhex("170D3136303430363030303030305A")


@pytest.mark.parametrize(
    ("index", "element"),
    [
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
def test_read_facts_raises_when_a_field_is_unsound(index: int, element: bytes) -> None:
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
def test_read_facts_raises_when_the_end_is_unsound(behind: bytes) -> None:
    tbs = split(unwrap(DEVICE))[0]
    with pytest.raises(NotACertificate):
        read_facts(tlv(0x30, tbs, behind))


@pytest.mark.parametrize(
    "der", [b"", b"\0", tlv(0x30), tlv(0x30, tlv(0x30)), tlv(0x31, unwrap(DEVICE)), b"-----BEGIN"]
)
def test_read_facts_raises_for_other_bytes(der: bytes) -> None:
    with pytest.raises(NotACertificate):
        read_facts(der)
    assert strict_parser_refuses(der)


# Attacks of the security review.


HARDWARE_EUI = tlv(0xA0, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI))))
VICTIM = bytes.fromhex("00DB12FFFFFFFFFF")
SAN = extension(0x11, tlv(0x30, HARDWARE_EUI))


def test_read_facts_keeps_the_eui_when_a_broken_element_follows_it() -> None:
    facts = read_facts(with_extensions(DEVICE, SAN, bytes.fromhex("31050603551D11")))
    assert facts.eui == "00-DB-12-34-56-78-90-A4"
    assert Flag.EXTENSIONS_BROKEN in facts.flags


@pytest.mark.parametrize(
    "names",
    [
        HARDWARE_EUI + tlv(0xA0, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, tlv(4, VICTIM)))),
        HARDWARE_EUI * 2,
        tlv(0xA0, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI), tlv(4, VICTIM)))),
        tlv(0xA0, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI[:7])))),
    ],
)
def test_read_facts_flags_the_eui_when_it_is_ambiguous(names: bytes) -> None:
    facts = read_facts(with_extensions(DEVICE, extension(0x11, tlv(0x30, names)), USAGE_DS))
    assert (facts.kind, facts.eui, facts.usage) == (Kind.DEVICE, None, Usage.DIGITAL_SIGNING)
    assert Flag.EUI_BROKEN in facts.flags


def test_read_facts_flags_the_eui_when_subject_and_hardware_name_differ() -> None:
    ours = issue(subject=organisation_name("02"), extensions=[DS, hardware_name(VICTIM)])
    facts = read_facts(ours)
    assert (facts.eui, facts.flags) == (None, Flag.EUI_BROKEN)
    same = read_facts(issue(subject=organisation_name("02"), extensions=[DS, hardware_name()]))
    assert (same.eui, same.flags) == ("00-DB-12-34-56-78-90-A4", Flag(0))


@pytest.mark.parametrize(
    ("repeated", "flag"),
    [
        (SAN, Flag.EUI_BROKEN),
        (USAGE_DS, Flag.USAGE_BROKEN),
        (extension(0x13, tlv(0x30, bytes.fromhex("0101FF"))), Flag.EXTENSIONS_BROKEN),
        (SKI_EXTENSION, Flag.EXTENSIONS_BROKEN),
    ],
)
def test_read_facts_flags_an_extension_that_occurs_twice(repeated: bytes, flag: Flag) -> None:
    facts = read_facts(with_extensions(DEVICE, repeated, repeated))
    assert flag in facts.flags
    assert (facts.eui, facts.usage, facts.ski) == (None, None, None)
    assert facts.kind is Kind.DEVICE


@pytest.mark.parametrize("bits", ["03020520", "03020388", "030100", "0303070080"])
def test_read_facts_flags_a_usage_that_no_profile_allows(bits: str) -> None:
    facts = read_facts(with_extensions(DEVICE, extension(0x0F, bytes.fromhex(bits)), SAN))
    assert (facts.usage, facts.flags) == (None, Flag.USAGE_BROKEN)


def test_read_facts_flags_two_roles() -> None:
    units = [(NameOID.ORGANIZATIONAL_UNIT_NAME, role) for role in ("02", "07")]
    facts = read_facts(issue(subject=name(*units), extensions=[CA]))
    assert (facts.kind, facts.role, facts.flags) == (Kind.DCA, None, Flag.ROLE_BROKEN)


@pytest.mark.parametrize("place", [3, 5])
def test_read_facts_accepts_a_name_with_an_empty_part(place: int) -> None:
    facts = read_facts(with_field(ORGANISATION, place, tlv(0x30, tlv(0x31))))
    assert (facts.issuer if place == 3 else facts.subject) == ""


def test_read_facts_accepts_the_year_0() -> None:
    years = tlv(0x30, tlv(0x18, b"00000101000000Z"), tlv(0x18, b"99991231235959-2359"))
    facts = read_facts(with_field(DEVICE, 4, years))
    assert (facts.not_before, facts.not_after) == (-62_167_219_200, 253_402_300_799)


# The strict parser.


@pytest.mark.parametrize("serial", [b"\xff", b"\0"])
def test_strict_parser_refuses_is_false_when_it_only_warns(serial: bytes) -> None:
    assert not strict_parser_refuses(with_field(DEVICE, 1, tlv(2, serial)))


@pytest.mark.parametrize(
    "der",
    [
        with_extensions(DEVICE, USAGE_DS, USAGE_DS),
        with_extensions(DEVICE, extension(0x0F, b"")),
        with_extensions(DEVICE, extension(0x11, b"\x30\x01")),
        with_field(DEVICE, 3, tlv(0x30, tlv(0x31))),
        with_field(DEVICE, 3, tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403"), tlv(3, b"\0x"))))),
        with_field(DEVICE, 4, tlv(0x30, tlv(0x18, b"00000101000000Z"), tlv(0x18, b"20500101000000Z"))),
    ],
    ids=["repeated", "key usage", "alternative names", "empty part", "bit string", "year 0"],
)
def test_strict_parser_refuses_asks_for_names_extensions_and_dates(der: bytes) -> None:
    read_facts(der)
    assert strict_parser_refuses(der)


# Parts.


@pytest.mark.parametrize("der", REAL)
def test_read_body_agrees_with_pyca(der: bytes) -> None:
    body, strict = read_body(der), x509.load_der_x509_certificate(der)
    assert body.tbs == strict.tbs_certificate_bytes
    assert body.signature == strict.signature
    assert body.version == 3
    assert body.issuer == strict.issuer.public_bytes()
    assert body.subject == strict.subject.public_bytes()
    assert body.spki == strict.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert [e.critical for e in body.extensions.found.values()] == [e.critical for e in strict.extensions]
    assert body.inner == body.outer
    assert body.extensions.is_sound


def test_read_body_accepts_null_parameters() -> None:
    body = read_body(with_null_parameters(REAL[0]))
    assert body.inner == body.outer == bytes.fromhex("300C06082A8648CE3D0403020500")


def test_read_body_raises_for_other_bytes() -> None:
    tbs, *rest = split(unwrap(REAL[0]))
    short = tlv(0x30, tlv(0x30, *split(unwrap(tbs))[:5]), *rest)
    for data in (b"", REAL[0][:-1], short):
        with pytest.raises(MalformedDer):
            read_body(data)


def test_read_body_skips_unique_identifiers() -> None:
    body = read_body(with_field(REAL[0], 7, tlv(0x81, b"\0\1")))
    assert (body.extensions.found, body.extensions.is_sound) == ({}, True)


def test_read_body_reads_extensions_until_their_list_breaks_off() -> None:
    body = read_body(with_extensions(REAL[0], USAGE_DS, b"\x30\x7f"))
    assert (len(body.extensions.found), body.extensions.complete) == (1, False)


@pytest.mark.parametrize("der", REAL)
def test_read_certificate_returns_facts_and_parts(der: bytes) -> None:
    assert read_certificate(der) == (read_facts(der), read_body(der))


def test_strict_parser_refuses_passes_interruptions_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_der: bytes) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(x509, "load_der_x509_certificate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        strict_parser_refuses(DEVICE)


def test_strict_parser_refuses_is_true_when_the_parser_panics(monkeypatch: pytest.MonkeyPatch) -> None:
    panic = type("PanicException", (BaseException,), {})

    def panicking(_der: bytes) -> object:
        raise panic

    monkeypatch.setattr(x509, "load_der_x509_certificate", panicking)
    assert strict_parser_refuses(DEVICE)
