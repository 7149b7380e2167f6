"""A small mirror that nobody changes, one of the test's own, and somebody at a prompt."""

import shutil
from datetime import date
from pathlib import Path

import pytest
from support.cli import Shell
from support.mirror_copies import copy_mirror

from smki_sync.simulator.repository import Repository

START, TODAY = date(2026, 11, 2), date(2026, 11, 11)
"""Ten days of life: fulls of 2 and 9 November, and the deltas of 5 to 11 November on offer."""


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository that nobody changes."""
    place = tmp_path_factory.mktemp("tools") / "repository"
    return Repository.create(place, devices=12, days=10, start=START, seed=11)


@pytest.fixture(scope="session")
def mirror(original: Repository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror of it that nobody changes."""
    place = tmp_path_factory.mktemp("tools-mirror")
    source = original.path.as_uri()
    assert Shell(place=place, today=TODAY)("sync", "--mirror", "mirror", "--source", source).code == 0
    return place / "mirror"


@pytest.fixture
def own_mirror(mirror: Path, tmp_path: Path) -> Path:
    """A mirror of the test's own, as of 11 November."""
    copy_mirror(mirror, tmp_path / "mirror")
    return tmp_path / "mirror"


@pytest.fixture
def repository(original: Repository, tmp_path: Path) -> Repository:
    """A repository of the test's own."""
    shutil.copytree(original.path, tmp_path / "repository")
    return Repository.open(tmp_path / "repository")


@pytest.fixture
def smki(tmp_path: Path) -> Shell:
    """Somebody at a prompt in an empty directory, on the repository's day."""
    return Shell(place=tmp_path, today=TODAY)
