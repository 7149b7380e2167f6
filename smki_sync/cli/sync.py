"""The command `sync`."""

from dataclasses import replace
from typing import Annotated

import typer

from smki_sync.cli.arguments import OutputOptions, SourceOptions, add_command, load_config
from smki_sync.cli.context import now_here
from smki_sync.cli.event_log import JsonReporter
from smki_sync.cli.exit_codes import exit_of_outcome
from smki_sync.cli.job import event_reporter, job_of, record_run
from smki_sync.cli.output import print_json, print_text
from smki_sync.cli.run_report import document, sync_text
from smki_sync.cli.watch import with_party_notice
from smki_sync.config.loader import Config
from smki_sync.events import Logged
from smki_sync.model.report import Outcome, SyncReport
from smki_sync.recovery.reconcile import reconcile_new_full
from smki_sync.sync import SyncJob, run
from smki_sync.sync import dry_run as make_dry_run


def register_sync(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "sync",
        sync,
        examples=("smki-sync sync", "smki-sync sync --dry-run", "smki-sync sync --quiet --log-format json"),
    )


def sync(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what a sync would do; download and change nothing.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Force a full resync, even if deltas are available."),
    ] = False,
    accept_shrink: Annotated[
        bool,
        typer.Option(
            "--accept-shrink",
            help="Accept, for this run only, a file that removes more In-Use certificates than"
            " policy.max_shrink_share allows.",
        ),
    ] = False,
    forget_list: Annotated[
        str | None,
        typer.Option(
            "--forget-list",
            metavar="ISSUER",
            help="Let any available list replace those in force of this issuer (name or key identifier), for"
            " example after a list with a wrong date.",
        ),
    ] = None,
    place: SourceOptions,
    output: OutputOptions,
) -> None:
    """Download and apply new extracts: the daily job.

    Decides what to do and says why: nothing, deltas in order, or a full extract and then deltas. Exit code 0
    if the mirror is up to date, 3 if it is usable but not up to date.
    """
    settings = load_config(place, output)
    with event_reporter(settings, quiet=output.quiet, verbose=output.verbose) as events:
        job = job_of(settings, events)
        job = replace(job, change_limits=replace(job.change_limits, accept_shrink=accept_shrink))
        report = (
            make_dry_run(job, full=full)
            if dry_run
            else record_run(
                settings, job, "sync", lambda: _run(job, settings, full=full, forget_list=forget_list)
            )
        )
        if output.as_json or output.quiet or isinstance(events, JsonReporter):  # else stdout has the notices
            for notice in report.attention:
                events.emit(Logged(attention=notice))
    if output.as_json:
        print_json(document(report))
    elif not output.quiet:
        show_report(report)
    raise typer.Exit(exit_of_outcome(report.outcome))


def _run(job: SyncJob, settings: Config, *, full: bool, forget_list: str | None) -> SyncReport:
    report = run(job, full=full, forget_list=forget_list)
    return with_party_notice(reconcile_new_full(job, report, settings.policy.reconcile), settings, now_here())


def show_report(report: SyncReport) -> None:
    """Print the report of a run for people."""
    headline, *rest = sync_text(report).split("\n")
    print_text(headline, colour="green" if report.outcome is Outcome.CURRENT else "yellow")
    print_text("\n".join(rest))
