"""The template cache gives the result of the parser, or no result."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.x509_builders import (
    DEVICE,
    EUI,
    ISSUING_OCA,
    ORGANISATION,
    REAL,
    extension,
    split,
    tlv,
    unwrap,
    with_extensions,
    with_field,
    with_null_parameters,
)

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


def parsed(der: bytes) -> ExaminedCertificate | None:
    """Parse without the cache."""
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
def _cache_of_the_seeds() -> None:
    template_cache.forget()
    for der in SEEDS:
        examine(der)


def test_lookup_returns_the_parsed_result_for_a_known_form() -> None:
    assert template_cache.lookup(DEVICE) == parsed(DEVICE)
    odd = with_null_parameters(DEVICE)
    assert template_cache.lookup(odd) == parsed(odd)
    assert [template_cache.lookup(DEVICE).refused, template_cache.lookup(odd).refused] == [False, True]  # type: ignore[union-attr]  # asserted above


def test_lookup_returns_none_for_organisations_and_authorities() -> None:
    assert template_cache.lookup(ORGANISATION) is None
    assert template_cache.lookup(ISSUING_OCA) is None


def test_lookup_returns_none_when_the_cache_is_empty() -> None:
    template_cache.forget()
    assert template_cache.lookup(DEVICE) is None


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_examine_agrees_with_the_parser_when_one_byte_changes(flip: int) -> None:
    for at in range(len(DEVICE)):
        changed = DEVICE[:at] + bytes([DEVICE[at] ^ flip]) + DEVICE[at + 1 :]
        known = template_cache.lookup(changed)
        assert known is None or known == parsed(changed), f"byte {at}"
        assert read(changed) == parsed(changed), f"byte {at}"


def test_lookup_returns_none_for_other_lengths() -> None:
    for size in range(len(DEVICE)):
        assert template_cache.lookup(DEVICE[:size]) is None
    assert template_cache.lookup(DEVICE + b"\0") is None


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 500), st.binary(max_size=3)), max_size=4))
def test_examine_agrees_with_the_parser_when_bytes_change(der: bytes, edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(der)
    for at, new in edits:
        data[at : at + len(new)] = new
    assert read(bytes(data)) == parsed(bytes(data))


def test_store_stops_at_the_limit_of_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_cache, "TEMPLATES_LIMIT", 2)
    template_cache.forget()
    at = DEVICE.index(b"\x06\x03\x55\x1d\x20") + 12  # inside the policy identifier, which is not parsed
    others = [DEVICE[:at] + bytes([n]) + DEVICE[at + 1 :] for n in range(5)]
    for der in others:
        examine(der)
    assert [template_cache.lookup(der) is not None for der in others] == [True, True, False, False, False]


def test_store_makes_no_template_when_an_extension_is_damaged() -> None:
    template_cache.forget()
    at = DEVICE.index(AUTHORITY_KEY_ID) - 1
    damaged = DEVICE[:at] + bytes([DEVICE[at] + 1]) + DEVICE[at + 1 :]
    assert parsed(damaged) is not None
    assert read(damaged) == parsed(damaged)
    assert template_cache.lookup(damaged) is None


def test_store_makes_no_template_for_a_longer_header() -> None:
    template_cache.forget()
    reframed = b"\x30\x83\0" + DEVICE[2:]  # a length with a needless byte
    assert read(reframed) == parsed(reframed)
    assert template_cache.lookup(reframed) is None


def test_store_makes_no_template_when_a_name_follows_the_eui() -> None:
    template_cache.forget()
    at = DEVICE.index(SUBJECT_ALT_NAME)
    named = grown(DEVICE, at - 1 + DEVICE[at - 1] + 1, b"\x82\x01a")  # a dNSName, at the end of the extension
    assert read(named) == parsed(named)
    assert facts_of(named) == facts_of(DEVICE)
    assert template_cache.lookup(named) is None


def grown(der: bytes, at: int, more: bytes) -> bytes:
    """Insert bytes at ``at`` and lengthen every element that ends there or encloses it."""
    data = bytearray(der)

    def lengthen(start: int) -> None:
        first = start + 2 + (data[start + 1] & 0x7F if data[start + 1] >= 0x80 else 0)
        size = int.from_bytes(data[start + 2 : first]) if data[start + 1] >= 0x80 else data[start + 1]
        if not first <= at <= first + size:
            return
        child = first
        while data[start] & 0x20 and child < at:
            inner = child + 2 + (data[child + 1] & 0x7F if data[child + 1] >= 0x80 else 0)
            long = data[child + 1] >= 0x80
            length = int.from_bytes(data[child + 2 : inner]) if long else data[child + 1]
            if inner + length >= at:
                lengthen(child)
                break
            child = inner + length
        where = slice(start + 2, first) if first > start + 2 else slice(start + 1, start + 2)
        data[where] = (size + len(more)).to_bytes(where.stop - where.start)

    lengthen(0)
    # The extension's value is DER inside an OCTET STRING, which the code above takes for a leaf.
    san = data.index(SUBJECT_ALT_NAME) + len(SUBJECT_ALT_NAME) + 3
    data[san + 3] += len(more)
    data[at:at] = more
    return bytes(data)


def test_store_makes_no_template_for_other_notations_of_dates() -> None:
    template_cache.forget()
    at = DEVICE.index(b"\x17\x0d")
    later = DEVICE[:at] + b"\x17\x0d20160406000" + DEVICE[at + 13 :]
    assert read(later) == parsed(later)
    assert template_cache.lookup(later) is None
    other = DEVICE[:at] + b"\x18" + DEVICE[at + 1 :]
    read(other)
    assert template_cache.lookup(other) is None


# Attacks of the security review.

HARDWARE = bytes.fromhex("06082B06010505070804")
TYPE = bytes.fromhex("06022A03")
VICTIM = bytes.fromhex("00DB12FFFFFFFFFF")
SKI = extension(0x0E, tlv(4, bytes.fromhex("431C98CE3F707B03")))


def hardware(*serials: bytes) -> bytes:
    parts = [tlv(4, serial) for serial in serials]
    return tlv(0xA0, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, *parts)))


def device(names: bytes, *others: bytes) -> bytes:
    """A device certificate with these alternative names and further elements among its extensions."""
    return with_extensions(DEVICE, SKI, extension(0x11, tlv(0x30, names)), *others)


@pytest.mark.parametrize(
    "others",
    [
        [bytes.fromhex("31050603551D11")],
        [tlv(0x31, bytes.fromhex("0603551D11"), b"\4\0")],
        [tlv(0x30, bytes.fromhex("0603551D0E"))],
        [b"\x1f\x81\1\0"],
    ],
)
def test_examine_does_not_raise_when_the_extension_list_is_hostile(others: list[bytes]) -> None:
    der = device(hardware(EUI), *others)
    assert examine(der) == examine(der) == parsed(der)
    assert template_cache.lookup(der) is None


@pytest.mark.parametrize(
    "names",
    [
        lambda last: hardware(EUI) + hardware(last),
        lambda last: hardware(EUI, last),
        lambda last: hardware(EUI) + tlv(0x82, last),
        lambda last: tlv(0xA0, HARDWARE, tlv(0xA0, tlv(0x30, TYPE, tlv(4, EUI)), tlv(4, last))),
    ],
    ids=["two hardware names", "two serial numbers", "another name", "trailing bytes"],
)
def test_a_second_copy_of_the_eui_never_lists_a_victim(names: Callable[[bytes], bytes]) -> None:
    examine(device(names(EUI)))
    hostile = device(names(VICTIM))
    assert examine(hostile) == parsed(hostile)
    assert examine(hostile).facts.eui != "00-DB-12-FF-FF-FF-FF-FF"


def test_a_second_copy_of_the_key_identifier_is_not_taken_for_it() -> None:
    twice = bytes.fromhex("431C98CE3F707B03")
    odd = extension(0x0E, tlv(4, twice) + twice)
    der = with_extensions(DEVICE, odd, extension(0x11, tlv(0x30, hardware(EUI))))
    examine(der)
    assert template_cache.lookup(der) is None


def test_every_gap_of_an_accepted_template_is_parsed_alike() -> None:
    """Change each gap of every real device certificate: template and parser must agree."""
    for der in REAL:
        facts = parsed(der)
        if facts is None or template_cache.lookup(der) is None:
            continue
        for at in range(len(der)):
            changed = der[:at] + bytes([der[at] ^ 0x5A]) + der[at + 1 :]
            assert template_cache.lookup(changed) in (None, parsed(changed)), f"byte {at}"


def test_a_template_is_refused_when_the_parser_disagrees_about_a_gap() -> None:
    template_cache.forget()
    known = parsed(DEVICE)
    assert known is not None
    template_cache.store(DEVICE, known, lambda _der: known)
    assert template_cache.lookup(DEVICE) is None


def test_store_ignores_errors_of_the_parser() -> None:
    template_cache.forget()
    known = parsed(DEVICE)
    assert known is not None

    def failing(_der: bytes) -> ExaminedCertificate:
        raise TypeError("a bug")

    template_cache.store(DEVICE, known, failing)
    assert template_cache.lookup(DEVICE) is None


def test_store_bounds_the_forms_of_one_length() -> None:
    """Move one byte from the serial number to the policy, and so on: one length, many layouts."""
    template_cache.forget()
    fields = split(unwrap(split(unwrap(DEVICE))[0]))
    serial, extensions = unwrap(fields[1]), unwrap(unwrap(fields[7]))
    stored: list[bytes] = []
    for size in range(2, 16):
        padding = extension(0x63, bytes(16 - size))
        der = with_field(DEVICE, 1, tlv(2, serial[:size]))
        der = with_field(der, 7, tlv(0xA3, tlv(0x30, padding, extensions)))
        assert len(der) == len(stored[0]) if stored else True
        stored.append(der)
        assert examine(der) == parsed(der)
    known = [der for der in stored if template_cache.lookup(der) is not None]
    assert len(known) == template_cache.FORMS_LIMIT


def test_fits_is_true_for_what_lookup_knows() -> None:
    assert template_cache.fits(DEVICE)
    assert not template_cache.fits(ORGANISATION)


def test_store_makes_no_template_when_an_extension_occurs_twice() -> None:
    template_cache.forget()
    known = parsed(DEVICE)
    assert known is not None
    twice = device(hardware(EUI), SKI)
    template_cache.store(twice, known, lambda _der: known)
    assert template_cache.lookup(twice) is None
