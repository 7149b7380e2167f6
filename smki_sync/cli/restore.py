"""``smki-sync restore``: the mirror made anew, looked through, and only then shown.

For: the worst day of the year. Refuses: to need anything of the old mirror, and to remove it.
"""

from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.arguments import parse_date
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.documents import Json
from smki_sync.cli.exit_codes import exit_of_outcome
from smki_sync.cli.job import job_of, talking
from smki_sync.cli.output import say, say_json
from smki_sync.cli.recording import recorded
from smki_sync.cli.render import document as sync_document
from smki_sync.cli.sync import show_report
from smki_sync.errors import UsageError
from smki_sync.events import Noted
from smki_sync.model.report import SyncReport
from smki_sync.recovery import Restored
from smki_sync.recovery import restore as restore_from
from smki_sync.text import block, in_time


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restore")(restore)


def restore(
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The state of that day, not the newest.")
    ] = None,
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
    """Make the mirror anew from the repository or an archive, whatever has become of the old one.

    The new one is looked through before it takes over. The old one is kept until `smki-sync prune`.
    Exit code 0 where it is current, 3 where it stands and is not.
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
    day = parse_date("--to", to) if to else None
    if day and day > now_here().date():
        raise UsageError(f"--to: {day} has not come yet", hint="Without --to the newest state is restored.")
    done: list[Restored] = []
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)

        def deed() -> SyncReport:
            done.append(restore_from(job, until=day, anchors=settings.trust.read_anchors()))
            return done[0].report

        report = recorded(settings, job, "restore", deed)
        if as_json or quiet:
            for attention in report.attention:
                talk.hear(Noted(attention=attention))
    if as_json:
        say_json(document(done[0]))
    elif not quiet:
        show_report(report)
        say("\n".join(lines(done[0])))
    raise typer.Exit(exit_of_outcome(report.outcome))


def document(restored: Restored) -> Json:
    """The document of ``restore --json``: that of ``sync``, with phases and checks."""
    return {
        **sync_document(restored.report, command="restore"),
        "phases": phases_document(restored),
        "checks": checks_document(restored),
    }


def phases_document(restored: Restored) -> list[Json]:
    """How long each phase took, in seconds to the millisecond."""
    return [{"phase": phase.name, "seconds": round(phase.seconds, 3)} for phase in restored.phases]


def checks_document(restored: Restored) -> list[Json]:
    """What was checked before it took over."""
    return [
        {"check": check.name, "passed": check.passed, "detail": check.detail} for check in restored.checks
    ]


_MARKS = {True: "passed", False: "FAILED", None: "not made"}


def lines(restored: Restored) -> list[str]:
    """Phases and checks for people."""
    total = sum(phase.seconds for phase in restored.phases)
    times = ", ".join(f"{phase.name} {in_time(phase.seconds)}" for phase in restored.phases)
    return [
        *block(f"  took          {in_time(total)}: {times}", hanging=16),
        *(
            line
            for check in restored.checks
            for line in block(
                f"  check         {check.name} {_MARKS[check.passed]}: {check.detail}", hanging=16
            )
        ),
    ]
