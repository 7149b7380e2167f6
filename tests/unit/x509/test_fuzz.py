"""Any bytes give facts or NotACertificate, and no other facts than those of the strict parser."""

import warnings

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from support.x509_builders import DEVICE, ISSUING_OCA, ORGANISATION, REAL, tlv, with_null_parameters
from support.x509_oracle import facts_by_cryptography

from smki_sync.model.certificate import Facts
from smki_sync.x509 import NotACertificate, read_facts, strict_parser_refuses

REFUSALS = (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)  # no ValueErrors
SEEDS = [DEVICE, ORGANISATION, ISSUING_OCA, with_null_parameters(DEVICE)]
many = settings(max_examples=600, deadline=None, database=None, derandomize=True)


def facts_or_none(der: bytes) -> Facts | None:
    try:
        return read_facts(der)
    except NotACertificate:
        return None


def facts_by_strict_parser(der: bytes) -> Facts | None:
    """The facts according to pyca/cryptography, ``None`` if it refuses or warns of any part."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return facts_by_cryptography(der)
        except (ValueError, TypeError, Warning, *REFUSALS):
            return None


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A certificate with a few bytes changed, added or removed."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


@st.composite
def changed(draw: st.DrawFn) -> bytes:
    """A certificate with one byte changed. Its outer structure is often sound."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@st.composite
def nested(draw: st.DrawFn) -> bytes:
    """Sound DER without a meaning."""
    tags = st.sampled_from([2, 3, 4, 5, 6, 0x17, 0x30, 0x31, 0xA0, 0xA3])
    leaves = st.builds(tlv, tags, st.binary(max_size=12))
    elements = st.recursive(
        leaves, lambda inner: st.builds(lambda t, parts: tlv(t, *parts), tags, st.lists(inner, max_size=4))
    )
    return draw(elements)


@many
@given(st.one_of(st.binary(max_size=600), mutated(), changed(), nested()))
def test_read_facts_gives_facts_or_raises_for_any_bytes(der: bytes) -> None:
    facts = facts_or_none(der)
    assert facts is None or isinstance(facts, Facts)
    if facts is None:
        assert strict_parser_refuses(der) or facts_by_strict_parser(der) is None


@many
@given(st.one_of(changed(), mutated()))
def test_read_facts_agrees_with_the_strict_parser(der: bytes) -> None:
    known = facts_by_strict_parser(der)
    if known is not None:
        assert facts_or_none(der) == known


@pytest.mark.parametrize("der", [*REAL, with_null_parameters(DEVICE)])
def test_read_facts_raises_when_the_certificate_is_cut_off(der: bytes) -> None:
    for end in range(len(der)):
        with pytest.raises(NotACertificate):
            read_facts(der[:end])


@pytest.mark.parametrize("der", [*REAL, with_null_parameters(DEVICE)])
@pytest.mark.parametrize("trailing", [b"\0", b"\n", b"\x30\x00"])
def test_read_facts_raises_when_bytes_follow_the_certificate(der: bytes, trailing: bytes) -> None:
    with pytest.raises(NotACertificate, match="too many"):
        read_facts(der + trailing)


@pytest.mark.parametrize("seed", SEEDS)
def test_read_facts_gives_facts_or_raises_when_one_byte_changes(seed: bytes) -> None:
    for at in range(len(seed)):
        for flip in (0x01, 0x80, 0xFF):
            der = seed[:at] + bytes((seed[at] ^ flip,)) + seed[at + 1 :]
            facts = facts_or_none(der)
            assert facts is None or isinstance(facts, Facts)
