"""The OpenSSH engine: error codes, options, and no process left behind."""

import getpass
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.openssh import OpenSsh, make_key, openssh_server
from support.proc import family
from support.proxy import Faults, proxy_to
from support.source_contract import NAME, SOME_BYTES, fill, read

from smki_sync.download import DownloadOptions, ReconnectingSource, RetryPolicy, download
from smki_sync.errors import ConfigError, LoginInterrupted, SmkiSyncError, SourceRefused
from smki_sync.events import NullListener
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, SftpAddress, Source
from smki_sync.sources.openssh import ssh_options
from smki_sync.sources.ssh_settings import LegacyAlgorithm, SftpLogin, SshEngine
from unit.sources.test_ssh_connect import saying

QUICK = Limits(connect=2, banner=2, login=3, stall=5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    place = fill(tmp_path_factory.mktemp("files") / "repository")
    with openssh_server(place, tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def login(server: OpenSsh, tmp_path: Path) -> SftpLogin:
    (tmp_path / "ssh_config").write_text("")
    return SftpLogin(
        known_hosts=server.known_hosts,
        identity_file=server.identity_file,
        engine=SshEngine.OPENSSH,
        ssh_config=tmp_path / "ssh_config",
    )


def source_of(url: str, login: SftpLogin, limits: Limits = QUICK) -> Source:
    return open_source(url, login=login, limits=limits, events=NullListener())


def failure(url: str, login: SftpLogin) -> SmkiSyncError:
    with pytest.raises(SmkiSyncError) as caught, source_of(url, login):
        pytest.fail("the source was entered")
    assert caught.value.hint
    return caught.value


def test_unknown_host_key_is_refused(server: OpenSsh, login: SftpLogin, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    error = failure(server.url, replace(login, known_hosts=tmp_path / "empty"))
    assert isinstance(error, SourceRefused)
    assert error.reason == "host-key-unknown"


def test_host_key_is_pinned_when_ssh_config_disables_the_check(
    server: OpenSsh, login: SftpLogin, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "ssh_config").write_text(
        f"Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile {server.known_hosts}\n"
    )
    error = failure(server.url, replace(login, known_hosts=tmp_path / "empty"))
    assert error.reason == "host-key-unknown"
    assert (tmp_path / "empty").read_text() == ""


@pytest.mark.parametrize(("marker", "code"), [("", "host-key-changed"), ("@revoked ", "host-key-revoked")])
def test_changed_or_revoked_host_key_is_refused(
    server: OpenSsh, login: SftpLogin, tmp_path: Path, marker: str, code: str
) -> None:
    pinned = tmp_path / "pinned"
    if marker:
        pinned.write_text(marker + server.known_hosts.read_text())
    else:
        pinned.write_text(f"[127.0.0.1]:{server.port} {make_key(tmp_path / 'other')}\n")
    assert failure(server.url, replace(login, known_hosts=pinned)).reason == code


def test_refused_key_is_offered_once(server: OpenSsh, login: SftpLogin, tmp_path: Path) -> None:
    make_key(tmp_path / "wrong")
    before = server.log.read_text().count("Connection closed by authenticating user")
    error = failure(server.url, replace(login, identity_file=tmp_path / "wrong"))
    assert isinstance(error, SourceRefused)
    assert error.reason == "login-refused"
    assert server.log.read_text().count("Connection closed by authenticating user") == before + 1


def test_connect_is_refused_when_nothing_listens(login: SftpLogin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert failure(f"sftp://party@127.0.0.1:{port}/", login).reason == "connection-refused"


def test_connect_fails_when_host_is_unknown(login: SftpLogin) -> None:
    assert failure("sftp://party@no-such-host.invalid/", login).reason == "host-unknown"


def test_connect_times_out_when_server_is_silent(login: SftpLogin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = failure(f"sftp://party@127.0.0.1:{listener.getsockname()[1]}/", login)
    assert error.reason in {"banner-timeout", "connect-timeout"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (b"Exceeded MaxStartups\r\n", "server-busy"),
        (b"", "server-busy"),
        (b"SSH-1.5-old\r\n", "no-common-algorithm"),
        (b"SSH-2.0-odd\r\n\xff\xff\xff\xff" + bytes(100), "handshake-failed"),
        (b"\x00\x01\x02\r\n", "handshake-failed"),
    ],
)
def test_connect_has_error_code_when_server_is_not_ready(login: SftpLogin, words: bytes, code: str) -> None:
    with saying(words) as port:
        assert failure(f"sftp://party@127.0.0.1:{port}/", login).reason == code


def test_login_is_interrupted_when_connection_ends_during_it(
    server: OpenSsh, login: SftpLogin, tmp_path: Path
) -> None:
    with proxy_to(server.port, Faults(cut_at=2_000)) as proxy:
        pinned = tmp_path / "pinned"
        pinned.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{proxy.port} "))
        url = server.url.replace(f":{server.port}", f":{proxy.port}")
        error = failure(url, replace(login, known_hosts=pinned))
    assert isinstance(error, LoginInterrupted)
    assert error.reason == "connection-lost"


def test_download_resumes_when_connection_is_cut(server: OpenSsh, login: SftpLogin, tmp_path: Path) -> None:
    pinned, options = tmp_path / "pinned", DownloadOptions(retry=RetryPolicy(attempts=4))
    with proxy_to(server.port, Faults(cut_at=2_000_000)) as proxy:
        pinned.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{proxy.port} "))
        url = server.url.replace(f":{server.port}", f":{proxy.port}")
        known = replace(login, known_hosts=pinned)
        events = NullListener()
        with ReconnectingSource(
            lambda: source_of(url, known, Limits()), options=options, events=events
        ) as source:
            listed = next(file for file in source.fetch_listing() if file.name == NAME)
            assert listed.modified is not None
            extract = Extract(
                kind=ExtractKind.FULL,
                day=listed.modified.date(),
                name=NAME,
                size=listed.size,
                modified=listed.modified,
            )
            downloaded = download(source, extract, tmp_path, events, options)
    assert downloaded.path.read_bytes() == SOME_BYTES
    assert downloaded.pieces >= 2


@pytest.mark.parametrize("secret", [{"password": "hunter2"}, {"key_passphrase": "hunter2"}])
def test_secret_is_a_configuration_error(login: SftpLogin, secret: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        source_of("sftp://party@127.0.0.1:1/", replace(login, **secret))  # type: ignore[arg-type]  # by name
    assert caught.value.reason == "openssh-secret"
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_configuration_errors_are_found_before_anything_is_sent(login: SftpLogin, tmp_path: Path) -> None:
    make_key(tmp_path / "encrypted", passphrase="swordfish")
    url = "sftp://party@127.0.0.1:1/"  # nothing listens there
    for changed, code in (
        (replace(login, known_hosts=None), "known-hosts"),
        (replace(login, identity_file=tmp_path / "missing"), "identity-file"),
        (replace(login, identity_file=tmp_path / "encrypted"), "key-passphrase-missing"),
    ):
        error = failure(url, changed)
        assert isinstance(error, ConfigError)
        assert error.reason == code
    with pytest.raises(ConfigError) as caught:
        source_of(url, replace(login, identity_file=None, ssh_config=None))
    assert caught.value.reason == "no-credentials"


def test_missing_program_is_a_configuration_error(login: SftpLogin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    error = failure("sftp://party@127.0.0.1:1/", login)
    assert isinstance(error, ConfigError)
    assert error.reason == "openssh-missing"


def test_no_process_is_left_when_a_source_is_closed(server: OpenSsh, login: SftpLogin) -> None:
    with source_of(server.url, login, Limits()) as source:
        assert read(source, NAME) == SOME_BYTES
        assert running_ssh()
        with source.fetch(NAME) as chunks:
            next(chunks)
    assert not running_ssh()


def running_ssh() -> list[int]:
    """The ``ssh`` processes that this one has started."""
    return [pid for pid in family(os.getpid()) if Path(f"/proc/{pid}/comm").read_text() == "ssh\n"]


def test_ssh_gets_no_secret_and_no_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\nenv > "{tmp_path}/env"\nprintf "%s\\n" "$@" > "{tmp_path}/args"\nexit 255\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SMKI_SYNC_PASSWORD", "hunter2")
    monkeypatch.setenv("SMKI_SYNC_KEY_PASSPHRASE", "swordfish")
    make_key(tmp_path / "id")
    (tmp_path / "known hosts").write_text("")
    login = SftpLogin(
        known_hosts=tmp_path / "known hosts", identity_file=tmp_path / "id", engine=SshEngine.OPENSSH
    )
    failure("sftp://party@host.example:2222/", login)
    environment, arguments = (tmp_path / "env").read_text(), (tmp_path / "args").read_text().split("\n")
    assert "hunter2" not in environment
    assert "swordfish" not in environment
    assert "IdentityAgent=none" in arguments
    assert f'UserKnownHostsFile="{tmp_path}/known hosts"' in arguments
    assert arguments[-4:-1] == ["--", "host.example", "sftp"]


def test_options_of_ssh_follow_the_login() -> None:
    address = SftpAddress(user=getpass.getuser(), host="host.example", port=22, path="/")
    login = SftpLogin(
        known_hosts=Path('/odd "100%" dir/known_hosts'),
        allow_agent=True,
        ssh_config=Path("/etc/my config"),
        legacy_algorithms=(LegacyAlgorithm.AES128_CBC, LegacyAlgorithm.HMAC_SHA1),
    )
    options = ssh_options(address, login, Limits())
    assert options[:2] == ["-F", "/etc/my config"]
    assert r'UserKnownHostsFile="/odd \"100%%\" dir/known_hosts"' in options
    assert "Ciphers=+aes128-cbc" in options
    assert "MACs=+hmac-sha1" in options
    assert not [option for option in options if option.startswith(("IdentityAgent", "IdentityFile"))]
