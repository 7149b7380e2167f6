"""A small repository, a mirror of it, and somebody at a prompt."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from support.cli import Ran, Shell
from support.mirror_copies import copy_mirror

from smki_sync.simulator.repository import Repository
from smki_sync.simulator.sftp_server import Service, serve

START, TODAY = date(2026, 11, 2), date(2026, 11, 11)
"""Ten days of life: fulls of 2 and 9 November, and the deltas of 5 to 11 November on offer."""


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository that nobody changes."""
    place = tmp_path_factory.mktemp("original") / "repository"
    return Repository.create(place, devices=12, days=10, start=START, seed=11)


@pytest.fixture(scope="session")
def first_sync(original: Repository, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A mirror of it that nobody changes, and what the sync that made it said."""
    place = tmp_path_factory.mktemp("first")
    ran = Shell(place=place, today=TODAY)(
        "sync", "--mirror", "mirror", "--source", original.path.as_uri(), "--json"
    )
    assert ran.code == 0, ran.err
    return place / "mirror", ran


@pytest.fixture(scope="session")
def mirror(first_sync: tuple[Path, Ran]) -> Path:
    """The mirror that nobody changes."""
    return first_sync[0]


@pytest.fixture(scope="session")
def rows(mirror: Path) -> list[sqlite3.Row]:
    """What ``certificates`` of that mirror holds, read as any tool reads it."""
    with closing(sqlite3.connect(f"{(mirror / 'mirror.db').as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM certificates ORDER BY serial").fetchall()


@pytest.fixture
def repository(original: Repository, tmp_path: Path) -> Repository:
    """A repository of the test's own."""
    shutil.copytree(original.path, tmp_path / "repository")
    return Repository.open(tmp_path / "repository")


@pytest.fixture
def own_mirror(mirror: Path, tmp_path: Path) -> Path:
    """A mirror of the test's own, as of 11 November."""
    copy_mirror(mirror, tmp_path / "mirror")
    return tmp_path / "mirror"


@pytest.fixture
def smki(tmp_path: Path) -> Shell:
    """Somebody at a prompt in an empty directory, on the repository's day."""
    return Shell(place=tmp_path, today=TODAY)


@pytest.fixture
def service(repository: Repository) -> Iterator[Service]:
    """The test's own repository behind SFTP."""
    with serve(repository.path) as running:
        yield running
