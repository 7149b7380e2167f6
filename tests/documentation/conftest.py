"""The worlds of the pages, each made when the first test asks for it, and never changed."""

from pathlib import Path

import pytest

from documentation.worlds import WORLDS


class Originals:
    """A directory for each world."""

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
