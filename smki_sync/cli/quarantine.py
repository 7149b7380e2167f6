"""``smki-sync quarantine``: records that could not be understood or proven, and taking note of them.

For: seeing the evidence behind ``records-quarantined``, and ending that call for attention once
somebody has dealt with it. Refuses: to delete evidence, to serve it.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.identities import link_in
from smki_sync.cli.output import say, say_json
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.lock import hold
from smki_sync.mirror.queries import Quarantined, open_mirror, read_quarantine
from smki_sync.mirror.store import Store
from smki_sync.text import block


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quarantine")(quarantine)


def quarantine(
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take note of all: they no longer ask for attention.")
    ] = False,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """List the records that could not be understood or proven, with file, number, reason and their XML.

    Exit code 10 while some have not been taken note of, 0 otherwise.
    """
    settings = configure(mirror=mirror, config=config)
    link = link_in(settings.need_mirror())
    if accept:
        _accept(MirrorDirectory(settings.need_mirror()))
    with open_mirror(link) as db:
        held = read_quarantine(db)
    say_json(document(held)) if as_json else say(text(held))
    raise typer.Exit(Exit.FINDING if any(not q.accepted for q in held) else Exit.OK)


def _accept(directory: MirrorDirectory) -> None:
    now = datetime.now(UTC)
    generation = directory.current()
    assert generation is not None
    with hold(directory.lock, since=now), Store(generation) as store:
        store.accept_quarantine(now)


def document(held: list[Quarantined]) -> Json:
    """The document of ``quarantine --json``."""
    return {
        "schema": schema_of("quarantine"),
        "records": [
            {
                "file": q.file,
                "number": q.number,
                "reason": q.reason,
                "detail": q.detail,
                "accepted": q.accepted,
                "xml": q.xml.decode("utf-8", errors="backslashreplace"),
            }
            for q in held
        ],
    }


def text(held: list[Quarantined]) -> str:
    """The same for people, without the XML."""
    if not held:
        return "The quarantine is empty."
    return "\n".join(line for q in held for line in block(_sentence(q)))


def _sentence(q: Quarantined) -> str:
    noted = f" (accepted {q.accepted})" if q.accepted else ""
    return f"{q.file}, record {q.number}: {q.reason}: {q.detail}{noted}"
