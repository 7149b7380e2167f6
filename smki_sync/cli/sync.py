"""``smki-sync sync``: the daily job."""

from dataclasses import replace
from typing import Annotated

import typer

from smki_sync.cli import arguments
from smki_sync.cli.context import configure
from smki_sync.cli.event_log import JsonReporter
from smki_sync.cli.exit_codes import exit_of_outcome
from smki_sync.cli.job import event_reporter, job_of, record_run
from smki_sync.cli.output import print_json, print_text
from smki_sync.cli.run_report import document, sync_text
from smki_sync.config.loader import Config
from smki_sync.events import Logged
from smki_sync.model.report import Outcome, SyncReport
from smki_sync.recovery.reconcile import reconcile_new_full
from smki_sync.sync import SyncJob, run
from smki_sync.sync import dry_run as plan_only


def register_sync(app: typer.Typer) -> None:
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
    mirror: arguments.Mirror = None,
    source: arguments.Source = None,
    identity_file: arguments.IdentityFile = None,
    known_hosts: arguments.KnownHosts = None,
    bandwidth: arguments.Bandwidth = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
    quiet: arguments.Quiet = False,
    verbose: arguments.Verbose = False,
    log_format: arguments.LogFormat = None,
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
    with event_reporter(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)
        job = replace(job, bounds=replace(job.bounds, accept_shrink=accept_shrink))
        report = (
            plan_only(job, full=full)
            if dry_run
            else record_run(settings, job, "sync", lambda: _run(job, settings, full=full))
        )
        if as_json or quiet or isinstance(talk, JsonReporter):  # else stdout says it in words
            for attention in report.attention:
                talk.hear(Logged(attention=attention))
    if as_json:
        print_json(document(report))
    elif not quiet:
        show_report(report)
    raise typer.Exit(exit_of_outcome(report.outcome))


def _run(job: SyncJob, settings: Config, *, full: bool) -> SyncReport:
    return reconcile_new_full(job, run(job, full=full), settings.policy.reconcile)


def show_report(report: SyncReport) -> None:
    """Say to people what a run has done."""
    headline, *rest = sync_text(report).split("\n")
    print_text(headline, colour="green" if report.outcome is Outcome.CURRENT else "yellow")
    print_text("\n".join(rest))
