"""`init`: a private, usable configuration, and no host key without confirmation."""

import os
import stat
import tomllib
from pathlib import Path

import pytest
import typer
from support.cli import Shell

from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.setup import init
from smki_sync.config.loader import load_here
from smki_sync.errors import ConfigError
from smki_sync.simulator.sftp_server import Service
from smki_sync.sources import fetch_host_key
from smki_sync.sources.base import Limits, SftpAddress


def fingerprint(service: Service) -> str:
    address = SftpAddress(user="party", host=service.host, port=service.port, path="/")
    return fetch_host_key(address, limits=Limits()).fingerprint


@pytest.fixture
def site_of_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration directory; it does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    for name in ("SMKI_SYNC_CONFIG", "SMKI_SYNC_MIRROR", "SMKI_SYNC_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home" / ".config" / "smki-sync"


def words(service: Service, *more: str) -> list[str]:
    options = ["--config", "smki-sync.toml", "--source", service.url, "--mirror", "mirror"]
    return ["init", *options, "--identity-file", str(service.client_key), *more]


def test_sync_works_with_the_private_files_of_init(smki: Shell, service: Service) -> None:
    ran = smki(*words(service, "--accept-fingerprint", fingerprint(service), "--json"))
    assert ran.code == Exit.OK, ran.err
    assert ran.document["pinned"] == fingerprint(service)
    made = [smki.place / "smki-sync.toml", smki.place / "known_hosts"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o600, 0o600]
    assert tomllib.loads(made[0].read_text())["repository"]["url"] == service.url
    assert smki("sync").code == Exit.OK


def test_init_writes_nothing_when_the_fingerprint_differs(smki: Shell, service: Service) -> None:
    ran = smki(*words(service, "--accept-fingerprint", "SHA256:AAAA", "--json"))
    assert ran.error["code"] == "host-key-differs"
    assert ran.code == Exit.REFUSED
    assert not (smki.place / "smki-sync.toml").exists()
    assert not (smki.place / "known_hosts").exists()


def test_init_shows_the_fingerprint_when_there_is_no_terminal(smki: Shell, service: Service) -> None:
    ran = smki(*words(service))
    assert ran.code == Exit.USAGE
    assert fingerprint(service) in "".join(ran.err.split("\n"))
    assert not (smki.place / "known_hosts").exists()


@pytest.mark.parametrize("name", ["smki-sync.toml", "known_hosts"])
def test_init_never_overwrites_a_file_or_follows_a_link(smki: Shell, service: Service, name: str) -> None:
    elsewhere = smki.place / "elsewhere"
    (smki.place / name).symlink_to(elsewhere)
    ran = smki(*words(service, "--accept-fingerprint", fingerprint(service), "--json"))
    assert ran.error["code"] == "would-overwrite"
    assert not elsewhere.exists()


def test_init_writes_no_key_when_the_source_is_a_directory(smki: Shell, repository: Path) -> None:
    options = ("--config", "smki-sync.toml", "--source", repository.as_uri(), "--mirror", "mirror")
    ran = smki("init", *options, "--json")
    assert ran.code == Exit.OK
    assert ran.document["known_hosts"] is ran.document["pinned"] is None
    assert smki("sync").code == Exit.OK


def test_variable_names_the_file_when_no_option_does(smki: Shell, repository: Path) -> None:
    options = ("init", "--source", repository.as_uri(), "--mirror", "mirror", "--json")
    ran = smki(*options, SMKI_SYNC_CONFIG="named.toml")
    assert ran.document["file"] == str(smki.place / "named.toml")


@pytest.mark.parametrize("umask", [0o022, 0o002])
def test_default_file_is_private_and_found_by_the_next_command(
    site_of_user: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    monkeypatch.setattr("smki_sync.cli.setup.new_config_file", lambda: site_of_user / "smki-sync.toml")
    before = os.umask(umask)
    try:
        with pytest.raises(typer.Exit):
            init(source=repository.as_uri(), mirror=repository.parent / "mirror", as_json=True)
    finally:
        os.umask(before)
    file = site_of_user / "smki-sync.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert load_here({}).file == file


def test_default_file_is_not_written_when_others_can_change_the_directory(
    site_of_user: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smki_sync.cli.setup.new_config_file", lambda: site_of_user / "smki-sync.toml")
    site_of_user.mkdir(parents=True)
    site_of_user.chmod(0o777)
    with pytest.raises(ConfigError) as caught:
        init(source=repository.as_uri(), mirror=repository.parent / "mirror", as_json=True)
    assert caught.value.reason == "config-untrusted"
    assert list(site_of_user.iterdir()) == []


def test_missing_answer_is_an_error_when_there_is_no_terminal(smki: Shell) -> None:
    assert smki("init", "--config", "x", "--json").error["code"] == "usage"
