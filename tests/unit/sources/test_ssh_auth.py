"""Host keys and logins: accepted, refused, and how often the server was asked."""

import base64
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from support.needs import need
from support.openssh import make_key
from support.paramiko_server import PASSWORD, Behaviour, Server, paramiko_server

from smki_sync.errors import ConfigError, LoginInterrupted, SourceError, SourceRefused, SourceUnreachable
from smki_sync.events import Detail, NullListener
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin
from unit.sources.conftest import Heard

QUICK = Limits(connect=5, banner=1, login=1, stall=1)


def source_of(server: Server, login: SftpLogin, *, limits: Limits | None = None) -> Source:
    return open_source(server.url, login=login, limits=limits or Limits(), events=NullListener())


def refusal(server: Server, login: SftpLogin, *, limits: Limits | None = None) -> SourceError:
    """Enter a source that must be refused, and say how it was."""
    with pytest.raises(SourceError) as caught, source_of(server, login, limits=limits):
        pytest.fail("the source was entered")
    return caught.value


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with paramiko_server(folder) as running:
        yield running


@pytest.fixture
def known_hosts(server: Server, tmp_path: Path) -> Path:
    return server.known_hosts(tmp_path / "known_hosts")


def test_connection_is_described_without_secrets(server: Server, known_hosts: Path) -> None:
    heard = Heard()
    login = SftpLogin(known_hosts=known_hosts, password=PASSWORD)
    with open_source(server.url, login=login, limits=Limits(), events=heard):
        pass
    (received,) = heard.events
    assert isinstance(received, Detail)
    assert f"SHA256:{server.host_key.fingerprint.removeprefix('SHA256:')}" in received.text
    assert "ecdsa-sha2-nistp256" in received.text
    assert "aes128-gcm" in received.text
    assert PASSWORD not in received.text


def test_unknown_host_key_is_refused_before_login(server: Server, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    error = refusal(server, SftpLogin(known_hosts=empty, password=PASSWORD))
    assert isinstance(error, SourceRefused)
    assert error.reason == "host-key-unknown"
    assert server.host_key.fingerprint in error.message
    assert f"ssh-keyscan -p {server.port} 127.0.0.1" in error.hint
    assert server.seen.attempts == 0


@pytest.mark.parametrize("other", [paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)])
def test_changed_host_key_is_refused_before_login(
    server: Server, tmp_path: Path, other: paramiko.PKey
) -> None:
    pinned = tmp_path / "pinned"
    pinned.write_text(f"[127.0.0.1]:{server.port} {other.get_name()} {other.get_base64()}\n")
    error = refusal(server, SftpLogin(known_hosts=pinned, password=PASSWORD))
    assert isinstance(error, SourceRefused)
    assert error.reason == "host-key-changed"
    assert server.host_key.fingerprint in error.message
    assert other.fingerprint in error.message
    assert server.seen.attempts == 0


def test_revoked_host_key_is_refused(server: Server, known_hosts: Path) -> None:
    line = known_hosts.read_text()
    known_hosts.write_text(f"{line}@revoked {line}")
    error = refusal(server, SftpLogin(known_hosts=known_hosts, password=PASSWORD))
    assert error.reason == "host-key-revoked"
    assert server.seen.attempts == 0


def test_connect_requests_host_key_type_that_is_pinned(folder: Path, tmp_path: Path) -> None:
    """The server has two keys; only the one that the client would not ask for first is pinned."""
    with paramiko_server(folder) as server:
        rsa = paramiko.RSAKey.generate(2048)
        server.extra_host_keys.append(rsa)
        pinned = tmp_path / "pinned"
        pinned.write_text(f"[127.0.0.1]:{server.port} ssh-rsa {rsa.get_base64()}\n")
        with source_of(server, SftpLogin(known_hosts=pinned, password=PASSWORD)) as source:
            assert len(source.fetch_listing()) == 3


@pytest.mark.parametrize("known_hosts", [None, Path("/nonexistent/known_hosts")])
def test_connect_sends_nothing_without_known_hosts(server: Server, known_hosts: Path | None) -> None:
    login = SftpLogin(known_hosts=known_hosts, password=PASSWORD)
    with pytest.raises(ConfigError) as caught, source_of(server, login):
        pytest.fail("the source was entered")
    assert caught.value.reason == "known-hosts"
    assert "ssh-keyscan" in caught.value.hint
    assert "Compare" in caught.value.hint
    assert server.seen.connections == 0


def test_wrong_password_is_sent_exactly_once(server: Server, known_hosts: Path) -> None:
    error = refusal(server, SftpLogin(known_hosts=known_hosts, password="wrong"))
    assert isinstance(error, SourceRefused)
    assert error.reason == "login-refused"
    assert server.seen.passwords == ["wrong"]
    assert server.seen.connections == 1
    assert "wrong" not in f"{error} {error.hint.replace('wrong logins', '')}"


def test_password_is_not_sent_when_key_is_refused(folder: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "id")
    with paramiko_server(folder, Behaviour(key=paramiko.ECDSAKey.generate())) as server:
        login = SftpLogin(
            known_hosts=server.known_hosts(tmp_path / "known_hosts"),
            identity_file=tmp_path / "id",
            password=PASSWORD,
        )
        assert refusal(server, login).reason == "login-refused"
        assert len(server.seen.keys) == 1
        assert server.seen.passwords == []


def public_key(path: Path) -> paramiko.PKey:
    """Make a key pair at ``path``; its public half."""
    name, blob = make_key(path).split()
    return paramiko.PKey.from_type_string(name, base64.b64decode(blob))


def test_key_and_password_are_sent_once_when_both_are_required(folder: Path, tmp_path: Path) -> None:
    key = public_key(tmp_path / "id")
    with paramiko_server(folder, Behaviour(key=key, then_password=True)) as server:
        known_hosts = server.known_hosts(tmp_path / "known_hosts")
        login = SftpLogin(known_hosts=known_hosts, identity_file=tmp_path / "id", password=PASSWORD)
        with source_of(server, login) as source:
            assert len(source.fetch_listing()) == 3
        assert (len(server.seen.keys), server.seen.passwords) == (1, [PASSWORD])
        only_key = SftpLogin(known_hosts=known_hosts, identity_file=tmp_path / "id")
        assert refusal(server, only_key).reason == "login-refused"


def test_default_keys_are_offered_only_when_enabled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    key = public_key(tmp_path / ".ssh" / "id_ed25519")
    monkeypatch.setenv("HOME", str(tmp_path))
    with paramiko_server(folder, Behaviour(key=key)) as server:
        known_hosts = server.known_hosts(tmp_path / "known_hosts")
        with pytest.raises(ConfigError), source_of(server, SftpLogin(known_hosts=known_hosts)):
            pytest.fail("a key was used that is not enabled")
        assert server.seen.connections == 0
        with source_of(server, SftpLogin(known_hosts=known_hosts, look_for_keys=True)) as source:
            assert len(source.fetch_listing()) == 3


def test_agent_keys_are_offered_only_when_enabled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_key(tmp_path / "other")
    key = public_key(tmp_path / "id")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    with (
        _agent(tmp_path / "agent", tmp_path / "other", tmp_path / "id"),
        paramiko_server(folder, Behaviour(key=key)) as server,
    ):
        known_hosts = server.known_hosts(tmp_path / "known_hosts")
        with pytest.raises(ConfigError), source_of(server, SftpLogin(known_hosts=known_hosts)):
            pytest.fail("an agent was used that is not enabled")
        assert server.seen.connections == 0
        with source_of(server, SftpLogin(known_hosts=known_hosts, allow_agent=True)) as source:
            assert len(source.fetch_listing()) == 3
        assert len(server.seen.keys) == 2


@contextmanager
def _agent(path: Path, *keys: Path) -> Iterator[None]:
    """Run an OpenSSH agent that holds some keys."""
    agent = subprocess.Popen([need("ssh-agent"), "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    try:
        while not path.exists() and agent.poll() is None:
            time.sleep(0.01)
        subprocess.run([need("ssh-add"), "-q", *map(str, keys)], check=True)
        yield
    finally:
        agent.terminate()
        agent.wait()


@pytest.fixture
def eight_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[paramiko.PKey]]:
    """An agent with eight keys, of which only the public halves ``key0.pub`` to ``key7.pub`` are on disk."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    keys = [public_key(tmp_path / f"key{number}") for number in range(8)]
    with _agent(tmp_path / "agent", *(tmp_path / f"key{number}" for number in range(8))):
        for number in range(8):
            (tmp_path / f"key{number}").unlink()
        yield keys


def test_agent_offers_at_most_three_keys_and_hint_names_it(
    folder: Path, tmp_path: Path, eight_keys: list[paramiko.PKey]
) -> None:
    with paramiko_server(folder, Behaviour(key=eight_keys[7])) as server:
        known_hosts = server.known_hosts(tmp_path / "known_hosts")
        error = refusal(server, SftpLogin(known_hosts=known_hosts, allow_agent=True))
        assert error.reason == "login-refused"
        assert len(server.seen.keys) == 3
        assert "The SSH agent holds 8 keys; 3 keys were offered." in error.hint
        assert "repository.identity_file" in error.hint


@pytest.mark.parametrize("named", ["key7", "key7.pub"])
def test_agent_offers_only_the_key_that_identity_file_names(
    folder: Path, tmp_path: Path, eight_keys: list[paramiko.PKey], named: str
) -> None:
    with paramiko_server(folder, Behaviour(key=eight_keys[7])) as server:
        login = SftpLogin(
            known_hosts=server.known_hosts(tmp_path / "known_hosts"),
            allow_agent=True,
            identity_file=tmp_path / named,
        )
        with source_of(server, login) as source:
            assert len(source.fetch_listing()) == 3
        assert server.seen.keys == [eight_keys[7].get_base64()]


def test_identity_file_is_used_when_agent_does_not_hold_it(
    folder: Path, tmp_path: Path, eight_keys: list[paramiko.PKey]
) -> None:
    key = public_key(tmp_path / "own")
    assert key not in eight_keys
    with paramiko_server(folder, Behaviour(key=key)) as server:
        login = SftpLogin(
            known_hosts=server.known_hosts(tmp_path / "known_hosts"),
            allow_agent=True,
            identity_file=tmp_path / "own",
        )
        with source_of(server, login) as source:
            assert len(source.fetch_listing()) == 3
        assert server.seen.keys == [key.get_base64()]


@pytest.mark.parametrize("with_key", [True, False])
def test_methods_are_not_requested_when_only_one_is_configured(
    folder: Path, tmp_path: Path, with_key: bool
) -> None:
    key = public_key(tmp_path / "id")
    with paramiko_server(folder, Behaviour(key=key, drop_on_none=True)) as server:
        login = SftpLogin(
            known_hosts=server.known_hosts(tmp_path / "known_hosts"),
            identity_file=tmp_path / "id" if with_key else None,
            password=None if with_key else PASSWORD,
        )
        with source_of(server, login) as source:
            assert len(source.fetch_listing()) == 3
        assert (server.seen.nones, server.seen.attempts, server.seen.connections) == (0, 1, 1)


def test_login_is_interrupted_when_server_closes_before_credentials(folder: Path, tmp_path: Path) -> None:
    key = public_key(tmp_path / "id")
    with paramiko_server(folder, Behaviour(key=key, drop_on_none=True)) as server:
        login = SftpLogin(
            known_hosts=server.known_hosts(tmp_path / "known_hosts"),
            identity_file=tmp_path / "id",
            password=PASSWORD,
        )
        error = refusal(server, login)
        assert isinstance(error, LoginInterrupted)
        assert error.reason == "connection-lost"
        assert server.seen.attempts == 0


EXPIRED = "Your password has expired.\r\nChange it at the portal.\x1b[2J"


@pytest.mark.parametrize("interactive", [True, False])
def test_refusal_shows_text_of_server_when_password_is_expired(
    folder: Path, tmp_path: Path, interactive: bool
) -> None:
    with paramiko_server(folder, Behaviour(expired=EXPIRED, interactive=interactive)) as server:
        login = SftpLogin(known_hosts=server.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)
        error = refusal(server, login)
        assert error.reason == "login-refused"
        assert "Your password has expired. Change it at the portal.?[2J" in error.message
        assert server.seen.passwords == [PASSWORD]


@pytest.mark.parametrize("prompts", [17, 2**32 - 1])
def test_login_ends_when_server_states_too_many_prompts(folder: Path, tmp_path: Path, prompts: int) -> None:
    with paramiko_server(folder, Behaviour(interactive=True, prompts=prompts)) as server:
        login = SftpLogin(known_hosts=server.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        error = refusal(server, login)
        assert error.reason == "login-refused"
        assert f"{prompts} prompts in one request" in error.message
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_login_is_refused_when_server_closes_after_password(folder: Path, tmp_path: Path) -> None:
    with paramiko_server(folder, Behaviour(hang_up_on_refusal=True)) as server:
        login = SftpLogin(known_hosts=server.known_hosts(tmp_path / "known_hosts"), password="wrong")
        assert refusal(server, login).reason == "login-refused"
        assert server.seen.passwords == ["wrong"]


@pytest.mark.parametrize(
    ("kind", "passphrase"), [("ed25519", ""), ("ecdsa", ""), ("rsa", ""), ("ed25519", "swordfish")]
)
def test_login_succeeds_with_each_key_type(folder: Path, tmp_path: Path, kind: str, passphrase: str) -> None:
    public = make_key(tmp_path / "id", kind=kind, passphrase=passphrase)
    name, blob = public.split()
    key = paramiko.PKey.from_type_string(name, base64.b64decode(blob))
    with paramiko_server(folder, Behaviour(key=key, password=None)) as server:
        login = SftpLogin(
            known_hosts=server.known_hosts(tmp_path / "known_hosts"),
            identity_file=tmp_path / "id",
            key_passphrase="swordfish",  # one too many where the key is not encrypted does no harm
        )
        with source_of(server, login) as source:
            assert len(source.fetch_listing()) == 3
        assert server.seen.attempts == 1


def test_login_succeeds_with_pem_key(folder: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    secret = BestAvailableEncryption(b"swordfish")
    (tmp_path / "id").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    public = paramiko.ECDSAKey(vals=(key, key.public_key()))
    with paramiko_server(folder, Behaviour(key=public, password=None)) as server:
        login = SftpLogin(
            known_hosts=server.known_hosts(tmp_path / "known_hosts"),
            identity_file=tmp_path / "id",
            key_passphrase="swordfish",
        )
        with source_of(server, login) as source:
            assert len(source.fetch_listing()) == 3


@pytest.mark.parametrize(
    ("passphrase", "reason"), [(None, "key-passphrase-missing"), ("wrong", "key-passphrase-wrong")]
)
def test_connect_sends_nothing_when_passphrase_is_wrong(
    server: Server, known_hosts: Path, tmp_path: Path, passphrase: str | None, reason: str
) -> None:
    make_key(tmp_path / "id", passphrase="swordfish")
    login = SftpLogin(known_hosts=known_hosts, identity_file=tmp_path / "id", key_passphrase=passphrase)
    with pytest.raises(ConfigError) as caught, source_of(server, login):
        pytest.fail("the source was entered")
    assert caught.value.reason == reason
    assert "SMKI_SYNC_KEY_PASSPHRASE" in caught.value.hint
    assert server.seen.connections == 0


@pytest.mark.parametrize("content", [None, b"", b"no key", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_identity_file_without_key_is_a_configuration_error(
    server: Server, known_hosts: Path, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "id").write_bytes(content)
    with (
        pytest.raises(ConfigError) as caught,
        source_of(server, SftpLogin(known_hosts=known_hosts, identity_file=tmp_path / "id")),
    ):
        pytest.fail("the source was entered")
    assert caught.value.reason == "identity-file"
    assert server.seen.connections == 0


def test_missing_credentials_are_a_configuration_error(server: Server, known_hosts: Path) -> None:
    with pytest.raises(ConfigError) as caught, source_of(server, SftpLogin(known_hosts=known_hosts)):
        pytest.fail("the source was entered")
    assert caught.value.reason == "no-credentials"
    assert server.seen.connections == 0


def test_password_is_sent_once_by_keyboard_interactive(folder: Path, tmp_path: Path) -> None:
    with paramiko_server(folder, Behaviour(interactive=True)) as server:
        known_hosts = server.known_hosts(tmp_path / "known_hosts")
        with source_of(server, SftpLogin(known_hosts=known_hosts, password=PASSWORD)) as source:
            assert len(source.fetch_listing()) == 3
        error = refusal(server, SftpLogin(known_hosts=known_hosts, password="wrong"))
        assert error.reason == "login-refused"
        assert server.seen.passwords == [PASSWORD, "wrong"]


def test_login_is_refused_when_method_is_not_accepted(folder: Path, tmp_path: Path) -> None:
    with paramiko_server(folder, Behaviour(key=paramiko.ECDSAKey.generate(), password=None)) as server:
        login = SftpLogin(known_hosts=server.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)
        error = refusal(server, login)
        assert error.reason == "login-refused"
        assert "accepts publickey, but none" in error.message
        assert server.seen.passwords == [PASSWORD]


def test_connect_is_refused_when_nothing_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = _unreachable(f"sftp://party@127.0.0.1:{port}/", tmp_path)
    assert error.reason == "connection-refused"
    assert f"127.0.0.1:{port}" in error.message


def test_connect_fails_when_host_is_unknown(tmp_path: Path) -> None:
    error = _unreachable("sftp://party@no-such-host.invalid:2222/", tmp_path)
    assert error.reason == "host-unknown"
    assert "no-such-host.invalid" in error.message
    assert "2222" in error.message


def test_connect_ends_at_banner_limit_when_server_is_silent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = _unreachable(f"sftp://party@127.0.0.1:{listener.getsockname()[1]}/", tmp_path)
    assert error.reason == "banner-timeout"
    assert "within 1 s" in error.message


def test_connect_ends_at_login_limit_when_key_exchange_stops(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, _greeting(listener, b"SSH-2.0-slow\r\n"):
        error = _unreachable(f"sftp://party@127.0.0.1:{listener.getsockname()[1]}/", tmp_path)
    assert error.reason == "login-timeout"
    assert "limits.login_seconds = 1" in error.message


def test_connect_fails_when_server_is_not_ssh(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, _greeting(listener, b"220 ftp\r\n", close=True):
        error = _unreachable(f"sftp://party@127.0.0.1:{listener.getsockname()[1]}/", tmp_path)
    assert error.reason == "handshake-failed"


def test_login_ends_at_login_limit_when_server_is_silent(folder: Path, tmp_path: Path) -> None:
    with paramiko_server(folder, Behaviour(silent_login=True)) as server:
        login = SftpLogin(known_hosts=server.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)
        error = refusal(server, login, limits=QUICK)
        assert isinstance(error, LoginInterrupted)
        assert error.reason == "login-timeout"


@contextmanager
def _greeting(listener: socket.socket, words: bytes, *, close: bool = False) -> Iterator[None]:
    """Answer one connection with some words and then nothing."""

    def greet() -> None:
        line, _ = listener.accept()
        with line:
            line.sendall(words)
            while not close and line.recv(4096):
                pass

    thread = threading.Thread(target=greet)
    thread.start()
    yield
    thread.join()


def _unreachable(url: str, tmp_path: Path) -> SourceUnreachable:
    (tmp_path / "known_hosts").write_text("")
    login = SftpLogin(known_hosts=tmp_path / "known_hosts", password=PASSWORD)
    source = open_source(url, login=login, limits=QUICK, events=NullListener())
    with pytest.raises(SourceUnreachable) as caught, source:
        pytest.fail("the source was entered")
    assert caught.value.hint
    return caught.value
