"""What may pass is tried again, as often as agreed and in the open; what may not is reported at once."""

import json
from pathlib import Path
from typing import Self

import pytest
from support.download_source import BODY, CHUNK, NAME, SEAM, SEEN, Ear, Shop, Time, extract, get, names, terms

from smki_sync.download import ReconnectingSource, RetryPolicy
from smki_sync.download.retry import CAUSES, RetryAction, RetryRule, retry_action_of
from smki_sync.errors import SourceError, SourceUnreachable
from smki_sync.events import Resumed, Retrying


def fault_of(cause: RetryRule) -> SourceError:
    return cause.kind("the message", hint="the hint", code=cause.code)


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.code)
def test_each_cause_is_treated_as_the_table_says(tmp_path: Path, cause: RetryRule) -> None:
    shop = Shop(breaks=[200_000, None], fault=lambda: fault_of(cause))
    time, ear = Time(), Ear()
    on = terms(time, attempts=3)
    if cause.treatment is RetryAction.AGAIN:
        assert get(shop, tmp_path, ear=ear, on=on).path.read_bytes() == BODY
        assert (shop.opened, shop.closed, len(time.pauses)) == (2, 2, 1)
        return
    with pytest.raises(cause.kind) as caught:
        get(shop, tmp_path, ear=ear, on=on)
    assert caught.value.reason == cause.code
    assert (shop.opened, shop.closed, time.pauses) == (1, 1, [])
    assert NAME not in names(tmp_path)


def test_the_table_names_each_cause_once() -> None:
    assert len({cause.code for cause in CAUSES}) == len(CAUSES)


def test_a_cause_without_a_row_is_treated_as_its_class_says() -> None:
    assert retry_action_of(SourceUnreachable("m", code="never-heard-of")) is RetryAction.AGAIN


class Closed(Shop):
    """Cannot be entered for the first ``closed_for`` times."""

    closed_for = 2

    def __enter__(self) -> Self:
        super().__enter__()
        if self.opened <= self.closed_for:
            raise self.fault()
        return self


def test_connecting_is_tried_again_too_and_listing(tmp_path: Path) -> None:
    shop, time = Closed(), Time()
    assert get(shop, tmp_path, on=terms(time, attempts=3)).path.read_bytes() == BODY
    assert shop.opened == 3
    faults = iter([True, False])

    def stumble(_shop: Shop) -> None:
        if next(faults):
            raise SourceUnreachable("not now", code="stalled")

    with ReconnectingSource(
        lambda: Shop(before_listing=stumble), terms=terms(time, attempts=2), hear=Ear()
    ) as one:
        assert len(one.fetch_listing()) == 1
        assert one.title == "shop"


def test_a_refused_login_is_not_tried_a_second_time(tmp_path: Path) -> None:
    (refused,) = (cause for cause in CAUSES if cause.code == "login-refused")
    shop = Closed(fault=lambda: fault_of(refused))
    with pytest.raises(SourceError):
        get(shop, tmp_path, on=terms(Time(), attempts=9))
    assert shop.opened == 1


def test_pauses_grow_to_the_longest_and_each_failure_is_said_as_it_happens(tmp_path: Path) -> None:
    shop, time, ear = Closed(), Time(), Ear()
    shop.closed_for = 9
    with pytest.raises(SourceUnreachable) as caught:
        get(shop, tmp_path, ear=ear, on=terms(time, attempts=5))
    assert time.pauses == [5, 15, 45, 60]
    assert [(e.failed, e.attempts, e.code) for e in ear.events if isinstance(e, Retrying)] == [
        (n, 5, "connection-lost") for n in (1, 2, 3, 4)
    ]
    assert "given up after 5 attempts in a row, 125 s after the first" in caught.value.message
    assert (caught.value.reason, caught.value.hint) == ("connection-lost", "wait")


def test_a_single_attempt_speaks_for_itself(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable) as caught:
        get(Shop(breaks=[0]), tmp_path)
    assert caught.value.message == "the line is down"


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_chance_draws_a_pause_longer_or_shorter_by_its_share(chance: float, pause: float) -> None:
    retry = RetryPolicy(attempts=9, first_pause=10, factor=2, longest_pause=40, jitter=0.2)
    assert retry.pause(1, chance) == pytest.approx(pause)
    assert retry.pause(50, 0.5) == 40


def test_progress_begins_a_new_row_of_attempts_and_a_trickle_does_not(tmp_path: Path) -> None:
    body = BODY * 12
    stops = list(range(20 * CHUNK, len(body), 20 * CHUNK))
    shop, time = Shop(body=body, breaks=[*stops, None]), Time()
    wanted = shop.fetch_listing()[0]
    assert get_of(shop, tmp_path, wanted.size, time, attempts=2) == body
    assert set(time.pauses) == {5}
    assert len(time.pauses) == len(stops) > 3
    trickle = Shop(body=body, breaks=[CHUNK * n for n in range(1, 60)])
    with pytest.raises(SourceUnreachable, match="given up after 4 attempts"):
        get_of(trickle, tmp_path / "elsewhere", wanted.size, time, attempts=4)


def get_of(shop: Shop, path: Path, size: int, time: Time, *, attempts: int) -> bytes:
    path.mkdir(exist_ok=True)
    return get(shop, path, extract(size=size), on=terms(time, attempts=attempts)).path.read_bytes()


def test_after_a_fault_the_download_goes_on_and_the_file_is_looked_up_once_more(tmp_path: Path) -> None:
    shop, ear = Shop(breaks=[500_000, None]), Ear()
    fetched = get(shop, tmp_path, ear=ear, on=terms(Time(), attempts=2))
    assert fetched.path.read_bytes() == BODY
    assert shop.asked == [0, 500_000 - SEAM]
    assert shop.listings == 1
    assert fetched.pieces == 2
    assert ear.of(Resumed) == []  # nothing of an earlier run


def test_a_file_that_was_replaced_while_the_line_was_down_is_not_gone_on_with(tmp_path: Path) -> None:
    shop, time = Shop(breaks=[500_000, None]), Time()

    def replace() -> None:
        shop.modified = SEEN.replace(hour=5)

    time.meanwhile = replace
    with pytest.raises(SourceUnreachable) as caught:
        get(shop, tmp_path, on=terms(time, attempts=2))
    assert caught.value.reason == "changed-while-fetched"
    assert shop.asked == [0]
    assert NAME not in names(tmp_path)


def test_an_ordinary_download_opens_once_and_lists_not_at_all(tmp_path: Path) -> None:
    shop = Shop()
    get(shop, tmp_path, on=terms(Time(), attempts=9, young=600, changing=600))
    assert (shop.opened, shop.closed, shop.listings, shop.asked) == (1, 1, 0, [0])
    assert json.loads((tmp_path / (NAME + ".json")).read_text())["pieces"] == 1


def test_an_error_that_is_not_of_the_source_closes_it_and_passes(tmp_path: Path) -> None:
    shop = Shop(breaks=[200_000], fault=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        get(shop, tmp_path, on=terms(Time(), attempts=9))
    assert (shop.opened, shop.closed) == (1, 1)
    assert get(Shop(), tmp_path).pieces == 2
