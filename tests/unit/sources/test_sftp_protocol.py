"""Reading SFTP replies: missing fields, wrong lengths and wrong counts."""

import stat
import struct
from datetime import UTC, datetime

import pytest

from smki_sync.sources.sftp_protocol import Fields, ProtocolError, read_attributes, read_names, read_status


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def test_read_attributes_reads_every_field() -> None:
    body = struct.pack(">IQIIIII", 0x8000000F, 7, 1, 2, 0o100644, 3, 4)
    body += struct.pack(">I", 1) + text(b"vendor") + text(b"data") + text(b"next")
    fields = Fields(body)
    facts = read_attributes(fields)
    assert (facts.size, facts.mode, facts.modified) == (7, 0o100644, datetime.fromtimestamp(4, tz=UTC))
    assert fields.string() == b"next"


def test_read_attributes_returns_none_when_nothing_is_stated() -> None:
    facts = read_attributes(Fields(struct.pack(">I", 0)))
    assert (facts.size, facts.mode, facts.modified) == (None, None, None)


@pytest.mark.parametrize(
    ("attributes", "longname", "file_type"),
    [
        (struct.pack(">II", 4, 0o100600), b"", stat.S_IFREG),
        (struct.pack(">II", 4, 0o120777), b"-rw", stat.S_IFLNK),
        (struct.pack(">II", 4, 0o000600), b"-rw", stat.S_IFREG),
        (struct.pack(">I", 0), b"-rw", stat.S_IFREG),
        (struct.pack(">I", 0), b"drw", stat.S_IFDIR),
        (struct.pack(">I", 0), b"lrw", stat.S_IFLNK),
        (struct.pack(">I", 0), b"", None),
    ],
)
def test_file_type_comes_from_mode_or_else_from_long_name(
    attributes: bytes, longname: bytes, file_type: int | None
) -> None:
    (named,) = read_names(Fields(struct.pack(">I", 1) + text(b"name") + text(longname) + attributes))
    assert named.file_type == file_type


def test_read_names_fails_when_count_is_zero() -> None:
    with pytest.raises(ProtocolError):
        list(read_names(Fields(struct.pack(">I", 0))))


def test_read_names_fails_after_last_entry_when_count_is_wrong() -> None:
    one = text(b"name") + text(b"") + struct.pack(">I", 0)
    names = read_names(Fields(struct.pack(">I", 0xFFFFFFFF) + one))
    assert next(names).name == "name"
    with pytest.raises(ProtocolError):
        next(names)


def test_string_fails_when_it_is_shorter_than_stated() -> None:
    with pytest.raises(ProtocolError, match="9 bytes with 3 bytes left"):
        Fields(struct.pack(">I", 9) + b"abc").string()


def test_read_status_accepts_missing_text() -> None:
    assert read_status(Fields(struct.pack(">I", 4))) == (4, "")
    assert read_status(Fields(struct.pack(">I", 4) + text(b"Failure") + text(b""))) == (4, "Failure")
