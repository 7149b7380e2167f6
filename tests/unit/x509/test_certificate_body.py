"""A certificate taken apart: the octets that were signed, by what, with which key; and what it allows."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.x509_builders import ISSUING_OCA, REAL, split, tlv, unwrap, with_extensions, with_null_parameters

from smki_sync.x509.certificate import read_body
from smki_sync.x509.der import MalformedDer
from smki_sync.x509.fields import (
    CRL_SIGN,
    KEY_CERT_SIGN_CONSTRAINTS,
    Constraints,
    read_constraints,
    read_flags,
)


@pytest.mark.parametrize("der", REAL)
def test_the_parts_are_those_that_the_strict_parser_finds(der: bytes) -> None:
    body, strict = read_body(der), x509.load_der_x509_certificate(der)
    assert body.tbs == strict.tbs_certificate_bytes
    assert body.signature == strict.signature
    assert body.version == 3
    assert body.issuer == strict.issuer.public_bytes()
    assert body.subject == strict.subject.public_bytes()
    assert body.spki == strict.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert [e.critical for e in body.extensions.values()] == [e.critical for e in strict.extensions]
    assert body.inner == body.outer
    assert not body.repeated
    assert not body.broken


def test_a_body_that_strict_parsers_refuse_is_taken_apart_too() -> None:
    body = read_body(with_null_parameters(REAL[0]))
    assert body.inner == body.outer == bytes.fromhex("300C06082A8648CE3D0403020500")


def test_octets_that_are_no_certificate_are_refused() -> None:
    tbs, *rest = split(unwrap(REAL[0]))
    short = tlv(0x30, tlv(0x30, *split(unwrap(tbs))[:5]), *rest)
    for octets in (b"", REAL[0][:-1], short):
        with pytest.raises(MalformedDer):
            read_body(octets)


def test_what_stands_behind_the_key_and_is_no_extension_is_passed() -> None:
    tbs, *rest = split(unwrap(REAL[0]))
    odd = tlv(0x30, tlv(0x30, *split(unwrap(tbs))[:7], tlv(0x81, b"\0\1")), *rest)
    assert read_body(odd).extensions == {}
    assert not read_body(odd).broken


def test_an_extension_list_that_breaks_off_gives_what_stands_before() -> None:
    (first, *_) = split(unwrap(unwrap(split(unwrap(split(unwrap(REAL[0]))[0]))[7])))
    body = read_body(with_extensions(REAL[0], first, b"\x30\x7f"))
    assert len(body.extensions) == 1
    assert body.broken


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        ("03020780", 0x80),
        ("03020308", 0x08),
        ("03020106", KEY_CERT_SIGN_CONSTRAINTS | CRL_SIGN),
        ("0303070680", 0x106),
        ("030100", 0),
        ("03020700", 0),
        ("0300", 0),
        ("0401", 0),
        ("", 0),
    ],
)
def test_the_flags_of_a_key_usage_are_read_and_what_is_malformed_has_none(value: str, flags: int) -> None:
    assert read_flags(bytes.fromhex(value)) == flags


@pytest.mark.parametrize(
    ("value", "constraints"),
    [
        ("30060101FF020100", Constraints(is_ca=True, path_length=0)),
        ("30060101FF020103", Constraints(is_ca=True, path_length=3)),
        ("30030101FF", Constraints(is_ca=True)),
        ("3003010100", Constraints()),
        ("3000", Constraints()),
        ("3003020100", Constraints()),
        ("30050101FF0401", Constraints()),
        ("", Constraints()),
    ],
)
def test_basic_constraints_are_read_and_what_is_malformed_makes_no_authority(
    value: str, constraints: Constraints
) -> None:
    assert read_constraints(bytes.fromhex(value)) == constraints


def test_the_constraints_of_a_real_authority_are_read() -> None:
    extensions = read_body(ISSUING_OCA).extensions
    assert read_constraints(extensions[bytes.fromhex("551D13")].value) == Constraints(
        is_ca=True, path_length=0
    )
