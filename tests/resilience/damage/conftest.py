"""A mirror that stands, made once; a copy of it, and a place without one, for each test."""

from datetime import date
from pathlib import Path

import pytest
from support.mirror_copies import copy_mirror

from resilience.damage.world import HELD_DAY, World
from smki_sync.simulator.repository import Repository


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ...]:
    """The DER of a hundred real certificates."""
    path = tmp_path_factory.mktemp("simulated")
    repository = Repository.create(path, devices=40, days=1, start=date(2026, 11, 2))
    return tuple(sorted(repository.in_use()))[:100]


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory, pool: tuple[bytes, ...]) -> Path:
    """Repository and mirror as of the day before the one in question; nobody changes them."""
    world = World(tmp_path_factory.mktemp("standing"), pool)
    world.found()
    ran = world.sync(day=HELD_DAY)
    assert ran.code == 0, ran.raw + ran.err.encode()
    return world.place


@pytest.fixture
def world(standing: Path, tmp_path: Path, pool: tuple[bytes, ...]) -> World:
    """A world of the test's own."""
    copy_mirror(standing, tmp_path / "world")
    return World(tmp_path / "world", pool)


@pytest.fixture
def new_world(tmp_path: Path, pool: tuple[bytes, ...]) -> World:
    """The same without a mirror."""
    place = tmp_path / "new"
    place.mkdir()
    world = World(place, pool)
    world.found()
    return world
