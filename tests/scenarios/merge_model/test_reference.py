"""The model proves itself: its reference is never wrong without a mark, and wrong mirrors are found out."""

from random import Random

import pytest

from scenarios.merge_model.extracts import Extract
from scenarios.merge_model.findings import WITHOUT_REFERENCE
from scenarios.merge_model.reference import merge
from scenarios.merge_model.reference_mirror import ReferenceMirror
from scenarios.merge_model.runs import LIVES, run_many, seeds
from scenarios.merge_model.world import Options, World
from scenarios.merge_model.wrong import WRONG

HISTORIES = 500
STEPS = 30
MUTANT_HISTORIES = 100


def test_reference_is_never_wrong_without_a_mark() -> None:
    summary = run_many(seeds(HISTORIES), ReferenceMirror, most=STEPS)
    assert not summary.failed, str(summary)
    if len(seeds(HISTORIES)) >= HISTORIES:
        assert summary.tally.marked * 3 < summary.tally.states, "marks on too many states say nothing"
        assert summary.tally.marked * 30 > summary.tally.states, "no history puts a mirror in doubt"


def test_reference_is_never_marked_when_nothing_is_late_or_missing() -> None:
    for seed in range(40):
        world = World(seed, faults=World.FAULTLESS, options=Options())
        mirror = ReferenceMirror()
        for day in range(world.first_full, world.days):
            outcome = mirror.sync(world.offer(day), day)
            assert (outcome.exit, outcome.position) == (0, day - 1), f"seed {seed}, day {day}"


@pytest.mark.parametrize("wrong", WRONG, ids=lambda one: one.__name__)
def test_checks_find_a_mirror_with_one_wrong_rule(wrong: type[ReferenceMirror]) -> None:
    for seed in range(MUTANT_HISTORIES):
        if run_many([seed], wrong, most=STEPS, checks=WITHOUT_REFERENCE).failed:
            return
    pytest.fail("no history finds it")


def test_merge_is_the_same_when_files_arrive_in_another_order() -> None:
    for seed in range(LIVES // 10 or 60):
        rng = Random(seed)
        world = World(seed)
        files: list[Extract] = [world.delta(day) for day in range(10) if rng.random() < 0.8]
        fulls = [world.full(day, rng) for day in (4, 8)]
        expected = merge(fulls, files, 9)
        rng.shuffle(files)
        rng.shuffle(fulls)
        assert merge(fulls, files, 9) == expected
