"""Download options from the configuration, and the history of attempts."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from support.download_source import RecordingListener
from support.extract_directory import NOW, november

from smki_sync.cli.job import download_options_of, job_of
from smki_sync.config.loader import Config
from smki_sync.config.settings import MirrorPaths, Repository, RetrySettings
from smki_sync.download import RetryPolicy, SourceConfig, TransferRecord
from smki_sync.events import Detail, NullListener
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sync.job import SyncJob
from smki_sync.sync.runner import DownloadLedger

REPOSITORY = Repository(
    url="sftp://party@repository.example/extracts",
    identity_file=Path("key"),
    bandwidth_limit=1_000_000,
    settle_seconds=60,
)


def test_download_options_come_from_configuration() -> None:
    retry = RetrySettings(attempts=7, first_pause_seconds=1)
    made = download_options_of(Config(repository=REPOSITORY, retry=retry))
    assert made.retry == RetryPolicy(attempts=7, first_pause=1, factor=3, longest_pause=300, jitter=0.2)
    assert (made.recheck_seconds, made.stability_seconds, made.bytes_per_second) == (60, 300, 1_000_000)


def test_source_config_repr_contains_no_secret() -> None:
    login = SftpLogin(password="s3cret", key_passphrase="pa55")
    opening = SourceConfig(url="file:///media", login=login, limits=Limits())
    assert "s3cret" not in repr(opening)
    assert "pa55" not in repr(opening)


def job(directory: Path, listener: RecordingListener) -> SyncJob:
    config = Config(repository=replace(REPOSITORY, url="file:///media"), mirror=MirrorPaths(path=directory))
    return replace(job_of(config, NullListener()), events=listener, today=november(20), clock=lambda: NOW)


TRANSFER = TransferRecord(file="f", size=9, started=NOW, ended=NOW, begin=2, end=7, outcome="connection-lost")


def test_download_ledger_writes_one_row_per_attempt(tmp_path: Path) -> None:
    listener = RecordingListener()
    DownloadLedger(job(tmp_path, listener))(TRANSFER)
    with closing(sqlite3.connect(tmp_path / "history.db")) as db:
        rows = db.execute("SELECT file, size, started, ended, begin, end, outcome FROM download").fetchall()
    stamp = "2026-11-20T07:30:00Z"
    assert rows == [("f", 9, stamp, stamp, 2, 7, "connection-lost")]
    assert listener.events == []


def test_download_ledger_reports_unusable_history_without_error(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"no database" * 100)
    listener = RecordingListener()
    DownloadLedger(job(tmp_path, listener))(TRANSFER)
    assert [type(event) for event in listener.events] == [Detail]
