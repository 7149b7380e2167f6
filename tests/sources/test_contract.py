"""The contract suite on a directory, on paramiko's server and on a real OpenSSH server."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import quote

import pytest
from support.openssh import OpenSsh, openssh_server
from support.paramiko_server import PASSWORD, paramiko_server

from smki_sync.events import Silence
from smki_sync.sources import Limits, SftpLogin, Source, open_source
from sources.contract import Offer, SourceContract


class TestDirectory(SourceContract):
    @pytest.fixture
    def offer(self, folder: Path, tmp_path: Path) -> Offer:
        del tmp_path
        default = folder

        def offered(
            *, limits: Limits | None = None, folder: Path = default
        ) -> AbstractContextManager[Source]:
            return open_source(folder.as_uri(), login=SftpLogin(), limits=limits or Limits(), hear=Silence())

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
                return open_source(url, login=login, limits=limits or Limits(), hear=Silence())

            yield offered


@pytest.fixture(scope="module")
def openssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSsh]:
    with openssh_server(Path("/"), tmp_path_factory.mktemp("sshd")) as server:
        yield server


class TestOpenSsh(SourceContract):
    @pytest.fixture
    def offer(self, folder: Path, openssh: OpenSsh) -> Offer:
        default = folder
        login = SftpLogin(known_hosts=openssh.known_hosts, identity_file=openssh.identity_file)

        def offered(
            *, limits: Limits | None = None, folder: Path = default
        ) -> AbstractContextManager[Source]:
            url = openssh.url.rstrip("/") + quote(str(folder))
            return open_source(url, login=login, limits=limits or Limits(), hear=Silence())

        return offered
