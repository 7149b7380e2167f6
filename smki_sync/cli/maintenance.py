"""The commands `backup`, `prune`, `quarantine`, `prove` and `compare`."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync import __version__
from smki_sync.cli import arguments
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.context import configure
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.job import archive_of
from smki_sync.cli.output import (
    Json,
    Progress,
    check_place,
    outside_mirror,
    print_json,
    print_text,
    schema_of,
)
from smki_sync.config.file import mirror_here
from smki_sync.errors import UsageError
from smki_sync.mirror.directory import MirrorDirectory, hold_lock
from smki_sync.mirror.integrity import SHARDS, Member
from smki_sync.mirror.integrity import backup as back_up
from smki_sync.mirror.queries import Quarantined, open_mirror, read_quarantine
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.mirror.store import MirrorStore
from smki_sync.text import bytes_text, visible, wrapped
from smki_sync.verify.manifest import (
    Manifest,
    ManifestComparison,
    ManifestSource,
    build_manifest,
    open_manifest_source,
)
from smki_sync.verify.manifest import compare_manifests as compare_sides


def register_prove(app: typer.Typer) -> None:
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
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """State position, counts, digest, and the files that the mirror was made from with their hashes.

    `smki-sync compare` takes two mirrors, or the JSON of this.
    """
    wanted = parse_shards(members)
    link = link_in(mirror_here(mirror=mirror, config=config))
    with Progress(sys.stderr) as progress, open_mirror(link) as db:
        statement = build_manifest(db, shards=shards or bool(wanted), members=wanted, told=progress)
    print_json(manifest_document(statement)) if as_json else print_text(manifest_text(statement))


def parse_shards(text: str) -> range | list[int]:
    """Numbers of shards, divided by commas, or all; raises :class:`UsageError`."""
    if text == "all":
        return range(SHARDS)
    words = [word for word in text.split(",") if word]
    if any(not (word.isascii() and word.isdigit()) or int(word) >= SHARDS for word in words):
        raise UsageError(f"{text!r:.60} names no shards", hint=f"Numbers from 0 to {SHARDS - 1}, or `all`.")
    return sorted({int(word) for word in words})


def manifest_document(statement: Manifest) -> Json:
    """The document of ``prove --json``; what :func:`smki_sync.verify.manifest.read_manifest` reads."""
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


def manifest_text(statement: Manifest) -> str:
    """The statement for people."""
    stamp, census = statement.stamp, statement.census
    proven = "made by the rows, all of them read" if statement.shards else "as carried; --shards proves it"
    files = [
        f"    {file.extract.name}  {bytes_text(file.size):>9}\n      {file.sha256}"
        for file in statement.chain
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


_SHOWN: Final = 20
"""Certificates of each side that are shown to people; --json has all."""

_What = Annotated[Path, typer.Argument(help="A mirror directory, a mirror's file, or a statement in JSON.")]


def register_compare(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(one: _What, other: _What, *, as_json: arguments.Json = False) -> None:
    """Compare two mirrors, or what `smki-sync prove --shards --json` said of them, to the certificate.

    Exit code 0 equal, 10 different.
    """
    with (
        Progress(sys.stderr) as progress,
        open_manifest_source(one, told=progress) as here,
        open_manifest_source(other, told=progress) as there,
    ):
        found = compare_sides(here, there)
        progress.clear()
        print_json(comparison_document(found)) if as_json else print_text("\n".join(comparison_lines(found)))
    raise typer.Exit(Exit.OK if found.equal else Exit.FINDING)


def comparison_document(found: ManifestComparison) -> Json:
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


def _side(side: ManifestSource) -> Json:
    return {
        "title": side.title,
        "position": side.position.isoformat(),
        "in_use": side.in_use,
        "digest": side.digest,
    }


def comparison_lines(found: ManifestComparison) -> Iterator[str]:
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


def _only(side: ManifestSource, members: tuple[Member, ...]) -> Iterator[str]:
    if members:
        yield f"In-Use in {visible(side.title)} alone: {len(members):,}"
    for member in members[:_SHOWN]:
        who = " ".join(filter(None, (member.kind, member.eui, member.serial)))
        yield from wrapped(f"{who} of {member.issuer}", indent="  ")
    if len(members) > _SHOWN:
        yield f"  and {len(members) - _SHOWN:,} more; --json lists them"


def _unknown(found: ManifestComparison) -> Iterator[str]:
    if not found.shards:
        yield from wrapped("Where they part is not known: a statement was made without --shards.")
    elif found.unread:
        some = ",".join(str(n) for n in found.unread[:_SHOWN])
        yield from wrapped(
            f"{len(found.unread)} of {len(found.shards)} shards that differ were not looked into, because a"
            f" statement does not list them or they are too many at once: `smki-sync prove --members {some}`"
            " lists some.",
        )


def register_backup(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backup")(backup)


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
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
        print_json({"schema": schema_of("backup"), "file": str(target), **document})
    else:
        print_text(
            f"{visible(str(target))} holds the mirror as of {stamp.position}: {bytes_text(size)}, read again."
        )
        print_text(f"  digest  {stamp.digest}")


def register_prune(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prune")(prune)


def prune(
    *,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """Remove the generations before the current one, and what the archive keeps beyond need."""
    settings = configure(mirror=mirror, config=config)
    link_in(settings.need_mirror())
    directory = MirrorDirectory(settings.need_mirror())
    with hold_lock(directory.lock, since=datetime.now(UTC)):
        sizes = {path: path.stat().st_size for path in directory.generations.glob("*.db")}
        gone = directory.discard_superseded(keep=0)
        archive = archive_of(settings)
        old = archive.prune() if archive else ()
    freed = sum(sizes.get(path, 0) for path in gone)
    if as_json:
        names, extracts = [path.name for path in gone], [path.name for path in old]
        print_json({"schema": schema_of("prune"), "removed": names, "archive": extracts, "bytes": freed})
    else:
        print_text(f"removed {len(gone)} generation{'s' * (len(gone) != 1)}, {bytes_text(freed)}")
        print_text(f"removed {len(old)} extract{'s' * (len(old) != 1)} from the archive")


def register_quarantine(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quarantine")(quarantine)


def quarantine(
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take note of all: they no longer ask for attention.")
    ] = False,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
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
    print_json(quarantine_document(held)) if as_json else print_text(quarantine_text(held))
    raise typer.Exit(Exit.FINDING if any(not q.accepted for q in held) else Exit.OK)


def _accept(directory: MirrorDirectory) -> None:
    now = datetime.now(UTC)
    generation = directory.current()
    assert generation is not None
    with hold_lock(directory.lock, since=now), MirrorStore(generation) as store:
        store.accept_quarantine(now)


def quarantine_document(held: list[Quarantined]) -> Json:
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


def quarantine_text(held: list[Quarantined]) -> str:
    """The same for people, without the XML."""
    if not held:
        return "The quarantine is empty."
    return "\n".join(line for q in held for line in wrapped(_sentence(q)))


def _sentence(q: Quarantined) -> str:
    noted = f" (accepted {q.accepted})" if q.accepted else ""
    return f"{q.file}, record {q.number}: {q.reason}: {q.detail}{noted}"
