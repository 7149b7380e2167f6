"""``smki-sync backup``: a consistent copy of the mirror, made while it is in use.

For: a copy that another machine can open at once. Refuses: to write over what is there unless told to.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure
from smki_sync.cli.documents import schema_of
from smki_sync.cli.identities import link_in
from smki_sync.cli.output import say, say_json
from smki_sync.cli.outputs import check_place, outside_mirror
from smki_sync.cli.progress import Progress
from smki_sync.errors import UsageError
from smki_sync.mirror.backup import back_up
from smki_sync.text import in_bytes, visible


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backup")(backup)


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Copy the mirror into one file while it is in use, and read the copy again.

    FILE is whole or absent. Any SQLite tool opens it; it needs nothing beside it.
    """
    settings = configure(mirror=mirror, config=config)
    link = link_in(settings.need_mirror())
    outside_mirror(target, settings)
    check_place(target)
    if target.exists() and not force:
        raise UsageError(f"{target} is there already", hint="Name another file, or say --force.")
    with Progress(sys.stderr) as progress:
        stamp = back_up(link, target, count=progress.count, told=progress)
    size = target.stat().st_size
    if as_json:
        document = {"position": stamp.position.isoformat(), "digest": stamp.digest, "bytes": size}
        say_json({"schema": schema_of("backup"), "file": str(target), **document})
    else:
        say(f"{visible(str(target))} holds the mirror as of {stamp.position}: {in_bytes(size)}, read again.")
        say(f"  digest  {stamp.digest}")
