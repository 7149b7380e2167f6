"""``smki-sync drill``: would the mirror survive the worst day? Tried, timed and written down.

For: evidence for an auditor, by hand or from a timer. Refuses: to touch the live mirror.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.cli.failing import failure
from smki_sync.cli.identities import link_in
from smki_sync.cli.job import job_of, talking
from smki_sync.cli.output import say, say_json
from smki_sync.cli.outputs import check_place
from smki_sync.cli.render import applied_document, attention_document
from smki_sync.cli.restore import checks_document, lines, phases_document
from smki_sync.mirror.connection import named
from smki_sync.mirror.ledger import utc
from smki_sync.recovery import Drilled, NotDrilled
from smki_sync.recovery import drill as carry_out
from smki_sync.report.drill import drill_page
from smki_sync.text import block, in_time, visible


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("drill")(drill)


def drill(
    *,
    scratch: Annotated[
        Path | None,
        typer.Option("--scratch", metavar="DIR", help="Where to restore to; removed afterwards."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Where the report goes: JSON and HTML.")
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
    """Restore into a scratch place, hold it against the live mirror, and leave a report.

    The live mirror is only read. Exit code 0 where the drill passed, 10 where it did not, or could not be
    carried out: then, too, the report says why.
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
    root = link_in(settings.need_mirror()).parent
    reports = check_place(output or root / "drills", directory=True)
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)
        done = carry_out(job, scratch or root / "drill", anchors=settings.trust.read_anchors())
    made = document(done)
    report = _write(reports, made)
    if as_json:
        say_json(made)
    elif not quiet:
        say("\n".join(text(done, report)))
    raise typer.Exit(Exit.OK if made["agrees"] else Exit.FINDING)


def _write(directory: Path, made: Json) -> Path:
    """The report as JSON and as a page that carries its hash; the page's path."""
    written = json.dumps(made, indent=2) + "\n"
    stem = f"drill-{str(made['began']).replace(':', '')}"
    page = directory / f"{stem}.html"
    with named(directory):
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        (directory / f"{stem}.json").write_text(written, encoding="utf-8")
        page.write_text(drill_page(made, sha256=sha256(written.encode()).hexdigest()), encoding="utf-8")
    return page


def document(done: Drilled | NotDrilled) -> Json:
    """The document of ``drill --json``; what was never found out is ``null`` or empty."""
    frame = {
        "schema": schema_of("drill"),
        "agrees": isinstance(done, Drilled) and done.agrees,
        "began": utc(done.began),
        "ended": utc(done.ended),
        "live": done.live and {"position": done.live.position.isoformat(), "digest": done.live.digest},
        "machine": dict(done.machine),
    }
    return frame | (_found(done) if isinstance(done, Drilled) else _failed(done))


def _found(done: Drilled) -> Json:
    report, parted = done.restored.report, done.parted
    return {
        "recovery_seconds": round(done.recovery_seconds, 3),
        "recovery_point": report.position and report.position.isoformat(),
        "recovery_point_age_days": report.position and (now_here().date() - report.position).days,
        "certificates": {"total": report.census.total, "in_use": report.census.in_use},
        "digest": report.census.digest,
        "only_live": 0 if parted is None else len(parted.only_one),
        "only_restored": 0 if parted is None else len(parted.only_other),
        "files": [applied_document(applied) for applied in report.applied],
        "phases": phases_document(done.restored),
        "checks": checks_document(done.restored),
        "attention": [attention_document(attention) for attention in report.attention],
        "error": None,
    }


def _failed(done: NotDrilled) -> Json:
    nothing = ("recovery_seconds", "recovery_point", "recovery_point_age_days", "certificates", "digest")
    return {
        **dict.fromkeys((*nothing, "only_live", "only_restored")),
        **{name: [] for name in ("files", "phases", "checks", "attention")},
        "error": failure("drill", done.error, exit_of(done.error))["error"],
    }


def text(done: Drilled | NotDrilled, report: Path) -> list[str]:
    """The drill for people."""
    where = f"  report        {visible(str(report))}"
    if isinstance(done, NotDrilled):
        error = done.error
        said = block(f"{error.message}. {error.hint}", indent="  ")
        return ["The drill FAILED: it could not be carried out.", *said, where]
    word = "passed" if done.agrees else "FAILED"
    parted = done.parted
    return [
        f"The drill {word}: restored in {in_time(done.recovery_seconds)}, as of {done.live.position}.",
        *lines(done.restored),
        *(
            block(
                f"  parted        {len(parted.only_one):,} certificates are In-Use in the live mirror alone,"
                f" {len(parted.only_other):,} in the restored one alone",
                hanging=16,
            )
            if parted
            else []
        ),
        where,
    ]
