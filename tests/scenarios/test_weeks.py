"""Weeks of repository life with outages, in every gz and XML shape: the mirror is right or says so."""

import os
from pathlib import Path

import pytest
from support.scenario_world import World

SEEDS = range(int(os.environ.get("SMKI_SYNC_STORY_SEEDS", "12")))
WEEKS = (4, 5, 6)
LONGEST_AWAY = 12


@pytest.mark.parametrize("seed", SEEDS)
def test_after_weeks_of_outages_and_faults_the_mirror_equals_the_repository_or_does_not_claim_to(
    tmp_path: Path, seed: int
) -> None:
    world = World(tmp_path, seed)
    days = 7 * WEEKS[seed % len(WEEKS)]
    world.visit()
    while days > 0:
        away = min(days, world.rng.choice((1, 1, 1, 1, 2, 3, 7, 8, world.rng.randint(0, LONGEST_AWAY))))
        world.live(away)
        world.visit()
        days -= max(away, 1)
    assert sum(world.tally.values()) > 10
