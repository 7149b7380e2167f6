"""The rate limit holds over any period, except for a short burst."""

import random
from pathlib import Path

import pytest
from support.download_source import BODY, FakeClock, FakeSource, get, options

from smki_sync.download.retry import BURST_SECONDS, RateLimiter


def test_rate_limiter_never_sleeps_without_limit() -> None:
    time = FakeClock()
    limiter = RateLimiter(0, monotonic=time.seconds, sleep=time.sleep)
    limiter.acquire(1 << 40)
    assert time.pauses == []


@pytest.mark.parametrize("rate", [1_000, 1_000_000])
def test_rate_limiter_allows_at_most_rate_and_one_burst(rate: int) -> None:
    time, rng = FakeClock(), random.Random(rate)
    limiter = RateLimiter(rate, monotonic=time.seconds, sleep=time.sleep)
    passed = [(time.seconds(), 0)]
    for _ in range(200):
        if rng.random() < 0.1:
            time.sleep(rng.random() * 3)  # nothing came
        size = rng.randrange(1, rate)
        limiter.acquire(size)
        passed.append((time.seconds(), passed[-1][1] + size))
    for began, before in passed:
        for ended, after in passed:
            if ended > began:
                assert after - before <= rate * (ended - began + BURST_SECONDS) * 1.000001


def test_rate_limiter_uses_the_whole_rate() -> None:
    time = FakeClock()
    limiter = RateLimiter(1_000, monotonic=time.seconds, sleep=time.sleep)
    began = time.seconds()
    for _ in range(100):
        limiter.acquire(100)
    assert time.seconds() - began == pytest.approx(10 - BURST_SECONDS, rel=0.01)


def test_download_respects_rate_limit(tmp_path: Path) -> None:
    time = FakeClock()
    began = time.seconds()
    get(FakeSource(), tmp_path, on=options(time, bytes_per_second=10_000))
    assert time.seconds() - began == pytest.approx(len(BODY) / 10_000 - BURST_SECONDS, rel=0.01)
