"""Moulds are a shortcut: what they say of a certificate is what the walk says of it, or nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.x509_builders import DEVICE, ISSUING_OCA, ORGANISATION, REAL, with_null_parameters

from smki_sync.x509 import (
    ExaminedCertificate,
    NotACertificate,
    examine,
    strict_parser_refuses,
    template_cache,
)
from smki_sync.x509.certificate import facts_of
from smki_sync.x509.der import MalformedDer

AUTHORITY_KEY_ID = bytes.fromhex("0603551D23")
SUBJECT_ALT_NAME = bytes.fromhex("0603551D11")
SEEDS = [DEVICE, ORGANISATION, ISSUING_OCA, with_null_parameters(DEVICE), *REAL]


def walked(der: bytes) -> ExaminedCertificate | None:
    """What the long way finds: the walk, and the strict parser asked."""
    try:
        return ExaminedCertificate(facts_of(der), strict_parser_refuses(der))
    except MalformedDer:
        return None


def read(der: bytes) -> ExaminedCertificate | None:
    try:
        return examine(der)
    except NotACertificate:
        return None


@pytest.fixture(autouse=True)
def _only_the_seeds_are_known() -> None:
    template_cache.forget()
    for der in SEEDS:
        examine(der)


def test_a_device_like_one_seen_before_fits_its_mould() -> None:
    assert template_cache.lookup(DEVICE) == walked(DEVICE)
    odd = with_null_parameters(DEVICE)
    assert template_cache.lookup(odd) == walked(odd)
    assert [template_cache.lookup(DEVICE).refused, template_cache.lookup(odd).refused] == [False, True]  # type: ignore[union-attr]  # asserted above


def test_organisations_and_authorities_are_always_walked() -> None:
    assert template_cache.lookup(ORGANISATION) is None
    assert template_cache.lookup(ISSUING_OCA) is None


def test_a_certificate_of_a_kind_never_seen_fits_nothing() -> None:
    template_cache.forget()
    assert template_cache.lookup(DEVICE) is None


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_octet_changed_is_read_as_the_walk_reads_it(flip: int) -> None:
    for at in range(len(DEVICE)):
        changed = DEVICE[:at] + bytes([DEVICE[at] ^ flip]) + DEVICE[at + 1 :]
        known = template_cache.lookup(changed)
        assert known is None or known == walked(changed), f"octet {at}"
        assert read(changed) == walked(changed), f"octet {at}"


def test_cut_and_lengthened_certificates_fit_no_mould() -> None:
    for size in range(len(DEVICE)):
        assert template_cache.lookup(DEVICE[:size]) is None
    assert template_cache.lookup(DEVICE + b"\0") is None


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=3)), max_size=4))
def test_whatever_is_changed_is_read_as_the_walk_reads_it(der: bytes, edits: list[tuple[int, bytes]]) -> None:
    octets = bytearray(der)
    for at, new in edits:
        octets[at : at + len(new)] = new
    assert read(bytes(octets)) == walked(bytes(octets))


def test_a_file_made_to_harm_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_cache, "MOULDS_LIMIT", 2)
    template_cache.forget()
    at = DEVICE.index(b"\x06\x03\x55\x1d\x20") + 12  # inside the policy identifier, which is not read
    others = [DEVICE[:at] + bytes([n]) + DEVICE[at + 1 :] for n in range(5)]
    for der in others:
        examine(der)
    assert [template_cache.lookup(der) is not None for der in others] == [True, True, False, False, False]


def test_a_device_with_a_damaged_extension_makes_no_mould() -> None:
    template_cache.forget()
    at = DEVICE.index(AUTHORITY_KEY_ID) - 1
    damaged = DEVICE[:at] + bytes([DEVICE[at] + 1]) + DEVICE[at + 1 :]
    assert walked(damaged) is not None
    assert read(damaged) == walked(damaged)
    assert template_cache.lookup(damaged) is None


def test_a_device_in_another_frame_makes_no_mould() -> None:
    template_cache.forget()
    reframed = b"\x30\x83\0" + DEVICE[2:]  # a length in more octets than needed
    assert read(reframed) == walked(reframed)
    assert template_cache.lookup(reframed) is None


def test_a_device_with_a_name_behind_its_hardware_name_makes_no_mould() -> None:
    template_cache.forget()
    at = DEVICE.index(SUBJECT_ALT_NAME)
    named = grown(DEVICE, at - 1 + DEVICE[at - 1] + 1, b"\x82\x01a")  # a dNSName, at the end of the extension
    assert read(named) == walked(named)
    assert facts_of(named) == facts_of(DEVICE)
    assert template_cache.lookup(named) is None


def grown(der: bytes, at: int, more: bytes) -> bytes:
    """Put octets in at ``at`` and lengthen every element that ends there or encloses it."""
    octets = bytearray(der)

    def lengthen(start: int) -> None:
        first = start + 2 + (octets[start + 1] & 0x7F if octets[start + 1] >= 0x80 else 0)
        size = int.from_bytes(octets[start + 2 : first]) if octets[start + 1] >= 0x80 else octets[start + 1]
        if not first <= at <= first + size:
            return
        child = first
        while octets[start] & 0x20 and child < at:
            inner = child + 2 + (octets[child + 1] & 0x7F if octets[child + 1] >= 0x80 else 0)
            long = octets[child + 1] >= 0x80
            length = int.from_bytes(octets[child + 2 : inner]) if long else octets[child + 1]
            if inner + length >= at:
                lengthen(child)
                break
            child = inner + length
        where = slice(start + 2, first) if first > start + 2 else slice(start + 1, start + 2)
        octets[where] = (size + len(more)).to_bytes(where.stop - where.start)

    lengthen(0)
    # The extension's value is DER inside an OCTET STRING, which the walk above takes for a leaf.
    san = octets.index(SUBJECT_ALT_NAME) + len(SUBJECT_ALT_NAME) + 3
    octets[san + 3] += len(more)
    octets[at:at] = more
    return bytes(octets)


def test_a_device_whose_dates_are_written_otherwise_makes_no_mould() -> None:
    template_cache.forget()
    at = DEVICE.index(b"\x17\x0d")
    later = DEVICE[:at] + b"\x17\x0d20160406000" + DEVICE[at + 13 :]
    assert read(later) == walked(later)
    assert template_cache.lookup(later) is None
    other = DEVICE[:at] + b"\x18" + DEVICE[at + 1 :]
    read(other)
    assert template_cache.lookup(other) is None
