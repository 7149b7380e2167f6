"""The SFTP server shows a directory, read-only, to whoever holds the key."""

import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

import paramiko
import pytest

from smki_sync.simulator.repository import Repository
from smki_sync.simulator.sftp_server import Service, serve

CONTENT = bytes(range(256)) * 2_000


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / ".simulator").mkdir(parents=True)
    (root / ".simulator" / "secret").write_bytes(b"key")
    (root / "file.gz").write_bytes(CONTENT)
    (root / "folder").mkdir()
    (tmp_path / "outside").write_bytes(b"outside")
    (root / "escape").symlink_to(tmp_path / "outside")
    (root / "way-out").symlink_to(tmp_path)
    (root / "peek").symlink_to(root / ".simulator" / "secret")
    (root / "ring").symlink_to(root / "ring")
    return root


@contextmanager
def session(
    service: Service, *, key: Path | None = None, password: str | None = None, user: str | None = None
) -> Iterator[paramiko.SFTPClient]:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(service.known_hosts))
        client.connect(
            service.host,
            service.port,
            user or service.user,
            key_filename=str(key or service.client_key) if password is None else None,
            password=password,
            allow_agent=False,
            look_for_keys=False,
        )
        yield client.open_sftp()


@pytest.fixture
def sftp(directory: Path) -> Iterator[paramiko.SFTPClient]:
    with serve(directory) as service, session(service) as client:
        yield client


def test_listing_contains_attributes_and_no_hidden_file(sftp: paramiko.SFTPClient, directory: Path) -> None:
    entries = {entry.filename: entry for entry in sftp.listdir_attr("/")}
    assert set(entries) == {"file.gz", "folder"}
    real = (directory / "file.gz").stat()
    assert (entries["file.gz"].st_size, entries["file.gz"].st_mtime) == (len(CONTENT), int(real.st_mtime))
    assert stat.S_ISREG(entries["file.gz"].st_mode or 0)
    assert stat.S_ISDIR(entries["folder"].st_mode or 0)
    assert sftp.listdir("folder") == []


@pytest.mark.parametrize("path", ["/file.gz", "file.gz", "./file.gz"])
def test_file_can_be_read_from_any_offset(sftp: paramiko.SFTPClient, path: str) -> None:
    assert sftp.stat(path).st_size == len(CONTENT)
    with sftp.open(path) as file:
        assert file.stat().st_size == len(CONTENT)
        assert file.read() == CONTENT
        for offset in (100_000, 7, len(CONTENT) - 1):
            file.seek(offset)
            assert file.read(50_000) == CONTENT[offset : offset + 50_000]
        file.seek(len(CONTENT))
        assert file.read(1) == b""


@pytest.mark.parametrize(
    "path",
    [
        *("../outside", "/../outside", "/folder/../../outside", "escape", "way-out/outside"),
        *(".simulator", "/.simulator/secret", "folder/../.simulator/secret", "peek"),
        *("absent", "file.gz/more", "ring", "a\0b"),
    ],
)
def test_paths_outside_and_hidden_files_are_not_visible(sftp: paramiko.SFTPClient, path: str) -> None:
    for attempt in (sftp.stat, sftp.lstat, sftp.open, sftp.listdir):
        with pytest.raises(FileNotFoundError):
            attempt(path)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda s: s.open("file.gz", "w"),
        lambda s: s.open("file.gz", "r+"),
        lambda s: s.open("file.gz", "a"),
        lambda s: s.open("new", "x"),
        lambda s: s.remove("file.gz"),
        lambda s: s.rename("file.gz", "other"),
        lambda s: s.posix_rename("file.gz", "other"),
        lambda s: s.mkdir("new"),
        lambda s: s.rmdir("folder"),
        lambda s: s.chmod("file.gz", 0o777),
        lambda s: s.truncate("file.gz", 1),
        lambda s: s.symlink("file.gz", "link"),
    ],
)
def test_every_write_is_rejected(
    sftp: paramiko.SFTPClient, directory: Path, attempt: Callable[[paramiko.SFTPClient], object]
) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {p.name: (p.lstat().st_size, p.lstat().st_mode) for p in directory.iterdir()}

    before = state()
    with pytest.raises(OSError, match=r"unsupported|denied"):
        attempt(sftp)
    assert state() == before
    assert sftp.stat("file.gz").st_size == len(CONTENT)


def test_new_publication_does_not_disturb_a_reader(sftp: paramiko.SFTPClient, directory: Path) -> None:
    with sftp.open("file.gz") as file:
        head = file.read(1_000)
        (directory / "aside").write_bytes(b"new")
        (directory / "aside").replace(directory / "file.gz")
        assert head + file.read() == CONTENT
    with sftp.open("file.gz") as file:
        assert file.read() == b"new"


def test_login_with_another_key_is_refused(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    with serve(directory, keys=tmp_path / "keys") as stranger:
        pass
    with (
        serve(directory) as service,
        pytest.raises(paramiko.AuthenticationException),
        session(service, key=stranger.client_key),
    ):
        pass


def test_login_as_another_user_is_refused(directory: Path) -> None:
    with (
        serve(directory) as service,
        pytest.raises(paramiko.AuthenticationException),
        session(service, user="root"),
    ):
        pass


def test_password_login_needs_the_right_password(directory: Path) -> None:
    with serve(directory, password="correct") as service:
        with session(service, password="correct") as sftp:
            assert "file.gz" in sftp.listdir()
        with pytest.raises(paramiko.AuthenticationException), session(service, password="wrong"):
            pass
    with (
        serve(directory) as service,
        pytest.raises(paramiko.AuthenticationException),
        session(service, password=""),
    ):
        pass


def test_keys_are_private_and_stay_the_same(directory: Path) -> None:
    with serve(directory) as first:
        key = first.client_key.read_bytes()
    with serve(directory, port=first.port) as second:
        assert second.host_public_key == first.host_public_key
        assert second.client_key.read_bytes() == key
        assert second.known_hosts.read_text() == second.host_public_key + "\n"
        assert stat.S_IMODE(second.client_key.stat().st_mode) == 0o600
        with session(second) as sftp:
            assert "file.gz" in sftp.listdir()


def test_directory_without_hidden_state_is_served_unchanged(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(CONTENT)
    with serve(tmp_path) as service, session(service) as sftp:
        assert sftp.listdir() == ["file.gz"]
    assert [p.name for p in tmp_path.iterdir()] == ["file.gz"]
    assert not service.client_key.exists()


def test_server_refuses_and_drops_connections_after_its_end(directory: Path) -> None:
    with ExitStack() as clients:
        with serve(directory) as service:
            sftp = clients.enter_context(session(service))
            clients.enter_context(socket.create_connection((service.host, service.port)))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((service.host, service.port))
        # SSHException: the request was sent before paramiko noticed the end of the connection.
        with pytest.raises((OSError, EOFError, paramiko.SSHException)):
            sftp.listdir()


def test_url_names_the_published_files(tmp_path: Path) -> None:
    Repository.create(tmp_path, devices=2, days=1, start=date(2026, 11, 2))
    with serve(tmp_path) as service, session(service) as sftp:
        assert service.url == f"sftp://party@127.0.0.1:{service.port}/"
        assert "SMKIKR_FULL_2026-11-02.xml.gz" in sftp.listdir("/")
        assert not any(name.startswith(".") for name in sftp.listdir("/"))


def test_two_clients_are_served_at_the_same_time(directory: Path) -> None:
    with (
        serve(directory) as service,
        session(service) as one,
        session(service) as two,
        one.open("file.gz") as file,
    ):
        assert file.read(10) == CONTENT[:10]
        assert two.stat("file.gz").st_size == len(CONTENT)
