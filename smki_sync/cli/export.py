"""The commands `export` and `report`: one state of the mirror as files or as a page."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import (
    Json,
    Progress,
    check_place,
    outside_mirror,
    print_json,
    print_text,
    schema_of,
)
from smki_sync.cli.status import EXITS, hours_of, trust_status
from smki_sync.errors import UsageError
from smki_sync.export.export import Export, ExportFormat, ExportResult
from smki_sync.export.export import export as export_from
from smki_sync.files import output_error
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.report.data import gather
from smki_sync.report.page import page
from smki_sync.text import bytes_text, visible


def register_export(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    *,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="What to write; parquet and der-tree are directories.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="PATH", help="The file or directory to make.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file, or a directory that an export made.")
    ] = False,
    kinds: arguments.Kinds = None,
    statuses: arguments.Statuses = None,
    any_status: arguments.AnyStatus = False,
    usage: arguments.Usage = None,
    role: arguments.Role = None,
    issuer: arguments.Issuer = None,
    changed_since: arguments.ChangedSince = None,
    expiring_within: arguments.ExpiringWithin = None,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """Write certificates into a file or a tree that is whole or absent, In-Use only unless told otherwise.

    All of it is of one state of the mirror; what it says of that state is where `changes` goes on.
    """
    wanted = arguments.filter_from_options(
        kinds=kinds,
        statuses=statuses,
        any_status=any_status,
        usage=usage,
        role=role,
        issuer=issuer,
        changed_since=changed_since,
        expiring_within=expiring_within,
        today=now_here().date(),
    )
    settings = configure(mirror=mirror, config=config)
    link = link_in(settings.need_mirror())
    output = outside_mirror(Path.cwd() / output, settings)
    job = Export(form=form, output=output, wanted=wanted, force=force)
    with Progress(sys.stderr) as progress:
        done = export_from(link, job, told=progress)
    print_json(document(job, done)) if as_json else print_text(text(job, done))
    raise typer.Exit(Exit.OK)


def document(job: Export, done: ExportResult) -> Json:
    """The document of ``export --json``."""
    return {
        "schema": schema_of("export"),
        "format": job.form.value,
        "output": str(job.output),
        "certificates": done.certificates,
        "files": done.files,
        "bytes": done.bytes,
        "position": done.stamp.position.isoformat(),
        "digest": done.stamp.digest,
        "lineage": done.stamp.lineage,
        "sequence": done.stamp.sequence,
        "token": done.stamp.token,
    }


def text(job: Export, done: ExportResult) -> str:
    """The same for people, one fact a line."""
    files = "1 file" if done.files == 1 else f"{done.files:,} files"
    return "\n".join(
        (
            f"{done.certificates:,} certificates in {files}, {bytes_text(done.bytes)}",
            f"output  {visible(str(job.output))}",
            f"as of   {done.stamp.position}",
            f"digest  {done.stamp.digest}",
            "        of every certificate In-Use, whatever was asked for",
            f"token   {done.stamp.token}  (for `changes --since`)",
        )
    )


_YEAR: Final = 366
_STDOUT: Final = {"-", "/dev/stdout"}  # the second leads to whatever stdout is: never to be replaced


def register_report(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", metavar="FILE", help="Where the page goes, in place of what is there; - is stdout."
        ),
    ],
    days: Annotated[int, typer.Option(min=1, max=3660, help="How far back the page looks.")] = _YEAR,
    max_age: arguments.MaxAge = None,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
) -> None:
    """Write one HTML page: state, changes, lag, runs, quarantine; needs no network to be read.

    The page is written in each case; exit codes are those of `status`: 0 current, 3 empty or stale,
    7 damaged.
    """
    settings = configure(mirror=mirror, config=config)
    directory = MirrorDirectory(settings.need_mirror())
    if str(output) not in _STDOUT:
        check_place(outside_mirror(output, settings))
    facts = gather(
        directory,
        now=now_here(),
        max_age=hours_of(max_age, settings),
        days=days,
        policy=settings.policy.planner_policy(),
        trusted=trust_status(settings, directory),
    )
    if str(output) in _STDOUT:
        print_text(page(facts), end="")
    else:
        _write(output, page(facts))
        print_text(f"{visible(str(output))}: the mirror is {facts.finding.state.value}")
    raise typer.Exit(EXITS[facts.finding.state])


def _write(output: Path, text: str) -> None:
    """Write aside and rename: whoever reads the page sees the old one or the new one, whole."""
    path = output.resolve()
    if path.exists() and not path.is_file():
        raise UsageError(
            f"{output} is no file that a page could replace", hint="Name a file, or - for stdout."
        )
    aside = path.with_name(f".{path.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as exc:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise output_error(output, exc) from exc
