"""The sliding window: whatever order and size replies come in, the bytes leave complete and in order."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.sources.sftp_protocol import BadReadReply, ReadSpan, ReadWindow

CONTENT = bytes(range(256)) * 4


def drive(window: ReadWindow, dice: random.Random, *, short: bool) -> tuple[bytes, int]:
    """Answer requests in random order, perhaps in part; the bytes that left, and the most in flight."""
    in_flight: list[ReadSpan] = []
    left = b""
    most = 0
    while not window.done:
        in_flight.extend(window.wanted())
        most = max(most, len(in_flight))
        span = in_flight.pop(dice.randrange(len(in_flight)))
        length = dice.randint(1, span.missing) if short else span.missing
        window.take(span, CONTENT[span.at : span.at + length])
        left += b"".join(window.ready())
    return left, most


@given(
    size=st.integers(0, len(CONTENT)),
    offset=st.integers(0, len(CONTENT)),
    span=st.integers(1, 300),
    spans=st.integers(1, 9),
    seed=st.integers(0, 9999),
    short=st.booleans(),
)
def test_bytes_leave_complete_and_in_order_and_no_more_are_in_flight_than_allowed(
    *, size: int, offset: int, span: int, spans: int, seed: int, short: bool
) -> None:
    offset = min(offset, size)
    window = ReadWindow(offset=offset, size=size, span_bytes=span, spans=spans)
    left, most = drive(window, random.Random(seed), short=short)
    assert left == CONTENT[offset:size]
    assert most <= spans


def test_the_rest_of_a_short_reply_is_asked_for_again_and_before_anything_new() -> None:
    window = ReadWindow(offset=0, size=100, span_bytes=10, spans=2)
    first, second = window.wanted()
    window.take(first, CONTENT[:3])
    assert list(window.ready()) == []
    (again,) = window.wanted()
    assert (again.at, again.missing) == (3, 7)
    window.take(second, CONTENT[10:20])
    assert list(window.ready()) == []
    window.take(again, CONTENT[3:10])
    assert list(window.ready()) == [CONTENT[:10], CONTENT[10:20]]


def test_a_missing_first_piece_stops_new_requests_so_that_memory_stays_bounded() -> None:
    window = ReadWindow(offset=0, size=1000, span_bytes=10, spans=4)
    _first, *others = window.wanted()
    for span in others:
        window.take(span, CONTENT[span.at : span.at + 10])
    assert list(window.wanted()) == []
    assert list(window.ready()) == []
    assert not window.done


def test_an_empty_reply_is_refused_because_it_would_be_asked_for_for_ever() -> None:
    window = ReadWindow(offset=0, size=10, span_bytes=10, spans=1)
    (span,) = window.wanted()
    with pytest.raises(BadReadReply, match="no bytes"):
        window.take(span, b"")


def test_a_reply_longer_than_asked_for_is_refused() -> None:
    window = ReadWindow(offset=0, size=10, span_bytes=10, spans=1)
    (span,) = window.wanted()
    with pytest.raises(BadReadReply, match="11 bytes for 10"):
        window.take(span, bytes(11))


def test_nothing_is_asked_for_where_nothing_is_left() -> None:
    window = ReadWindow(offset=10, size=10, span_bytes=10, spans=1)
    assert window.done
    assert list(window.wanted()) == []
