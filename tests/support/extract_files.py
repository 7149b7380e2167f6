"""A tiny writer of extracts for these tests: XML by hand, gz by the standard library, defects by choice."""

import struct
import zlib
from collections.abc import Iterator, Sequence

from smki_sync.errors import BadExtract
from smki_sync.model.certificate import (
    Claims,
    Entry,
    Facts,
    Flag,
    Kind,
    Rejected,
    RejectReason,
    Serial,
    Status,
)
from smki_sync.reader import ExtractReader, ReaderLimits
from smki_sync.reader.extract import Understand

NAME = "SMKIKR_DELT_2026-11-22.xml.gz"
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
FACTS = Facts(
    serial=Serial("01"),
    issuer="CN=E357",
    subject="",
    not_before=0,
    not_after=1,
    kind=Kind.DEVICE,
    eui=None,
    role=None,
    usage=None,
    ski=None,
    aki=None,
)


def element(name: str, text: str) -> str:
    return f"<{name}>{text}</{name}>"


def record(number: int = 1, **others: str) -> str:
    fields = {
        "CertificateSubjectAltName": "00-DB-12-34-56-78-90-A4",
        "CertificateSerial": f"{number:032X}",
        "CertificateStatus": "I",
        "CertificateBody": f"MIIB{number}",
        "CertificateUsage": "DS",
        "ManufacturingFlag": "false",
    } | others
    return element("CertificateResponse", "".join(element(*field) for field in fields.items()))


def document(*contents: str) -> str:
    return f"{DECLARATION}<CertificateDataResponse>{''.join(contents)}</CertificateDataResponse>\n"


def member(
    data: bytes,
    *,
    level: int = 6,
    name: bytes | None = None,
    comment: bytes | None = None,
    extra: bytes | None = None,
    text: bool = False,
    checksum: bool = False,
) -> bytes:
    """Write one gzip member with the optional header fields asked for (RFC 1952 2.3)."""
    flags = (
        text | checksum << 1 | (extra is not None) << 2 | (name is not None) << 3 | (comment is not None) << 4
    )
    header = b"\x1f\x8b\x08" + bytes([flags]) + b"\x01\x02\x03\x04\x00\x03"
    if extra is not None:
        header += struct.pack("<H", len(extra)) + extra
    header += b"".join(field + b"\0" for field in (name, comment) if field is not None)
    if checksum:
        header += struct.pack("<H", zlib.crc32(header) & 0xFFFF)
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    body = deflate.compress(data) + deflate.flush()
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def gz(xml: str | bytes) -> bytes:
    return member(xml.encode() if isinstance(xml, str) else xml)


def in_chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


class Witness:
    """A rule that accepts every record, but those it is told to reject, and keeps what it was handed."""

    def __init__(self, *, rejects: Sequence[int] | range = ()) -> None:
        self.claims: list[Claims] = []
        self.numbers: list[int] = []
        self._rejects = rejects

    def __call__(self, number: int, claims: Claims) -> Entry | Rejected:
        self.numbers.append(number)
        self.claims.append(claims)
        if number in self._rejects:
            return Rejected(number=number, reason=RejectReason.BODY_MISSING, detail="as the test wants")
        return accept(number, claims)


def accept(number: int, _claims: Claims) -> Entry:
    return Entry(
        number=number,
        der=b"",
        facts=FACTS,
        eui=None,
        role=None,
        usage=None,
        status=Status.IN_USE,
        manufacturing=None,
        flags=Flag(0),
    )


def reader_of(
    data: bytes,
    understand: Understand[Entry] = accept,
    *,
    size: int = 1 << 20,
    limits: ReaderLimits | None = None,
) -> ExtractReader[Entry]:
    return ExtractReader(
        in_chunks(data, size), name=NAME, understand=understand, limits=limits or ReaderLimits()
    )


def claims_in(xml: str | bytes) -> list[Claims]:
    """Read a good extract and give the claims that its rule was handed."""
    witness = Witness()
    found = list(reader_of(gz(xml), witness))
    assert [r.number for r in found] == witness.numbers
    return witness.claims


def failure_of(data: bytes, *, limits: ReaderLimits | None = None) -> BadExtract | None:
    """Read a file to its end; give the failure, ``None`` only where it ended normally."""
    try:
        for _ in reader_of(data, limits=limits):
            pass
    except BadExtract as exc:
        return exc
    return None


def reason_of(data: bytes, *, limits: ReaderLimits | None = None) -> str | None:
    failure = failure_of(data, limits=limits)
    assert failure is None or failure.message.startswith(NAME), "a message names its file"
    assert failure is None or failure.hint, "a failure says what to do"
    return failure.reason if failure else None
