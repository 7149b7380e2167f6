"""``simulate`` and ``demo``: the stand-in for the Repository, and the story that it tells."""

import re
import shlex
from pathlib import Path

import pytest
from support.cli import Shell

from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository


def files(shell: Shell) -> set[str]:
    return {path.name for path in (shell.place / "repo").iterdir() if path.is_file()}


def test_create_makes_a_repository_that_ends_today_and_advance_moves_it(smki: Shell) -> None:
    made = smki("simulate", "create", "repo", "--devices", "3", "--days", "9", "--seed", "5")
    assert made.code == 0
    assert "is at 2026-11-11" in made.out
    assert {"SMKIKR_FULL_2026-11-10.xml.gz", "SMKIKR_DELT_2026-11-11.xml.gz"} <= files(smki)
    moved = smki("simulate", "advance", "repo", "--days", "2")
    assert moved.code == 0
    assert "is at 2026-11-13" in moved.out
    assert "SMKIKR_DELT_2026-11-13.xml.gz" in files(smki)
    assert "SMKIKR_DELT_2026-11-05.xml.gz" not in files(smki)


def test_create_starts_on_the_day_that_was_named(smki: Shell) -> None:
    ran = smki("simulate", "create", "repo", "--devices", "1", "--days", "1", "--start", "2026-01-05")
    assert ran.code == 0
    assert "SMKIKR_FULL_2026-01-05.xml.gz" in ran.out


def test_faults_strike_the_day_and_may_be_several(smki: Shell, repository: Repository) -> None:
    faults = ("--fault", "withhold-delta", "--fault", "strange-name")
    ran = smki("simulate", "advance", repository.path, *faults)
    assert ran.code == 0
    names = {path.name for path in repository.path.iterdir()}
    assert "SMKIKR_DELT_2026-11-12.xml.gz" not in names
    assert repository.today.isoformat() == "2026-11-12"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("create", "REPO"), "already"),
        (("create", "new", "--days", "0"), "--days"),
        (("create", "new", "--devices", "-1"), "--devices"),
        (("create", "new", "--start", "2026-13-01"), "--start"),
        (("create", "new", "--shapes", "round"), "--shapes"),
        (("advance", "new"), "new"),
        (("advance", "REPO", "--days", "0"), "--days"),
        (("advance", "REPO", "--fault", "bogus"), "withhold-delta"),
        (("advance", "REPO", "--fault", "truncate-full"), "No full is due"),
        (("serve", "new"), "new"),
        (("serve", "REPO", "--port", "65536"), "--port"),
    ],
)
def test_bad_arguments_end_with_two_and_change_nothing(
    smki: Shell, repository: Repository, words: tuple[str, ...], fault: str
) -> None:
    before = sorted(repository.path.rglob("*"))
    ran = smki("simulate", *(str(repository.path) if word == "REPO" else word for word in words))
    assert (ran.code, ran.raw) == (2, b"")
    assert fault in ran.err
    assert sorted(repository.path.rglob("*")) == before
    assert not (smki.place / "new").exists()


def test_the_help_of_advance_names_every_fault_whole(smki: Shell) -> None:
    shown = smki("simulate", "advance", "--help").out
    assert [fault for fault in Fault if fault not in shown] == []


def test_serve_says_a_command_that_works_as_it_stands(smki: Shell, repository: Repository) -> None:
    with smki.start("simulate", "serve", repository.path) as serving:
        assert str(repository.path) in serving.line()
        program, *words = shlex.split(serving.line())
        assert program == "smki-sync"
        ran = smki(*words, "--json")
    assert ran.code == 0, ran.err
    assert ran.document["position"] == "2026-11-11"


def test_serve_shows_nothing_hidden_and_needs_its_key(smki: Shell, repository: Repository) -> None:
    with smki.start("simulate", "serve", repository.path) as serving:
        url = re.search(r"sftp://\S+", serving.line())
        words = shlex.split(serving.line())
        assert url
        pinned = words[words.index("--known-hosts") + 1]
        key = words[words.index("--identity-file") + 1]
        sync = ("sync", "--mirror", "m", "--known-hosts", pinned, "--json")
        hidden = smki(*sync, "--source", f"{url[0]}.simulator", "--identity-file", key)
        refused = smki(*sync, "--source", url[0], SMKI_SYNC_PASSWORD="guess")
    assert hidden.code == 4
    assert refused.code == 5


def words_of(shown: bytes) -> str:
    return " ".join(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).split())


def test_the_demo_tells_its_story_in_colour_and_leaves_nothing_behind(tmp_path: Path) -> None:
    shell = Shell(place=tmp_path, variables={"TMPDIR": str(tmp_path)})
    ran = shell.on_a_terminal("demo", "--devices", "10")
    assert ran.code == 0, ran.out
    story = words_of(ran.raw)
    for part in (
        "$ smki-sync sync --dry-run",
        "gap-beyond-window",
        "$ smki-sync show",
        "All bodies are equal.",
    ):
        assert part in story
    assert "Traceback" not in story
    assert b"\x1b[32m" in ran.raw  # commands in green
    assert list(tmp_path.iterdir()) == []


def test_the_demo_in_a_pipe_has_no_colour_and_leaves_the_users_own_mirror_alone(
    smki: Shell, own_mirror: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in own_mirror.rglob("*")}
    own = {"SMKI_SYNC_MIRROR": str(own_mirror), "SMKI_SYNC_SOURCE": "file:///x"}
    ran = smki("demo", "--devices", "10", **own)
    assert ran.code == 0, ran.err
    assert b"\x1b" not in ran.raw + ran.err.encode()
    assert "All bodies are equal." in words_of(ran.raw)
    assert {path: path.stat().st_mtime_ns for path in own_mirror.rglob("*")} == before
