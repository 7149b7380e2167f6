"""``smki-sync sync``: the daily job."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.exits import Exit, exit_of, exit_of_outcome
from smki_sync.cli.out import say, say_json
from smki_sync.cli.render import document
from smki_sync.cli.setting import configure
from smki_sync.cli.summary import sync_text
from smki_sync.cli.talk import JsonTalk
from smki_sync.cli.workplace import job_of, talking
from smki_sync.errors import Locked, SmkiSyncError
from smki_sync.events import Detail, Noted
from smki_sync.mirror.history import History, Run
from smki_sync.mirror.ledger import utc
from smki_sync.model.report import Outcome, SyncReport
from smki_sync.sync import Job, rehearse, run


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sync")(sync)


def sync(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing, fetch nothing.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Build the mirror anew from the newest full, whatever its position."),
    ] = False,
    accept_shrink: Annotated[
        bool,
        typer.Option(
            "--accept-shrink",
            help="Take files that cost the mirror many In-Use certificates, this once.",
        ),
    ] = False,
    mirror: options.Mirror = None,
    source: options.Source = None,
    identity_file: options.IdentityFile = None,
    known_hosts: options.KnownHosts = None,
    bandwidth: options.Bandwidth = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = None,
) -> None:
    """Bring the mirror up to date: nothing to do, deltas in order, or a full and then deltas.

    The daily job, and the only one that cron needs. It decides by itself and says why. Exit code 0
    means that the mirror is current; 3, that it can be used and is not.
    """
    settings = configure(
        mirror=mirror,
        source=source,
        identity_file=identity_file,
        known_hosts=known_hosts,
        bandwidth=bandwidth,
        config=config,
        log_format=log_format,
    )
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)
        job = replace(job, bounds=replace(job.bounds, accept_shrink=accept_shrink))
        report = rehearse(job, full=full) if dry_run else _run_and_record(job, full=full)
        if as_json or quiet or isinstance(talk, JsonTalk):  # else stdout says it in words
            for attention in report.attention:
                talk.hear(Noted(attention=attention))
    if as_json:
        say_json(document(report))
    elif not quiet:
        _show(report)
    raise typer.Exit(exit_of_outcome(report.outcome))


def _show(report: SyncReport) -> None:
    headline, *rest = sync_text(report).split("\n")
    say(headline, colour="green" if report.outcome is Outcome.CURRENT else "yellow")
    say("\n".join(rest))


def _run_and_record(job: Job, *, full: bool) -> SyncReport:
    """Run, and remember how it went, also where it failed."""
    began = job.clock()
    try:
        report = run(job, full=full)
    except Locked:  # the run that holds the lock is the one to remember
        raise
    except (Exception, KeyboardInterrupt) as error:
        interrupted = "interrupted" if isinstance(error, KeyboardInterrupt) else "unexpected"
        reason = error.reason if isinstance(error, SmkiSyncError) else interrupted
        _record(job, began, outcome=Outcome.FAILED, code=exit_of(error), reason=reason, position=None)
        raise
    position = report.position.isoformat() if report.position else None
    code = exit_of_outcome(report.outcome)
    _record(job, began, outcome=report.outcome, code=code, reason=report.plan.reason, position=position)
    return report


def _record(
    job: Job, began: datetime, *, outcome: Outcome, code: Exit, reason: str, position: str | None
) -> None:
    run = Run(
        at=utc(began),
        command="sync",
        outcome=outcome,
        exit=int(code),
        reason=reason,
        position=position,
        seconds=round((job.clock() - began).total_seconds(), 3),
    )
    try:
        History(job.directory.history).record(run)
    except Exception as error:  # noqa: BLE001 - a run never fails because it cannot be remembered
        job.hear.hear(Detail(text=f"this run could not be recorded: {error}"))
