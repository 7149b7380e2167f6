"""`schedule`: files that systemd and cron accept, and the remaining steps."""

import os
import pwd
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.cli import Shell

from operations.conftest import WORST_EXPOSURE, exposure, systemd_says
from smki_sync.cli import scheduler_units
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.schedule import hindrances
from smki_sync.cli.scheduler_units import (
    DRILL,
    SYNC,
    InstallationPaths,
    Scheduler,
    files,
    unit_command,
    unit_word,
)

AWKWARD = """a 100% "mirror" of $HOME's"""
PROGRAM = "/opt/smki-sync/bin/smki-sync"


@pytest.fixture
def toml(smki: Shell, repository: Path) -> Path:
    """A configuration over a directory, with a mirror of an awkward name."""
    file = smki.place / "smki-sync.toml"
    file.write_text(f"[repository]\nurl = '{repository.as_uri()}'\n[mirror]\npath = '''{AWKWARD}'''\n")
    return file


def at(
    *, mirror: str = "/var/lib/smki-sync", program: str = PROGRAM, shared: tuple[Path, ...] = ()
) -> InstallationPaths:
    config = Path("/etc/smki-sync/smki-sync.toml")
    return InstallationPaths(
        program=(program,), user="smki-sync", config=config, own=(Path(mirror),), shared=shared
    )


def service(place: InstallationPaths, scheduler: Scheduler = Scheduler.SYSTEMD) -> list[str]:
    """The lines of the service for a place."""
    (text,) = [one.text for one in files(scheduler, place, [SYNC]) if one.name == "smki-sync.service"]
    return text.splitlines()


# What is written.


@pytest.mark.parametrize("scheduler", [Scheduler.SYSTEMD, Scheduler.SYSTEMD_USER])
def test_systemd_accepts_units_for_any_path(smki: Shell, toml: Path, scheduler: Scheduler) -> None:
    assert toml.exists()
    ran = smki("schedule", scheduler.value, "--drill", "--into", ".", "--json")
    assert ran.code == Exit.OK, ran.err
    written = [Path(one["path"]) for one in ran.document["files"]]
    assert sorted(path.name for path in written) == sorted(
        f"{name}.{kind}" for name in ("smki-sync", "smki-sync-drill") for kind in ("service", "timer")
    )
    manager = "--user" if scheduler is Scheduler.SYSTEMD_USER else "--system"
    systemd_says("verify", manager, "--man=no", *written)
    if scheduler is Scheduler.SYSTEMD:
        services = [path for path in written if path.suffix == ".service"]
        assert max(map(exposure, services)) <= WORST_EXPOSURE


def test_cron_line_works_for_any_mirror_name(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    smki("schedule", "cron", "--into", ".")
    (line,) = [line for line in (smki.place / "smki-sync").read_text().splitlines() if "--config" in line]
    *_, command = line.split(maxsplit=6)
    done = subprocess.run(
        ["/bin/sh", "-c", command.replace("\\%", "%")],
        env=smki.environment({}),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (smki.place / AWKWARD / "mirror.db").exists()


def test_schedule_uses_the_configuration_file_only(smki: Shell, toml: Path) -> None:
    toml.write_text(toml.read_text().partition("[mirror]")[0])
    ran = smki("schedule", "--print", "--json", SMKI_SYNC_MIRROR="/srv/elsewhere")
    assert ran.error["code"] == "mirror-not-configured"


def test_schedule_rejects_a_path_with_unprintable_characters(smki: Shell, toml: Path) -> None:
    toml.write_text(toml.read_text().replace(f"'''{AWKWARD}'''", '"two\\nlines"'))
    assert smki("schedule", "--print", "--json").error["code"] == "config-invalid"


def test_schedule_fails_when_there_is_no_configuration(smki: Shell) -> None:
    assert smki("schedule", "--print", "--json").code == Exit.CONFIG


def test_systemd_creates_only_a_mirror_below_var_lib() -> None:
    metrics = Path("/var/lib/prometheus")
    usual = service(at(shared=(metrics,)))
    assert "StateDirectory=smki-sync" in usual
    assert f"ReadWritePaths={metrics}" in usual
    other = service(at(mirror="/srv/smki sync"))
    assert 'ReadWritePaths="/srv/smki sync"' in other
    assert not [line for line in other if line.startswith("StateDirectory")]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (at(), "ProtectHome=yes"),
        (at(mirror="/home/ann/mirror"), "ProtectHome=read-only"),
        (at(program="/root/.local/bin/smki-sync"), "ProtectHome=read-only"),
        (at(), "PrivateTmp=yes"),
        (at(mirror="/var/tmp/mirror"), "PrivateTmp=no"),  # noqa: S108 - nothing is written there
    ],
)
def test_homes_and_temporary_files_are_hidden_unless_used(place: InstallationPaths, line: str) -> None:
    assert line in service(place)


def test_homes_are_visible_when_a_link_points_into_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "var/home/ann").mkdir(parents=True)
    (tmp_path / "mirror").symlink_to("var/home/ann")
    (tmp_path / "home").symlink_to("var/home")
    monkeypatch.setattr(scheduler_units, "_HOMES", (tmp_path / "home",))
    assert "ProtectHome=read-only" in service(at(mirror=str(tmp_path / "mirror")))
    assert "ProtectHome=yes" in service(at(mirror=str(tmp_path / "var")))


def test_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_242_424)
    assert Scheduler.SYSTEMD.user == "4242424"


def test_units_of_a_user_have_no_user_setting() -> None:
    assert "User=smki-sync" in service(at())
    assert not [line for line in service(at(), Scheduler.SYSTEMD_USER) if line.startswith("User=")]


def test_minute_of_cron_is_stable_and_differs_between_mirrors() -> None:
    mirrors = ["/srv/one", "/srv/two", "/srv/three", "/srv/one"]
    minutes = []
    for mirror in mirrors:
        (cron,) = files(Scheduler.CRON, at(mirror=mirror), [SYNC])
        (line,) = [line for line in cron.text.splitlines() if "--config" in line]
        minutes.append(line.split()[0])
    assert minutes[0] == minutes[3]
    assert len(set(minutes)) > 1


def test_drill_of_cron_runs_on_saturdays_only() -> None:
    (cron,) = files(Scheduler.CRON, at(), [DRILL])
    assert '[ "$(date +\\%u)" = 6 ] && /opt/smki-sync/bin/smki-sync restore --rehearse --quiet' in cron.text


@pytest.mark.parametrize(
    ("text", "word"),
    [("/plain-1.0", "/plain-1.0"), ("a b", '"a b"'), ("100%", '"100%%"'), ('a"\\', '"a\\"\\\\"')],
)
def test_word_is_quoted_as_systemd_expects(text: str, word: str) -> None:
    assert unit_word(text) == word


def test_dollar_signs_are_not_expanded_in_a_unit() -> None:
    assert unit_command(["/bin/$x", "$HOME"]) == '"/bin/$x" "$$HOME"'


# What is left alone.


def test_identical_file_is_not_rewritten(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    smki("schedule", "--into", ".")
    before = (smki.place / "smki-sync.service").stat().st_ino
    again = smki("schedule", "--into", ".", "--json").document
    assert [one["state"] for one in again["files"]] == ["unchanged", "unchanged"]
    assert (smki.place / "smki-sync.service").stat().st_ino == before


def test_no_file_is_written_when_one_would_be_replaced(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    timer = smki.place / "smki-sync.timer"
    timer.write_text("mine")
    refused = smki("schedule", "--into", ".", "--json")
    assert refused.error["code"] == "output-exists"
    assert timer.read_text() == "mine"
    assert not (smki.place / "smki-sync.service").exists()
    forced = smki("schedule", "--into", ".", "--force", "--json")
    assert [one["state"] for one in forced.document["files"]] == ["new", "replaced"]
    assert "Persistent=yes" in timer.read_text()


@pytest.mark.parametrize(("typed", "replaced"), [("n\n", False), ("y\n", True)])
def test_replacement_is_confirmed_on_a_terminal(smki: Shell, toml: Path, typed: str, replaced: bool) -> None:
    assert toml.exists()
    timer = smki.place / "smki-sync.timer"
    timer.write_text("mine")
    ran = smki.on_a_terminal("schedule", "--into", ".", typed=typed)
    assert ran.code == (Exit.OK if replaced else Exit.USAGE)
    assert (timer.read_text() != "mine") == replaced


def test_masked_unit_is_never_replaced(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    (smki.place / "smki-sync.timer").symlink_to(os.devnull)
    assert smki("schedule", "--into", ".", "--force", "--json").error["code"] == "output-exists"


def test_schedule_fails_when_the_directory_does_not_exist(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    ran = smki("schedule", "--into", "nowhere", "--json")
    assert ran.error["code"] == "output-not-writable"
    assert str(smki.place / "nowhere") in ran.error["message"]


# What is left to do.


def test_steps_copy_the_files_and_enable_the_timer(smki: Shell, toml: Path) -> None:
    assert toml.exists()
    steps = list(map(shlex.split, smki("schedule", "--into", ".", "--json").document["steps"]))
    assert steps[-3][0] == "install"
    assert steps[-3][-1] == "/etc/systemd/system"
    assert steps[-2:] == [
        ["systemctl", "daemon-reload"],
        ["systemctl", "enable", "--now", "smki-sync.timer"],
    ]


def test_step_for_the_mirror_disappears_when_it_exists(smki: Shell, toml: Path) -> None:
    assert toml.exists()

    def making() -> list[str]:
        steps = smki("schedule", "systemd-user", "--print", "--json").document["steps"]
        return [step for step in steps if step.startswith("install -d")]

    assert len(making()) == 1
    (smki.place / AWKWARD).mkdir()
    assert making() == []


def test_unreachable_path_of_the_service_is_reported() -> None:
    with TemporaryDirectory() as made:  # below a directory that everybody may enter
        closed = Path(made)
        program = closed / "smki-sync"
        program.touch(mode=0o755)
        place = InstallationPaths(
            program=(str(program),), user="nobody-like-this", config=closed / "toml", own=(closed / "mirror",)
        )
        (said,) = hindrances(place)
        assert said == f"User nobody-like-this cannot reach {program}: {closed} is closed to it."
        assert not list(hindrances(replace(place, user=pwd.getpwuid(os.geteuid()).pw_name)))
        closed.chmod(0o755)
        assert not list(hindrances(place))


# The offer of init.


def words(repository: Path, *more: str) -> list[str]:
    options = ("--config", "smki-sync.toml", "--source", repository.as_uri(), "--mirror", "mirror")
    return ["init", *options, *more]


def test_service_of_init_creates_a_mirror(smki: Shell, repository: Path) -> None:
    ran = smki(*words(repository, "--schedule", "systemd", "--into", ".", "--json"))
    assert ran.code == Exit.OK, ran.err
    units = list(map(Path, ran.document["scheduled"]))
    assert [unit.name for unit in units] == ["smki-sync.service", "smki-sync.timer"]
    systemd_says("verify", "--man=no", *units)
    assert exposure(units[0]) <= WORST_EXPOSURE
    (start,) = [line for line in units[0].read_text().splitlines() if line.startswith("ExecStart=")]
    command = shlex.split(start.removeprefix("ExecStart="))
    done = subprocess.run(command, env=smki.environment({}), capture_output=True, check=False)
    assert done.returncode == Exit.OK, done.stderr
    assert (smki.place / "mirror" / "mirror.db").exists()


def test_init_schedules_nothing_when_there_is_no_terminal(smki: Shell, repository: Path) -> None:
    ran = smki(*words(repository, "--into", ".", "--json"))
    assert ran.document["scheduled"] == ran.document["steps"] == []
    assert not list(smki.place.glob("*.timer"))


@pytest.mark.parametrize(("typed", "made"), [("y\n", 1), ("n\n", 0)])
def test_init_offers_a_timer_at_a_terminal(smki: Shell, repository: Path, typed: str, made: int) -> None:
    there = smki.place / "bin"
    there.mkdir()
    (there / "systemctl").write_text("#!/bin/sh\n")
    (there / "systemctl").chmod(0o755)
    path = f"{there}:{os.environ['PATH']}"
    ran = smki.on_a_terminal(*words(repository, "--into", "."), typed=typed, PATH=path)
    assert ran.code == Exit.OK, ran.out
    assert (smki.place / "smki-sync.toml").exists()
    assert len(list(smki.place.glob("*.timer"))) == made


def test_init_writes_nothing_when_a_unit_exists(smki: Shell, repository: Path) -> None:
    (smki.place / "smki-sync.timer").write_text("mine")
    ran = smki(*words(repository, "--schedule", "systemd", "--into", ".", "--json"))
    assert ran.error["code"] == "output-exists"
    assert sorted(path.name for path in smki.place.glob("smki-sync*")) == ["smki-sync.timer"]
