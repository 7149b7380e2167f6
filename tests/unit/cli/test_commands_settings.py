"""Option before environment before file before default, as a user sees it."""

import os
from pathlib import Path

import pytest
from support.cli import Shell
from support.mirror_copies import copy_mirror

from smki_sync.simulator.repository import Repository


@pytest.fixture
def four(mirror: Path, tmp_path: Path) -> Path:
    """Four mirrors by the names of where they are configured; only ``option`` has anything in it."""
    for name in ("environment", "file", "user"):
        (tmp_path / name).mkdir()
    copy_mirror(mirror, tmp_path / "option")
    return tmp_path


def state(shell: Shell, *words: object, **variables: str) -> object:
    return shell("status", *words, "--max-age", "1e9", "--json", **variables).document["state"]


def test_an_option_counts_before_the_environment_and_the_file(smki: Shell, four: Path) -> None:
    (four / "smki-sync.toml").write_text('[mirror]\npath = "file"\n')
    assert state(smki, SMKI_SYNC_MIRROR="environment") == "empty"
    assert state(smki, "--mirror", "option", SMKI_SYNC_MIRROR="environment") == "current"


def test_the_environment_counts_before_the_file(smki: Shell, four: Path) -> None:
    (four / "smki-sync.toml").write_text('[mirror]\npath = "file"\n')
    assert state(smki, SMKI_SYNC_MIRROR="option") == "current"
    assert state(smki) == "empty"


def test_the_file_counts_before_nothing(smki: Shell, four: Path) -> None:
    nothing = smki("status", "--json")
    assert (nothing.code, nothing.error["code"]) == (8, "mirror-not-configured")
    for way in ("--mirror", "SMKI_SYNC_MIRROR", "mirror.path"):
        assert way in nothing.error["hint"]
    (four / "smki-sync.toml").write_text('[mirror]\npath = "option"\n')
    assert state(smki) == "current"


def test_file_is_named_by_option_then_environment_then_found(smki: Shell, four: Path) -> None:
    user = four / ".config" / "smki-sync"
    user.mkdir(parents=True)
    (user / "smki-sync.toml").write_text(f'[mirror]\npath = "{four / "option"}"\n')
    assert state(smki) == "current"  # the user's own directory
    (four / "environment.toml").write_text('[mirror]\npath = "option"\n')
    assert state(smki, SMKI_SYNC_CONFIG="environment.toml") == "current"
    (four / "option.toml").write_text('[mirror]\npath = "file"\n')
    assert state(smki, "--config", "option.toml", SMKI_SYNC_CONFIG="environment.toml") == "empty"


@pytest.mark.parametrize("words", ["status", "show serial:1", "sync --source file:///nowhere"])
@pytest.mark.parametrize("value", ["", "\udcff"], ids=["empty", "not UTF-8"])
def test_a_mirror_without_a_usable_name_is_never_the_current_directory(
    smki: Shell, words: str, value: str
) -> None:
    ran = smki(*words.split(), "--json", f"--mirror={value}")
    assert ran.code == 2
    assert "--mirror" in ran.error["message"]
    assert list(smki.place.iterdir()) == []


def test_source_has_the_same_order(smki: Shell, original: Repository, four: Path) -> None:
    (four / "smki-sync.toml").write_text('[repository]\nurl = "file:///from/file"\n[mirror]\npath = "file"\n')
    assert "/from/file" in smki("sync", "--json").error["message"]
    environment = {"SMKI_SYNC_SOURCE": "file:///from/environment"}
    assert "/from/environment" in smki("sync", "--json", **environment).error["message"]
    assert smki("sync", "--dry-run", "--source", original.path.as_uri(), **environment).code in (0, 3)


def test_a_sync_without_a_source_says_the_three_ways_to_give_one(smki: Shell) -> None:
    ran = smki("sync", "--mirror", "mirror", "--json")
    assert (ran.code, ran.error["code"]) == (8, "source-not-configured")
    for way in ("--source", "SMKI_SYNC_SOURCE", "repository.url"):
        assert way in ran.error["hint"]
    assert not (smki.place / "mirror").exists()


def test_unknown_key_exits_8_and_names_the_most_similar_key(smki: Shell) -> None:
    (smki.place / "smki-sync.toml").write_text('[mirror]\npth = "mirror"\n')
    ran = smki("status", "--json")
    assert ran.code == 8
    assert "mirror.pth" in ran.error["message"]
    assert "Did you mean mirror.path?" in ran.error["message"]


def test_every_fault_of_a_file_is_told_at_once_one_a_line(smki: Shell) -> None:
    (smki.place / "smki-sync.toml").write_text('[mirror]\npth = "m"\n[policy]\nwindow_days = 0\n[lgo]\n')
    said = smki("status").err
    for name in ("mirror.pth", "policy.window_days", "lgo"):
        assert name in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_named_file_that_cannot_be_read_ends_with_eight(smki: Shell, name: str) -> None:
    ran = smki("status", "--config", name, "--json")
    assert ran.code == 8
    assert "--config" in ran.error["message"] + ran.error["hint"]


def test_a_url_with_a_password_is_refused_and_not_repeated(smki: Shell) -> None:
    url = "sftp://party:hunter2@repository.example/"
    for ran in (
        smki("sync", "--mirror", "m", "--source", url, "--json"),
        smki("sync", "--mirror", "m", "--json", SMKI_SYNC_SOURCE=url),
        smki("sync", "--mirror", "m", "--source", url, "--verbose"),
    ):
        assert ran.code == 8
        assert "hunter2" not in ran.out + ran.err


@pytest.mark.parametrize("option", ["--password", "--passphrase", "--key-passphrase"])
def test_no_option_takes_a_secret_and_a_try_does_not_show_it(smki: Shell, option: str) -> None:
    for words in ((option, "hunter2"), (f"{option}=hunter2",)):
        ran = smki("sync", "--mirror", "m", "--source", "file:///x", *words, "--json")
        assert ran.code == 2
        assert "hunter2" not in ran.out + ran.err


def test_a_rehearsal_on_a_day_that_is_none_ends_with_eight(smki: Shell, original: Repository) -> None:
    ran = smki(
        "sync", "--mirror", "m", "--source", original.path.as_uri(), "--json", SMKI_SYNC_TODAY="tomorrow"
    )
    assert ran.code == 8
    assert "SMKI_SYNC_TODAY" in ran.error["message"]


@pytest.fixture
def foreign(four: Path) -> Shell:
    """A shell in another user's directory, without a configuration of its own."""
    (four / "foreign").mkdir()
    return Shell(place=four / "foreign", variables={"HOME": str(four / "user"), "SMKI_SYNC_CONFIG": ""})


@pytest.mark.parametrize("words", ["status", "show serial:1", "doctor", "sync"])
def test_file_in_the_current_directory_is_not_read(foreign: Shell, words: str) -> None:
    text = '[mirror]\npath = "../option"\n[hooks]\nafter_run = ["touch", "x"]\n'
    (foreign.place / "smki-sync.toml").write_text(text)
    assert foreign(*words.split(), "--json").code == 8
    assert sorted(path.name for path in foreign.place.iterdir()) == ["smki-sync.toml"]


def test_pipe_in_the_current_directory_does_not_block(foreign: Shell) -> None:
    os.mkfifo(foreign.place / "smki-sync.toml")
    ran = foreign("status", "--json")
    assert (ran.code, ran.error["code"]) == (8, "mirror-not-configured")
