"""Real certificates, made once, and a Party with an empty mirror directory."""

from datetime import date
from pathlib import Path

import pytest
from support.extract_directory import Party, Shelf

from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.simulator.repository import Repository


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, ...]:
    """The DER of real certificates of every kind."""
    path = tmp_path_factory.mktemp("simulated")
    repository = Repository.create(path, devices=5, days=1, start=date(2026, 11, 2))
    return tuple(sorted(repository.in_use()))


@pytest.fixture
def shelf(tmp_path: Path, pool: tuple[bytes, ...]) -> Shelf:
    path = tmp_path / "repository"
    path.mkdir()
    return Shelf(path, pool)


@pytest.fixture
def party(shelf: Shelf, tmp_path: Path) -> Party:
    return Party(shelf, MirrorDirectory(tmp_path / "mirror"))
