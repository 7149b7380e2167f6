"""Time limits of the channel, with a fake clock."""

import pytest

from smki_sync.config.schema import KEYS
from smki_sync.errors import SourceUnreachable
from smki_sync.sources.base import TIME_LIMITS, Limits
from smki_sync.sources.sftp_channel import TimedChannel


class Line:
    """A channel on which time passes: each step takes what the script says, or longer than is allowed."""

    def __init__(self, *seconds: float, data: bytes = b"x") -> None:
        self.now = 0.0
        self._seconds = list(seconds)
        self._data = data
        self._timeout: float | None = None

    def clock(self) -> float:
        return self.now

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def send(self, data: bytes) -> int:
        return len(self.recv(len(data)))

    def recv(self, size: int) -> bytes:
        del size
        assert self._timeout is not None
        needed = self._seconds.pop(0)
        self.now += min(needed, self._timeout)
        if needed > self._timeout:
            raise TimeoutError
        return self._data

    def close(self) -> None:
        """Nothing to close."""


def wire(line: Line, *, total: float = 0.0, rate: float = 0.0) -> TimedChannel:
    limits = Limits(stall=10, total=total, slow_rate=rate, slow_period=30)
    made = TimedChannel(line, peer="smki.example:22", limits=limits, clock=line.clock)
    made.begin()
    return made


def test_recv_does_not_stall_when_bytes_arrive_in_time() -> None:
    slow = wire(Line(9, 9, 9))
    assert [slow.recv(1) for _ in range(3)] == [b"x"] * 3


def test_recv_stalls_and_names_limit_when_no_byte_arrives() -> None:
    with pytest.raises(
        SourceUnreachable, match=r"smki\.example:22 .* 10 s \(limits\.stall_seconds = 10\)"
    ) as caught:
        wire(Line(11)).recv(1)
    assert caught.value.reason == "stalled"


def test_recv_ends_at_total_limit_and_names_it() -> None:
    trickle = wire(Line(9, 9, 9), total=25)
    trickle.recv(1)
    trickle.recv(1)
    with pytest.raises(SourceUnreachable, match=r"25 s \(limits\.total_seconds = 25\)") as caught:
        trickle.recv(1)
    assert caught.value.reason == "total-timeout"


def test_begin_restarts_total_limit() -> None:
    line = Line(9, 9, 9)
    again = wire(line, total=20)
    again.recv(1)
    again.recv(1)
    again.begin()
    assert again.recv(1) == b"x"


def test_recv_fails_at_once_when_total_limit_has_passed() -> None:
    line = Line(1, 1)
    paused = wire(line, total=20)
    paused.recv(1)
    line.now += 20
    with pytest.raises(SourceUnreachable) as caught:
        paused.recv(1)
    assert caught.value.reason == "total-timeout"


def test_send_stalls_when_server_reads_nothing() -> None:
    with pytest.raises(SourceUnreachable) as caught:
        wire(Line(11)).send(b"x")
    assert caught.value.reason == "stalled"


def test_recv_reports_lost_connection_at_end_of_stream() -> None:
    with pytest.raises(SourceUnreachable) as caught:
        wire(Line(1, data=b"")).recv(1)
    assert caught.value.reason == "connection-lost"


def test_slow_connection_fails_with_the_rate_when_it_never_stalls() -> None:
    drip = wire(Line(9, 9, 9, 9), rate=5)
    for _ in range(3):
        drip.recv(1)
    with pytest.raises(
        SourceUnreachable, match=r"in 3\d s of waiting, less than 5 bytes per second"
    ) as caught:
        drip.recv(1)
    assert caught.value.reason == "too-slow"
    assert drip.failed


def test_rate_period_restarts_when_rate_is_sufficient() -> None:
    enough = wire(Line(*[9] * 12, data=b"x" * 50), rate=5)
    assert [enough.recv(50) for _ in range(12)] == [b"x" * 50] * 12


def test_rate_ignores_pauses_of_the_reader() -> None:
    line = Line(*[1] * 8)
    paused = wire(line, rate=5)
    for _ in range(8):
        line.now += 100
        assert paused.recv(1) == b"x"


def test_begin_restarts_rate_period() -> None:
    line = Line(9, 9, 9, 9)
    again = wire(line, rate=5)
    for _ in range(3):
        again.recv(1)
    again.begin()
    assert again.recv(1) == b"x"


def test_time_limits_name_configuration_keys() -> None:
    assert {limit.key for limit in TIME_LIMITS if limit.key} <= set(KEYS)
    assert len({limit.code for limit in TIME_LIMITS}) == len(TIME_LIMITS)
    for limit in TIME_LIMITS:
        setting = f" ({limit.key} = 2.5)" if limit.key else ""
        assert limit.error("a server did nothing", 2.5).message.endswith(f"within 2.5 s{setting}")
