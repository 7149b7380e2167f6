"""The lockout of refused and interrupted logins, and the stored number of read requests."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paramiko
import pytest
from support.openssh import make_key
from support.paramiko_server import PASSWORD, Behaviour, Server, paramiko_server
from support.source_contract import fill

from smki_sync.download import (
    AUTOMATIC_LOGIN_LIMIT,
    MANUAL_LOGIN_LIMIT,
    DownloadOptions,
    LoginGuard,
    LoginLockout,
    ReconnectingSource,
    RetryPolicy,
    stored_request_limit,
)
from smki_sync.errors import LoginInterrupted, SourceError, SourceRefused, SourceUnreachable
from smki_sync.events import NullListener
from smki_sync.mirror.history import RefusedLogins, RequestLimits
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def lockout(tmp_path: Path) -> LoginLockout:
    return LoginLockout(
        logins=RefusedLogins(tmp_path / "history.db"),
        account="party@smki.example:22",
        lockout=timedelta(hours=1),
        clock=lambda: NOW,
    )


def is_locked(lockout: LoginLockout) -> bool:
    try:
        lockout.check()
    except SourceRefused as error:
        return error.reason == "refused-recently"
    return False


def guarded(server: Server, tmp_path: Path, lockout: LoginLockout) -> Callable[[], Source]:
    make_key(tmp_path / "id")
    login = SftpLogin(
        known_hosts=server.known_hosts(tmp_path / "known_hosts"),
        identity_file=tmp_path / "id",
        password=PASSWORD,
    )

    def opener() -> Source:
        source = open_source(server.url, login=login, limits=Limits(), events=NullListener())
        return LoginGuard(source, lockout=lockout)

    return opener


def outcome(opener: Callable[[], Source], *, attempts: int) -> SourceError:
    options = DownloadOptions(retry=RetryPolicy(attempts=attempts))
    with (
        pytest.raises(SourceError) as caught,
        ReconnectingSource(opener, options=options, events=NullListener()),
    ):
        pytest.fail("the source was entered")
    return caught.value


def test_lost_login_is_repeated_once_and_then_locked(tmp_path: Path, lockout: LoginLockout) -> None:
    behaviour = Behaviour(drop_on_none=True, key=paramiko.ECDSAKey.generate())
    with paramiko_server(fill(tmp_path / "files"), behaviour) as server:
        opener = guarded(server, tmp_path, lockout)
        error = outcome(opener, attempts=6)
        assert isinstance(error, SourceUnreachable)
        assert error.reason == "connection-lost"
        assert "during the login" in error.message
        assert (server.seen.connections, server.seen.attempts) == (2, 0)
        assert outcome(opener, attempts=6).reason == "refused-recently"
        assert server.seen.connections == 2


def test_refused_login_reaches_server_once(tmp_path: Path, lockout: LoginLockout) -> None:
    behaviour = Behaviour(key=paramiko.ECDSAKey.generate())
    with paramiko_server(fill(tmp_path / "files"), behaviour) as server:
        opener = guarded(server, tmp_path, lockout)
        assert outcome(opener, attempts=6).reason == "login-refused"
        assert outcome(opener, attempts=6).reason == "refused-recently"
        assert (server.seen.connections, server.seen.attempts) == (1, 1)


@pytest.mark.parametrize(
    ("limit", "refused", "interrupted", "locked"),
    [
        (AUTOMATIC_LOGIN_LIMIT, 0, 1, False),
        (AUTOMATIC_LOGIN_LIMIT, 0, 2, True),
        (AUTOMATIC_LOGIN_LIMIT, 1, 0, True),
        (MANUAL_LOGIN_LIMIT, 3, 0, False),
        (MANUAL_LOGIN_LIMIT, 2, 1, False),
        (MANUAL_LOGIN_LIMIT, 2, 2, True),
        (MANUAL_LOGIN_LIMIT, 4, 0, True),
        (MANUAL_LOGIN_LIMIT, 0, 4, True),
    ],
)
def test_lockout_counts_refused_and_interrupted_logins(
    lockout: LoginLockout, limit: int, refused: int, interrupted: int, locked: bool
) -> None:
    lockout = replace(lockout, max_refused=limit)
    for _ in range(refused):
        lockout.remember()
    for _ in range(interrupted):
        lockout.remember_interrupted()
    assert is_locked(lockout) is locked
    lockout.forget()
    assert not is_locked(lockout)


def test_lockout_ends_after_its_time(lockout: LoginLockout) -> None:
    lockout.remember()
    assert is_locked(lockout)
    assert not is_locked(replace(lockout, clock=lambda: NOW + timedelta(hours=1, seconds=1)))


def test_lockout_ignores_login_refused_while_clock_was_wrong(lockout: LoginLockout) -> None:
    replace(lockout, clock=lambda: NOW.replace(year=2036)).remember()
    replace(lockout, clock=lambda: NOW.replace(year=2036)).remember_interrupted()
    assert not is_locked(lockout)


def test_login_guard_counts_only_errors_of_the_login(tmp_path: Path, lockout: LoginLockout) -> None:
    class Fails:
        title = "fails"

        def __init__(self, error: SourceError) -> None:
            self.error = error

        def __enter__(self) -> None:
            raise self.error

    del tmp_path
    for error in (
        SourceUnreachable("m", code="connection-lost"),
        SourceRefused("m", code="host-key-changed"),
    ):
        with pytest.raises(type(error)):
            LoginGuard(Fails(error), lockout=lockout).__enter__()  # type: ignore[arg-type]  # all that is used
    assert not is_locked(lockout)
    for _ in range(2):
        with pytest.raises(LoginInterrupted):
            LoginGuard(Fails(LoginInterrupted("m")), lockout=lockout).__enter__()  # type: ignore[arg-type]  # as above
    assert is_locked(lockout)


# The number of read requests in flight.


def test_request_limit_is_stored_per_server(tmp_path: Path) -> None:
    store = RequestLimits(tmp_path / "history.db")

    def limit(server: str, at: datetime = NOW) -> int:
        return stored_request_limit(store, server, clock=lambda: at).requests

    assert limit("a:22") == 64
    first = stored_request_limit(store, "a:22", clock=lambda: NOW)
    first.halve(64)
    first.halve(32)
    assert (limit("a:22"), limit("b:22")) == (16, 64)
    assert limit("a:22", NOW + timedelta(days=29)) == 16
    assert limit("a:22", NOW + timedelta(days=31)) == 64
    assert limit("a:22", NOW - timedelta(days=365)) == 64  # stored while the clock was wrong


@pytest.mark.parametrize("stored", [-5, 0, 1000])
def test_request_limit_is_bounded_when_stored_number_is_wrong(tmp_path: Path, stored: int) -> None:
    store = RequestLimits(tmp_path / "history.db")
    store.remember("a:22", stored, at="2026-11-20T12:00:00Z")
    assert 1 <= stored_request_limit(store, "a:22", clock=lambda: NOW).requests <= 64


def test_request_limit_works_when_history_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"not a database" * 100)
    limit = stored_request_limit(RequestLimits(tmp_path / "history.db"), "a:22", clock=lambda: NOW)
    assert limit.requests == 64
    limit.halve(64)
    assert limit.requests == 32
