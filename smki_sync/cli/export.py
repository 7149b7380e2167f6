"""The commands `export` and `report`."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import FilterOptions, MirrorOptions, add_command, load_config
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import (
    Json,
    ProgressCounter,
    check_place,
    outside_mirror,
    print_json,
    print_text,
    schema_of,
)
from smki_sync.cli.status import EXITS, hours_of
from smki_sync.export.export import ExportFormat, ExportRequest, ExportResult, export_certificates
from smki_sync.files import atomic_file
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.report.data import read_page_facts
from smki_sync.report.page import status_page
from smki_sync.status import trust_status
from smki_sync.text import bytes_text, visible
from smki_sync.usability import rule_at


def register_export(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "export",
        export,
        examples=(
            "smki-sync export --format csv --output certificates.csv",
            "smki-sync export --format parquet --output certificates --kind device",
            "smki-sync export --format pem --output ca.pem --kind oca --kind dca --force",
        ),
    )


def export(
    *,
    form: Annotated[
        ExportFormat, typer.Option("--format", help="Output format; parquet and der-tree are directories.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="PATH", help="File or directory to create.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file, or a directory that an export created.")
    ] = False,
    filters: FilterOptions,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Export certificates to a file or directory.

    In-Use only by default. Output is written atomically and comes from one state of the mirror. Pass the
    token of the result to `smki-sync changes --since` to continue from this state.
    """
    wanted = filters.certificate_filter(now_here().date())
    settings = load_config(place)
    link = link_in(settings.need_mirror())
    output = outside_mirror(Path.cwd() / output, settings)
    rule = rule_at(now_here(), settings.policy.stale_lists)
    request = ExportRequest(form=form, output=output, wanted=wanted, rule=rule, force=force)
    with ProgressCounter(sys.stderr) as progress:
        result = export_certificates(link, request, progress=progress)
    print_json(export_document(request, result)) if as_json else print_text(export_text(request, result))
    raise typer.Exit(Exit.OK)


def export_document(request: ExportRequest, result: ExportResult) -> Json:
    """Return the document of ``export --json``."""
    return {
        "schema": schema_of("export"),
        "format": request.form.value,
        "output": str(request.output),
        "certificates": result.certificates,
        "files": result.files,
        "bytes": result.bytes,
        "position": result.stamp.position.isoformat(),
        "digest": result.stamp.digest,
        "lineage": result.stamp.lineage,
        "sequence": result.stamp.sequence,
        "token": result.stamp.token,
    }


def export_text(request: ExportRequest, result: ExportResult) -> str:
    """Return the result for people, one fact per line."""
    files = "1 file" if result.files == 1 else f"{result.files:,} files"
    return "\n".join(
        (
            f"{result.certificates:,} certificates in {files}, {bytes_text(result.bytes)}",
            f"output    {visible(str(request.output))}",
            f"position  {result.stamp.position}",
            f"digest    {result.stamp.digest}",
            "          digest of the whole mirror, not of this export",
            f"token     {result.stamp.token}  (for `smki-sync changes --since`)",
        )
    )


_DEFAULT_DAYS: Final = 366
_STDOUT: Final = {"-", "/dev/stdout"}  # the second is a link to stdout and must not be replaced


def register_report(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "report",
        report,
        examples=("smki-sync report --output status.html", "smki-sync report --output - --days 30"),
    )


def report(
    *,
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FILE", help="File to write or replace; - is standard output."),
    ],
    days: Annotated[
        int, typer.Option(min=1, max=3660, help="Number of days that the page covers.")
    ] = _DEFAULT_DAYS,
    max_age: arguments.MaxAge = None,
    place: MirrorOptions,
) -> None:
    """Write a status report as one HTML page.

    The page shows state, changes, lag, runs and quarantine. It needs no network. It is written in every
    state; the exit codes are those of `status`: 0 up to date, 3 empty or stale, 7 damaged.
    """
    settings = load_config(place)
    directory = MirrorDirectory(settings.need_mirror())
    if str(output) not in _STDOUT:
        check_place(outside_mirror(output, settings))
    facts = read_page_facts(
        directory,
        now=now_here(),
        max_age=hours_of(max_age, settings),
        days=days,
        policy=settings.policy.planner_policy(),
        trust=trust_status(directory, anchors=len(settings.trust.read_anchors())),
    )
    if str(output) in _STDOUT:
        print_text(status_page(facts), end="")
    else:
        _write_page(output, status_page(facts))
        print_text(f"{visible(str(output))} written. The mirror is {facts.status.state.value}.")
    raise typer.Exit(EXITS[facts.status.state])


def _write_page(output: Path, page: str) -> None:
    """Replace the page in one step. A reader sees the old page or the new one."""
    with atomic_file(output, force=True) as file:
        file.write(page)
