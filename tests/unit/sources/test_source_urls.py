"""Parsing source URLs; errors never repeat the URL."""

from pathlib import Path

import pytest

from smki_sync.errors import ConfigError
from smki_sync.events import NullListener
from smki_sync.sources import open_source
from smki_sync.sources.base import DirectoryAddress, Limits, SftpAddress, parse_address
from smki_sync.sources.ssh_settings import SftpLogin


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "sftp://party@smki.example:2222/out",
            SftpAddress(user="party", host="smki.example", port=2222, path="/out"),
        ),
        ("sftp://party@smki.example", SftpAddress(user="party", host="smki.example", port=22, path=".")),
        ("sftp://party@smki.example/", SftpAddress(user="party", host="smki.example", port=22, path="/")),
        ("sftp://party@SMKI.example/~/a", SftpAddress(user="party", host="smki.example", port=22, path="a")),
        (
            "sftp://p%40x@[2001:db8::1]:22/a%20b",
            SftpAddress(user="p@x", host="2001:db8::1", port=22, path="/a b"),
        ),
        ("file:///media/disc%201", DirectoryAddress(path=Path("/media/disc 1"))),
        ("file://localhost/media", DirectoryAddress(path=Path("/media"))),
    ],
)
def test_parse_address_reads_url_and_its_own_title(url: str, address: SftpAddress | DirectoryAddress) -> None:
    assert parse_address(url) == address
    assert parse_address(address.title) == address


def test_title_shows_login_directory_with_tilde() -> None:
    assert parse_address("sftp://party@smki.example").title == "sftp://party@smki.example:22/~/"
    assert parse_address("sftp://party@smki.example/~/.kept").title == "sftp://party@smki.example:22/~/.kept"


@pytest.mark.parametrize(
    "url",
    [
        "sftp://party:hunter2@smki.example/",
        "sftp://party:hunter2@",
        "sftp://party:@smki.example/",
        "sftp://:hunter2@smki.example/",
        "sftp://party:hunter2/x@smki.example/",
        "file://party:hunter2@host/dir",
        "https://party:hunter2@smki.example/",
    ],
)
def test_url_with_password_is_rejected_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(url)
    received = f"{caught.value} {caught.value.hint} {caught.value!r} {caught.value.__cause__!r}"
    assert "hunter2" not in received
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "received"),
    [
        ("", "does not start with"),
        ("/media/disc", "does not start with"),
        ("http://host/", "does not start with"),
        ("SFTP//party@host", "does not start with"),
        ("sftp://host/path", "no user"),
        ("sftp://party@/path", "no host"),
        ("sftp:party@host", "no host"),
        ("sftp://party@host:99999/", "invalid host or port"),
        ("sftp://party@host:port/", "invalid host or port"),
        ("sftp://party@host:0/", "port 0"),
        ("sftp://party@[::1/", "invalid host or port"),
        ("sftp://party@host/a?b", "a ? or a #"),
        ("sftp://party@host/a\nb", "control character"),
        ("file://media/disc", "has a host"),
        ("file:relative", "absolute"),
        ("file:///a%00b", "absolute"),
    ],
)
def test_invalid_url_is_a_configuration_error_with_hint(url: str, received: str) -> None:
    with pytest.raises(ConfigError, match=received.replace("?", r"\?")) as caught:
        parse_address(url)
    assert caught.value.reason == "source-url"
    assert "://" in caught.value.hint


def test_open_source_uses_neither_network_nor_disk(tmp_path: Path) -> None:
    source = open_source(
        "sftp://party@192.0.2.1/out",
        login=SftpLogin(known_hosts=tmp_path / "missing"),
        limits=Limits(),
        events=NullListener(),
    )
    assert source.title == "sftp://party@192.0.2.1:22/out"


def test_login_repr_contains_no_secret() -> None:
    shown = repr(SftpLogin(password="hunter2", key_passphrase="swordfish"))
    assert "hunter2" not in shown
    assert "swordfish" not in shown
