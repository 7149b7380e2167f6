"""The read-ahead window: it returns complete bytes in order for replies of any order and size."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.sources.sftp_protocol import BadReadReply, ReadSpan, ReadWindow

CONTENT = bytes(range(256)) * 4


def drive(window: ReadWindow, rng: random.Random, *, short: bool) -> tuple[bytes, int]:
    """Answer requests in random order, perhaps in part; the bytes that left, and the most in flight."""
    in_flight: list[ReadSpan] = []
    left = b""
    most = 0
    while not window.done:
        in_flight.extend(window.next_requests())
        most = max(most, len(in_flight))
        span = in_flight.pop(rng.randrange(len(in_flight)))
        length = rng.randint(1, span.missing) if short else span.missing
        window.receive(span, CONTENT[span.at : span.at + length])
        left += b"".join(window.completed())
    return left, most


@given(
    size=st.integers(0, len(CONTENT)),
    offset=st.integers(0, len(CONTENT)),
    span=st.integers(1, 300),
    spans=st.integers(1, 9),
    seed=st.integers(0, 9999),
    short=st.booleans(),
)
def test_window_returns_bytes_in_order_with_bounded_requests(
    *, size: int, offset: int, span: int, spans: int, seed: int, short: bool
) -> None:
    offset = min(offset, size)
    window = ReadWindow(offset=offset, size=size, span_bytes=span, spans=spans)
    left, most = drive(window, random.Random(seed), short=short)
    assert left == CONTENT[offset:size]
    assert most <= spans


def test_window_requests_rest_of_short_reply_first() -> None:
    window = ReadWindow(offset=0, size=100, span_bytes=10, spans=2)
    first, second = window.next_requests()
    window.receive(first, CONTENT[:3])
    assert list(window.completed()) == []
    (again,) = window.next_requests()
    assert (again.at, again.missing) == (3, 7)
    window.receive(second, CONTENT[10:20])
    assert list(window.completed()) == []
    window.receive(again, CONTENT[3:10])
    assert list(window.completed()) == [CONTENT[:10], CONTENT[10:20]]


def test_window_sends_no_request_when_first_span_is_missing() -> None:
    window = ReadWindow(offset=0, size=1000, span_bytes=10, spans=4)
    _first, *others = window.next_requests()
    for span in others:
        window.receive(span, CONTENT[span.at : span.at + 10])
    assert list(window.next_requests()) == []
    assert list(window.completed()) == []
    assert not window.done


def test_window_rejects_empty_reply() -> None:
    window = ReadWindow(offset=0, size=10, span_bytes=10, spans=1)
    (span,) = window.next_requests()
    with pytest.raises(BadReadReply, match="no bytes"):
        window.receive(span, b"")


def test_window_rejects_reply_that_is_too_long() -> None:
    window = ReadWindow(offset=0, size=10, span_bytes=10, spans=1)
    (span,) = window.next_requests()
    with pytest.raises(BadReadReply, match="11 bytes for 10"):
        window.receive(span, bytes(11))


def test_window_is_done_when_offset_is_the_size() -> None:
    window = ReadWindow(offset=10, size=10, span_bytes=10, spans=1)
    assert window.done
    assert list(window.next_requests()) == []
