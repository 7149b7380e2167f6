import base64
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smki_sync.model.certificate import Claims, Entry, Flag, Rejected, RejectReason, Status, Usage
from smki_sync.records import DETAIL_LIMIT, _Unfit, parse_record

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


def test_a_device_is_understood_from_its_body_and_its_status() -> None:
    device = entry(DEVICE)
    assert device.number == 7
    assert device.der == base64.b64decode(BODIES[0])
    assert (device.eui, device.role, device.usage) == ("00-DB-12-34-56-78-90-01", None, Usage.DIGITAL_SIGNING)
    assert (device.status, device.manufacturing, device.flags) == (Status.IN_USE, False, Flag(0))
    assert device.facts.serial == DEVICE.serial


def test_an_organisation_whose_claims_agree_has_no_flag() -> None:
    organisation = entry(ORGANISATION)
    assert (organisation.eui, organisation.role) == ("00-DB-12-34-56-78-00-04", 127)
    assert organisation.flags == Flag(0)


def test_an_authority_has_a_name_that_is_no_eui_claim() -> None:
    authority = entry(AUTHORITY)
    assert (authority.eui, authority.role, authority.usage) == (None, 7, None)
    assert authority.flags == Flag(0)


@pytest.mark.parametrize("body", BODIES)
def test_a_record_of_body_and_status_alone_claims_nothing_and_lacks_nothing(body: str) -> None:
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
def test_white_space_may_stand_anywhere_in_the_body(body: str) -> None:
    assert entry(replace(DEVICE, body=body)) == entry(DEVICE)


@pytest.mark.parametrize("body", [None, "", " \r\n\t"])
def test_a_record_without_a_body_is_rejected(body: str | None) -> None:
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
def test_a_body_that_is_not_base64_is_rejected(body: str) -> None:
    assert rejected(replace(DEVICE, body=body)).reason is RejectReason.BODY_NOT_BASE64


def test_base64_with_characters_behind_its_padding_is_rejected() -> None:
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
def test_a_body_that_is_no_certificate_is_rejected(der: bytes) -> None:
    reason = rejected(replace(DEVICE, body=base64.b64encode(der).decode())).reason
    assert reason is RejectReason.BODY_NOT_A_CERTIFICATE


def test_the_detail_of_a_body_that_is_cut_off_says_how_much_is_there_and_how_much_is_not() -> None:
    cut = base64.b64encode(base64.b64decode(BODIES[0])[:100]).decode()
    detail = rejected(replace(DEVICE, body=cut)).detail
    assert detail == "CertificateBody of 100 octets: 416 octets at octet 4, only 96 are left"


@pytest.mark.parametrize(("claim", "status"), [*((s.value, s) for s in Status), (" R\n", Status.REVOKED)])
def test_every_status_of_the_repository_is_known(claim: str, status: Status) -> None:
    assert entry(replace(DEVICE, status=claim)).status is status


@pytest.mark.parametrize("status", [None, "", "\n "])
def test_a_record_without_a_status_is_rejected(status: str | None) -> None:
    assert rejected(replace(DEVICE, status=status)).reason is RejectReason.STATUS_MISSING


@pytest.mark.parametrize("status", ["X", "i", "II", "In use", "I\0", "\x1b[31m" * 500, "\u202e\u2028"])
def test_a_status_that_the_repository_does_not_have_is_rejected(status: str) -> None:
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
def test_a_serial_number_is_compared_as_a_number(serial: str | None) -> None:
    assert entry(replace(DEVICE, serial=serial)).flags == Flag(0)


@pytest.mark.parametrize("serial", ["413B126A6DF31823A31B4FF0D1145DD9", "0", "-1", "no number", "71C56392"])
def test_a_serial_number_of_another_certificate_is_flagged_and_not_followed(serial: str) -> None:
    understood = entry(replace(DEVICE, serial=serial))
    assert understood.flags == Flag.SERIAL_CLAIM_DIFFERS
    assert understood.facts.serial == DEVICE.serial


@pytest.mark.parametrize(
    "name", [None, "", "00DB123456789001", "00:db:12:34:56:78:90:01", "CN=E357", "00-DB-12-34", "E357"]
)
def test_a_name_in_another_notation_or_that_is_no_eui_is_not_flagged(name: str | None) -> None:
    understood = entry(replace(DEVICE, name=name))
    assert (understood.eui, understood.flags) == (DEVICE.name, Flag(0))


def test_an_eui_of_another_device_is_flagged_and_not_followed() -> None:
    understood = entry(replace(DEVICE, name="00-DB-12-34-56-78-90-02"))
    assert (understood.eui, understood.flags) == (DEVICE.name, Flag.EUI_CLAIM_DIFFERS)


@pytest.mark.parametrize("usage", [None, "", "DS", " DS ", "ds", "XX"])
def test_a_usage_that_agrees_or_is_neither_of_the_two_is_not_flagged(usage: str | None) -> None:
    understood = entry(replace(DEVICE, usage=usage))
    assert (understood.usage, understood.flags) == (Usage.DIGITAL_SIGNING, Flag(0))


def test_a_usage_that_differs_is_flagged_and_not_followed() -> None:
    understood = entry(replace(DEVICE, usage="KA"))
    assert (understood.usage, understood.flags) == (Usage.DIGITAL_SIGNING, Flag.USAGE_CLAIM_DIFFERS)


@pytest.mark.parametrize(
    "role", [None, "", "127", " 127\n", "256", "-1", "7F", "1e2", "\u0661\u0662\u0667", "9" * 5000]
)
def test_a_role_that_agrees_or_is_no_role_is_not_flagged(role: str | None) -> None:
    understood = entry(replace(ORGANISATION, role=role))
    assert (understood.role, understood.flags) == (127, Flag(0))


@pytest.mark.parametrize("role", ["2", "02", "002", "255", "0"])
def test_a_role_that_differs_is_flagged_and_not_followed(role: str) -> None:
    understood = entry(replace(ORGANISATION, role=role))
    assert (understood.role, understood.flags) == (127, Flag.ROLE_CLAIM_DIFFERS)


@pytest.mark.parametrize(
    ("role", "number"), [("2", 2), ("02", 2), ("0", 0), ("255", 255), ("256", None), ("x", None)]
)
def test_a_role_is_taken_from_the_claim_where_the_body_is_silent(role: str, number: int | None) -> None:
    understood = entry(replace(DEVICE, role=role))
    assert (understood.facts.role, understood.role, understood.flags) == (None, number, Flag(0))


def test_eui_and_usage_are_taken_from_the_claims_where_the_body_is_silent() -> None:
    understood = entry(replace(AUTHORITY, name="00db1234567800ff", usage="KA"))
    assert (understood.eui, understood.usage) == ("00-DB-12-34-56-78-00-FF", Usage.KEY_AGREEMENT)
    assert (understood.facts.eui, understood.facts.usage, understood.flags) == (None, None, Flag(0))


def test_the_role_of_a_root_is_zero_and_not_silence() -> None:
    subject_of_issuing, subject_of_root = bytes.fromhex("040B1302303731"), bytes.fromhex("040B1302303031")
    der = base64.b64decode(BODIES[12])
    assert der.count(subject_of_issuing) == 1
    root = base64.b64encode(der.replace(subject_of_issuing, subject_of_root)).decode()
    understood = entry(replace(AUTHORITY, body=root, role="7"))
    assert (understood.role, understood.flags) == (0, Flag.ROLE_CLAIM_DIFFERS)


def test_claims_that_belong_to_another_certificate_are_all_flagged_and_the_body_is_followed() -> None:
    other = replace(ORGANISATION, name=DEVICE.name, serial=DEVICE.serial, role="2", usage="KA")
    understood = entry(other)
    assert understood.flags == ALL_CLAIMS_FLAGS
    assert understood._replace(flags=Flag(0)) == entry(ORGANISATION)


def test_a_body_that_the_strict_parser_refuses_is_kept_and_flagged() -> None:
    der = base64.b64decode(BODIES[0])
    at = der.index(bytes.fromhex("3059"))
    # A length in more octets than needed: sound to all others, and the parts around grow by one.
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
def test_the_manufacturing_flag_is_true_false_or_unknown(claim: str | None, meant: bool | None) -> None:
    assert entry(replace(DEVICE, manufacturing=claim)).manufacturing is meant


def test_a_detail_is_cut_at_its_limit_whatever_it_is_made_of() -> None:
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
    | st.binary(max_size=99).map(lambda octets: base64.b64encode(octets).decode()),
    role=TEXTS,
    usage=TEXTS,
    manufacturing=TEXTS,
)


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(RECORDS)
def test_whatever_a_record_holds_it_is_understood_or_rejected_in_a_printable_line(claims: Claims) -> None:
    understood = parse_record(1, claims)
    if isinstance(understood, Rejected):
        assert understood.detail.isprintable()
        assert 0 < len(understood.detail) <= DETAIL_LIMIT
    else:
        assert understood.facts == entry(Claims(body=claims.body, status="I")).facts
