"""``smki-sync verify``: the mirror against itself and against its trust anchors.

For: the proof that a mirror holds what authorities have signed, and nothing that has decayed. Refuses: to
mend, and to take the lock: a sync may run meanwhile.
"""

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.job import talking
from smki_sync.cli.output import say, say_json
from smki_sync.cli.outputs import outside_mirror
from smki_sync.cli.verify_text import document, text
from smki_sync.errors import UsageError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.verify import Scope, VerifyJob
from smki_sync.verify import verify as carry_out


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every certificate, page and index; the default.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=1, help="Only so many certificates, chosen by chance."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Judge dates by this date or time (UTC), not by now."),
    ] = None,
    any_status: Annotated[
        bool, typer.Option("--any-status", help="Also what is not In-Use, or withdrawn.")
    ] = False,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Prove every signature again, also those that are remembered.")
    ] = False,
    complete: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Write every finding to a file, a JSON object a line."),
    ] = None,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = None,
) -> None:
    """Verify every certificate up to a trust anchor, and the mirror against itself.

    Signatures that were proven before are remembered. Exit code 0, or 10 where something is found that
    speaks against the mirror or a certificate in it.
    """
    if everything and sample is not None:
        raise UsageError("--all and --sample exclude one another")
    settings = configure(mirror=mirror, config=config, log_format=log_format)
    if complete:
        outside_mirror(complete, settings)
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        job = VerifyJob(
            directory=MirrorDirectory(settings.need_mirror()),
            at=parse_time(at) if at else now_here(),
            anchors=settings.trust.read_anchors(),
            scope=Scope(sample=sample, any_status=any_status, afresh=afresh),
            complete=complete,
            hear=talk,
        )
        done = carry_out(job)
    if as_json:
        say_json(document(done))
    else:
        headline, *rest = text(done).split("\n")
        say(headline, colour="green" if done.is_sound else "yellow")
        say("\n".join(rest))
    raise typer.Exit(Exit.OK if done.is_sound else Exit.FINDING)


def parse_time(words: str) -> datetime:
    """A date (its first moment) or a time, ISO 8601, UTC unless it says otherwise."""
    try:
        if len(words) == len("YYYY-MM-DD"):
            return datetime.combine(date.fromisoformat(words), time(), tzinfo=UTC)
        moment = datetime.fromisoformat(words)
    except ValueError as exc:
        raise UsageError(
            f"{words!r:.40} is no time", hint="Write 2026-11-22 or 2026-11-22T07:30:00Z."
        ) from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
