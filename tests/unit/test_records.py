import base64
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import x509_builders
from support.x509_builders import extension, tlv, with_extensions, with_field

from smki_sync import records
from smki_sync.model.certificate import Claims, Entry, Flag, Rejected, RejectReason, Status, Usage
from smki_sync.records import (
    DETAIL_LIMIT,
    PreParsed,
    _Unfit,
    finish_parse,
    parse_record,
    pre_parse,
)

DATA = Path(__file__).parents[1] / "data" / "certificates.json"
BODIES: list[str] = [one["der"] for one in json.loads(DATA.read_text("utf-8"))["certificates"]]

DEVICE = Claims(
    name="00-DB-12-34-56-78-90-01",
    serial="71C56392CE9985DD1B78BE2EB23D610B",
    status="I",
    body=BODIES[0],
    usage="DS",
    manufacturing="false",
)
ORGANISATION = Claims(
    name="00-DB-12-34-56-78-00-04",
    serial="43F410FE3624C88E20521E8CA23ECD25",
    status="I",
    body=BODIES[9],
    role="127",
    usage="DS",
)
AUTHORITY = Claims(
    name="Z1", serial="71872BDBC82789BC1401CE01BA06ADA3", status="I", body=BODIES[12], role="7"
)
SKI = extension(0x0E, tlv(4, bytes.fromhex("431C98CE3F707B03")))
COMMON_NAME = tlv(0x30, bytes.fromhex("0603550403"), tlv(12, b"x"))
ALL_CLAIMS_FLAGS = (
    Flag.SERIAL_CLAIM_DIFFERS | Flag.EUI_CLAIM_DIFFERS | Flag.USAGE_CLAIM_DIFFERS | Flag.ROLE_CLAIM_DIFFERS
)


def replace(claims: Claims, **changes: str | None) -> Claims:
    return claims._replace(**changes)


def entry(claims: Claims) -> Entry:
    understood = parse_record(7, claims)
    assert isinstance(understood, Entry), understood
    return understood


def rejected(claims: Claims) -> Rejected:
    understood = parse_record(7, claims)
    assert isinstance(understood, Rejected), understood
    assert 0 < len(understood.detail) <= DETAIL_LIMIT
    assert understood.detail.isprintable()
    return understood


def test_parse_record_reads_a_device() -> None:
    device = entry(DEVICE)
    assert device.number == 7
    assert device.der == base64.b64decode(BODIES[0])
    assert (device.eui, device.role, device.usage) == ("00-DB-12-34-56-78-90-01", None, Usage.DIGITAL_SIGNING)
    assert (device.status, device.manufacturing, device.flags) == (Status.IN_USE, False, Flag(0))
    assert device.facts.serial == DEVICE.serial


def test_parse_record_sets_no_flag_when_the_claims_agree() -> None:
    organisation = entry(ORGANISATION)
    assert (organisation.eui, organisation.role) == ("00-DB-12-34-56-78-00-04", 127)
    assert organisation.flags == Flag(0)


def test_parse_record_ignores_the_name_of_an_authority() -> None:
    authority = entry(AUTHORITY)
    assert (authority.eui, authority.role, authority.usage) == (None, 7, None)
    assert authority.flags == Flag(0)


@pytest.mark.parametrize("body", BODIES)
def test_parse_record_needs_only_body_and_status(body: str) -> None:
    understood = entry(Claims(body=body, status="I"))
    facts = understood.facts
    assert (understood.eui, understood.role, understood.usage) == (facts.eui, facts.role, facts.usage)
    assert (understood.manufacturing, understood.flags) == (None, Flag(0))


@pytest.mark.parametrize(
    "body",
    [
        "\n".join(textwrap.wrap(BODIES[0], 64)),
        textwrap.indent("\r\n".join(textwrap.wrap(BODIES[0], 76)), "\t  "),
        f"  {BODIES[0]}\n",
        " ".join(BODIES[0]),
    ],
)
def test_parse_record_accepts_white_space_in_the_body(body: str) -> None:
    assert entry(replace(DEVICE, body=body)) == entry(DEVICE)


@pytest.mark.parametrize("body", [None, "", " \r\n\t"])
def test_parse_record_rejects_a_record_without_a_body(body: str | None) -> None:
    missing = rejected(replace(DEVICE, body=body))
    assert (missing.number, missing.reason) == (7, RejectReason.BODY_MISSING)


@pytest.mark.parametrize(
    "body",
    [
        "=",
        "====",
        "M",
        "MIIB=",
        "MIIB====",
        "TWFu=TWFu",
        "MII-",
        "MI_B",
        "MII\u00a0",
        "MII\x00",
        "MI\u0130B",
        BODIES[0][:-1],
        f"-----BEGIN CERTIFICATE-----{BODIES[0]}",
        f"{BODIES[0]}=",
        f"{BODIES[8]}===",
        "\ud800",
    ],
)
def test_parse_record_rejects_a_body_that_is_not_base64(body: str) -> None:
    assert rejected(replace(DEVICE, body=body)).reason is RejectReason.BODY_NOT_BASE64


def test_parse_record_rejects_characters_after_the_padding() -> None:
    padded = next(body for body in BODIES if body.endswith("="))
    assert rejected(replace(DEVICE, body=padded + "AAAA")).reason is RejectReason.BODY_NOT_BASE64


@pytest.mark.parametrize(
    "der",
    [
        b"\0",
        b"no certificate",
        base64.b64decode(BODIES[0])[:-1],
        base64.b64decode(BODIES[0]) + b"\0",
        b"\x17\x0d" + b"\x1b[31m" * 100,
    ],
)
def test_parse_record_rejects_a_body_that_is_not_a_certificate(der: bytes) -> None:
    reason = rejected(replace(DEVICE, body=base64.b64encode(der).decode())).reason
    assert reason is RejectReason.BODY_NOT_A_CERTIFICATE


def test_parse_record_says_how_much_of_a_body_is_missing() -> None:
    cut = base64.b64encode(base64.b64decode(BODIES[0])[:100]).decode()
    detail = rejected(replace(DEVICE, body=cut)).detail
    assert detail == (
        "CertificateBody of 100 bytes: the element at byte 0 is longer than the 96 bytes that are left"
    )


@pytest.mark.parametrize(("claim", "status"), [*((s.value, s) for s in Status), (" R\n", Status.REVOKED)])
def test_parse_record_accepts_each_status(claim: str, status: Status) -> None:
    assert entry(replace(DEVICE, status=claim)).status is status


@pytest.mark.parametrize("status", [None, "", "\n "])
def test_parse_record_rejects_a_record_without_a_status(status: str | None) -> None:
    assert rejected(replace(DEVICE, status=status)).reason is RejectReason.STATUS_MISSING


@pytest.mark.parametrize("status", ["X", "i", "II", "In use", "I\0", "\x1b[31m" * 500, "\u202e\u2028"])
def test_parse_record_rejects_an_unknown_status(status: str) -> None:
    unknown = rejected(replace(DEVICE, status=status))
    assert unknown.reason is RejectReason.STATUS_UNKNOWN
    assert "not one of P, I, N, E, R" in unknown.detail


@pytest.mark.parametrize(
    "serial",
    [
        None,
        "",
        " ",
        "71c56392ce9985dd1b78be2eb23d610b",
        "0071C56392CE9985DD1B78BE2EB23D610B",
        "00071C56392CE9985DD1B78BE2EB23D610B",
        " 71C56392CE9985DD1B78BE2EB23D610B\n",
    ],
)
def test_parse_record_compares_serial_numbers_as_numbers(serial: str | None) -> None:
    assert entry(replace(DEVICE, serial=serial)).flags == Flag(0)


@pytest.mark.parametrize("serial", ["413B126A6DF31823A31B4FF0D1145DD9", "0", "-1", "no number", "71C56392"])
def test_parse_record_flags_another_serial_number(serial: str) -> None:
    understood = entry(replace(DEVICE, serial=serial))
    assert understood.flags == Flag.SERIAL_CLAIM_DIFFERS
    assert understood.facts.serial == DEVICE.serial


@pytest.mark.parametrize(
    "name", [None, "", "00DB123456789001", "00:db:12:34:56:78:90:01", "CN=E357", "00-DB-12-34", "E357"]
)
def test_parse_record_accepts_other_notations_of_the_name(name: str | None) -> None:
    understood = entry(replace(DEVICE, name=name))
    assert (understood.eui, understood.flags) == (DEVICE.name, Flag(0))


def test_parse_record_flags_another_eui() -> None:
    understood = entry(replace(DEVICE, name="00-DB-12-34-56-78-90-02"))
    assert (understood.eui, understood.flags) == (DEVICE.name, Flag.EUI_CLAIM_DIFFERS)


@pytest.mark.parametrize("usage", [None, "", "DS", " DS ", "ds", "XX"])
def test_parse_record_ignores_unknown_usages(usage: str | None) -> None:
    understood = entry(replace(DEVICE, usage=usage))
    assert (understood.usage, understood.flags) == (Usage.DIGITAL_SIGNING, Flag(0))


def test_parse_record_flags_another_usage() -> None:
    understood = entry(replace(DEVICE, usage="KA"))
    assert (understood.usage, understood.flags) == (Usage.DIGITAL_SIGNING, Flag.USAGE_CLAIM_DIFFERS)


@pytest.mark.parametrize(
    "role", [None, "", "127", " 127\n", "256", "-1", "7F", "1e2", "\u0661\u0662\u0667", "9" * 5000]
)
def test_parse_record_ignores_unknown_roles(role: str | None) -> None:
    understood = entry(replace(ORGANISATION, role=role))
    assert (understood.role, understood.flags) == (127, Flag(0))


@pytest.mark.parametrize("role", ["2", "02", "002", "255", "0"])
def test_parse_record_flags_another_role(role: str) -> None:
    understood = entry(replace(ORGANISATION, role=role))
    assert (understood.role, understood.flags) == (127, Flag.ROLE_CLAIM_DIFFERS)


@pytest.mark.parametrize(
    ("role", "number"), [("2", 2), ("02", 2), ("0", 0), ("255", 255), ("256", None), ("x", None)]
)
def test_parse_record_uses_the_claimed_role_when_the_body_is_silent(role: str, number: int | None) -> None:
    understood = entry(replace(DEVICE, role=role))
    assert (understood.facts.role, understood.role, understood.flags) == (None, number, Flag(0))


def test_parse_record_uses_the_claims_when_the_body_is_silent() -> None:
    silent = base64.b64encode(with_extensions(x509_builders.ORGANISATION, SKI)).decode()
    understood = entry(Claims(body=without_eui(silent), name="00db1234567800ff", usage="KA", status="I"))
    assert (understood.eui, understood.usage) == ("00-DB-12-34-56-78-00-FF", Usage.KEY_AGREEMENT)
    assert (understood.facts.eui, understood.facts.usage, understood.flags) == (None, None, Flag(0))


def without_eui(body: str) -> str:
    """Replace the subject by one without a unique identifier."""
    der = base64.b64decode(body)
    return base64.b64encode(with_field(der, 5, tlv(0x30, tlv(0x31, COMMON_NAME)))).decode()


def test_parse_record_keeps_the_role_0_of_a_root() -> None:
    subject_of_issuing, subject_of_root = bytes.fromhex("040B1302303731"), bytes.fromhex("040B1302303031")
    der = base64.b64decode(BODIES[12])
    assert der.count(subject_of_issuing) == 1
    root = base64.b64encode(der.replace(subject_of_issuing, subject_of_root)).decode()
    understood = entry(replace(AUTHORITY, body=root, role="7"))
    assert (understood.role, understood.flags) == (0, Flag.ROLE_CLAIM_DIFFERS)


def test_parse_record_flags_all_claims_of_another_certificate() -> None:
    other = replace(ORGANISATION, name=DEVICE.name, serial=DEVICE.serial, role="2", usage="KA")
    understood = entry(other)
    assert understood.flags == ALL_CLAIMS_FLAGS
    assert understood._replace(flags=Flag(0)) == entry(ORGANISATION)


def test_parse_record_flags_a_body_that_the_strict_parser_refuses() -> None:
    der = base64.b64decode(BODIES[0])
    at = der.index(bytes.fromhex("3059"))
    # A length with a needless byte: sound for other parsers. The enclosing elements grow by one.
    odd = (
        b"\x30\x82"
        + (len(der) - 3).to_bytes(2)
        + b"\x30\x82"
        + (int.from_bytes(der[6:8]) + 1).to_bytes(2)
        + der[8:at]
        + b"\x30\x81"
        + der[at + 1 :]
    )
    understood = entry(replace(DEVICE, body=base64.b64encode(odd).decode(), usage="KA"))
    assert understood.flags == Flag.STRICT_PARSER_REFUSES | Flag.USAGE_CLAIM_DIFFERS
    assert (understood.der, understood.facts) == (odd, entry(DEVICE).facts)


@pytest.mark.parametrize(
    ("claim", "meant"),
    [
        ("true", True),
        ("TRUE", True),
        ("1", True),
        (" True ", True),
        ("false", False),
        ("False", False),
        ("0", False),
        ("", None),
        ("yes", None),
        ("2", None),
        (None, None),
    ],
)
def test_parse_record_reads_the_manufacturing_flag(claim: str | None, meant: bool | None) -> None:
    assert entry(replace(DEVICE, manufacturing=claim)).manufacturing is meant


def test_parse_record_cuts_a_long_detail() -> None:
    assert len(_Unfit(RejectReason.STATUS_UNKNOWN, "x" * 2 * DETAIL_LIMIT).detail) == DETAIL_LIMIT


TEXTS = (
    st.none() | st.text(max_size=40) | st.sampled_from(["I", "DS", "127", "true", DEVICE.name, DEVICE.serial])
)
RECORDS = st.builds(
    Claims,
    name=TEXTS,
    serial=TEXTS,
    status=TEXTS | st.just("I"),
    body=TEXTS
    | st.sampled_from(BODIES)
    | st.binary(max_size=99).map(lambda data: base64.b64encode(data).decode()),
    role=TEXTS,
    usage=TEXTS,
    manufacturing=TEXTS,
)


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(RECORDS)
def test_parse_record_never_raises(claims: Claims) -> None:
    understood = parse_record(1, claims)
    if isinstance(understood, Rejected):
        assert understood.detail.isprintable()
        assert 0 < len(understood.detail) <= DETAIL_LIMIT
    else:
        assert understood.facts == entry(Claims(body=claims.body, status="I")).facts


# Attacks of the security review.

HARDWARE = bytes.fromhex("06082B06010505070804")
EUI = bytes.fromhex("00DB123456789001")


def hardware(serial: bytes) -> bytes:
    return tlv(0xA0, HARDWARE, tlv(0xA0, tlv(0x30, bytes.fromhex("06022A03"), tlv(4, serial))))


SAN = extension(0x11, tlv(0x30, hardware(EUI)))
DS_BITS = bytes.fromhex("03020780")
USAGE = extension(0x0F, DS_BITS)


def claims_for(*extensions: bytes) -> Claims:
    """A record of a device with these extensions. Its claims are those of a genuine one."""
    der = with_extensions(x509_builders.DEVICE, SKI, *extensions)
    return replace(DEVICE, body=base64.b64encode(der).decode())


@pytest.mark.parametrize(
    ("extensions", "flag"),
    [
        ([SAN, SAN, USAGE], Flag.EUI_BROKEN),
        ([extension(0x11, tlv(0x30, hardware(EUI[:7]))), USAGE], Flag.EUI_BROKEN),
        ([extension(0x11, tlv(0x30, hardware(EUI), hardware(EUI))), USAGE], Flag.EUI_BROKEN),
        ([SAN, USAGE, USAGE], Flag.USAGE_BROKEN),
        ([SAN, extension(0x0F, bytes.fromhex("03020520"))], Flag.USAGE_BROKEN),
        ([SAN, extension(0x0F, bytes.fromhex("03020388"))], Flag.USAGE_BROKEN),
        ([SAN, extension(0x0F, b"")], Flag.USAGE_BROKEN),
    ],
)
def test_parse_record_does_not_fill_a_broken_field(extensions: list[bytes], flag: Flag) -> None:
    understood = entry(claims_for(*extensions))
    assert flag in understood.flags
    assert understood.eui == (None if flag is Flag.EUI_BROKEN else DEVICE.name)
    assert understood.usage == (None if flag is Flag.USAGE_BROKEN else Usage.DIGITAL_SIGNING)


def test_parse_record_does_not_fill_a_broken_role() -> None:
    units = [tlv(0x31, tlv(0x30, bytes.fromhex("060355040B"), tlv(12, role))) for role in (b"02", b"07")]
    der = with_field(x509_builders.ORGANISATION, 5, tlv(0x30, *units))
    understood = entry(replace(ORGANISATION, body=base64.b64encode(der).decode(), role="2"))
    assert (understood.role, Flag.ROLE_BROKEN in understood.flags) == (None, True)


@pytest.mark.parametrize("twice", [extension(0x13, tlv(0x30, b"\1\1\xff")), SKI])
def test_parse_record_flags_extensions_that_occur_twice(twice: bytes) -> None:
    assert Flag.EXTENSIONS_BROKEN in entry(claims_for(SAN, USAGE, twice, twice)).flags


def test_parse_record_gives_the_key_of_an_authority_no_usage() -> None:
    assert entry(replace(AUTHORITY, usage="KA")).usage is None


def test_parse_record_reads_the_hostile_extension_list() -> None:
    claims = claims_for(SAN, USAGE, bytes.fromhex("31050603551D11"))
    understood = entry(claims)
    assert (understood.eui, Flag.EXTENSIONS_BROKEN in understood.flags) == (DEVICE.name, True)
    assert entry(claims) == understood


@pytest.mark.parametrize(
    ("serial", "reason"),
    [(b"\x7f" * 20, None), (b"\x7f" * 21, None), (b"\x7f" * 64, None), (b"\x7f" * 65, "serial-too-long")],
)
def test_parse_record_bounds_the_serial_number(serial: bytes, reason: str | None) -> None:
    der = with_field(x509_builders.DEVICE, 1, tlv(2, serial))
    found = parse_record(1, replace(DEVICE, body=base64.b64encode(der).decode()))
    assert (found.reason.value if isinstance(found, Rejected) else None) == reason
    if isinstance(found, Entry):
        assert (Flag.SERIAL_TOO_LONG in found.flags) == (len(serial) > 20)


@pytest.mark.parametrize(
    "error", [ValueError("x"), OverflowError("\x1b[31m" * 99), TypeError(), KeyError("k")]
)
def test_parse_record_rejects_when_anything_raises(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def failing(_der: bytes) -> object:
        raise error

    monkeypatch.setattr(records, "examine", failing)
    assert rejected(DEVICE).reason is RejectReason.RECORD_UNREADABLE
    monkeypatch.setattr("smki_sync.x509.template_cache.fits", failing)
    found = pre_parse(7, DEVICE)
    assert isinstance(found, Rejected)
    der = base64.b64decode(BODIES[0])
    assert isinstance(finish_parse(PreParsed(7, DEVICE._replace(body=None), der)), Rejected)


def test_rejected_has_the_identity_that_is_known() -> None:
    body = rejected(replace(DEVICE, status="X"))
    assert (body.serial, body.issuer) == (DEVICE.serial, entry(DEVICE).facts.issuer)
    claim = rejected(replace(DEVICE, body="no", serial="00ab"))
    assert (claim.serial, claim.issuer) == ("AB", None)
    nothing = rejected(replace(DEVICE, body="no", serial="no number"))
    assert (nothing.serial, nothing.issuer) == (None, None)


# The two steps of the reader process.


def test_pre_parse_leaves_a_record_that_fits_a_template() -> None:
    parse_record(1, DEVICE)
    early = pre_parse(7, DEVICE)
    assert isinstance(early, PreParsed)
    assert finish_parse(early) == parse_record(7, DEVICE)


@pytest.mark.parametrize("claims", [AUTHORITY, DEVICE._replace(status="X"), DEVICE._replace(body="no")])
def test_pre_parse_parses_any_other_record(claims: Claims) -> None:
    assert pre_parse(7, claims) == parse_record(7, claims)
