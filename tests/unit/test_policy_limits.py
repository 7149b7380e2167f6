"""How far one file may move a mirror: at each bound, and beyond it."""

import pytest

from smki_sync.errors import BadExtract
from smki_sync.policy import ChangeLimits

NAME = "SMKIKR_FULL_2026-11-15.xml.gz"
BOUNDS = ChangeLimits(
    shrink_share=0.10, shrink_allowance=20, repeat_share=0.5, not_in_use_share=0.1, not_in_use_allowance=5
)


def refusal_of(bounds: ChangeLimits, *, before: int, leaving: int) -> BadExtract | None:
    try:
        bounds.check_shrink(NAME, before=before, leaving=leaving)
    except BadExtract as exc:
        return exc
    return None


@pytest.mark.parametrize(
    ("before", "leaving", "refused"),
    [
        (1000, 100, False),
        (1000, 101, True),
        (1000, 0, False),
        (1000, 1000, True),
        (20, 20, False),
        (21, 21, True),
        (50, 20, False),
        (50, 21, True),
        (0, 0, False),
    ],
)
def test_check_shrink_allows_a_tenth_or_twenty(before: int, leaving: int, *, refused: bool) -> None:
    assert (refusal_of(BOUNDS, before=before, leaving=leaving) is not None) == refused


def test_a_refusal_names_the_file_both_figures_the_share_and_the_way_to_say_yes() -> None:
    error = refusal_of(BOUNDS, before=2_000_000, leaving=1_000_000)
    assert error is not None
    assert error.reason == "shrinks-mirror"
    for part in (NAME, "1,000,000", "2,000,000", "50%", "10%", "policy.max_shrink_share"):
        assert part in error.message
    assert "--accept-shrink" in error.hint


def test_a_loss_that_was_accepted_is_not_refused_however_large() -> None:
    assert refusal_of(ChangeLimits(accept_shrink=True), before=1_000_000, leaving=1_000_000) is None


def test_a_share_of_one_allows_any_loss() -> None:
    assert refusal_of(ChangeLimits(shrink_share=1), before=1_000_000, leaving=1_000_000) is None


@pytest.mark.parametrize(
    ("repeated", "held", "refused"),
    [(500, 1000, False), (501, 1000, True), (20, 0, False), (21, 0, True), (0, 1000, False)],
)
def test_a_delta_may_repeat_half_of_the_mirror_or_twenty(repeated: int, held: int, *, refused: bool) -> None:
    if not refused:
        BOUNDS.check_delta(NAME, repeated=repeated, held=held)
        return
    with pytest.raises(
        BadExtract, match=f"^{NAME}: {repeated} of its .* of {held:,} .*what has changed$"
    ) as caught:
        BOUNDS.check_delta(NAME, repeated=repeated, held=held)
    assert caught.value.reason == "not-a-delta"


@pytest.mark.parametrize(
    ("certificates", "in_use", "refused"),
    [
        (1000, 1000, False),
        (1000, 900, False),
        (1000, 899, True),
        (6, 1, False),
        (7, 1, True),
        (0, 0, True),
        (5, 0, True),
        (1, 1, False),
    ],
)
def test_a_full_may_hold_few_that_are_not_in_use_and_at_least_one_that_is(
    certificates: int, in_use: int, *, refused: bool
) -> None:
    if not refused:
        BOUNDS.check_full(NAME, certificates=certificates, in_use=in_use)
        return
    with pytest.raises(
        BadExtract, match=f"^{NAME}: {in_use} of its {certificates:,} certificates are In-Use"
    ) as caught:
        BOUNDS.check_full(NAME, certificates=certificates, in_use=in_use)
    assert caught.value.reason == "not-a-full"


def test_a_share_of_one_allows_a_full_without_any_certificate() -> None:
    ChangeLimits(not_in_use_share=1).check_full(NAME, certificates=0, in_use=0)
