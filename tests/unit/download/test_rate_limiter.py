"""A bandwidth limit holds over any stretch of time but a short burst."""

import random
from pathlib import Path

import pytest
from support.download_source import BODY, Shop, Time, get, terms

from smki_sync.download.retry import BURST_SECONDS, RateLimiter


def test_without_a_limit_nothing_waits() -> None:
    time = Time()
    pace = RateLimiter(0, seconds=time.seconds, sleep=time.sleep)
    pace.take(1 << 40)
    assert time.pauses == []


@pytest.mark.parametrize("rate", [1_000, 1_000_000])
def test_over_any_stretch_of_time_no_more_passes_than_the_rate_and_one_burst(rate: int) -> None:
    time, dice = Time(), random.Random(rate)
    pace = RateLimiter(rate, seconds=time.seconds, sleep=time.sleep)
    passed = [(time.seconds(), 0)]
    for _ in range(200):
        if dice.random() < 0.1:
            time.sleep(dice.random() * 3)  # nothing came
        octets = dice.randrange(1, rate)
        pace.take(octets)
        passed.append((time.seconds(), passed[-1][1] + octets))
    for began, before in passed:
        for ended, after in passed:
            if ended > began:
                assert after - before <= rate * (ended - began + BURST_SECONDS) * 1.000001


def test_a_limit_is_used_up_and_not_only_kept() -> None:
    time = Time()
    pace = RateLimiter(1_000, seconds=time.seconds, sleep=time.sleep)
    began = time.seconds()
    for _ in range(100):
        pace.take(100)
    assert time.seconds() - began == pytest.approx(10 - BURST_SECONDS, rel=0.01)


def test_another_rate_counts_from_then_on() -> None:
    time = Time()
    pace = RateLimiter(1_000, seconds=time.seconds, sleep=time.sleep)
    pace.take(250)
    pace.change(10_000)
    pace.take(5_000)
    assert time.pauses == [pytest.approx(0.5)]


def test_a_download_keeps_to_its_limit(tmp_path: Path) -> None:
    time = Time()
    began = time.seconds()
    get(Shop(), tmp_path, on=terms(time, bandwidth=10_000))
    assert time.seconds() - began == pytest.approx(len(BODY) / 10_000 - BURST_SECONDS, rel=0.01)
