"""`resolve`: answers to 6.24.1 and 6.24.2, outcomes of updates, alerts, and lists of hashes."""

import subprocess
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from pathlib import Path

import pytest
from support.cli import Ran, Shell, command_line
from support.party import OTHER_SUPPLIER, SUPPLIER, ders, party_mirror, shell
from support.x509_builders import DEVICE, ISSUING_OCA

from smki_sync.x509 import read_facts

MMC = "http://www.dccinterface.co.uk/ResponseAndAlert"
DUIS = "http://www.dccinterface.co.uk/ServiceUserGateway"
METER = "00-DB-12-34-56-78-90-A0"
OPERATOR = "90-B3-D5-1F-30-02-00-00"


def generations(eui: str, element: str) -> list[bytes]:
    """The certificates of a party, the oldest first."""
    return sorted(ders(eui, element), key=lambda der: read_facts(der).not_before)


OLD, NEW = generations(OTHER_SUPPLIER, "DigitalSigningCertificate")
OLD_KA, NEW_KA = generations(OTHER_SUPPLIER, "KeyAgreementCertificate")
OPERATOR_NEW = generations(OPERATOR, "DigitalSigningCertificate")[-1]
STRANGE = b"\1" * 20


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    place = tmp_path_factory.mktemp("resolve")
    party_mirror(place / "mirror")
    return shell(place)


def digest(der: bytes) -> str:
    return b64encode(sha1(der, usedforsecurity=False).digest()).decode()


def element(name: str, *content: str) -> str:
    return f"<ra:{name}>{''.join(content)}</ra:{name}>"


def status(word: str) -> str:
    return element("StatusCode", element("ASN1Status", word))


def details(role: str, usage: str, party: str, hashed: str) -> str:
    return element(
        "RemotePartyDetails",
        element("RemotePartyRole", role),
        status("success"),
        element("RemotePartyFloorSeqNumber", "0"),
        element("CertificateUsage", usage),
        element("ExistingRemotePartyID", party),
        element("ExistingCertificateHash", hashed),
    )


def answer(*content: str, name: str = "RetrieveDeviceSecurityCredentialsKRPRsp") -> str:
    """A response of a meter, as MMC XML."""
    header = element("Header", element("BusinessOriginatorID", METER), element("BusinessTargetID", SUPPLIER))
    body = element("Body", element("ResponseMessage", element("SMETSData", element(name, *content))))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<ra:GBCSResponse xmlns:ra="{MMC}" schemaVersion="5.4">{header}{body}</ra:GBCSResponse>'
    )


def resolve(ask: Shell, text: str, *words: object) -> Ran:
    (ask.place / "answer.xml").write_text(text)
    return ask("resolve", "answer.xml", *words, "--json")


def verdicts(ran: Ran) -> list[str]:
    return [one["verdict"] for one in ran.document["credentials"]]


def test_answer_of_three_generations_is_assessed_line_by_line(ask: Shell) -> None:
    ran = resolve(
        ask,
        answer(
            details("Supplier", "DigitalSigning", OTHER_SUPPLIER, digest(NEW)),
            details("Supplier", "KeyAgreement", OTHER_SUPPLIER, digest(OLD_KA)),
            details("NetworkOperator", "DigitalSigning", OPERATOR, digest(OPERATOR_NEW)),
            details("ACB", "KeyAgreement", OPERATOR, b64encode(STRANGE).decode()),
        ),
    )
    assert ran.code == 10
    assert ran.document["device"] == METER
    assert verdicts(ran) == ["correct", "expired", "correct", "unknown"]
    expired = ran.document["credentials"][1]
    assert expired["serial"] == read_facts(OLD_KA).serial
    assert expired["newer_serial"] == read_facts(NEW_KA).serial
    assert (expired["role"], expired["usage"]) == (2, "KeyAgreement")


def test_answer_with_only_correct_credentials_exits_0(ask: Shell) -> None:
    text = answer(details("Supplier", "DigitalSigning", OTHER_SUPPLIER, digest(NEW)))
    ran = resolve(ask, text, "--expect", f"supplier={OTHER_SUPPLIER}")
    assert (ran.code, ran.document["outcome"], verdicts(ran)) == (0, "correct", ["correct"])
    assert ran.document["position"] == "2026-11-09"


@pytest.mark.parametrize("role", ["supplier", "Supplier", "2"])
def test_credential_of_another_party_is_not_expected(ask: Shell, role: str) -> None:
    text = answer(details("Supplier", "DigitalSigning", OTHER_SUPPLIER, digest(NEW)))
    ran = resolve(ask, text, "--expect", f"{role}={SUPPLIER}")
    assert (ran.code, verdicts(ran)) == (10, ["not-the-expected-party"])
    assert SUPPLIER in ran.document["credentials"][0]["why"]
    both = ("--expect", f"supplier={SUPPLIER}", "--expect", f"supplier={OTHER_SUPPLIER}")
    assert resolve(ask, text, *both).code == 0


def test_configured_party_is_expected_for_its_role(ask: Shell) -> None:
    text = (ask.place / "smki-sync.toml").read_text()
    (ask.place / "party.toml").write_text(f'{text}[party]\neuis = ["{SUPPLIER}"]\n')
    reported = answer(
        details("Supplier", "DigitalSigning", OTHER_SUPPLIER, digest(NEW)),
        details("NetworkOperator", "DigitalSigning", OPERATOR, digest(OPERATOR_NEW)),
    )
    ran = resolve(ask, reported, "--config", "party.toml")
    assert verdicts(ran) == ["not-the-expected-party", "correct"]
    explicit = ("--expect", f"supplier={OTHER_SUPPLIER}")
    assert resolve(ask, reported, "--config", "party.toml", *explicit).code == 0


@pytest.mark.parametrize(
    ("reported", "verdict"),
    [
        (details("NetworkOperator", "DigitalSigning", OTHER_SUPPLIER, digest(NEW)), "not-the-expected-party"),
        (details("Supplier", "DigitalSigning", SUPPLIER, digest(NEW)), "not-the-expected-party"),
        (details("Supplier", "KeyAgreement", OTHER_SUPPLIER, digest(NEW)), "wrong-usage"),
        (details("Root", "KeyCertSign", "00-00-00-00-00-00-00-00", digest(ISSUING_OCA)), "correct"),
        (details("Supplier", "DigitalSigning", OTHER_SUPPLIER, "no hash"), None),
        (details("Supplier", "DigitalSigning", OTHER_SUPPLIER, b64encode(b"short").decode()), "unreadable"),
        (
            element("RemotePartyDetails", element("RemotePartyRole", "Recovery"), status("other")),
            "not-reported",
        ),
    ],
)
def test_credential_that_does_not_match_its_slot_is_found(
    ask: Shell, reported: str, verdict: str | None
) -> None:
    ran = resolve(ask, answer(reported))
    if verdict is None:
        assert (ran.code, ran.error["code"]) == (2, "not-credentials")
    else:
        assert verdicts(ran) == [verdict]


def test_revoked_credential_is_revoked(tmp_path: Path) -> None:
    ask = shell(tmp_path)
    party_mirror(tmp_path / "mirror", others={"R": [NEW]})
    ran = resolve(ask, answer(details("Supplier", "DigitalSigning", OTHER_SUPPLIER, digest(NEW))))
    assert (ran.code, verdicts(ran)) == (10, ["revoked"])


def outcome(word: str) -> str:
    return element(
        "ReplacementOutcome",
        status(word),
        element("CertificateType", "DigitalSigning"),
        element("RemotePartyRole", "Supplier"),
        element("ExistingRemotePartyID", OTHER_SUPPLIER),
        element("NewRemotePartyID", OTHER_SUPPLIER),
        element("ExistingCertificateHash", digest(OLD)),
        element("NewCertificateHash", digest(NEW)),
    )


@pytest.mark.parametrize(
    ("word", "verdict", "on_the_meter"), [("success", "correct", NEW), ("badCertificate", "expired", OLD)]
)
def test_outcome_of_an_update_says_what_is_on_the_meter(
    ask: Shell, word: str, verdict: str, on_the_meter: bytes
) -> None:
    ran = resolve(
        ask, answer(element("ExecutionOutcome", outcome(word)), name="UpdateSecurityCredentialsRsp")
    )
    (found,) = ran.document["credentials"]
    assert (found["verdict"], found["serial"]) == (verdict, read_facts(on_the_meter).serial)
    assert found["status"] == (None if word == "success" else word)


def alert(*content: str) -> str:
    inner = "".join(content)
    return (
        f'<sr:Response xmlns:sr="{DUIS}" schemaVersion="5.4"><sr:Body><sr:DCCAlertMessage><sr:DCCAlert>'
        f"{inner}</sr:DCCAlert></sr:DCCAlertMessage></sr:Body></sr:Response>"
    )


def test_alert_of_updated_credentials_is_assessed(ask: Shell) -> None:
    certificates = "".join(
        f"<sr:Certificates><sr:CertificateType>{kind}</sr:CertificateType>"
        f"<sr:CertificateHash>{digest(der)}</sr:CertificateHash></sr:Certificates>"
        for kind, der in (("DigitalSigning", NEW), ("KeyAgreement", NEW_KA))
    )
    text = alert(
        f"<sr:SecurityCredentialsUpdated><sr:DeviceID>{METER}</sr:DeviceID>"
        f"<sr:RemotePartyRole>Supplier</sr:RemotePartyRole>{certificates}</sr:SecurityCredentialsUpdated>"
    )
    ran = resolve(ask, text)
    assert (ran.document["device"], verdicts(ran)) == (METER, ["correct", "correct"])


def test_serial_number_of_an_alert_is_read_as_decimal(ask: Shell) -> None:
    number = int(read_facts(NEW).serial, 16)
    text = alert(
        f"<sr:CoSCertificateAlert><sr:DeviceID>{METER}</sr:DeviceID>"
        f"<sr:CertificateSerialNumber>{number}</sr:CertificateSerialNumber></sr:CoSCertificateAlert>"
    )
    (found,) = resolve(ask, text).document["credentials"]
    assert (found["verdict"], found["serial"]) == ("correct", read_facts(NEW).serial)


def test_certificate_of_the_device_itself_is_compared(ask: Shell) -> None:
    for der, verdict in ((DEVICE, "correct"), (DEVICE[:-1] + bytes([DEVICE[-1] ^ 1]), "unknown")):
        body = element("Certificate", b64encode(der).decode())
        ran = resolve(ask, answer(body, name="RetrieveDeviceSecurityCredentialsDeviceRsp"))
        assert verdicts(ran) == [verdict]


def test_lines_of_hashes_and_serial_numbers_are_assessed(ask: Shell) -> None:
    texts = (
        sha1(NEW, usedforsecurity=False).hexdigest(),
        digest(OLD_KA),
        f"ski:{read_facts(NEW_KA).ski}",
        read_facts(OPERATOR_NEW).serial,
        OTHER_SUPPLIER,
        "nonsense",
    )
    ran = resolve(ask, "\n".join(texts))
    assert verdicts(ran) == ["correct", "expired", "correct", "correct", "unreadable", "unreadable"]
    assert ran.document["credentials"][5]["label"] == "line 6"


def test_text_says_whose_each_credential_is(ask: Shell) -> None:
    (ask.place / "answer.xml").write_text(
        answer(
            details("Supplier", "DigitalSigning", OTHER_SUPPLIER, digest(OLD)),
            details("Supplier", "KeyAgreement", OTHER_SUPPLIER, digest(NEW_KA)),
        )
    )
    ran = ask("resolve", "answer.xml")
    said = " ".join(ran.out.split())
    assert said.startswith(f"1 of 2 credentials of device {METER} are correct.")
    assert f"supplier (2) DigitalSigning: expired: {OTHER_SUPPLIER}" in said
    assert f"A newer certificate is usable: serial number {read_facts(NEW).serial}." in said


def test_standard_input_is_read(ask: Shell) -> None:
    ran = subprocess.run(
        command_line("resolve", "-"),
        input=answer(details("Supplier", "DigitalSigning", OTHER_SUPPLIER, digest(NEW))),
        cwd=ask.place,
        env=ask.environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (
        0,
        f"1 of 1 credentials of device {METER} are correct.",
    )


def deep(levels: int) -> str:
    return "<a>" * levels + "</a>" * levels


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('<!DOCTYPE r [<!ENTITY x "y">]><r>&x;</r>', 6),
        ("<r>", 6),
        (deep(40), 6),
        ("<r>" + "x" * 1_100_000 + "</r>", 6),
        ("<r/>", 2),
        (answer(), 2),
    ],
)
def test_hostile_or_foreign_xml_is_refused(ask: Shell, text: str, code: int) -> None:
    ran = resolve(ask, text)
    assert ran.code == code
    assert "answer.xml" in ran.error["message"]


@pytest.mark.parametrize(
    "words", [("--expect", "supplier"), ("--expect", "baker=" + SUPPLIER), ("--expect", "2=x")]
)
def test_wrong_expectation_is_a_usage_error(ask: Shell, words: Iterable[str]) -> None:
    assert resolve(ask, answer(), *words).code == 2


def test_empty_input_is_no_positive_answer(ask: Shell) -> None:
    assert resolve(ask, "\n").code == 10
