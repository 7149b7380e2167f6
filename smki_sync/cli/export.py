"""``smki-sync export``: certificates into a file or a tree, for other systems.

For: handing the whole over, or what has changed, from one state of the mirror. Refuses: to leave half a file,
and to overwrite unless told to.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import arguments, options
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.identities import link_in
from smki_sync.cli.output import say, say_json
from smki_sync.cli.outputs import outside_mirror
from smki_sync.cli.progress import Progress
from smki_sync.export.export import Export, Exported, Form
from smki_sync.export.export import export as export_from
from smki_sync.text import in_bytes, visible


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    *,
    form: Annotated[
        Form, typer.Option("--format", help="What to write; parquet and der-tree are directories.")
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
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Write certificates into a file or a tree that is whole or absent, In-Use only unless told otherwise.

    All of it is of one state of the mirror; what it says of that state is where `changes` goes on.
    """
    wanted = arguments.wanted_of(
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
    say_json(document(job, done)) if as_json else say(text(job, done))
    raise typer.Exit(Exit.OK)


def document(job: Export, done: Exported) -> Json:
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


def text(job: Export, done: Exported) -> str:
    """The same for people, one fact a line."""
    files = "1 file" if done.files == 1 else f"{done.files:,} files"
    return "\n".join(
        (
            f"{done.certificates:,} certificates in {files}, {in_bytes(done.bytes)}",
            f"output  {visible(str(job.output))}",
            f"as of   {done.stamp.position}",
            f"digest  {done.stamp.digest}",
            "        of every certificate In-Use, whatever was asked for",
            f"token   {done.stamp.token}  (for `changes --since`)",
        )
    )
