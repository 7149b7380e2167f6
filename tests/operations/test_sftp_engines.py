"""``sync`` over SFTP: the OpenSSH engine, and a server that accepts few requests at a time."""

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
from support.cli import Shell
from support.openssh import openssh_server
from support.rogue import PASSWORD, LimitedServer, rogue_server

from smki_sync.simulator.repository import Repository

DAY = date(2026, 11, 2)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository.create(
        tmp_path_factory.mktemp("made") / "repository", devices=600, days=1, start=DAY, seed=1
    )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "ssh_config").write_text("")
    (tmp_path / "smki-sync.toml").write_text(
        '[repository]\nengine = "openssh"\nssh_config = "ssh_config"\n[retry]\nfirst_pause_seconds = 0.1\n'
    )
    return Shell(place=tmp_path, today=DAY)


def test_sync_uses_the_openssh_engine(shell: Shell, repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "sshd").mkdir()
    with openssh_server(repository.path, tmp_path / "sshd") as server:
        words = (
            *("sync", "--json", "--mirror", "mirror", "--source", server.url, "--config", "smki-sync.toml"),
            *("--identity-file", server.identity_file, "--known-hosts", server.known_hosts),
        )
        ran = shell(*words, "--verbose")
        assert ran.code in {0, 3}, ran.err
        assert ran.document["certificates"]["in_use"] == len(repository.in_use())
        assert "Authenticated to 127.0.0.1" in ran.err
        secret = shell(*words, SMKI_SYNC_PASSWORD="hunter2")
        assert secret.code == 8
        assert secret.error["code"] == "openssh-secret"
        assert "hunter2" not in f"{secret.out} {secret.err}"


def stored_limits(mirror: Path) -> dict[str, int]:
    """The numbers of read requests that the mirror's history has stored, by server."""
    if not (mirror / "history.db").exists():
        return {}
    with closing(sqlite3.connect(mirror / "history.db", timeout=30)) as db:
        try:
            return dict(db.execute("SELECT server, requests FROM request_limit").fetchall())
        except sqlite3.OperationalError:  # there is no table yet
            return {}


def test_number_of_requests_is_stored_for_the_next_run(
    shell: Shell, repository: Repository, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in sorted(repository.path.glob("*.gz"))}
    assert max(map(len, files.values())) > 4 * 32_768
    mirror = tmp_path / "mirror"
    script = LimitedServer(files, most=2, expected=lambda: max(stored_limits(mirror).values(), default=64))
    (tmp_path / "smki-sync.toml").write_text("[retry]\nfirst_pause_seconds = 0.1\n")
    with rogue_server(script) as rogue:
        words = (
            *("sync", "--json", "--source", rogue.url, "--config", "smki-sync.toml"),
            *("--known-hosts", rogue.known_hosts(tmp_path / "known_hosts")),
        )
        ran = shell(*words, "--mirror", "mirror", SMKI_SYNC_PASSWORD=PASSWORD)
        assert ran.code in {0, 3}, ran.err
        assert max(script.seen) > 2
        ((server, requests),) = stored_limits(mirror).items()
        assert server == f"127.0.0.1:{rogue.port}"
        assert 1 <= requests <= 2
        script.seen.clear()
        again = shell(*words, "--mirror", "mirror", "--full", SMKI_SYNC_PASSWORD=PASSWORD)
        assert again.code in {0, 3}, again.err
        assert 0 < max(script.seen) <= 2
