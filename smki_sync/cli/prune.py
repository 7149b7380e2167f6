"""``smki-sync prune``: what is kept beyond need, removed when somebody says so.

For: the generation before, after a restore has proven itself. Refuses: the current generation.
"""

from datetime import UTC, datetime

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure
from smki_sync.cli.documents import schema_of
from smki_sync.cli.identities import link_in
from smki_sync.cli.job import archive_of
from smki_sync.cli.output import say, say_json
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.lock import hold
from smki_sync.text import in_bytes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prune")(prune)


def prune(
    *,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Remove the generations before the current one, and what the archive keeps beyond need."""
    settings = configure(mirror=mirror, config=config)
    link_in(settings.need_mirror())
    directory = MirrorDirectory(settings.need_mirror())
    with hold(directory.lock, since=datetime.now(UTC)):
        sizes = {path: path.stat().st_size for path in directory.generations.glob("*.db")}
        gone = directory.discard_superseded(keep=0)
        archive = archive_of(settings)
        old = archive.prune() if archive else ()
    freed = sum(sizes.get(path, 0) for path in gone)
    if as_json:
        names, extracts = [path.name for path in gone], [path.name for path in old]
        say_json({"schema": schema_of("prune"), "removed": names, "archive": extracts, "bytes": freed})
    else:
        say(f"removed {len(gone)} generation{'s' * (len(gone) != 1)}, {in_bytes(freed)}")
        say(f"removed {len(old)} extract{'s' * (len(old) != 1)} from the archive")
