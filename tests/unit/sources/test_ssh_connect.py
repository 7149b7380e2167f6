"""Key exchange with a server: algorithms, rekeying, and a server without room."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.openssh import OpenSsh, make_key, openssh_server
from support.source_contract import NAME, SOME_BYTES, fill, read

from smki_sync.errors import ConfigError, SourceError, SourceUnreachable
from smki_sync.events import Detail, NullListener
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.sftp import SftpSource
from smki_sync.sources.ssh_connect import ParamikoConnection
from smki_sync.sources.ssh_settings import (
    AlgorithmOffer,
    LegacyAlgorithm,
    SftpLogin,
    helpful_legacy_algorithms,
    missing_algorithms,
    ordered_host_key_algorithms,
)
from smki_sync.sources.ssh_transport import BoundedPacketizer, packetizer_of
from unit.sources.conftest import Heard

QUICK = Limits(connect=5, banner=2, login=5, stall=2)


@contextmanager
def serving(
    tmp_path: Path, extra: str = "", *, host_key: str = "ed25519"
) -> Iterator[tuple[OpenSsh, SftpLogin]]:
    scratch = tmp_path / "sshd"
    scratch.mkdir()
    with openssh_server(fill(tmp_path / "files"), scratch, extra=extra, host_key=host_key) as server:
        yield server, SftpLogin(known_hosts=server.known_hosts, identity_file=server.identity_file)


def source_of(server: OpenSsh, login: SftpLogin, events: Heard | None = None) -> Source:
    return open_source(server.url, login=login, limits=Limits(), events=events or NullListener())


def refusal(server: OpenSsh, login: SftpLogin) -> SourceError:
    with pytest.raises(SourceError) as caught, source_of(server, login):
        pytest.fail("the source was entered")
    return caught.value


def exchanges(source: Source) -> int:
    """How often keys were agreed on."""
    assert isinstance(source, SftpSource)
    assert isinstance(source._connection, ParamikoConnection)
    return packetizer_of(source._connection.transport).key_exchanges


# Renewal of keys.


def test_transfer_completes_when_server_rekeys(tmp_path: Path) -> None:
    with serving(tmp_path, "RekeyLimit 500K") as (server, login), source_of(server, login) as source:
        assert read(source, NAME) == SOME_BYTES
        assert read(source, NAME, offset=17) == SOME_BYTES[17:]
        assert exchanges(source) >= 5


def test_transfer_completes_when_client_rekeys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedPacketizer, "REKEY_BYTES", 500_000)
    with serving(tmp_path) as (server, login), source_of(server, login) as source:
        assert read(source, NAME) == SOME_BYTES
        assert exchanges(source) >= 3


# What is asked for.


def test_connection_description_names_all_algorithms(tmp_path: Path) -> None:
    heard = Heard()
    with (
        serving(tmp_path, "KexAlgorithms ecdh-sha2-nistp384") as (server, login),
        source_of(server, login, heard),
    ):
        pass
    (received,) = heard.events
    assert isinstance(received, Detail)
    for fact in (
        "SSH-2.0-OpenSSH",
        "ecdh-sha2-nistp384",
        "ssh-ed25519 SHA256:",
        "aes128-gcm",
        "part of the cipher",
    ):
        assert fact in received.text


def test_connection_description_names_mac_without_gcm(tmp_path: Path) -> None:
    heard = Heard()
    with (
        serving(tmp_path, "Ciphers aes256-ctr\nMACs hmac-sha2-512") as (server, login),
        source_of(server, login, heard) as source,
    ):
        assert read(source, NAME) == SOME_BYTES
    (received,) = heard.events
    assert isinstance(received, Detail)
    assert "cipher aes256-ctr; MAC hmac-sha2-512" in received.text


def test_old_server_is_accepted_only_with_legacy_algorithms(tmp_path: Path) -> None:
    with serving(tmp_path, "Ciphers aes256-cbc\nMACs hmac-sha1") as (server, login):
        error = refusal(server, login)
        assert error.reason == "no-common-algorithm"
        assert "as cipher it offers aes256-cbc" in error.message
        assert "as MAC it offers hmac-sha1" in error.message
        assert 'repository.legacy_algorithms = ["aes256-cbc", "hmac-sha1"]' in error.hint
        old = replace(login, legacy_algorithms=(LegacyAlgorithm.AES256_CBC, LegacyAlgorithm.HMAC_SHA1))
        with source_of(server, old) as source:
            assert read(source, NAME) == SOME_BYTES


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_openssh_host_key_of_each_type_is_accepted(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, host_key=kind) as (server, login), source_of(server, login) as source:
        assert len(source.fetch_listing()) == 3


@pytest.mark.parametrize(
    ("kind", "passphrase"), [("ed25519", "swordfish"), ("ecdsa", ""), ("rsa", ""), ("rsa", "swordfish")]
)
def test_openssh_login_succeeds_with_each_key_type(tmp_path: Path, kind: str, passphrase: str) -> None:
    public = make_key(tmp_path / "id", kind=kind, passphrase=passphrase)
    with serving(tmp_path) as (server, login):
        (tmp_path / "sshd" / "authorized").write_text(public + "\n")
        own = replace(login, identity_file=tmp_path / "id", key_passphrase=passphrase or None)
        with source_of(server, own) as source:
            assert len(source.fetch_listing()) == 3
        if passphrase:
            with pytest.raises(ConfigError) as caught, source_of(server, replace(own, key_passphrase=None)):
                pytest.fail("an encrypted key was used without its passphrase")
            assert caught.value.reason == "key-passphrase-missing"


def test_host_key_algorithms_follow_order_of_pins() -> None:
    known = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert ordered_host_key_algorithms(["ssh-rsa", "ecdsa-sha2-nistp256", "ssh-dss"], known) == (
        *("rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-ed25519"),
    )
    assert ordered_host_key_algorithms([], known) == known


def test_missing_algorithms_and_helpful_legacy_ones_are_named() -> None:
    ours = AlgorithmOffer(kex=["k"], host_keys=["h"], ciphers=["c"], macs=["m"])
    theirs = AlgorithmOffer(
        kex=["old"], host_keys=["h"], ciphers=["c", "3des-cbc"], macs=["hmac-sha1", "hmac-md5"]
    )
    said = "as key exchange it offers old; as MAC it offers hmac-sha1, hmac-md5"
    assert missing_algorithms(ours, theirs) == said
    assert helpful_legacy_algorithms(ours, theirs) == (LegacyAlgorithm.HMAC_SHA1,)


def test_certificate_authority_in_known_hosts_is_rejected(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, login):
        server.known_hosts.write_text(f"@cert-authority {server.known_hosts.read_text()}")
        error = refusal(server, login)
    assert error.reason == "host-key-unknown"
    assert "line 1 trusts a certificate authority" in error.message


# No room.


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """Something that answers each connection with some words and hangs up; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            line, _ = listener.accept()
            with line, suppress(OSError):  # the client may have gone first
                line.sendall(words)
                line.shutdown(socket.SHUT_WR)
                while line.recv(4096):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"", "server-busy"),
        (b"Exceeded MaxStartups\r\n", "server-busy"),
        (b"Not allowed at this time\r\n", "server-busy"),
        (b"421 Too many connections\r\n", "server-busy"),
        (b"220 ftp ready\r\n", "handshake-failed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "handshake-failed"),
        (b"x" * 100_000, "handshake-failed"),
        (b"SSH-1.5-old\r\n", "no-common-algorithm"),
        (b"SSH-2.0-odd\r\n" + bytes(range(256)) * 20, "handshake-failed"),
        (b"SSH-2.0-odd\r\n\xff\xff\xff\xff" + bytes(100), "handshake-failed"),
        (b"SSH-2.0-odd\r\n", "handshake-failed"),
    ],
)
def test_connect_has_error_code_when_handshake_fails(tmp_path: Path, words: bytes, reason: str) -> None:
    (tmp_path / "known_hosts").write_text("")
    login = SftpLogin(known_hosts=tmp_path / "known_hosts", password="made up")
    with saying(words) as port:
        source = open_source(
            f"sftp://party@127.0.0.1:{port}/", login=login, limits=QUICK, events=NullListener()
        )
        with pytest.raises(SourceUnreachable) as caught, source:
            pytest.fail("the source was entered")
    assert caught.value.reason == reason


def test_connect_is_busy_when_openssh_reaches_max_startups(tmp_path: Path) -> None:
    with serving(tmp_path, "MaxStartups 1\nLoginGraceTime 60") as (server, login), waiting_at(server):
        error = refusal(server, login)
    assert isinstance(error, SourceUnreachable)
    assert error.reason == "server-busy"


@contextmanager
def waiting_at(server: OpenSsh) -> Iterator[None]:
    """Hold the one place of a server that allows one caller to be not logged in."""
    greeting = b""
    while greeting != b"SSH-":  # the caller that saw whether it is up may still have the place
        line = socket.create_connection(("127.0.0.1", server.port))
        greeting = line.recv(4)
        if greeting != b"SSH-":
            line.close()
    yield
    line.close()


def test_listing_is_busy_when_openssh_allows_no_session(tmp_path: Path) -> None:
    with serving(tmp_path, "MaxSessions 0") as (server, login), source_of(server, login) as source:
        with pytest.raises(SourceUnreachable) as caught:
            source.fetch_listing()
        assert caught.value.reason == "server-busy"
