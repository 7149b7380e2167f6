"""SFTP replies: read strictly, whatever the server left out or lied about."""

import struct
from datetime import UTC, datetime

import pytest

from smki_sync.sources.sftp_protocol import Fields, ProtocolError, read_attributes, read_names, read_status


def text(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def test_attributes_with_every_field_are_read() -> None:
    body = struct.pack(">IQIIIII", 0x8000000F, 7, 1, 2, 0o100644, 3, 4)
    body += struct.pack(">I", 1) + text(b"vendor") + text(b"data") + text(b"next")
    fields = Fields(body)
    facts = read_attributes(fields)
    assert (facts.size, facts.mode, facts.modified) == (7, 0o100644, datetime.fromtimestamp(4, tz=UTC))
    assert fields.string() == b"next"


def test_attributes_may_say_nothing() -> None:
    facts = read_attributes(Fields(struct.pack(">I", 0)))
    assert (facts.size, facts.mode, facts.modified) == (None, None, None)


@pytest.mark.parametrize(
    ("attributes", "longname", "regular"),
    [
        (struct.pack(">II", 4, 0o100600), b"", True),
        (struct.pack(">II", 4, 0o120777), b"-rw", False),
        (struct.pack(">II", 4, 0o000600), b"-rw", True),
        (struct.pack(">I", 0), b"-rw", True),
        (struct.pack(">I", 0), b"drw", False),
        (struct.pack(">I", 0), b"", False),
    ],
)
def test_a_file_is_regular_by_its_mode_or_else_by_its_line(
    attributes: bytes, longname: bytes, regular: bool
) -> None:
    (named,) = read_names(Fields(struct.pack(">I", 1) + text(b"name") + text(longname) + attributes))
    assert named.is_regular is regular


def test_a_batch_that_counts_to_zero_is_refused_because_the_listing_would_never_end() -> None:
    with pytest.raises(ProtocolError):
        list(read_names(Fields(struct.pack(">I", 0))))


def test_a_count_that_lies_gives_what_is_there_and_then_an_error() -> None:
    one = text(b"name") + text(b"") + struct.pack(">I", 0)
    names = read_names(Fields(struct.pack(">I", 0xFFFFFFFF) + one))
    assert next(names).name == "name"
    with pytest.raises(ProtocolError):
        next(names)


def test_a_string_shorter_than_announced_is_an_error_and_never_padded() -> None:
    with pytest.raises(ProtocolError, match="9 octets announced, 3 left"):
        Fields(struct.pack(">I", 9) + b"abc").string()


def test_a_status_may_come_without_words() -> None:
    assert read_status(Fields(struct.pack(">I", 4))) == (4, "")
    assert read_status(Fields(struct.pack(">I", 4) + text(b"Failure") + text(b""))) == (4, "Failure")
