"""Any bytes in place of a certificate, a name, a list or a slot file: a value, or the named error."""

import gzip
import warnings
from base64 import b64encode
from collections.abc import Callable

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from support.defects import BY_ITSELF, PKI
from support.list_pki import ISSUED, ISSUING, ROOT, Form, octets, signer
from support.x509_builders import DEVICE, ISSUING_OCA, ORGANISATION, REAL, tlv, with_null_parameters

from resilience.fuzz.mutations import fuzzing, mutated
from smki_sync.errors import BadExtract
from smki_sync.model.certificate import Claims, Entry, Facts, Flag, Rejected, serial_decimal
from smki_sync.model.extract import ListKind, RevocationList
from smki_sync.reader import ReaderLimits
from smki_sync.reader.gzip_stream import GzipStream
from smki_sync.records import PreParsed, finish_parse, parse_record, pre_parse
from smki_sync.timestamps import text_of
from smki_sync.trust.chain import Authorities, AuthorityStatus, ChainValidator, anchors_in, anchors_of
from smki_sync.trust.chain import authority_of as read_authority
from smki_sync.trust.revocation_lists import ProvenList, Refusal, check_list, read_list
from smki_sync.x509 import NotACertificate, examine, parse, read_facts, strict_parser_refuses, template_cache
from smki_sync.x509.certificate import read_body
from smki_sync.x509.der import EARLIEST, LATEST, MalformedDer, read_pem_or_der, read_time, to_pem
from smki_sync.x509.fields import normalise_name, read_extensions, read_name
from smki_sync.x509.revocation_list import NotAList, split_list

CERTIFICATES = [DEVICE, ORGANISATION, ISSUING_OCA, with_null_parameters(DEVICE), *PKI.authorities]
CERTIFICATES += [der for der, _ in BY_ITSELF.values()]
POINT = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
LISTS = [
    octets(ISSUING, Form(lines=((5, ()), (0xFF, ((x509.CRLReason(x509.ReasonFlags.superseded), False),))))),
    octets(ISSUING, Form(extensions=((POINT, True),), number=None)),
    octets(ROOT, Form(aki=False)),
]
SIGNED = [split_list(crl).tbs for crl in LISTS]
WORDS = [
    *(b"\x30\x80", b"\x31\0", b"\xff" * 9, b"\x02\x01\xff", b"\x02\x41" + b"\x7f" * 65, b"\x1f\x81\x01\0"),
    *(bytes.fromhex("31050603551D11"), bytes.fromhex("0603551D0F"), bytes.fromhex("0603551D11")),
    *(bytes.fromhex("06082B06010505070804"), bytes.fromhex("00DB1234567890A4"), tlv(0x04, bytes(8))),
    *(tlv(0x17, b"000000000000Z"), tlv(0x18, b"00000101000000+2359"), tlv(0x18, b"99991231235959-2359")),
    *(tlv(0x03, b"\x07\x80\0"), tlv(0x0C, b"\xff"), tlv(0x1E, b"x"), b"\x30\x84\xff\xff\xff\xff"),
]
VALIDATOR = ChainValidator(
    Authorities(
        [read_authority(der, AuthorityStatus.IN_USE) for der in PKI.authorities],
        anchors_of(PKI.trusted),
        find=lambda _: (),
    ),
    int(ISSUED.timestamp()),
)
BINARY = st.binary(max_size=600)


def outcome(parse_bytes: Callable[[bytes], object], data: bytes, *errors: type[Exception]) -> object:
    """The result, or ``None`` for one of the named errors. Any other exception fails the test."""
    try:
        return parse_bytes(data)
    except errors:
        return None


@fuzzing
@given(mutated(CERTIFICATES, WORDS) | BINARY)
def test_mutated_certificate_gives_facts_or_is_refused(der: bytes) -> None:
    facts = outcome(read_facts, der, NotACertificate)
    body = outcome(read_body, der, MalformedDer)
    assert (facts is None) or (body is not None)
    strict_parser_refuses(der)
    if isinstance(facts, Facts):
        assert EARLIEST <= facts.not_before <= LATEST
        assert text_of(facts.not_before)
        assert text_of(facts.not_after)
        assert int(serial_decimal(facts.serial)[:4000]) is not None
        assert (facts.eui is None) or (Flag.EUI_BROKEN not in facts.flags)
        assert (facts.usage is None) or (Flag.USAGE_BROKEN not in facts.flags)
        verdict = VALIDATOR.validate(facts, der, read_body(der))
        assert all(finding.detail.isascii() or finding.detail for finding in verdict.findings)


@fuzzing
@given(st.lists(mutated(REAL, WORDS), min_size=2, max_size=4))
def test_templates_never_change_a_result(ders: list[bytes]) -> None:
    """Each certificate is examined twice, among others: with templates, the results are the same."""
    template_cache.forget()
    for der in [*REAL[:3], *ders, *ders]:
        assert outcome(examine, der, NotACertificate) == outcome(parse, der, NotACertificate)


@fuzzing
@given(mutated(CERTIFICATES, WORDS), st.sampled_from(["I", "R", "X", None]))
def test_record_with_a_mutated_body_is_read_or_rejected(der: bytes, status: str | None) -> None:
    claims = Claims(
        name="00-DB-12-34-56-78-90-A4", serial="FF", status=status, usage="DS", body=b64encode(der).decode()
    )
    found = parse_record(1, claims)
    assert isinstance(found, Entry | Rejected)
    early = pre_parse(1, claims)
    assert (finish_parse(early) if isinstance(early, PreParsed) else early) == found
    if isinstance(found, Entry):
        assert found.eui is None or Flag.EUI_BROKEN not in found.flags
        assert found.usage is None or Flag.USAGE_BROKEN not in found.flags


@fuzzing
@given(BINARY | mutated([tlv(0x31, tlv(0x30, tlv(6, b"\x55\4\3"), tlv(12, b"x")))] * 2, WORDS))
def test_any_bytes_are_a_name_or_malformed(data: bytes) -> None:
    name = outcome(read_name, data, MalformedDer)
    if name is not None:
        assert normalise_name(name.text) == normalise_name(name.text)  # type: ignore[attr-defined]  # a Name
    read_extensions(data, 0, len(data))
    seconds = outcome(read_time, data, MalformedDer)
    assert seconds is None or isinstance(seconds, int)


@fuzzing
@given(st.text(max_size=60), st.text(max_size=5))
def test_any_text_can_be_normalised(text: str, more: str) -> None:
    assert normalise_name(text) == normalise_name(text)
    assert isinstance(normalise_name(f"{text},{more}"), str)


@fuzzing
@given(mutated(LISTS, WORDS) | BINARY, st.sampled_from(list(ListKind)))
def test_mutated_list_is_proven_refused_or_unreadable(data: bytes, kind: ListKind) -> None:
    found = outcome(read_list, data, NotAList)
    if found is not None:
        assert isinstance(found, RevocationList)
        verdict = check_list(
            found,
            kind,
            [signer(ISSUING), signer(ROOT, role=0)],
            [],
            now=int(ISSUED.timestamp()),
        )
        assert isinstance(verdict, ProvenList | Refusal)
        assert isinstance(verdict, Refusal) or split_list(found.der).tbs in SIGNED
        outcome(lambda _: list(found.revoked), b"", NotAList)


@fuzzing
@given(
    st.sampled_from(LISTS).map(lambda crl: [b64encode(crl), x509_pem(crl), gzip.compress(crl), crl + b"\n"]),
    st.integers(0, 3),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=3),
)
def test_mutated_wrapping_is_read_or_refused(
    wrapped: list[bytes], kind: int, edits: list[tuple[int, bytes]]
) -> None:
    data = bytearray(wrapped[kind])
    for at, new in edits:
        data[at : at + len(new)] = new
    outcome(read_list, bytes(data), NotAList)


def x509_pem(crl: bytes) -> bytes:
    return b"-----BEGIN X509 CRL-----\n" + b64encode(crl) + b"\n-----END X509 CRL-----\n"


@fuzzing
@given(mutated([to_pem(der).encode() for der in PKI.roots] + list(PKI.roots), WORDS))
def test_mutated_anchor_file_is_read_or_refused(data: bytes) -> None:
    outcome(anchors_in, data, ValueError)
    outcome(read_pem_or_der, data, ValueError)


@fuzzing
@given(mutated([gzip.compress(crl) for crl in LISTS], [b"\x1f\x8b\x08", b"\0" * 30]))
def test_mutated_gzip_is_unpacked_or_refused(data: bytes) -> None:
    limits = ReaderLimits(decompressed_bytes=10_000)

    def unpack(content: bytes) -> bytes:
        return b"".join(GzipStream(iter([content]), name="CRL.gz", limits=limits))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome(unpack, data, BadExtract)
