"""Config -> SyncJob; record the run; metrics and hooks afterwards."""

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
    BY_ITSELF,
    DownloadOptions,
    FallbackSources,
    LoginGuard,
    LoginLockout,
    ReconnectingSource,
    RetryPolicy,
    SourceConfig,
)
from smki_sync.download.archive import Archive
from smki_sync.errors import Locked, SmkiSyncError
from smki_sync.events import Detail, EventListener, Logged
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History, RefusedLogins, Run
from smki_sync.mirror.ledger import utc
from smki_sync.model.report import Notice, NoticeCode, Outcome, SyncReport
from smki_sync.monitoring import call_hook
from smki_sync.sources.base import OpenSource, SftpAddress, Source, parse_address
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.status import freshness_of, mirror_status
from smki_sync.sync import SyncJob


@contextmanager
def event_reporter(config: Config, *, quiet: bool, verbose: bool) -> Iterator[EventReporter]:
    """Talk on stderr for the length of a deed."""
    volume = Verbosity.VERBOSE if verbose else Verbosity.QUIET if quiet else Verbosity.NORMAL
    with event_reporter_on(sys.stderr, form=config.log.format, volume=volume) as talk:
        yield talk


def job_of(config: Config, hear: EventListener) -> SyncJob:
    """The job that a configuration describes, today."""
    config.need_url()
    ring = fallback_sources_of(config, hear)
    return SyncJob(
        directory=MirrorDirectory(config.need_mirror()),
        open_source=ring.open if ring else lambda: source_of(config, hear),
        ring=ring,
        archive=archive_of(config),
        today=now_here().date(),
        names=config.repository.names(),
        policy=config.policy.rules(),
        agreement=config.policy.agreement(),
        limits=config.reader_limits(),
        lists=config.lists(),
        terms=download_options_of(config),
        overlap_bytes=config.repository.overlap_bytes,
        bounds=config.policy.bounds(),
        check_inner_names=config.policy.check_inner_names,
        repair_damage=config.policy.repair_damage,
        keep_previous=config.mirror.keep_previous,
        keep_changes_days=config.mirror.keep_changes_days,
        index_devices=config.mirror.index_devices,
        verify=config.policy.verify,
        anchors=config.trust.read_anchors(),
        hear=hear,
    )


def download_options_of(config: Config) -> DownloadOptions:
    """The configured terms on which files are fetched."""
    repository, retry = config.repository, config.retry
    return DownloadOptions(
        retry=RetryPolicy(
            attempts=retry.attempts,
            first_pause=retry.first_pause_seconds,
            factor=retry.factor,
            longest_pause=retry.longest_pause_seconds,
            jitter=retry.jitter,
        ),
        young=repository.settle_seconds,
        changing=repository.changing_seconds,
        bandwidth=repository.bandwidth_limit,
        # With several sources nobody knows beforehand which of them a second session would be with.
        second=None if repository.parallel == 1 or repository.fallbacks else lambda: source_config_of(config),
    )


def source_of(config: Config, hear: EventListener, url: str | None = None) -> Source:
    """The configured source, or another, not yet entered; it repeats no login refused a while ago."""
    source, memory = source_config_of(config, url).heard_by(hear), login_lockout_of(config, url=url)
    return LoginGuard(source, memory=memory) if memory else source


def login_lockout_of(config: Config, *, url: str | None = None, most: int = BY_ITSELF) -> LoginLockout | None:
    """What is remembered of refused logins; ``None`` for a source without a login."""
    address = parse_address(url or config.need_url())
    if not isinstance(address, SftpAddress):
        return None
    return LoginLockout(
        logins=RefusedLogins(MirrorDirectory(config.need_mirror()).history),
        account=f"{address.user}@{address.peer}",
        lockout=timedelta(minutes=config.policy.login_lockout_minutes),
        clock=now_here,
        most=most,
    )


def fallback_sources_of(config: Config, hear: EventListener) -> FallbackSources | None:
    """The configured source and its fallbacks, where there are any."""

    def patient(opener: OpenSource) -> OpenSource:
        return lambda: ReconnectingSource(opener, terms=download_options_of(config), hear=hear)

    def fallback(url: str) -> OpenSource:
        return lambda: source_of(config, hear, url)

    if not config.repository.fallbacks:
        return None
    openers = [lambda: source_of(config, hear), *map(fallback, config.repository.fallbacks)]
    return FallbackSources(openers=[patient(opener) for opener in openers])


def archive_of(config: Config) -> Archive | None:
    """The configured archive."""
    if config.archive.path is None:
        return None
    return Archive(
        path=config.archive.path,
        keep_fulls=config.archive.keep_fulls,
        names=config.repository.names(),
        overlap_days=config.policy.full_overlap_days,
    )


def source_config_of(config: Config, url: str | None = None) -> SourceConfig:
    """How to open the configured source, or another with the same login; reads the secrets."""
    repository, secrets = config.repository, config.secrets()
    login = SftpLogin(
        known_hosts=repository.known_hosts,
        identity_file=repository.identity_file,
        password=secrets.password,
        key_passphrase=secrets.key_passphrase,
        allow_agent=repository.allow_agent,
        legacy_algorithms=repository.legacy_algorithms,
    )
    return SourceConfig(url=url or config.need_url(), login=login, limits=config.limits.of_source())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """A run that has ended: with a report, or with an error."""

    run: Run
    report: SyncReport | None = None
    error: BaseException | None = None


def notify(settings: Config, ended: RunOutcome) -> tuple[Notice, ...]:
    """Write the metrics, call the hooks; what could not be done."""
    return (*_metrics(settings, ended), *_hooks(settings, ended))


def _metrics(settings: Config, ended: RunOutcome) -> tuple[Notice, ...]:
    path = settings.metrics.textfile
    if path is None:
        return ()
    try:
        _write(path, settings, ended)
    except Exception as error:  # noqa: BLE001 - a run never fails because it cannot be told
        why = (isinstance(error, OSError) and error.strerror) or error
        return (
            Notice(
                code=NoticeCode.METRICS_NOT_WRITTEN,
                message=f"The metrics could not be written to {path}: {why}.",
                hint="Let the user that runs smki-sync write there, or configure another metrics.textfile.",
            ),
        )
    return ()


def _write(path: Path, settings: Config, ended: RunOutcome) -> None:
    from smki_sync.monitoring import MetricsSnapshot, write_metrics  # noqa: PLC0415 - loads what few configure

    now, run, report = now_here(), ended.run, ended.report
    directory = MirrorDirectory(settings.need_mirror())
    found = mirror_status(directory, now=now, max_age=hours_of(None, settings))
    fresh = freshness_of(
        directory, position=found.position, window_days=settings.policy.window_days, today=now.date()
    )
    census, applied = found.census, report.applied if report else ()
    snapshot = MetricsSnapshot(
        version=__version__,
        command=run.command,
        began=datetime.fromisoformat(run.at),
        seconds=run.seconds,
        exit=run.exit,
        outcome=run.outcome,
        reason=run.reason,
        success=_moment(found.last_success.at if found.last_success else None),
        looked=_moment(fresh.looked),
        position=found.position,
        days_left=fresh.days_left,
        total=census.total if census else None,
        in_use=census.in_use if census else None,
        by_status=census.by_status if census else {},
        quarantined=census.quarantined if census else None,
        mirror_bytes=found.bytes if census else None,
        applied=Counter(one.kind.value for one in applied),
        applied_bytes=sum(one.bytes for one in applied),
        attention=Counter(one.code.value for one in report.attention) if report else {},
    )
    write_metrics(path, snapshot)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _hooks(settings: Config, ended: RunOutcome) -> tuple[Notice, ...]:
    """Call what is configured for this end; an updated mirror that is behind calls two."""
    hooks, report, text = settings.hooks, ended.report, _document(ended)
    due = {
        "on_updated": hooks.on_updated if report and report.applied else (),
        "on_attention": hooks.on_attention if report and report.outcome is Outcome.BEHIND else (),
        "on_failed": hooks.on_failed if ended.error else (),
    }
    notes = []
    for name, words in due.items():
        with suppress(KeyboardInterrupt):  # the run has ended; how it ended is not changed by a hook
            fault = call_hook(words, text, seconds=hooks.timeout_seconds) if words else None
            if fault:
                notes.append(_hook_failed(name, fault))
    return tuple(notes)


def _document(ended: RunOutcome) -> str:
    if ended.report:
        made = document(ended.report, command=ended.run.command)
    else:
        assert ended.error is not None  # a run ends with one or the other
        made = failure(ended.run.command, ended.error, exit_of(ended.error))
    return json.dumps(made, indent=2) + "\n"


def _hook_failed(name: str, fault: str) -> Notice:
    return Notice(
        code=NoticeCode.HOOK_FAILED,
        message=f"The hook hooks.{name} failed: {fault}.",
        hint="The run is not touched by that. Run the command by hand with the JSON document on its stdin.",
    )


def record_run(settings: Config, job: SyncJob, command: str, deed: Callable[[], SyncReport]) -> SyncReport:
    """Run a deed, remember how it went, also where it failed, and tell it."""
    began = job.clock()
    try:
        report = deed()
    except Locked:  # the run that holds the lock is the one to remember
        raise
    except (Exception, KeyboardInterrupt) as error:
        run = _failed(job, began, command, error)
        _record(job, run)
        for note in notify(settings, RunOutcome(run=run, error=error)):
            job.hear.hear(Logged(attention=note))
        raise
    run = _ended(job, began, command, report)
    _record(job, run)
    notes = notify(settings, RunOutcome(run=run, report=report))
    return replace(report, attention=(*report.attention, *notes))


def _failed(job: SyncJob, began: datetime, command: str, error: BaseException) -> Run:
    interrupted = "interrupted" if isinstance(error, KeyboardInterrupt) else "unexpected"
    return Run(
        at=utc(began),
        command=command,
        outcome=str(Outcome.FAILED),
        exit=int(exit_of(error)),
        reason=error.reason if isinstance(error, SmkiSyncError) else interrupted,
        position=None,
        seconds=_seconds_since(job, began),
    )


def _ended(job: SyncJob, began: datetime, command: str, report: SyncReport) -> Run:
    return Run(
        at=utc(began),
        command=command,
        outcome=str(report.outcome),
        exit=int(exit_of_outcome(report.outcome)),
        reason=str(report.plan.reason),
        position=report.position.isoformat() if report.position else None,
        seconds=_seconds_since(job, began),
    )


def _seconds_since(job: SyncJob, began: datetime) -> float:
    return round((job.clock() - began).total_seconds(), 3)


def _record(job: SyncJob, run: Run) -> None:
    try:
        History(job.directory.history).record(run)
    except Exception as error:  # noqa: BLE001 - a run never fails because it cannot be remembered
        job.hear.hear(Detail(text=f"this run could not be recorded: {error}"))
