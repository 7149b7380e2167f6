"""``smki-sync compare``: two mirrors, or a mirror and a statement: equal, or where they part.

For: a restored mirror against the live one, ours against a colleague's. Refuses: to say which is right.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import options
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.maintenance import member_document
from smki_sync.cli.output import say, say_json
from smki_sync.cli.progress import Progress
from smki_sync.mirror.shards import Member
from smki_sync.proof import Comparison, Side, open_side
from smki_sync.proof import compare as compare_sides
from smki_sync.text import block, visible

_SHOWN: Final = 20
"""Certificates of each side that are shown to people; --json has all."""

_What = Annotated[Path, typer.Argument(help="A mirror directory, a mirror's file, or a statement in JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(one: _What, other: _What, *, as_json: options.Json = False) -> None:
    """Compare two mirrors, or what `smki-sync prove --shards --json` said of them, to the certificate.

    Exit code 0 equal, 10 different.
    """
    with (
        Progress(sys.stderr) as progress,
        open_side(one, told=progress) as here,
        open_side(other, told=progress) as there,
    ):
        found = compare_sides(here, there)
        progress.clear()
        say_json(document(found)) if as_json else say("\n".join(lines(found)))
    raise typer.Exit(Exit.OK if found.equal else Exit.FINDING)


def document(found: Comparison) -> Json:
    """The document of ``compare --json``."""
    return {
        "schema": schema_of("compare"),
        "equal": found.equal,
        "one": _side(found.one),
        "other": _side(found.other),
        "shards": list(found.shards),
        "unread": list(found.unread),
        "only_one": [member_document(member) for member in found.only_one],
        "only_other": [member_document(member) for member in found.only_other],
    }


def _side(side: Side) -> Json:
    return {
        "title": side.title,
        "position": side.position.isoformat(),
        "in_use": side.in_use,
        "digest": side.digest,
    }


def lines(found: Comparison) -> Iterator[str]:
    """The comparison for people."""
    yield "Equal." if found.equal else "Different."
    for side in (found.one, found.other):
        yield f"  {visible(side.title)}"
        yield f"    as of {side.position}, {side.in_use:,} certificates In-Use"
        yield f"    {side.digest}"
    if found.equal:
        return
    yield from _only(found.one, found.only_one)
    yield from _only(found.other, found.only_other)
    yield from _unknown(found)


def _only(side: Side, members: tuple[Member, ...]) -> Iterator[str]:
    if members:
        yield f"In-Use in {visible(side.title)} alone: {len(members):,}"
    for member in members[:_SHOWN]:
        who = " ".join(filter(None, (member.kind, member.eui, member.serial)))
        yield from block(f"{who} of {member.issuer}", indent="  ")
    if len(members) > _SHOWN:
        yield f"  and {len(members) - _SHOWN:,} more; --json lists them"


def _unknown(found: Comparison) -> Iterator[str]:
    if not found.shards:
        yield from block("Where they part is not known: a statement was made without --shards.")
    elif found.unread:
        some = ",".join(str(n) for n in found.unread[:_SHOWN])
        yield from block(
            f"{len(found.unread)} of {len(found.shards)} shards that differ were not looked into, because a"
            f" statement does not list them or they are too many at once: `smki-sync prove --members {some}`"
            " lists some.",
        )
