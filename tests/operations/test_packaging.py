"""What is shipped beside the program: units that systemd takes, a manual that says what is so."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import typer
from support.generators import manual
from support.needs import need

from operations.conftest import WORST_EXPOSURE, exposure, systemd_says
from smki_sync.cli import build
from smki_sync.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
PROGRAM = "/opt/smki-sync/bin/smki-sync"
TOML = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = TOML["project"]


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with a program that this machine has."""
    made = []
    for unit in (PACKAGING / "systemd").iterdir():
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
        made.append(copy)
    return made


def test_systemd_takes_the_units_and_finds_the_services_well_closed(units: list[Path]) -> None:
    systemd_says("verify", "--man=no", *units)
    services = [unit for unit in units if unit.suffix == ".service"]
    assert len(services) == 2
    for service in services:
        assert exposure(service) <= WORST_EXPOSURE


def test_the_timer_makes_up_for_what_it_missed_and_spreads_the_load() -> None:
    timer = (PACKAGING / "systemd" / "smki-sync.timer").read_text()
    assert "Persistent=yes" in timer
    assert "RandomizedDelaySec=1h" in timer


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("systemd/smki-sync.service", "sync"),
        ("systemd/smki-sync-drill.service", "restore --rehearse"),
        ("cron/smki-sync", "sync"),
    ],
)
def test_what_starts_it_runs_a_command_that_parses(file: str, name: str) -> None:
    (words,) = re.findall(rf"{PROGRAM} ({name} .*)", (PACKAGING / file).read_text())
    first, *rest = words.split()
    command = typer.main.get_command(build()).commands[first]  # type: ignore[attr-defined]  # a group has them
    command.make_context(first, rest)  # raises for an option that does not exist


def test_the_container_installs_pinned_packages_as_a_plain_user() -> None:
    text = (PACKAGING / "Containerfile").read_text()
    installed = [line for line in text.splitlines() if "pip install" in line and "--no-deps" not in line]
    assert len(installed) == 2
    assert all("--require-hashes" in line for line in installed)
    assert text.index("USER smki-sync") < text.index("ENTRYPOINT")
    name = PROJECT["name"]
    assert f"/bin/{name}" in text


def pins(path: Path) -> dict[str, set[str]]:
    """Each ``name==version`` that a file pins, with its hashes."""
    entries = re.findall(r"^(\S+==\S+)(.*(?:\n +--hash.*)+)", path.read_text(), re.MULTILINE)
    return {name: set(re.findall(r"sha256:\w+", rest)) for name, rest in entries}


@pytest.mark.parametrize(
    ("part", "wanted"),
    [("run", PROJECT["dependencies"]), ("build", TOML["build-system"]["requires"])],
)
def test_what_the_container_installs_is_a_part_of_what_is_tested(part: str, wanted: list[str]) -> None:
    """Where this fails, ``make pins`` mends it."""
    tested, own = pins(ROOT / "requirements.txt"), pins(PACKAGING / "pins" / f"{part}.txt")
    assert own.items() <= tested.items()
    assert {re.split("[<>=]", name)[0] for name in wanted} <= {name.partition("==")[0] for name in own}
    assert not [name for name in own if name.startswith(("pytest==", "ruff==", "sphinx=="))]


def test_the_manual_has_every_command_option_and_exit_code() -> None:
    page = manual().replace("\\-", "-")
    for command in COMMANDS:
        assert re.search(rf"^\.SS {command}\b", page, re.MULTILINE), command
    for word in (
        "--accept-shrink",
        "--accept-fingerprint",
        "SMKI_SYNC_PASSWORD",
        "ATTENTION",
        "smki-sync.toml",
    ):
        assert word in page


def test_man_shows_the_manual_without_a_warning(tmp_path: Path) -> None:
    page = tmp_path / "smki-sync.1"
    page.write_text(manual())
    program = need("man")
    done = subprocess.run(
        [program, "--warnings=all", "-l", str(page)],
        env={"PATH": os.environ["PATH"], "MANPAGER": "cat", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "--accept-shrink" in done.stdout


def test_the_package_brings_templates_and_manual_along(tmp_path: Path) -> None:
    build_wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build_wheel, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    templates = (ROOT / "smki_sync" / "cli" / "templates").iterdir()
    wanted = {str(path.relative_to(ROOT)) for path in templates}
    assert wanted
    assert wanted <= names
    assert [name for name in names if name.endswith("data/share/man/man1/smki-sync.1")]
