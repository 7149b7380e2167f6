"""Temporary errors are retried and reported; other errors end the download at once."""

import json
from pathlib import Path
from typing import Self

import pytest
from support.download_source import (
    BODY,
    CHUNK,
    NAME,
    OVERLAP,
    SEEN,
    FakeClock,
    FakeSource,
    RecordingListener,
    extract,
    get,
    names,
    options,
)

from smki_sync.download import ReconnectingSource, RetryPolicy
from smki_sync.download.retry import RETRY_RULES, RetryAction, RetryRule, retry_action_of
from smki_sync.errors import SourceError, SourceUnreachable
from smki_sync.events import Resumed, Retrying


def fault_of(cause: RetryRule) -> SourceError:
    return cause.error("the message", hint="the hint", code=cause.code)


@pytest.mark.parametrize("cause", RETRY_RULES, ids=lambda cause: cause.code)
def test_download_follows_retry_rule_of_each_code(tmp_path: Path, cause: RetryRule) -> None:
    fake = FakeSource(breaks=[200_000, None], fault=lambda: fault_of(cause))
    time, listener = FakeClock(), RecordingListener()
    on = options(time, attempts=3)
    if cause.action is RetryAction.RETRY:
        assert get(fake, tmp_path, listener=listener, on=on).path.read_bytes() == BODY
        assert (fake.opened, fake.closed, len(time.pauses)) == (2, 2, 1)
        return
    with pytest.raises(cause.error) as caught:
        get(fake, tmp_path, listener=listener, on=on)
    assert caught.value.reason == cause.code
    assert (fake.opened, fake.closed, time.pauses) == (1, 1, [])
    assert NAME not in names(tmp_path)


def test_retry_rules_have_unique_codes() -> None:
    assert len({cause.code for cause in RETRY_RULES}) == len(RETRY_RULES)


def test_retry_action_comes_from_class_when_code_has_no_rule() -> None:
    assert retry_action_of(SourceUnreachable("m", code="never-heard-of")) is RetryAction.RETRY


class Closed(FakeSource):
    """Cannot be entered for the first ``closed_for`` times."""

    closed_for = 2

    def __enter__(self) -> Self:
        super().__enter__()
        if self.opened <= self.closed_for:
            raise self.fault()
        return self


def test_connect_and_listing_are_retried(tmp_path: Path) -> None:
    fake, time = Closed(), FakeClock()
    assert get(fake, tmp_path, on=options(time, attempts=3)).path.read_bytes() == BODY
    assert fake.opened == 3
    faults = iter([True, False])

    def stumble(_shop: FakeSource) -> None:
        if next(faults):
            raise SourceUnreachable("not now", code="stalled")

    with ReconnectingSource(
        lambda: FakeSource(before_listing=stumble),
        options=options(time, attempts=2),
        events=RecordingListener(),
    ) as one:
        assert len(one.fetch_listing()) == 1
        assert one.title == "fake"


def test_refused_login_is_not_retried(tmp_path: Path) -> None:
    (refused,) = (cause for cause in RETRY_RULES if cause.code == "login-refused")
    fake = Closed(fault=lambda: fault_of(refused))
    with pytest.raises(SourceError):
        get(fake, tmp_path, on=options(FakeClock(), attempts=9))
    assert fake.opened == 1


def test_pauses_grow_to_longest_and_each_failure_is_reported(tmp_path: Path) -> None:
    fake, time, listener = Closed(), FakeClock(), RecordingListener()
    fake.closed_for = 9
    with pytest.raises(SourceUnreachable) as caught:
        get(fake, tmp_path, listener=listener, on=options(time, attempts=5))
    assert time.pauses == [5, 15, 45, 60]
    assert [(e.failed, e.attempts, e.code) for e in listener.events if isinstance(e, Retrying)] == [
        (n, 5, "connection-lost") for n in (1, 2, 3, 4)
    ]
    assert "gave up after 5 attempts in a row, 125 s after the first" in caught.value.message
    assert (caught.value.reason, caught.value.hint) == ("connection-lost", "wait")


def test_error_is_unchanged_when_only_one_attempt_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable) as caught:
        get(FakeSource(breaks=[0]), tmp_path)
    assert caught.value.message == "the line is down"


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_jitter_changes_pause_by_its_fraction(chance: float, pause: float) -> None:
    retry = RetryPolicy(attempts=9, first_pause=10, factor=2, longest_pause=40, jitter=0.2)
    assert retry.pause(1, chance) == pytest.approx(pause)
    assert retry.pause(50, 0.5) == 40


def test_attempts_restart_after_1_mib_of_progress(tmp_path: Path) -> None:
    body = BODY * 12
    stops = list(range(20 * CHUNK, len(body), 20 * CHUNK))
    fake, time = FakeSource(body=body, breaks=[*stops, None]), FakeClock()
    wanted = fake.fetch_listing()[0]
    assert get_of(fake, tmp_path, wanted.size, time, attempts=2) == body
    assert set(time.pauses) == {5}
    assert len(time.pauses) == len(stops) > 3
    trickle = FakeSource(body=body, breaks=[CHUNK * n for n in range(1, 60)])
    with pytest.raises(SourceUnreachable, match="gave up after 4 attempts"):
        get_of(trickle, tmp_path / "elsewhere", wanted.size, time, attempts=4)


def get_of(fake: FakeSource, path: Path, size: int, time: FakeClock, *, attempts: int) -> bytes:
    path.mkdir(exist_ok=True)
    return get(fake, path, extract(size=size), on=options(time, attempts=attempts)).path.read_bytes()


def test_download_resumes_after_error_and_lists_again(tmp_path: Path) -> None:
    fake, listener = FakeSource(breaks=[500_000, None]), RecordingListener()
    fetched = get(fake, tmp_path, listener=listener, on=options(FakeClock(), attempts=2))
    assert fetched.path.read_bytes() == BODY
    assert fake.asked == [0, 500_000 - OVERLAP]
    assert fake.listings == 1
    assert fetched.pieces == 2
    assert listener.of(Resumed) == []  # nothing of an earlier run


def test_download_fails_when_file_was_replaced_during_outage(tmp_path: Path) -> None:
    fake, time = FakeSource(breaks=[500_000, None]), FakeClock()

    def replace() -> None:
        fake.modified = SEEN.replace(hour=5)

    time.meanwhile = replace
    with pytest.raises(SourceUnreachable) as caught:
        get(fake, tmp_path, on=options(time, attempts=2))
    assert caught.value.reason == "changed-while-fetched"
    assert fake.asked == [0]
    assert NAME not in names(tmp_path)


def test_download_connects_once_and_does_not_list(tmp_path: Path) -> None:
    fake = FakeSource()
    get(fake, tmp_path, on=options(FakeClock(), attempts=9, recheck_seconds=600, stability_seconds=600))
    assert (fake.opened, fake.closed, fake.listings, fake.asked) == (1, 1, 0, [0])
    assert json.loads((tmp_path / (NAME + ".json")).read_text())["pieces"] == 1


def test_source_is_closed_when_another_error_is_raised(tmp_path: Path) -> None:
    fake = FakeSource(breaks=[200_000], fault=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        get(fake, tmp_path, on=options(FakeClock(), attempts=9))
    assert (fake.opened, fake.closed) == (1, 1)
    assert get(FakeSource(), tmp_path).pieces == 2
