"""A plain ``show`` does without typer: what it loads, what it reads, and what it leaves to typer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from support.cli import Shell, surroundings

from smki_sync.cli import build, certificate_view
from smki_sync.cli.certificate_view import ShowRequest
from smki_sync.cli.option_specs import SHOW_OPTIONS
from smki_sync.mirror.queries import CertificateFilter, find, open_mirror
from smki_sync.model.certificate import Usage
from smki_sync.usability import UsabilityRule

HEAVY = ("typer", "rich", "msgspec", "lxml", "paramiko", "cryptography", "pyarrow", "sqlite_utils", "isal")
SLOW = ("dataclasses", "inspect", "platformdirs", "tempfile", "shutil", "json", "hashlib")
"""Modules of the standard library and others that a plain text answer can do without."""
OURS = ("config.keys", "config.settings", "model.report", "model.plan", "sources", "sync")
"""Rooms of ours that take long to load, for they describe much."""
LOADED = """
import atexit, json, sys
from smki_sync.cli import main
atexit.register(lambda: sys.stderr.write(json.dumps([*sys.modules])))
main()
"""


def loaded(place: Path, mirror: Path, *words: str) -> set[str]:
    """Modules that a process of its own has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        cwd=place,
        env=surroundings(place, {"SMKI_SYNC_MIRROR": str(mirror)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 10), done.stderr
    return set(json.loads(done.stderr[done.stderr.rindex("[") :]))


@pytest.mark.parametrize("form", [[], ["--pem"], ["--json"], ["--usage", "DS", "--any-status"]])
def test_show_loads_nothing_that_its_answer_does_not_need(ask: Shell, mirror: Path, form: list[str]) -> None:
    heavy = {*HEAVY, *(f"smki_sync.{room}" for room in OURS)}
    assert loaded(ask.place, mirror, "show", "serial:01", *form) & heavy == set()


def test_a_configuration_file_costs_a_look_up_nothing_but_its_reading(ask: Shell, mirror: Path) -> None:
    file = ask.place / "mine.toml"
    file.write_text(f'[mirror]\npath = "{mirror}"\n[policy]\nwindow_days = 7\n')
    modules = loaded(ask.place, mirror, "show", "serial:01", "--config", str(file))
    assert "tomllib" in modules
    assert "smki_sync.config.schema" not in modules


def test_show_as_text_loads_no_slow_standard_module(ask: Shell, mirror: Path) -> None:
    with open_mirror(mirror / "mirror.db") as db:
        serial = next(find(db, CertificateFilter(), UsabilityRule(at="2026-11-22T00:00:00Z"))).serial
    modules = loaded(ask.place, mirror, "show", f"serial:{serial}")
    assert modules & {*SLOW} == {"json"}  # the probe itself uses json


def test_version_loads_neither_typer_nor_the_mirror(ask: Shell, mirror: Path) -> None:
    heavy = {*HEAVY, *SLOW, "apsw", "smki_sync.mirror.queries"} - {"json"}
    assert loaded(ask.place, mirror, "--version") & heavy == set()


def test_help_loads_no_command(ask: Shell, mirror: Path) -> None:
    modules = loaded(ask.place, mirror, "--help")
    assert "typer" in modules
    assert (
        modules & {"apsw", "lxml", "paramiko", "msgspec", "smki_sync.cli.query", "smki_sync.cli.sync"}
        == set()
    )


def test_another_command_loads_typer_so_that_the_test_before_could_fail(ask: Shell, mirror: Path) -> None:
    assert {"typer", "cryptography"} - loaded(ask.place, mirror, "find", "--limit", "1") == {"cryptography"}


def test_fast_show_and_typer_share_their_option_definitions() -> None:
    command = typer.main.get_command(build(["show"]))
    declared = {name: p for p in command.commands["show"].params for name in p.opts}  # type: ignore[attr-defined]  # a group has commands
    assert set(declared) - {"identity"} == set(SHOW_OPTIONS)
    for spelling, spec in SHOW_OPTIONS.items():
        assert declared[spelling].name == spec.parameter
        assert declared[spelling].is_flag == (spec.read is None)
        assert declared[spelling].help == spec.help


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["x"], ShowRequest(identity="x")),
        (["--usage", "ds", "x"], ShowRequest(identity="x", usage=Usage.DIGITAL_SIGNING)),
        (["x", "--usage=KA", "--json"], ShowRequest(identity="x", usage=Usage.KEY_AGREEMENT, as_json=True)),
        (["x", "--role", "2", "--any-status", "--pem", "--der"],
         ShowRequest(identity="x", role="2", any_status=True, pem=True, der=True)),
        (["x", "--mirror=a=b", "--config", "c"],
         ShowRequest(identity="x", mirror=Path("a=b"), config=Path("c"))),
    ],
)  # fmt: skip
def test_a_plain_command_line_is_read(words: list[str], asked: ShowRequest) -> None:
    assert certificate_view.parse_show_words(words) == asked


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["x", "y"],
        ["x", "--usage"],
        ["x", "--usage", "XX"],
        ["x", "--json=yes"],
        ["x", "--role", "1", "--role", "2"],
        ["x", "--nonsense"],
        ["--", "x"],
        ["-x"],
    ],
)
def test_whatever_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert certificate_view.parse_show_words(words) is None


def test_typer_says_what_is_wrong_and_shows_the_help(ask: Shell) -> None:
    wrong = ask("show", "x", "--usage", "XX", "--json")
    assert wrong.code == 2
    assert "XX" in wrong.error["message"]
    assert "--any-status" in ask("show", "--help").out


def test_the_console_script_starts_the_same_program(ask: Shell, mirror: Path) -> None:
    script = Path(sys.executable).with_name("smki-sync")
    environment = {**surroundings(ask.place), "SMKI_SYNC_MIRROR": os.fspath(mirror)}
    done = subprocess.run([script, "show", "serial:01"], env=environment, capture_output=True, check=False)
    assert done.returncode == 10
