"""A repository behind SFTP, a configuration that works, and somebody at a prompt beside it."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from support.cli import Shell
from support.needs import need

from smki_sync.simulator.repository import Repository
from smki_sync.simulator.sftp_server import Service, serve

START, TODAY = date(2026, 11, 2), date(2026, 11, 12)
"""Deltas of 5 to 11 November on offer, the last written a second before midnight."""


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that nobody changes."""
    place = tmp_path_factory.mktemp("ops") / "repository"
    return Repository.create(place, devices=8, days=10, start=START, seed=17).path


@pytest.fixture
def repository(original: Path, tmp_path: Path) -> Path:
    """A repository of the test's own."""
    return Path(shutil.copytree(original, tmp_path / "repository"))


@pytest.fixture
def service(repository: Path) -> Iterator[Service]:
    """It, behind SFTP; a password is right too."""
    with serve(repository, password="correct horse") as running:
        yield running


@pytest.fixture
def smki(tmp_path: Path) -> Shell:
    """Somebody at a prompt, on the repository's day."""
    return Shell(place=tmp_path, today=TODAY)


@pytest.fixture
def site(service: Service, tmp_path: Path) -> Path:
    """A configuration file that works, where commands find it."""
    file = tmp_path / "smki-sync.toml"
    file.write_text(
        "[repository]\n"
        f'url = "{service.url}"\n'
        f'identity_file = "{service.client_key}"\n'
        f'known_hosts = "{service.known_hosts}"\n'
        '[mirror]\npath = "mirror"\n'
    )
    return file


def change(site: Path, key: str, value: str) -> None:
    """Set a key that the file has to another value, as TOML."""
    lines = site.read_text().splitlines()
    site.write_text("\n".join(f"{key} = {value}" if line.startswith(f"{key} =") else line for line in lines))


def systemd_says(verb: str, *words: object) -> str:
    """What ``systemd-analyze`` has to say; a unit that it does not take fails the test."""
    program = need("systemd-analyze")
    command = [program, verb, *map(str, words)]
    environment = {
        "XDG_RUNTIME_DIR": "/run",
        **os.environ,
    }  # that of a user's manager, of which it looks for units
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


WORST_EXPOSURE = 2.0
"""Of systemd's own measure, from 0 to 10; below 3 it says OK."""


def exposure(service: Path) -> float:
    """How open systemd finds a service."""
    said = systemd_says("security", "--offline=true", service)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found
    return float(found[1])
