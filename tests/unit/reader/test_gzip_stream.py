"""Which .gz files are read, and how each damaged one is named."""

import random
import struct
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.extract_files import (
    NAME,
    document,
    failure_of,
    gz,
    in_chunks,
    member,
    reader_of,
    reason_of,
    record,
)

from smki_sync.errors import BadExtract
from smki_sync.reader import ReaderLimits
from smki_sync.reader.gzip_stream import GzipStream, inner_name

XML = document(*(record(n) for n in range(1, 4))).encode()
HEAD_NAMED = b"\x1f\x8b\x08\x08\x01\x02\x03\x04\x00\x03"
HEAD_PADDED = b"\x1f\x8b\x08\x0c\x01\x02\x03\x04\x00\x03"
"""Fixed parts of headers: with a name, and with an extra field before it."""

CHUNK_SIZES = [1, 2, 7, 100, 1 << 20]


def unpack(data: bytes, *, size: int = 1 << 20, limits: ReaderLimits | None = None) -> bytes:
    return b"".join(GzipStream(in_chunks(data, size), name=NAME, limits=limits or ReaderLimits()))


def reason_to_refuse(data: bytes, *, limits: ReaderLimits | None = None) -> str:
    with pytest.raises(BadExtract) as caught:
        unpack(data, limits=limits)
    return caught.value.reason


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("checksum", [False, True], ids=["", "fhcrc"])
@pytest.mark.parametrize("extra", [None, b"", b"AB\x02\x00xy" * 30], ids=["", "empty-extra", "extra"])
@pytest.mark.parametrize("comment", [None, b"of the DCC"], ids=["", "comment"])
@pytest.mark.parametrize("name", [None, b"", b"a.xml"], ids=["", "empty-name", "name"])
def test_gzip_stream_accepts_each_header_field(
    size: int, name: bytes | None, comment: bytes | None, extra: bytes | None, *, checksum: bool
) -> None:
    data = member(XML, name=name, comment=comment, extra=extra, checksum=checksum, text=True)
    assert unpack(data * 2, size=size) == XML * 2


def test_gzip_stream_accepts_the_largest_extra_field() -> None:
    data = member(XML, name=b"a.xml", extra=bytes(65_535), checksum=True)
    reader = reader_of(data, size=1000)
    assert len(list(reader)) == 3
    assert reader.inner_name == "a.xml"


@pytest.mark.parametrize("level", range(10))
def test_gzip_stream_accepts_each_compression_level(level: int) -> None:
    assert unpack(member(XML, level=level), size=11) == XML


@pytest.mark.parametrize("size", CHUNK_SIZES)
def test_gzip_stream_joins_members(size: int) -> None:
    data = gz(b"") + gz(XML[:50]) + gz(b"") + gz(b"") + gz(XML[50:]) + gz(b"")
    assert unpack(data, size=size) == XML


@pytest.mark.parametrize("size", CHUNK_SIZES)
@pytest.mark.parametrize("zeros", [1, 511, 300_000])
def test_gzip_stream_skips_padding(size: int, zeros: int) -> None:
    data = gz(XML) + bytes(zeros)
    gunzip = GzipStream(in_chunks(data, size), name=NAME, limits=ReaderLimits())
    assert b"".join(gunzip) == XML
    assert gunzip.compressed_bytes == len(data)


@given(data=st.binary(max_size=3000), size=st.integers(1, 400), level=st.integers(0, 9))
def test_gzip_stream_returns_the_content(data: bytes, size: int, level: int) -> None:
    assert unpack(member(data, level=level), size=size) == data


def test_gzip_stream_yields_small_pieces() -> None:
    data = random.Random(1).randbytes(300_000) + bytes(700_000)
    pieces = list(GzipStream(in_chunks(gz(data), 1 << 20), name=NAME, limits=ReaderLimits()))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 64 * 1024


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (member(XML, name=b"SMKIKR_DELT_2026-11-22.xml", extra=b"\0\0\0"), "SMKIKR_DELT_2026-11-22.xml"),
        (member(XML, name=b"Z\xe4hler.xml", comment=b"x"), "Z\u00e4hler.xml"),
        (member(XML, comment=b"no name"), None),
        (member(XML[:90]) + member(XML[90:], name=b"second.xml"), None),
    ],
    ids=["named", "latin-1", "unnamed", "second-member"],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_inner_name_is_that_of_the_first_member(data: bytes, told: str | None, size: int) -> None:
    reader = reader_of(data, size=size)
    assert len(list(reader)) == 3
    assert reader.inner_name == told


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"", None),
        (HEAD_NAMED[:-1], None),
        (HEAD_NAMED, None),
        (HEAD_NAMED + b"a.xm", None),
        (HEAD_NAMED + b"\0", ""),
        (HEAD_NAMED + b"a.xml\0b.xml\0", "a.xml"),
        (HEAD_PADDED + b"\x02\x00\x01\x02a.xml\0", "a.xml"),
        (HEAD_PADDED + b"\x01\x01" + b"\0" * 257 + b"a.xml\0", "a.xml"),
        (HEAD_PADDED + b"\x09\x00" + b"\1" * 9 + b"a.xml\0", "a.xml"),
        (HEAD_PADDED + b"\xff\xff" + b"a.xml\0", None),
    ],
    ids=[
        "nothing",
        "cut in the fixed part",
        "fixed part alone",
        "cut in the name",
        "empty name",
        "up to the first zero",
        "behind an extra field",
        "behind a long one",
        "behind one that is full",
        "cut in the extra field",
    ],
)
def test_inner_name_is_none_when_it_is_cut_off(head: bytes, told: str | None) -> None:
    assert inner_name(head) == told


def test_inner_name_is_none_before_reading() -> None:
    reader = reader_of(member(XML, name=b"a.xml"))
    assert reader.inner_name is None


def test_gzip_stream_raises_when_the_file_is_empty() -> None:
    assert reason_of(b"") == "empty-file"


def test_gzip_stream_raises_when_the_content_is_empty() -> None:
    assert reason_of(gz(b"") + gz(b"")) == "empty-file"


@pytest.mark.parametrize(
    "data",
    [XML, b"\0" * 40, b"PK\x03\x04rest", b"\x1f\x9drest of a .Z", b"\x1f\x8b\x07method 7", b"x"],
    ids=["bare-xml", "zeros", "zip", "compress", "method", "one-byte"],
)
def test_gzip_stream_raises_when_it_is_not_gzip(data: bytes) -> None:
    assert reason_of(data) == "not-gzip"


def test_gzip_stream_raises_when_the_file_is_cut_off() -> None:
    data = member(XML, name=b"a.xml", checksum=True)
    assert {reason_of(data[:cut]) for cut in range(1, len(data))} == {"truncated"}
    assert reason_of(data) is None


def test_gzip_stream_raises_when_a_second_member_is_cut_off() -> None:
    first, data = gz(XML[:100]), gz(XML[:100]) + gz(XML[100:])
    assert {reason_of(data[:cut]) for cut in range(len(first) + 1, len(data))} == {"truncated"}
    assert reason_of(data[: len(first)]) == "not-well-formed", "a whole member lost leaves a whole .gz"
    assert reason_of(data) is None


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("position", range(-8, 0))
def test_gzip_stream_raises_when_the_trailer_is_wrong(position: int, bit: int) -> None:
    data = bytearray(gz(XML))
    data[position] ^= 1 << bit
    assert reason_of(bytes(data)) == "gzip-damaged"


def test_gzip_stream_never_yields_damaged_content() -> None:
    data = member(XML, checksum=True)
    for position in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            with suppress(BadExtract):
                assert unpack(bytes(damaged)) == XML


def test_gzip_stream_raises_when_the_length_is_wrong() -> None:
    data = gz(XML)[:-4] + struct.pack("<I", len(XML) + 1)
    assert reason_to_refuse(data) == "gzip-damaged"


def test_gzip_stream_raises_when_a_later_member_is_damaged() -> None:
    bad = bytearray(gz(XML[50:]))
    bad[-5] ^= 4
    assert reason_to_refuse(gz(XML[:50]) + bytes(bad)) == "gzip-damaged"


@pytest.mark.parametrize(
    "garbage", [b"x", b"\0\0x", bytes(200_000) + b"x", b"\x1f\x8c\x08", b"\0" + gz(b"more"), XML]
)
def test_gzip_stream_raises_when_garbage_follows(garbage: bytes) -> None:
    assert reason_of(gz(XML) + garbage) == "trailing-garbage"


def test_reader_raises_for_a_gzip_in_a_gzip() -> None:
    assert reason_of(gz(gz(XML))) == "not-xml"


def test_gzip_stream_raises_early_for_a_bomb() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(200)) + deflate.flush()
    gunzip = GzipStream([bomb], name=NAME, limits=ReaderLimits())
    tracemalloc.start()
    with pytest.raises(BadExtract) as caught:
        for _ in gunzip:
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.reason == "ratio-exceeded"
    assert gunzip.decompressed_bytes < 17 << 20, "it stopped at the floor, not at the end"
    assert peak < 4 << 20


def test_gzip_stream_accepts_a_high_ratio_in_a_small_file() -> None:
    assert len(unpack(gz(bytes(1 << 20)))) == 1 << 20


def test_gzip_stream_raises_above_the_size_limit() -> None:
    assert unpack(gz(XML), limits=ReaderLimits(decompressed_bytes=len(XML))) == XML
    assert reason_to_refuse(gz(XML), limits=ReaderLimits(decompressed_bytes=len(XML) - 1)) == "too-large"


def test_gzip_stream_names_file_and_place() -> None:
    failure = failure_of(gz(XML) + b"x")
    assert failure is not None
    assert failure.message.startswith(f"{NAME}: at byte {len(gz(XML))} of the .gz: ")


@given(data=st.binary(max_size=200))
def test_reader_raises_bad_extract_for_any_bytes(data: bytes) -> None:
    assert reason_of(data) is not None


@given(data=st.binary(max_size=200))
def test_reader_raises_bad_extract_after_the_gzip_magic(data: bytes) -> None:
    assert reason_of(b"\x1f\x8b\x08" + data) is not None
