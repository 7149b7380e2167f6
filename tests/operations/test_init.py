"""Init: a configuration that works, for its owner alone, and no key pinned that nobody has compared."""

import stat
import tomllib
from pathlib import Path

import pytest
from support.cli import Shell

from smki_sync.cli.exit_codes import Exit
from smki_sync.simulator.sftp_server import Service
from smki_sync.sources import fetch_host_key
from smki_sync.sources.base import Limits, SftpAddress


def fingerprint(service: Service) -> str:
    address = SftpAddress(user="party", host=service.host, port=service.port, path="/")
    return fetch_host_key(address, limits=Limits()).fingerprint


def words(service: Service, *more: str) -> list[str]:
    options = ["--source", service.url, "--mirror", "mirror", "--identity-file", str(service.client_key)]
    return ["init", *options, *more]


def test_what_init_writes_is_its_owners_alone_and_a_sync_goes_through_with_it(
    smki: Shell, service: Service
) -> None:
    ran = smki(*words(service, "--accept-fingerprint", fingerprint(service), "--json"))
    assert ran.code == Exit.OK, ran.err
    assert ran.document["pinned"] == fingerprint(service)
    made = [smki.place / "smki-sync.toml", smki.place / "known_hosts"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o600, 0o600]
    assert tomllib.loads(made[0].read_text())["repository"]["url"] == service.url
    assert smki("sync").code == Exit.OK


def test_another_fingerprint_is_refused_and_nothing_is_written(smki: Shell, service: Service) -> None:
    ran = smki(*words(service, "--accept-fingerprint", "SHA256:AAAA", "--json"))
    assert ran.error["code"] == "host-key-differs"
    assert ran.code == Exit.REFUSED
    assert not (smki.place / "smki-sync.toml").exists()
    assert not (smki.place / "known_hosts").exists()


def test_without_a_terminal_no_key_is_pinned_and_the_fingerprint_is_shown(
    smki: Shell, service: Service
) -> None:
    ran = smki(*words(service))
    assert ran.code == Exit.USAGE
    assert fingerprint(service) in "".join(ran.err.split("\n"))
    assert not (smki.place / "known_hosts").exists()


@pytest.mark.parametrize("name", ["smki-sync.toml", "known_hosts"])
def test_nothing_is_overwritten_not_even_through_a_link(smki: Shell, service: Service, name: str) -> None:
    elsewhere = smki.place / "elsewhere"
    (smki.place / name).symlink_to(elsewhere)
    ran = smki(*words(service, "--accept-fingerprint", fingerprint(service), "--json"))
    assert ran.error["code"] == "would-overwrite"
    assert not elsewhere.exists()


def test_optical_media_need_no_key(smki: Shell, repository: Path) -> None:
    ran = smki("init", "--source", repository.as_uri(), "--mirror", "mirror", "--json")
    assert ran.code == Exit.OK
    assert ran.document["known_hosts"] is ran.document["pinned"] is None
    assert smki("sync").code == Exit.OK


def test_a_missing_answer_is_an_error_where_nobody_can_be_asked(smki: Shell) -> None:
    assert smki("init", "--json").error["code"] == "usage"
