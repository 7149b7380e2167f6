"""Where the configuration file is found, which one is trusted, and how secrets are read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from smki_sync.config.file import (
    MAX_PASSWORD_BYTES,
    SYSTEM_FILE,
    new_config_file,
    user_config_directory,
)
from smki_sync.config.loader import Config
from smki_sync.config.schema import KEYS, toml_value
from smki_sync.errors import ConfigError
from unit.config.conftest import Site

PASSWORD = "correct horse"
ANOTHER_USER = 12_345

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


# Which file is read


def test_user_file_wins_over_system_file_and_is_the_only_one_read(site: Site) -> None:
    site.write("[policy]\nwindow_days = 30\n", at=site.system)
    assert (site.load().policy.window_days, site.load().file) == (30, site.system)
    site.write("[policy]\nwindow_days = 20\n")
    assert (site.load().policy.window_days, site.load().file) == (20, site.file)
    site.write("")
    assert site.load().policy == Config().policy


def test_file_in_the_current_directory_is_never_read(site: Site) -> None:
    site.write("this is not TOML", at=site.cwd / "smki-sync.toml")
    config = site.load()
    assert (config, config.file) == (Config(), None)


@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "HOME"])
@pytest.mark.parametrize("value", [".", "config", ""])
def test_relative_home_is_not_searched(
    site: Site, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.chdir(site.cwd)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv(variable, value)
    found = user_config_directory()
    assert found.is_absolute()
    assert not found.is_relative_to(site.cwd)


def test_named_file_wins_and_the_option_wins_over_the_variable(site: Site) -> None:
    site.write("[policy]\nwindow_days = 10\n")
    first = site.write("[policy]\nwindow_days = 11\n", at=site.root / "first.toml")
    second = site.write("[policy]\nwindow_days = 12\n", at=site.root / "second.toml")
    assert site.load({"config": first}, SMKI_SYNC_CONFIG=str(second)).policy.window_days == 11
    assert site.load(SMKI_SYNC_CONFIG="../second.toml").policy.window_days == 12


def test_missing_named_file_is_an_error_with_who_named_it(site: Site) -> None:
    site.write("")
    error = site.error({"config": "gone.toml"})
    assert str(site.cwd / "gone.toml") in error.message
    assert "--config" in error.hint
    assert "SMKI_SYNC_CONFIG" in site.error(SMKI_SYNC_CONFIG="gone.toml").hint


@pytest.mark.parametrize(
    "data",
    [b"[mirror\n", b"\xff\xfe[\0m\0", b"a = " + b"[" * 100_000, b"a = " + b"9" * 10_000, b"#" * 1_000_001],
)
def test_file_that_is_not_toml_is_rejected_by_name(site: Site, data: bytes) -> None:
    site.write("").write_bytes(data)
    assert str(site.file) in site.error().message


def test_byte_order_mark_is_accepted(site: Site) -> None:
    site.write("").write_bytes(b"\xef\xbb\xbf[policy]\nwindow_days = 8\n")
    assert site.load().policy.window_days == 8


def test_directory_with_the_name_of_the_file_is_an_error(site: Site) -> None:
    site.file.mkdir()
    site.write("", at=site.system)
    assert "cannot be read" in site.error().message


def test_init_writes_for_root_to_the_system_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.user))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert new_config_file() == SYSTEM_FILE
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert new_config_file() == site.user / "smki-sync" / "smki-sync.toml"


# Which file is trusted


def give_away(path: Path) -> None:
    os.chown(path, ANOTHER_USER, -1)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_link(path: Path) -> None:
    target = path.parents[1] / "open" / "smki-sync.toml"
    target.parent.mkdir()
    path.rename(target)
    target.parent.chmod(0o777)
    path.symlink_to(target)


OPEN_DIRECTORY = "other users can change its directory"
UNTRUSTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "others can write": (lambda path: path.chmod(0o646), "other users can change it (mode 0646)"),
    "the group can write": (lambda path: path.chmod(0o664), "other users can change it (mode 0664)"),
    "others can write to the directory": (lambda path: path.parent.chmod(0o757), OPEN_DIRECTORY),
    "the group can write to the directory": (
        lambda path: path.parent.chmod(0o775),
        OPEN_DIRECTORY,
    ),
    "the directory is shared and sticky": (
        lambda path: path.parent.chmod(0o1777),
        OPEN_DIRECTORY,
    ),
    "others can write to a parent": (lambda path: path.parents[1].chmod(0o777), OPEN_DIRECTORY),
    "a pipe": (replace_by_pipe, "not a regular file"),
    "a link into an open directory": (replace_by_link, OPEN_DIRECTORY),
}


@pytest.mark.parametrize("case", UNTRUSTED)
@pytest.mark.parametrize("place", ["user", "system"])
def test_found_file_is_rejected_when_another_user_can_change_it(site: Site, place: str, case: str) -> None:
    path = site.write("[policy]\nwindow_days = 8\n", at=site.file if place == "user" else site.system)
    change, reason = UNTRUSTED[case]
    change(path)
    error = site.error()
    assert error.reason == "config-untrusted"
    assert reason in error.message
    assert str(path) in error.message


@needs_root
@pytest.mark.parametrize("owned", ["file", "directory", "parent"])
def test_found_file_is_rejected_when_it_belongs_to_another_user(site: Site, owned: str) -> None:
    path = site.write("")
    give_away({"file": path, "directory": path.parent, "parent": path.parents[1]}[owned])
    error = site.error()
    assert error.reason == "config-untrusted"
    assert f"belongs to user {ANOTHER_USER}" in error.message


@pytest.mark.parametrize("case", [case for case in UNTRUSTED if case != "a pipe"])
def test_named_file_is_read_without_these_checks(site: Site, case: str) -> None:
    path = site.write("[policy]\nwindow_days = 8\n")
    UNTRUSTED[case][0](path)
    assert site.load({"config": path}).policy.window_days == 8
    assert site.load(SMKI_SYNC_CONFIG=str(path)).policy.window_days == 8


def test_found_link_to_a_private_file_is_accepted(site: Site) -> None:
    target = site.write("[policy]\nwindow_days = 8\n", at=site.cwd / "dotfile.toml")
    site.file.symlink_to(target)
    assert site.load().policy.window_days == 8


def test_found_file_below_a_sticky_directory_is_accepted(site: Site) -> None:
    site.write("[policy]\nwindow_days = 8\n")
    site.root.chmod(0o1777)
    assert site.load().policy.window_days == 8


# Secrets


def password_file(site: Site, data: bytes = PASSWORD.encode() + b"\n", *, mode: int = 0o600) -> Path:
    path = site.root / "password"
    path.write_bytes(data)
    path.chmod(mode)
    site.write(f"[repository]\npassword_file = {toml_value(path)}\n")
    return path


def secret_error(config: Config) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.secrets()
    return caught.value


def test_there_are_no_secrets_by_default(site: Site) -> None:
    secrets = site.load(SMKI_SYNC_PASSWORD="", SMKI_SYNC_KEY_PASSPHRASE="").secrets()
    assert (secrets.password, secrets.key_passphrase) == (None, None)


def test_environment_gives_both_secrets(site: Site) -> None:
    secrets = site.load(SMKI_SYNC_PASSWORD=PASSWORD, SMKI_SYNC_KEY_PASSPHRASE="phrase").secrets()
    assert (secrets.password, secrets.key_passphrase) == (PASSWORD, "phrase")


@pytest.mark.parametrize("variable", ["SMKI_SYNC_PASSWORD", "SMKI_SYNC_KEY_PASSPHRASE"])
@pytest.mark.parametrize("value", ["two\nlines", "end\n", "\x1b[A", "\x85"])
def test_secret_with_a_control_character_is_rejected(site: Site, variable: str, value: str) -> None:
    error = secret_error(site.load({}, **{variable: value}))
    assert variable in error.message
    assert value not in error.message


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_password_file_gives_its_line_without_mark_and_line_end(site: Site, start: bytes, end: bytes) -> None:
    password_file(site, start + b" caf\xc3\xa9 " + end)
    assert site.load(SMKI_SYNC_KEY_PASSPHRASE="phrase").secrets().password == " café "


def test_password_file_is_not_read_when_the_environment_has_a_password(site: Site) -> None:
    password_file(site).unlink()
    assert site.load(SMKI_SYNC_PASSWORD=PASSWORD).secrets().password == PASSWORD


def test_password_file_is_not_opened_before_it_is_needed(site: Site) -> None:
    path = password_file(site)
    path.unlink()
    config = site.load()
    assert config.repository.password_file == path
    assert str(path) in secret_error(config).message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_password_file_is_rejected_when_others_have_access(site: Site, mode: int) -> None:
    path = password_file(site, mode=mode)
    error = secret_error(site.load())
    assert f"{mode:04o}" in error.message
    assert f"chmod 600 {path}" in error.hint
    assert PASSWORD not in error.message


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_private_password_file_is_accepted(site: Site, mode: int) -> None:
    password_file(site, mode=mode)
    assert site.load().secrets().password == PASSWORD


@needs_root
def test_password_file_is_rejected_when_it_belongs_to_another_user(site: Site) -> None:
    give_away(password_file(site))
    assert f"belongs to user {ANOTHER_USER}" in secret_error(site.load()).message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\xef\xbb\xbf",
        b"two\nlines\n",
        b"\xff\xfe",
        b"p\0a\0s\0s\0",
        b"\x1b[31mred",
        b"x" * (MAX_PASSWORD_BYTES + 1),
    ],
)
def test_password_file_without_exactly_one_line_is_rejected(site: Site, data: bytes) -> None:
    path = password_file(site, data)
    error = secret_error(site.load())
    assert str(path) in error.message
    assert error.__cause__ is None


def test_pipe_as_password_file_is_rejected_without_blocking(site: Site) -> None:
    path = password_file(site)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "not a regular file" in secret_error(site.load()).message


def test_no_repr_contains_a_secret(site: Site) -> None:
    password_file(site)
    config = site.load(SMKI_SYNC_KEY_PASSPHRASE="open sesame")
    shown = f"{config!r} {config.secrets()!r} {config.environment!r} {config.origins!r}"
    assert PASSWORD not in shown
    assert "open sesame" not in shown


@pytest.mark.parametrize("shape", ['["{}", 1]', '{{ x = "{}" }}', '[["{}"]]'])
@pytest.mark.parametrize("name", KEYS)
def test_error_never_contains_a_value(site: Site, name: str, shape: str) -> None:
    section, _, key = name.partition(".")
    site.write(f"[{section}]\n{key} = {shape.format(PASSWORD)}\n")
    error = site.error()
    assert error.message.startswith(f"{name} must be ")
    assert PASSWORD not in f"{error.message} {error.hint} {error.__cause__!r} {error.__context__!r}"


def test_password_in_the_url_is_rejected_without_being_shown(site: Site) -> None:
    error = site.error({"source": f"sftp://party:{PASSWORD.replace(' ', '')}@host/x"})
    assert "password" in error.message
    assert PASSWORD.replace(" ", "") not in f"{error.message} {error.hint}"
