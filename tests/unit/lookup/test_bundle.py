"""`bundle`: the certificates and path of a service request, or nothing and the candidates."""

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lxml import etree
from support.cli import Ran, Shell
from support.party import (
    BROKER,
    DATA,
    LOAD_CONTROLLER,
    OTHER_SUPPLIER,
    SUPPLIER,
    ders,
    party_mirror,
    shell,
)
from support.x509_builders import ISSUING_OCA

from smki_sync.lookup.bundle import (
    REQUEST_FORMS,
    Bundle,
    BundleElement,
    BundleItem,
    BundlePurpose,
    duis_elements,
)
from smki_sync.mirror.queries import EuiIs, find_certificates, open_mirror
from smki_sync.model.certificate import Eui
from smki_sync.usability import rule_at
from smki_sync.x509 import read_facts
from smki_sync.x509.der import read_bundle

SCHEMA = etree.XMLSchema(etree.parse(str(DATA.with_name("duis-5.4-certificates.xsd"))))
NAMESPACE = "http://www.dccinterface.co.uk/ServiceUserGateway"
REQUESTS = {
    "6.15.1": "UpdateSecurityCredentialsKRP",
    "6.21": "RequestHandoverOfDCCControlledDevice",
    "6.23": "UpdateSecurityCredentialsCoS",
    "8.5": "ServiceOptOut",
}
NOW = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp())


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    place = tmp_path_factory.mktemp("bundle")
    party_mirror(place / "mirror")
    return shell(place)


def current(eui: str, element: str) -> bytes:
    """The renewed certificate of a party that has one key for this element."""
    (der,) = [der for der in ders(eui, element) if read_facts(der).not_after > NOW]
    return der


def serial(der: bytes) -> str:
    return f"serial:{read_facts(der).serial}"


def validated(purpose: str, text: str) -> dict[str, list[bytes]]:
    """The certificates by element, in order, after validation against the schema."""
    tree = etree.fromstring(f'<r:{REQUESTS[purpose]} xmlns:r="{NAMESPACE}">{text}</r:{REQUESTS[purpose]}>')
    SCHEMA.assertValid(tree)
    found: dict[str, list[bytes]] = {}
    for one in tree.iter():
        if one.text and one.text.strip():
            found.setdefault(etree.QName(one).localname, []).append(b64decode(one.text, validate=True))
    return found


TOP_UP = current(OTHER_SUPPLIER, "KeyAgreementTopUpCertificate")


@pytest.mark.parametrize("purpose", ["6.15.1", "6.21", "6.23"])
def test_bundle_of_a_supplier_is_valid_duis_in_order(ask: Shell, purpose: str) -> None:
    ran = ask("bundle", OTHER_SUPPLIER, "--role", "supplier", "--for", purpose, "--top-up", serial(TOP_UP))
    assert ran.code == 0, ran.err
    assert validated(purpose, ran.out) == {
        "DigitalSigningCertificate": [current(OTHER_SUPPLIER, "DigitalSigningCertificate")],
        "KeyAgreementCertificate": [current(OTHER_SUPPLIER, "KeyAgreementCertificate")],
        "KeyAgreementTopUpCertificate": [TOP_UP],
        "Certificate": [ISSUING_OCA],
    }
    assert "position 2026-11-09" in ran.err


def test_bundle_for_8_5_is_valid_duis(ask: Shell) -> None:
    with open_mirror(ask.place / "mirror" / "mirror.db") as db:
        (agreement,) = find_certificates(
            db, EuiIs(eui=Eui(LOAD_CONTROLLER)), rule_at(datetime(2026, 3, 2, tzinfo=UTC)), usage="KA"
        )
    made = Bundle(items=(BundleItem(BundleElement.KEY_AGREEMENT, agreement),), path=(ISSUING_OCA,))
    text = duis_elements(made, REQUEST_FORMS[BundlePurpose.OPT_OUT])
    assert [*validated("8.5", text)] == ["KeyAgreementCertificate", "Certificate"]


def test_published_key_agreement_certificate_of_the_broker_is_one_for_signing(ask: Shell) -> None:
    """Its key usage is digital signature, so it must not be used for key agreement."""
    (newest,) = [der for der in ders(BROKER) if read_facts(der).not_after > NOW]
    assert read_facts(newest).usage == "DS"
    ran = ask("bundle", BROKER, "--role", "4", "--for", "8.5")
    assert "KeyAgreementCertificate: " in nothing(ran)


def test_bundle_of_a_load_controller_needs_no_top_up(ask: Shell) -> None:
    ran = ask("bundle", LOAD_CONTROLLER, "--role", "loadController", "--for", "6.15.1")
    assert ran.code == 0
    assert [*validated("6.15.1", ran.out)] == [
        "DigitalSigningCertificate",
        "KeyAgreementCertificate",
        "Certificate",
    ]


def nothing(ran: Ran) -> str:
    assert (ran.code, ran.out) == (10, "")
    return " ".join(ran.err.split())


def test_bundle_writes_nothing_when_the_top_up_certificate_is_not_named(ask: Shell) -> None:
    output = ask.place / "ambiguous.xml"
    said = nothing(ask("bundle", OTHER_SUPPLIER, "--role", "2", "--for", "6.23", "--output", "ambiguous.xml"))
    assert not output.exists()
    assert "KeyAgreementCertificate: ambiguous" in said
    for der in (TOP_UP, current(OTHER_SUPPLIER, "KeyAgreementCertificate")):
        facts = read_facts(der)
        assert facts.serial in said
        assert str(facts.ski) in said


def test_bundle_writes_nothing_when_two_signing_keys_are_equally_new(ask: Shell) -> None:
    said = nothing(ask("bundle", SUPPLIER, "--role", "2", "--for", "pem", "--need", "DS"))
    tied = [der for der in ders(SUPPLIER, "DigitalSigningCertificate") if read_facts(der).not_after > NOW]
    assert len(tied) == 2
    assert all(read_facts(der).serial in said for der in tied)


@pytest.mark.parametrize(("at", "verdict"), [("2036-01-01", "expired"), ("2015-01-01", "not-yet-valid")])
def test_bundle_writes_nothing_when_it_is_not_valid_at_that_time(ask: Shell, at: str, verdict: str) -> None:
    said = nothing(ask("bundle", LOAD_CONTROLLER, "--role", "8", "--for", "pem", "--at", at))
    assert f"DigitalSigningCertificate: {verdict}" in said
    assert f"KeyAgreementCertificate: {verdict}" in said


def test_bundle_uses_the_old_generation_when_the_new_one_is_not_valid_yet(ask: Shell) -> None:
    ran = ask(
        *("bundle", OTHER_SUPPLIER, "--role", "2", "--for", "pem", "--need", "DS", "--at", "2025-08-01")
    )
    assert ran.code == 0
    first, _ = read_bundle(ran.raw)
    assert first in ders(OTHER_SUPPLIER, "DigitalSigningCertificate")
    assert read_facts(first).not_after < NOW


def test_bundle_writes_nothing_without_a_trust_anchor(ask: Shell, tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text(f'[mirror]\npath = "{ask.place / "mirror"}"\n')
    words = ("bundle", LOAD_CONTROLLER, "--role", "8", "--for", "pem", "--config", tmp_path / "bare.toml")
    assert "trust.anchors is not configured" in nothing(ask(*words))


def test_bundle_writes_nothing_when_an_authority_is_revoked(tmp_path: Path) -> None:
    ask = shell(tmp_path)
    party_mirror(tmp_path / "mirror", others={"R": [ISSUING_OCA]})
    nothing(ask("bundle", LOAD_CONTROLLER, "--role", "8", "--for", "6.15.1"))


def test_bundle_writes_nothing_for_an_unknown_party(ask: Shell) -> None:
    assert "missing" in nothing(ask("bundle", "90-B3-D5-1F-30-99-99-99", "--role", "2", "--for", "pem"))


def test_named_top_up_of_another_party_is_not_used(ask: Shell) -> None:
    other = ders(SUPPLIER, "KeyAgreementTopUpCertificate")[0]
    words = ("bundle", OTHER_SUPPLIER, "--role", "2", "--for", "6.15.1", "--top-up", serial(other))
    assert "not a key agreement certificate of this EUI-64" in nothing(ask(*words))


def test_pem_and_der_contain_the_same_certificates_and_path(ask: Shell) -> None:
    words = ("bundle", LOAD_CONTROLLER, "--role", "8")
    pem = ask(*words, "--for", "pem")
    ran = ask(*words, "--for", "der", "--output", "controller")
    assert (pem.code, ran.code) == (0, 0)
    written = {path.name: path.read_bytes() for path in (ask.place / "controller").iterdir()}
    assert [*read_bundle(pem.raw)] == [
        written["DigitalSigningCertificate.der"],
        written["KeyAgreementCertificate.der"],
        written["path-1.der"],
    ]
    assert len(written) == 3


def test_bundle_document_names_schema_position_and_anchor(ask: Shell) -> None:
    words = ("bundle", LOAD_CONTROLLER, "--role", "8", "--for", "6.15.1", "--json")
    document = ask(*words).document
    assert document["schema"] == "smki-sync/bundle/1"
    assert document["outcome"] == "complete"
    assert (document["duis_schema"], document["position"], document["unproven"]) == (
        "5.4",
        "2026-11-09",
        None,
    )
    assert document["anchor"].startswith("CN=Z1,OU=07")
    assert document["text"] == ask(*words[:-1]).out
    assert b64decode(document["path"][0]) == ISSUING_OCA


def test_bundle_document_lists_the_candidates_of_a_problem(ask: Shell) -> None:
    ran = ask("bundle", SUPPLIER, "--role", "2", "--for", "6.21", "--json")
    assert ran.code == 10
    document = ran.document
    assert (document["outcome"], document["text"], document["certificates"]) == ("findings", None, [])
    signing, agreement = document["problems"]
    assert (signing["code"], agreement["code"]) == ("ambiguous", "ambiguous")
    assert [one["verdict"] for one in signing["candidates"]] == ["ready", "ready", "expired", "expired"]


@pytest.mark.parametrize(
    "words",
    [
        (SUPPLIER, "--role", "networkOperator", "--for", "6.23"),
        (SUPPLIER, "--role", "supplier", "--for", "8.5"),
        (SUPPLIER, "--role", "2", "--for", "6.21", "--need", "KA"),
        (SUPPLIER, "--role", "3", "--for", "6.15.1", "--top-up", "serial:00"),
        (SUPPLIER, "--role", "2", "--for", "6.15.1", "--top-up", SUPPLIER),
        (SUPPLIER, "--role", "2", "--for", "der"),
        ("nonsense", "--role", "2", "--for", "pem"),
    ],
)
def test_bundle_that_no_request_can_carry_is_a_usage_error(ask: Shell, words: tuple[str, ...]) -> None:
    ran = ask("bundle", *words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
