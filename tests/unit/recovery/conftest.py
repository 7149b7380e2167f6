"""A Party with a shelf of extracts, as the tests of sync have; and somebody at a prompt with a mirror."""

from datetime import date
from pathlib import Path

import pytest
from support.cli import Shell
from support.mirror_copies import copy_mirror

from smki_sync.simulator.repository import Repository
from unit.sync.conftest import party, pool, shelf

__all__ = ["first", "party", "place", "pool", "shelf", "smki"]

START, TODAY = date(2026, 11, 2), date(2026, 11, 11)


@pytest.fixture(scope="package")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a repository and a mirror of it that nobody changes."""
    place = tmp_path_factory.mktemp("first")
    Repository.create(place / "repository", devices=40, days=10, start=START, seed=8)
    Shell(place=place, today=TODAY)("sync", "--mirror", "mirror", "--source", (place / "repository").as_uri())
    return place


@pytest.fixture
def place(first: Path, tmp_path: Path) -> Path:
    """The same, the test's own."""
    copy_mirror(first, tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def smki(place: Path) -> Shell:
    """Somebody at a prompt there, on the day of the mirror."""
    source = (place / "repository").as_uri()
    return Shell(
        place=place, today=TODAY, variables={"SMKI_SYNC_MIRROR": "mirror", "SMKI_SYNC_SOURCE": source}
    )
