"""Fixtures: the worlds in which the commands of the pages run."""

from pathlib import Path

import pytest

from documentation.worlds import WORLDS


class Originals:
    """One directory per world, created on first use and never changed."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def of(self, name: str) -> Path:
        place = self._place / name
        if not place.exists():
            WORLDS[name](place)
        return place


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    return Originals(tmp_path_factory.mktemp("worlds"))
