"""From the configuration to a sync job; the record of a run; metrics and the hook after it."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from smki_sync import __version__
from smki_sync.cli.console import event_reporter_on
from smki_sync.cli.context import now_here
from smki_sync.cli.event_log import EventReporter, Verbosity
from smki_sync.cli.exit_codes import exit_of, exit_of_outcome, failure
from smki_sync.cli.run_report import document
from smki_sync.cli.status import hours_of
from smki_sync.config.loader import Config
from smki_sync.download import (
    AUTOMATIC_LOGIN_LIMIT,
    DownloadOptions,
    FallbackSources,
    LoginGuard,
    LoginLockout,
    ReconnectingSource,
    RetryPolicy,
    SourceConfig,
    stored_request_limit,
)
from smki_sync.download.archive import Archive
from smki_sync.download.retry import (
    CHANGING_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PAUSE_FACTOR,
    PAUSE_JITTER,
)
from smki_sync.errors import Locked, ResourceError, SmkiSyncError
from smki_sync.events import Detail, EventListener, Logged
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History, RefusedLogins, RequestLimits, Run
from smki_sync.mirror.ledger import utc
from smki_sync.model.report import Notice, NoticeCode, Outcome, SyncReport
from smki_sync.monitoring import call_hook
from smki_sync.sources.base import OpenSource, SftpAddress, Source, parse_address
from smki_sync.sources.sftp_protocol import RequestLimit
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.status import freshness_of, mirror_status
from smki_sync.sync import SyncJob
from smki_sync.sync.job import STREAMING_LOAD_BYTES


@contextmanager
def event_reporter(config: Config, *, quiet: bool, verbose: bool) -> Iterator[EventReporter]:
    """Report events on stderr until the block ends."""
    verbosity = Verbosity.VERBOSE if verbose else Verbosity.QUIET if quiet else Verbosity.NORMAL
    with event_reporter_on(sys.stderr, form=config.log.format, volume=verbosity) as reporter:
        yield reporter


def job_of(config: Config, events: EventListener) -> SyncJob:
    """Return the sync job that a configuration describes, for today."""
    config.need_url()
    sources = fallback_sources_of(config, events)
    return SyncJob(
        directory=MirrorDirectory(config.need_mirror()),
        open_source=sources.open if sources else source_opener(config, events),
        fallback_sources=sources,
        archive=archive_of(config),
        today=now_here().date(),
        names=config.repository.file_names(),
        policy=config.policy.planner_policy(),
        download_window=config.policy.download_window(),
        limits=config.reader_limits(),
        lists=config.list_policy(),
        download_options=download_options_of(config),
        overlap_bytes=STREAMING_LOAD_BYTES,
        change_limits=config.policy.change_limits(),
        check_inner_names=config.policy.check_inner_names,
        repair_damage=config.policy.repair_damage,
        keep_previous=config.mirror.keep_previous,
        keep_changes_days=config.mirror.keep_changes_days,
        index_devices=config.mirror.index_devices,
        verify=config.policy.verify,
        anchors=config.trust.read_anchors(),
        events=events,
        clock=now_here,
    )


def download_options_of(config: Config) -> DownloadOptions:
    """Return the options of downloads."""
    repository, retry = config.repository, config.retry
    return DownloadOptions(
        retry=RetryPolicy(
            attempts=retry.attempts,
            first_pause=retry.first_pause_seconds,
            factor=PAUSE_FACTOR,
            longest_pause=LONGEST_PAUSE_SECONDS,
            jitter=PAUSE_JITTER,
        ),
        recheck_seconds=repository.settle_seconds,
        stability_seconds=CHANGING_SECONDS,
        bytes_per_second=repository.bandwidth_limit,
    )


def source_opener(config: Config, events: EventListener, url: str | None = None) -> OpenSource:
    """Return what creates the configured source, or that of ``url``, for every connection of a run.

    It respects the login lockout, and the number of read requests that the server accepts.
    """
    requests = request_limit_of(config, url)

    def open_source() -> Source:
        source = source_config_of(config, url).open(events, requests)
        lockout = login_lockout_of(config, url=url)
        return LoginGuard(source, lockout=lockout) if lockout else source

    return open_source


def request_limit_of(config: Config, url: str | None = None) -> RequestLimit | None:
    """Return the stored number of read requests in flight; ``None`` for a local directory."""
    address = parse_address(url or config.need_url())
    if not isinstance(address, SftpAddress):
        return None
    store = RequestLimits(MirrorDirectory(config.need_mirror()).history)
    return stored_request_limit(store, address.peer, clock=now_here)


def login_lockout_of(
    config: Config, *, url: str | None = None, max_refused: int = AUTOMATIC_LOGIN_LIMIT
) -> LoginLockout | None:
    """Return the record of refused logins, or ``None`` for a source without a login."""
    address = parse_address(url or config.need_url())
    if not isinstance(address, SftpAddress):
        return None
    return LoginLockout(
        logins=RefusedLogins(MirrorDirectory(config.need_mirror()).history),
        account=f"{address.user}@{address.peer}",
        lockout=timedelta(minutes=config.policy.login_lockout_minutes),
        clock=now_here,
        max_refused=max_refused,
    )


def fallback_sources_of(config: Config, events: EventListener) -> FallbackSources | None:
    """Return the configured source and its fallbacks, or ``None`` if there are no fallbacks."""

    def reconnecting(opener: OpenSource) -> OpenSource:
        return lambda: ReconnectingSource(opener, options=download_options_of(config), events=events)

    if not config.repository.fallbacks:
        return None
    urls = [None, *config.repository.fallbacks]
    openers = [source_opener(config, events, url) for url in urls]
    return FallbackSources(openers=[reconnecting(opener) for opener in openers])


def archive_of(config: Config) -> Archive | None:
    """Return the configured archive."""
    if config.archive.path is None:
        return None
    return Archive(
        path=config.archive.path,
        keep_fulls=config.archive.keep_fulls,
        names=config.repository.file_names(),
        overlap_days=config.policy.full_overlap_days,
    )


def source_config_of(config: Config, url: str | None = None) -> SourceConfig:
    """Return how to open the configured source, or another one with the same login. Reads the secrets."""
    repository, secrets = config.repository, config.secrets()
    login = SftpLogin(
        known_hosts=repository.known_hosts,
        identity_file=repository.identity_file,
        password=secrets.password,
        key_passphrase=secrets.key_passphrase,
        allow_agent=repository.allow_agent,
        legacy_algorithms=repository.legacy_algorithms,
        engine=repository.engine,
        ssh_config=repository.ssh_config,
    )
    return SourceConfig(url=url or config.need_url(), login=login, limits=config.limits.source_limits())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A finished run, with its report or its error."""

    run: Run
    report: SyncReport | None = None
    error: BaseException | None = None


def notify(config: Config, outcome: RunOutcome) -> tuple[Notice, ...]:
    """Write the metrics, then call the hook. Return what failed."""
    return (*_update_metrics(config, outcome), *_call_after_run(config, outcome))


def _update_metrics(config: Config, outcome: RunOutcome) -> tuple[Notice, ...]:
    path = config.metrics.textfile
    if path is None:
        return ()
    try:
        _write_metrics(path, config, outcome)
    except Exception as error:  # noqa: BLE001 - a run never fails because of its metrics
        return (
            Notice(
                code=NoticeCode.METRICS_NOT_WRITTEN,
                message=f"The metrics file was not replaced: {str(error).rstrip('.')}.",
                hint="Give the user that runs smki-sync write access, or change metrics.textfile.",
            ),
        )
    return ()


def _write_metrics(path: Path, config: Config, outcome: RunOutcome) -> None:
    from smki_sync.monitoring import MetricsSnapshot, write_metrics  # noqa: PLC0415 - slow, and optional

    now, run, report = now_here(), outcome.run, outcome.report
    directory = MirrorDirectory(config.need_mirror())
    status = mirror_status(directory, now=now, max_age=hours_of(None, config))
    freshness = freshness_of(
        directory, position=status.position, window_days=config.policy.window_days, today=now.date()
    )
    counts, applied = status.counts, report.applied if report else ()
    snapshot = MetricsSnapshot(
        version=__version__,
        command=run.command,
        began=datetime.fromisoformat(run.at),
        seconds=run.seconds,
        exit=run.exit,
        outcome=run.outcome,
        reason=run.reason,
        success=_parse_time(status.last_success.at if status.last_success else None),
        looked=_parse_time(freshness.looked),
        position=status.position,
        days_left=freshness.days_left,
        total=counts.total if counts else None,
        in_use=counts.in_use if counts else None,
        by_status=counts.by_status if counts else {},
        quarantined=counts.quarantined if counts else None,
        missing_deltas=(len(counts.unproven.missing) if counts.unproven else 0) if counts else None,
        unproven=counts.unproven is not None if counts else None,
        mirror_bytes=status.bytes if counts else None,
        applied=Counter(file.kind.value for file in applied),
        applied_bytes=sum(file.bytes for file in applied),
        attention=Counter(notice.code.value for notice in report.attention) if report else {},
    )
    write_metrics(path, snapshot)


def _parse_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _call_after_run(config: Config, outcome: RunOutcome) -> tuple[Notice, ...]:
    command = config.hooks.after_run
    if not command:
        return ()
    with suppress(KeyboardInterrupt):  # the run is over: stopping its hook does not change its exit code
        fault = call_hook(command, _run_document(outcome), seconds=config.hooks.timeout_seconds)
        if fault:
            return (
                Notice(
                    code=NoticeCode.HOOK_FAILED,
                    message=f"The command hooks.after_run failed: {fault}.",
                    hint="The run itself is not affected. To debug the command, run it with the JSON report"
                    " of a run on stdin.",
                ),
            )
    return ()


def _run_document(outcome: RunOutcome) -> str:
    if outcome.report:
        made = document(outcome.report, command=outcome.run.command)
    else:
        assert outcome.error is not None  # a run has a report or an error
        made = failure(outcome.run.command, outcome.error, exit_of(outcome.error))
    return json.dumps(made, indent=2) + "\n"


def record_run(config: Config, job: SyncJob, command: str, action: Callable[[], SyncReport]) -> SyncReport:
    """Run ``action``, record its outcome in the history, and notify monitoring.

    A run that finds the mirror locked is not recorded: the run that holds the lock is. A run as another user
    than the owner of the mirror writes nothing there.
    """
    started = job.clock()
    try:
        report = action()
    except Locked:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(error, ResourceError) and error.reason == "wrong-user":
            raise
        run = _failed_run(job, started, command, error)
        _record(job, run)
        for notice in notify(config, RunOutcome(run=run, error=error)):
            job.events.emit(Logged(attention=notice))
        raise
    run = _finished_run(job, started, command, report)
    _record(job, run)
    notices = notify(config, RunOutcome(run=run, report=report))
    return replace(report, attention=(*report.attention, *notices))


def _failed_run(job: SyncJob, started: datetime, command: str, error: BaseException) -> Run:
    interrupted = "interrupted" if isinstance(error, KeyboardInterrupt) else "unexpected"
    return Run(
        at=utc(started),
        command=command,
        outcome=str(Outcome.FAILED),
        exit=int(exit_of(error)),
        reason=error.reason if isinstance(error, SmkiSyncError) else interrupted,
        position=None,
        seconds=_seconds_since(job, started),
    )


def _finished_run(job: SyncJob, started: datetime, command: str, report: SyncReport) -> Run:
    return Run(
        at=utc(started),
        command=command,
        outcome=str(report.outcome),
        exit=int(exit_of_outcome(report.outcome)),
        reason=str(report.plan.reason),
        position=report.position.isoformat() if report.position else None,
        seconds=_seconds_since(job, started),
    )


def _seconds_since(job: SyncJob, started: datetime) -> float:
    return round((job.clock() - started).total_seconds(), 3)


def _record(job: SyncJob, run: Run) -> None:
    try:
        History(job.directory.history).record(run)
    except Exception as error:  # noqa: BLE001 - a run never fails because its record cannot be written
        job.events.emit(Detail(text=f"This run could not be recorded: {error}."))
