"""Parsing of revocation lists: wrappings, header, entries."""

from base64 import b64encode, urlsafe_b64encode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.list_pki import ISSUED, ISSUING, LIFE, ROOT, WHEN, Form, certificate, octets, with_null
from support.x509_builders import tlv

from smki_sync.model.certificate import key_id_of
from smki_sync.simulator import pki
from smki_sync.x509.revocation_list import NotAList, RevokedEntries, read_header, unwrap_list

REASON = (x509.CRLReason(x509.ReasonFlags.key_compromise), False)
REMOVED = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
DOUBT = (x509.InvalidityDate(WHEN.replace(tzinfo=None)), False)
POINT = x509.DistributionPoint([x509.UniformResourceIdentifier("urn:x")], None, None, None)
SINCE = int(WHEN.timestamp())
CRL = octets(ISSUING, Form(lines=((7, ()),)))


def pem_of(made: bytes) -> bytes:
    return x509.load_der_x509_crl(made).public_bytes(Encoding.PEM)


# Wrappings.


@pytest.mark.parametrize(
    "data",
    [
        CRL,
        CRL + b"\n",
        CRL + b"\r\n\r\n",
        CRL + b"\0" * 512,
        b"\n" + CRL,
        pem_of(CRL),
        b"issued by hand\n" + pem_of(CRL),
        b"\xef\xbb\xbf" + pem_of(CRL).replace(b"\n", b"\r\n"),
        pem_of(CRL).replace(b"X509 CRL", b"CRL"),
        pem_of(CRL) + pem_of(CRL),
        b64encode(CRL),
        b64encode(CRL) + b"\n",
        b64encode(CRL).rstrip(b"="),
        urlsafe_b64encode(CRL),
        b"\r\n".join(b64encode(CRL)[at : at + 64] for at in range(0, 999, 64)),
        b64encode(pem_of(CRL)),
        b64encode(b64encode(CRL)),
    ],
    ids=range(17),
)
def test_unwrap_list_accepts_each_plausible_wrapping(data: bytes) -> None:
    assert unwrap_list(data) == CRL


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a revocation list in"),
        (b"no list at all", "not a revocation list in"),
        (b"<html>", "not a revocation list in"),
        (CRL[:-1], "not a revocation list in"),
        (CRL + b"\1", "not a revocation list in"),
        (pem_of(CRL) + pem_of(octets(ISSUING)), "2 lists"),
        (b"-----BEGIN X509 CRL-----\n####\n-----END X509 CRL-----", "not a revocation list in"),
        (b"AAAAA", "Base64"),
        (b64encode(b64encode(b64encode(b64encode(b64encode(CRL))))), "not a revocation list in"),
    ],
    ids=range(9),
)
def test_unwrap_list_raises_when_there_is_no_list(data: bytes, why: str) -> None:
    with pytest.raises(NotAList, match=why):
        unwrap_list(data)


# Header.


def test_read_header_reads_everything_but_the_entries() -> None:
    header = read_header(octets(ISSUING))
    assert header.issuer == "CN=OCA Issuing S2,OU=07"
    assert (header.key_id, header.number, header.scope) == (key_id_of(ISSUING.key_id), 5, "")
    assert header.this_update == int(ISSUED.timestamp())
    assert header.next_update == int((ISSUED + LIFE).timestamp())
    assert list(header.entries) == []


def test_read_header_accepts_absent_parts() -> None:
    header = read_header(octets(ISSUING, Form(number=None, aki=False)))
    assert (header.number, header.key_id) == (None, None)
    tbs, algorithm, signature = pki.split_signed(octets(ISSUING))
    stamp = tlv(0x17, (ISSUED + LIFE).strftime("%y%m%d%H%M%SZ").encode())
    assert stamp in tbs
    bare = tlv(pki.SEQUENCE, pki.first(tbs)[1].replace(stamp, b""))
    assert read_header(pki.join_signed(bare, algorithm, signature)).next_update is None


def test_read_header_accepts_version_1() -> None:
    tbs, algorithm, _ = pki.split_signed(octets(ISSUING))
    version, rest = pki.first(pki.first(tbs)[1])[0], pki.first(pki.first(tbs)[1])[2]
    assert version == bytes.fromhex("020101")
    parts = []
    while rest:
        part, _, rest = pki.first(rest)
        parts.append(part)
    old = tlv(pki.SEQUENCE, b"".join(parts[:-1]))  # without extensions, which it cannot have
    header = read_header(with_null(pki.join_signed(old, algorithm, b"")))
    assert (header.key_id, header.number) == (None, None)


def test_read_header_accepts_an_issuer_whose_name_is_a_bit_string() -> None:
    """The strict parser raises TypeError for it."""
    tbs, algorithm, signature = pki.split_signed(CRL)
    name = tlv(0x0C, b"OCA Issuing S2")
    assert name in tbs
    odd = tbs.replace(name, tlv(0x03, b"OCA Issuing S2"))
    assert read_header(pki.join_signed(odd, algorithm, signature)).issuer.startswith("CN=#4f4341")


def test_read_header_accepts_a_number_of_20_bytes() -> None:
    number = 2 ** (8 * 20 - 1) - 1  # RFC 5280 5.2.3
    assert read_header(octets(ISSUING, Form(number=number))).number == number


def test_read_header_tells_scopes_apart() -> None:
    points = [
        x509.IssuingDistributionPoint(None, None, user, authority, None, False, False)
        for user, authority in ((True, False), (False, True))
    ]
    headers = [read_header(octets(ISSUING, Form(extensions=((point, True),)))) for point in points]
    assert len({header.scope for header in headers} | {""}) == 3


def of_version(number: int) -> bytes:
    tbs, algorithm, signature = pki.split_signed(octets(ISSUING))
    return pki.join_signed(tbs.replace(b"\2\1\1", bytes((2, 1, number)), 1), algorithm, signature)


def with_extensions(*extensions: tuple[x509.ExtensionType, bool]) -> bytes:
    return octets(ISSUING, Form(extensions=extensions, number=None))


LONG_NUMBER = x509.UnrecognizedExtension(x509.CRLNumber.oid, tlv(2, b"\x7f" * 3000))
INDIRECT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
ATTRIBUTES = x509.IssuingDistributionPoint(None, None, False, False, None, False, True)
BROKEN_AKI = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.28"), b"\x31\0")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (b"", "not a revocation list"),
        (certificate(ROOT), "not a revocation list"),
        (octets(ISSUING)[:-1], "not a revocation list"),
        (of_version(0), "not a version"),
        (of_version(3), "not a version"),
        (with_extensions((LONG_NUMBER, False)), "more than 20 bytes"),
        (with_extensions((x509.DeltaCRLIndicator(1), True)), "delta CRL"),
        (with_extensions((x509.FreshestCRL([POINT]), True)), "2.5.29.46 is unknown"),
        (with_extensions((INDIRECT, True)), "indirect"),
        (with_extensions((ATTRIBUTES, True)), "attribute certificates"),
        (with_extensions((BROKEN_AKI, False)), "not a revocation list"),
    ],
    ids=range(11),
)
def test_read_header_raises_when_the_list_cannot_be_used(made: bytes, why: str) -> None:
    with pytest.raises(NotAList, match=why):
        read_header(made)


def test_read_header_raises_when_an_extension_occurs_twice() -> None:
    tbs, algorithm, signature = pki.split_signed(octets(ISSUING))
    number = tlv(pki.SEQUENCE, bytes.fromhex("0603551D14"), tlv(4, b"\2\1\5"))
    assert number in tbs
    content = pki.first(tbs)[1]
    at = content.index(b"\xa0", content.index(b"\x17"))
    extensions = pki.first(pki.first(content[at:])[1])[1]
    twice = content[:at] + tlv(0xA0, tlv(pki.SEQUENCE, extensions + number))
    with pytest.raises(NotAList, match="occurs twice"):
        read_header(pki.join_signed(tlv(pki.SEQUENCE, twice), algorithm, signature))


def test_read_header_accepts_extensions_that_are_not_critical() -> None:
    assert read_header(with_extensions((x509.FreshestCRL([POINT]), False))).number is None


# Entries.


def entries_of(*lines: tuple[int, tuple[tuple[x509.ExtensionType, bool], ...]]) -> RevokedEntries:
    return read_header(octets(ISSUING, Form(lines=lines))).entries


def test_entries_have_serial_number_date_and_reason() -> None:
    found = entries_of((0x0A1B, (REASON,)), (0xFF, (DOUBT,)), (1, ()))
    assert [tuple(entry) for entry in found] == [
        ("0A1B", SINCE, "keyCompromise"),
        ("FF", SINCE, None),
        ("01", SINCE, None),
    ]
    assert len(found) == 3


def test_entries_leave_out_removed_certificates() -> None:
    found = entries_of((5, (REMOVED,)), (6, ()))
    assert ([entry.serial for entry in found], len(found)) == (["06"], 1)


@pytest.mark.parametrize("reason", list(x509.ReasonFlags))
def test_entries_name_reasons_as_pyca_does(reason: x509.ReasonFlags) -> None:
    (entry,) = [*entries_of((5, ((x509.CRLReason(reason), False),))), None][:1]
    assert entry is None or entry.reason == reason.value


def raw_list(*entries: bytes) -> RevokedEntries:
    data = b"".join(entries)
    return RevokedEntries(data, 0, len(data))


STAMP = tlv(0x17, WHEN.strftime("%y%m%d%H%M%SZ").encode())


def entry_of(serial: bytes, *rest: bytes) -> bytes:
    return tlv(pki.SEQUENCE, tlv(2, serial), STAMP, *rest)


def test_entries_have_signed_serial_numbers() -> None:
    found = raw_list(entry_of(b"\xff"), entry_of(b"\0\xff"), entry_of(b"\x80\0"))
    assert [entry.serial for entry in found] == ["-01", "FF", "-8000"]


def reason_of(oid: str, value: bytes, *, critical: bytes = b"") -> bytes:
    return tlv(pki.SEQUENCE, tlv(pki.SEQUENCE, bytes.fromhex(oid), critical, tlv(4, value)))


@pytest.mark.parametrize("code", [7, 11, 200])
def test_entries_with_an_unknown_reason_still_revoke(code: int) -> None:
    (entry,) = raw_list(entry_of(b"\5", reason_of("0603551D15", bytes((10, 1, code)))))
    assert (entry.serial, entry.reason) == ("05", None)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (tlv(pki.SEQUENCE, tlv(2), STAMP), "without bytes"),
        (tlv(pki.SEQUENCE, tlv(4, b"\5"), STAMP), "tag 04"),
        (tlv(pki.SEQUENCE, tlv(2, b"\5")), "no revocation date"),
        (tlv(pki.SEQUENCE, tlv(2, b"\5"), tlv(0x17, b"x")), "not a time"),
        (entry_of(b"\5", b"\x30\x05\0"), "extensions of an entry"),
        (entry_of(b"\5", reason_of("0603551D15", b"\4\1\1")), "tag 04"),
        (entry_of(b"\5", reason_of("0603551D1D", b"\x30\0", critical=b"\1\1\xff")), "critical extension"),
        (b"\x30\x05\0", "longer than"),
    ],
    ids=range(8),
)
def test_entries_raise_when_one_cannot_be_read(data: bytes, why: str) -> None:
    with pytest.raises(NotAList, match=why):
        list(raw_list(entry_of(b"\1"), data))


def test_entries_are_read_one_at_a_time() -> None:
    found = iter(raw_list(entry_of(b"\1"), b"\x30\x05\0"))
    assert next(found).serial == "01"


def test_a_list_of_many_entries_is_read_in_full() -> None:
    found = entries_of(*((n + 1, (REASON,) if n % 2 else ()) for n in range(500)))
    assert len(found) == len(list(found)) == 500


def rebuilt(tbs: bytes, *more: bytes) -> bytes:
    """A list whose signed part has this content."""
    _, algorithm, signature = pki.split_signed(octets(ISSUING))
    return pki.join_signed(tlv(pki.SEQUENCE, pki.first(tbs)[1], *more), algorithm, signature)


def test_read_header_raises_when_a_part_is_missing_or_follows() -> None:
    made = octets(ISSUING)
    tbs = pki.split_signed(made)[0]
    with pytest.raises(NotAList, match="after the extensions"):
        read_header(rebuilt(tbs, tlv(5)))
    issued = tlv(0x17, ISSUED.strftime("%y%m%d%H%M%SZ").encode())
    due = tlv(0x17, (ISSUED + LIFE).strftime("%y%m%d%H%M%SZ").encode())
    with pytest.raises(NotAList, match="no time of issue"):
        read_header(rebuilt(tbs.replace(issued, b"").replace(due, b"")))
    with pytest.raises(NotAList, match="after the signature"):
        read_header(tlv(pki.SEQUENCE, pki.first(made)[1], tlv(5)))
