"""Source URLs: what is read from them, and that nothing of a refused one is repeated."""

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
def test_a_url_is_read_and_its_title_reads_the_same(
    url: str, address: SftpAddress | DirectoryAddress
) -> None:
    assert parse_address(url) == address
    assert parse_address(address.title) == address


def test_the_login_directory_is_shown_as_one_may_write_it() -> None:
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
def test_a_password_inside_a_url_is_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(url)
    told = f"{caught.value} {caught.value.hint} {caught.value!r} {caught.value.__cause__!r}"
    assert "hunter2" not in told
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "neither"),
        ("/media/disc", "neither"),
        ("http://host/", "neither"),
        ("SFTP//party@host", "neither"),
        ("sftp://host/path", "no user"),
        ("sftp://party@/path", "no host"),
        ("sftp:party@host", "no host"),
        ("sftp://party@host:99999/", "cannot be read"),
        ("sftp://party@host:port/", "cannot be read"),
        ("sftp://party@host:0/", "port 0"),
        ("sftp://party@[::1/", "cannot be read"),
        ("sftp://party@host/a?b", "a ? or a #"),
        ("sftp://party@host/a\nb", "control character"),
        ("file://media/disc", "names a host"),
        ("file:relative", "absolute"),
        ("file:///a%00b", "absolute"),
    ],
)
def test_a_wrong_url_is_a_configuration_error_that_says_how_to_write_it(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")) as caught:
        parse_address(url)
    assert caught.value.reason == "source-url"
    assert "://" in caught.value.hint


def test_opening_a_source_touches_neither_network_nor_disk(tmp_path: Path) -> None:
    source = open_source(
        "sftp://party@192.0.2.1/out",
        login=SftpLogin(known_hosts=tmp_path / "missing"),
        limits=Limits(),
        hear=NullListener(),
    )
    assert source.title == "sftp://party@192.0.2.1:22/out"


def test_a_login_shown_shows_no_secret() -> None:
    shown = repr(SftpLogin(password="hunter2", key_passphrase="swordfish"))
    assert "hunter2" not in shown
    assert "swordfish" not in shown
