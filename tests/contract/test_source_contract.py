"""The contract suite on a directory, on servers of paramiko and asyncssh, and on OpenSSH in several moods."""

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

import pytest
from support.asyncssh_server import AsyncSsh, asyncssh_server
from support.openssh import OpenSsh, openssh_server
from support.paramiko_server import PASSWORD, paramiko_server
from support.proxy import Faults, proxy_to
from support.source_contract import Offer, SourceContract, fill

from smki_sync.events import NullListener
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin, SshEngine


class TestDirectory(SourceContract):
    @pytest.fixture
    def offer(self, folder: Path, tmp_path: Path) -> Offer:
        del tmp_path
        default = folder

        def offered(
            *, limits: Limits | None = None, folder: Path = default
        ) -> AbstractContextManager[Source]:
            return open_source(
                folder.as_uri(), login=SftpLogin(), limits=limits or Limits(), events=NullListener()
            )

        return offered


class TestParamikoServer(SourceContract):
    @pytest.fixture
    def offer(self, folder: Path, tmp_path: Path) -> Iterator[Offer]:
        default = folder
        with paramiko_server(folder) as server:
            login = SftpLogin(known_hosts=server.known_hosts(tmp_path / "known_hosts"), password=PASSWORD)

            def offered(
                *, limits: Limits | None = None, folder: Path = default
            ) -> AbstractContextManager[Source]:
                url = server.url.replace(quote(str(default)), quote(str(folder)))
                return open_source(url, login=login, limits=limits or Limits(), events=NullListener())

            yield offered


@pytest.fixture(scope="module")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with openssh_server(Path("/"), tmp_path_factory.mktemp("sshd")) as server:
        yield server


def openssh_offer(
    server: OpenSsh, default: Path, *, port: int | None = None, root: Path = Path("/")
) -> Offer:
    """Open sources on OpenSSH; ``root``: what it shows as its own; ``port``: of a line before it."""
    known_hosts = server.known_hosts
    if port is not None:
        known_hosts = server.known_hosts.with_name(f"known_hosts_{port}")
        pinned = server.known_hosts.read_text().replace(f":{server.port} ", f":{port} ")
        known_hosts.write_text(pinned)
    login = SftpLogin(known_hosts=known_hosts, identity_file=server.identity_file)
    address = server.url.replace(f":{server.port}", f":{port or server.port}").removesuffix("/")

    def offered(*, limits: Limits | None = None, folder: Path = default) -> AbstractContextManager[Source]:
        url = f"{address}/{quote(str(folder.relative_to(root)))}"
        return open_source(url, login=login, limits=limits or Limits(), events=NullListener())

    return offered


class TestOpenSsh(SourceContract):
    @pytest.fixture
    def offer(self, folder: Path, openssh: OpenSsh) -> Offer:
        return openssh_offer(openssh, folder)


class TestOpenSshEngine(SourceContract):
    """The ``ssh`` program as the engine, against OpenSSH."""

    @pytest.fixture
    def offer(self, folder: Path, openssh: OpenSsh, tmp_path: Path) -> Offer:
        (tmp_path / "ssh_config").write_text("")
        return engine_offer(openssh, folder, tmp_path / "ssh_config")


@pytest.fixture(scope="module")
def jump_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with openssh_server(Path("/"), tmp_path_factory.mktemp("jump")) as server:
        yield server


class TestOpenSshEngineThroughJumpHost(SourceContract):
    """The same through a jump host of the operator's ``ssh_config``."""

    @pytest.fixture
    def offer(self, folder: Path, openssh: OpenSsh, jump_host: OpenSsh, tmp_path: Path) -> Offer:
        (tmp_path / "ssh_config").write_text(
            "Host jump\n"
            f"  HostName {jump_host.host}\n  Port {jump_host.port}\n  User {getpass.getuser()}\n"
            f"  IdentityFile {jump_host.identity_file}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {jump_host.known_hosts}\n  StrictHostKeyChecking yes\n"
            f"Host {openssh.host}\n  ProxyJump jump\n"
        )
        return engine_offer(openssh, folder, tmp_path / "ssh_config")

    def test_connection_goes_through_the_jump_host(self, offer: Offer, jump_host: OpenSsh) -> None:
        before = jump_host.log.read_text().count("Accepted publickey")
        with offer() as source:
            assert len(source.fetch_listing()) == 3
        assert jump_host.log.read_text().count("Accepted publickey") == before + 1


def engine_offer(server: OpenSsh, default: Path, ssh_config: Path) -> Offer:
    login = SftpLogin(
        known_hosts=server.known_hosts,
        identity_file=server.identity_file,
        engine=SshEngine.OPENSSH,
        ssh_config=ssh_config,
    )

    def offered(*, limits: Limits | None = None, folder: Path = default) -> AbstractContextManager[Source]:
        url = f"{server.url.removesuffix('/')}{quote(str(folder))}"
        return open_source(url, login=login, limits=limits or Limits(), events=NullListener())

    return offered


@pytest.fixture(scope="module")
def one_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    extra = "MaxSessions 1\nMaxStartups 2\nMaxAuthTries 2"
    with openssh_server(Path("/"), tmp_path_factory.mktemp("sshd"), extra=extra) as server:
        yield server


class TestOpenSshWithOneSession(SourceContract):
    """A server that allows one session a connection, and one connection that is not logged in."""

    @pytest.fixture
    def offer(self, folder: Path, one_session: OpenSsh) -> Offer:
        return openssh_offer(one_session, folder)


class TestSlowOpenSsh(SourceContract):
    """The same server behind a line with delay and a low rate."""

    @pytest.fixture
    def offer(self, folder: Path, openssh: OpenSsh) -> Iterator[Offer]:
        with proxy_to(openssh.port, Faults(delay=0.005, rate=100_000_000)) as proxy:
            yield openssh_offer(openssh, folder, port=proxy.port)


@pytest.fixture(scope="module")
def jail() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(dir=Path.home()))  # no directory above may be writable by others
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def jailed(jail: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    extra = f"ChrootDirectory {jail}\nForceCommand internal-sftp -R\nMaxSessions 1"
    with openssh_server(Path("/"), tmp_path_factory.mktemp("sshd"), extra=extra) as server:
        yield server


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can confine a user to a directory")
class TestChrootedOpenSsh(SourceContract):
    """Chrooted ``internal-sftp``, as operators who let strangers in configure it."""

    @pytest.fixture
    def folder(self, jail: Path) -> Path:
        return fill(Path(tempfile.mkdtemp(dir=jail)) / "repository")

    @pytest.fixture
    def offer(self, folder: Path, jailed: OpenSsh, jail: Path) -> Offer:
        return openssh_offer(jailed, folder, root=jail)


@pytest.fixture(scope="module")
def asyncssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AsyncSsh]:
    with asyncssh_server(Path("/"), tmp_path_factory.mktemp("asyncssh")) as server:
        yield server


class TestAsyncSsh(SourceContract):
    """A third implementation of the protocol."""

    @pytest.fixture
    def offer(self, folder: Path, asyncssh: AsyncSsh) -> Offer:
        default = folder
        login = SftpLogin(known_hosts=asyncssh.known_hosts, identity_file=asyncssh.identity_file)

        def offered(
            *, limits: Limits | None = None, folder: Path = default
        ) -> AbstractContextManager[Source]:
            url = asyncssh.url.rstrip("/") + quote(str(folder))
            return open_source(url, login=login, limits=limits or Limits(), events=NullListener())

        return offered
