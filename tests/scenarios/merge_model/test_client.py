"""The client in histories of the model: after every step it must be as the truth and the rule say."""

import pytest

from scenarios.merge_model.runs import LIVES, run_clients, seeds

HISTORIES = 200
STEPS = 4
CHUNK = 40
"""Histories in one test, so that a long run shows progress."""


def _chunks() -> list[range]:
    numbers = seeds(HISTORIES)
    size = max(CHUNK, LIVES // 50)
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


@pytest.mark.parametrize("numbers", _chunks(), ids=str)
def test_client_is_right_or_marked_in_any_history(numbers: range) -> None:
    summary = run_clients(numbers, most=30 if LIVES and numbers.start % 4 == 0 else STEPS)
    assert not summary.failed, str(summary)
