"""``smki-sync prove``: what the mirror holds, stated so that it can be compared elsewhere.

For: evidence, and one half of ``compare``. Refuses: to state a digest with ``--shards`` that the rows do
not make.
"""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from smki_sync import __version__
from smki_sync.cli import options
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.identities import link_in
from smki_sync.cli.output import say, say_json
from smki_sync.cli.progress import Progress
from smki_sync.config.place import mirror_here
from smki_sync.errors import UsageError
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.mirror.shards import SHARDS, Member
from smki_sync.proof import Statement, state
from smki_sync.text import in_bytes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prove")(prove)


def prove(
    *,
    shards: Annotated[
        bool, typer.Option("--shards", help="Read every row, prove the digest, and state its 1024 parts.")
    ] = False,
    members: Annotated[
        str, typer.Option(metavar="N,N,…", help="List the certificates of these shards too, or of `all`.")
    ] = "",
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """State position, counts, digest, and the files that the mirror was made from with their hashes.

    `smki-sync compare` takes two mirrors, or the JSON of this.
    """
    wanted = parse_shards(members)
    link = link_in(mirror_here(mirror=mirror, config=config))
    with Progress(sys.stderr) as progress, open_mirror(link) as db:
        statement = state(db, shards=shards or bool(wanted), members=wanted, told=progress)
    say_json(document(statement)) if as_json else say(text(statement))


def parse_shards(text: str) -> range | list[int]:
    """Numbers of shards, divided by commas, or all; raises :class:`UsageError`."""
    if text == "all":
        return range(SHARDS)
    words = [word for word in text.split(",") if word]
    if any(not (word.isascii() and word.isdigit()) or int(word) >= SHARDS for word in words):
        raise UsageError(f"{text!r:.60} names no shards", hint=f"Numbers from 0 to {SHARDS - 1}, or `all`.")
    return sorted({int(word) for word in words})


def document(statement: Statement) -> Json:
    """The document of ``prove --json``; what :func:`smki_sync.proof.read_statement` reads."""
    stamp, census = statement.stamp, statement.census
    return {
        "schema": schema_of("prove"),
        "program": __version__,
        "mirror_schema": SCHEMA_VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "position": stamp.position.isoformat(),
        "full": statement.full.isoformat(),
        "lineage": stamp.lineage,
        "sequence": stamp.sequence,
        "certificates": {
            "total": census.total,
            "in_use": census.in_use,
            "by_kind": dict(census.by_kind),
            "by_status": dict(census.by_status),
        },
        "quarantined": census.quarantined,
        "digest": stamp.digest,
        "proven": bool(statement.shards),
        "files": [
            {
                "file": file.extract.name,
                "kind": file.extract.kind.value,
                "date": file.extract.day.isoformat(),
                "bytes": file.size,
                "sha256": file.sha256,
            }
            for file in statement.chain
        ],
        "shards": [{"count": shard.count, "digest": shard.digest} for shard in statement.shards],
        "listed": sorted(statement.members),
        "members": [member_document(m) for n in sorted(statement.members) for m in statement.members[n]],
    }


def member_document(member: Member) -> Json:
    """One certificate as JSON."""
    return dict(member._asdict())


def text(statement: Statement) -> str:
    """The statement for people."""
    stamp, census = statement.stamp, statement.census
    proven = "made by the rows, all of them read" if statement.shards else "as carried; --shards proves it"
    files = [
        f"    {file.extract.name}  {in_bytes(file.size):>9}\n      {file.sha256}" for file in statement.chain
    ]
    return "\n".join(
        (
            f"The mirror is as of {stamp.position}.",
            f"  certificates  {census.total:,}, of them {census.in_use:,} In-Use",
            f"  digest        {stamp.digest}",
            f"                {proven}",
            f"  journal       {stamp.token}",
            "  made from, with the SHA-256 of each file as it was served:",
            *files,
        )
    )
