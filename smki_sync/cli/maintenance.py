"""The commands `manifest`, `backup`, `prune` and `quarantine`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync import __version__
from smki_sync.cli import arguments
from smki_sync.cli.arguments import MirrorOptions, add_command, load_config
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.job import archive_of
from smki_sync.cli.output import (
    Json,
    ProgressCounter,
    check_place,
    outside_mirror,
    print_json,
    print_text,
    schema_of,
)
from smki_sync.errors import UsageError
from smki_sync.mirror.directory import MirrorDirectory, hold_lock
from smki_sync.mirror.integrity import SHARDS, Member
from smki_sync.mirror.integrity import backup as write_backup
from smki_sync.mirror.queries import Quarantined, open_mirror, read_quarantine
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.mirror.store import MirrorStore
from smki_sync.text import bytes_text, visible, wrapped
from smki_sync.verify.manifest import (
    Manifest,
    ManifestComparison,
    ManifestFile,
    ManifestSource,
    MirrorManifest,
    build_manifest,
    compare_manifests,
    open_manifest_source,
)

_MAX_SHOWN: Final = 20
"""Certificates of each side that are shown to people; --json lists all."""


def register_manifest(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "manifest",
        manifest,
        examples=(
            "smki-sync manifest",
            "smki-sync manifest --shards --json > site-a.json",
            "smki-sync manifest --compare site-a.json",
        ),
    )


def manifest(
    first: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="A mirror directory, a mirror file or a manifest in JSON (default: the configured mirror).",
            show_default=False,
        ),
    ] = None,
    *,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="OTHER",
            help="Compare with another mirror or manifest, down to the certificate.",
        ),
    ] = None,
    shards: Annotated[
        bool,
        typer.Option("--shards", help="Read every row, recompute the digest and list its 1024 parts."),
    ] = False,
    members: Annotated[
        str,
        typer.Option(metavar="N,N,…", help="Also list the certificates of these shards, or of `all`."),
    ] = "",
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Print a manifest, or compare two mirrors.

    A manifest contains position, counts, digest, and the SHA-256 of every applied file. Send it to another
    site to compare two mirrors without copying them.

    With --compare, the exit code is 0 if both contain the same In-Use certificates, and 10 if not.
    """
    wanted = parse_shards(members)
    one = first or place.link()
    with ProgressCounter(sys.stderr) as progress, _compared(one, compare, progress) as found:
        document = _manifest(found[0], shards=shards, members=wanted, progress=progress)
        comparison = compare_manifests(*found) if len(found) > 1 else None
        progress.clear()
        if as_json:
            _print_manifest_json(document, found[0], comparison)
        elif comparison:
            print_text("\n".join(comparison_lines(comparison)))
        else:
            print_text(_manifest_or_refuse(document, one))
    raise typer.Exit(Exit.FINDING if comparison and not comparison.equal else Exit.OK)


@contextmanager
def _compared(
    one: Path, other: Path | None, progress: ProgressCounter
) -> Iterator[tuple[ManifestSource, ...]]:
    """Open one source, or both."""
    with open_manifest_source(one, progress=progress) as first:
        if other is None:
            yield (first,)
            return
        with open_manifest_source(other, progress=progress) as second:
            yield first, second


def _manifest(
    source: ManifestSource, *, shards: bool, members: range | list[int], progress: ProgressCounter
) -> Manifest | None:
    """Return the manifest of a mirror; ``None`` if the source is a manifest file."""
    if not isinstance(source, MirrorManifest):
        return None
    return build_manifest(source.db, shards=shards or bool(members), members=members, progress=progress)


def _manifest_or_refuse(document: Manifest | None, path: Path) -> str:
    if document is None:
        raise UsageError(f"{path} is a manifest.", hint="Pass --compare OTHER to compare it.")
    return manifest_text(document)


def _print_manifest_json(
    made: Manifest | None, source: ManifestSource, comparison: ManifestComparison | None
) -> None:
    if made is not None:
        document = manifest_document(made)
    else:
        assert isinstance(source, ManifestFile)  # the only other source
        document = source.document()
    print_json(document | {"comparison": comparison and comparison_document(comparison)})


def parse_shards(text: str) -> range | list[int]:
    """Parse shard numbers separated by commas, or ``all``; raises :class:`UsageError`."""
    if text == "all":
        return range(SHARDS)
    words = [word for word in text.split(",") if word]
    if any(not (word.isascii() and word.isdigit()) or int(word) >= SHARDS for word in words):
        raise UsageError(
            f"--members: {text!r:.60} is not a list of shards.",
            hint=f"Write numbers from 0 to {SHARDS - 1}, separated by commas, or `all`.",
        )
    return sorted({int(word) for word in words})


def manifest_document(made: Manifest) -> Json:
    """Return the document of ``manifest --json``; read by :func:`smki_sync.verify.manifest.read_manifest`."""
    stamp, counts = made.stamp, made.counts
    return {
        "schema": schema_of("manifest"),
        "program": __version__,
        "mirror_schema": SCHEMA_VERSION,
        "made": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "position": stamp.position.isoformat(),
        "full": made.full.isoformat(),
        "lineage": stamp.lineage,
        "sequence": stamp.sequence,
        "certificates": {
            "total": counts.total,
            "in_use": counts.in_use,
            "by_kind": dict(counts.by_kind),
            "by_status": dict(counts.by_status),
        },
        "quarantined": counts.quarantined,
        "digest": stamp.digest,
        "proven": bool(made.shards),
        "files": [
            {
                "file": file.extract.name,
                "kind": file.extract.kind.value,
                "date": file.extract.day.isoformat(),
                "bytes": file.size,
                "sha256": file.sha256,
            }
            for file in made.chain
        ],
        "shards": [{"count": shard.count, "digest": shard.digest} for shard in made.shards],
        "listed": sorted(made.members),
        "members": [member_document(m) for n in sorted(made.members) for m in made.members[n]],
    }


def member_document(member: Member) -> Json:
    """Return one certificate of a shard as JSON."""
    return dict(member._asdict())


def manifest_text(made: Manifest) -> str:
    """Return the manifest for people."""
    stamp, counts = made.stamp, made.counts
    source = "recomputed from all rows" if made.shards else "stored value; --shards recomputes it"
    files = [
        f"    {file.extract.name}  {bytes_text(file.size):>9}\n      {file.sha256}" for file in made.chain
    ]
    return "\n".join(
        (
            f"The mirror is at position {stamp.position}.",
            f"  certificates  {counts.total:,}, {counts.in_use:,} In-Use",
            f"  digest        {stamp.digest}",
            f"                {source}",
            f"  journal       {stamp.token}",
            "  Applied files, with the SHA-256 of each file as published:",
            *files,
        )
    )


def comparison_document(found: ManifestComparison) -> Json:
    """Return the field ``comparison`` of ``manifest --compare OTHER --json``."""
    return {
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
    """Yield the comparison for people."""
    yield "Equal." if found.equal else "Different."
    for side in (found.one, found.other):
        yield f"  {visible(side.title)}"
        yield f"    position {side.position}, {side.in_use:,} certificates In-Use"
        yield f"    {side.digest}"
    if found.equal:
        return
    yield from _only_in(found.one, found.only_one)
    yield from _only_in(found.other, found.only_other)
    yield from _not_compared(found)


def _only_in(side: ManifestSource, members: tuple[Member, ...]) -> Iterator[str]:
    if members:
        yield f"In-Use only in {visible(side.title)}: {len(members):,}"
    for member in members[:_MAX_SHOWN]:
        subject = " ".join(filter(None, (member.kind, member.eui, member.serial)))
        yield from wrapped(f"{subject} of {member.issuer}", indent="  ")
    if len(members) > _MAX_SHOWN:
        yield f"  and {len(members) - _MAX_SHOWN:,} more; --json lists all"


def _not_compared(found: ManifestComparison) -> Iterator[str]:
    if not found.shards:
        yield from wrapped(
            "The differences are unknown, because a manifest was made without --shards."
            " Make it again with `smki-sync manifest --shards --json`."
        )
    elif found.unread:
        some = ",".join(str(number) for number in found.unread[:_MAX_SHOWN])
        yield from wrapped(
            f"{len(found.unread)} of {len(found.shards)} shards that differ were not compared: a manifest"
            " does not list them, or they are too many at once. Make a manifest with"
            f" `smki-sync manifest --members {some} --json`."
        )


def register_backup(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "backup",
        backup,
        examples=(
            "smki-sync backup /media/backup/mirror.db",
            "smki-sync backup /media/backup/mirror.db --force",
        ),
    )


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="File to write.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Copy the mirror to one file and check the copy.

    The mirror may be in use. FILE is written atomically. Any SQLite tool can open it; it needs no other file.
    """
    settings = load_config(place)
    link = link_in(settings.need_mirror())
    outside_mirror(target, settings)
    check_place(target)
    if target.exists() and not force:
        raise UsageError(f"{target} already exists.", hint="Name another file, or pass --force.")
    with ProgressCounter(sys.stderr) as progress:
        stamp = write_backup(link, target, count=progress.count, progress=progress)
    size = target.stat().st_size
    if as_json:
        facts: Json = {"position": stamp.position.isoformat(), "digest": stamp.digest, "bytes": size}
        print_json({"schema": schema_of("backup"), "file": str(target), **facts})
    else:
        print_text(f"Backup of position {stamp.position} written and checked: {bytes_text(size)}.")
        print_text(f"  file    {visible(str(target))}\n  digest  {stamp.digest}")


def register_prune(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, "prune", prune, examples=("smki-sync prune", "smki-sync prune --json"))


def prune(*, place: MirrorOptions, as_json: arguments.Json = False) -> None:
    """Delete previous generations and expired archive files.

    The current mirror is never deleted. archive.keep_fulls says what the archive keeps.
    """
    settings = load_config(place)
    link_in(settings.need_mirror())
    directory = MirrorDirectory(settings.need_mirror())
    with hold_lock(directory.lock, since=datetime.now(UTC)):
        sizes = {path: path.stat().st_size for path in directory.generations.glob("*.db")}
        removed = directory.discard_superseded(keep=0)
        archive = archive_of(settings)
        expired = archive.prune() if archive else ()
    freed = sum(sizes.get(path, 0) for path in removed)
    if as_json:
        names, extracts = [path.name for path in removed], [path.name for path in expired]
        print_json({"schema": schema_of("prune"), "removed": names, "archive": extracts, "bytes": freed})
    else:
        print_text(f"Deleted {len(removed)} generation{'s' * (len(removed) != 1)}, {bytes_text(freed)}.")
        print_text(f"Deleted {len(expired)} extract{'s' * (len(expired) != 1)} from the archive.")


def register_quarantine(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "quarantine",
        quarantine,
        examples=("smki-sync quarantine", "smki-sync quarantine --json", "smki-sync quarantine --accept"),
    )


def quarantine(
    *,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Accept all records: they no longer make `sync` exit with 3."),
    ] = False,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """List records that could not be read or verified.

    Shows file, record number and reason; --json also shows the XML. Exit code 10 if a record is not
    accepted, otherwise 0.
    """
    settings = load_config(place)
    link = link_in(settings.need_mirror())
    if accept:
        _accept(MirrorDirectory(settings.need_mirror()))
    with open_mirror(link) as db:
        records = read_quarantine(db)
    print_json(quarantine_document(records)) if as_json else print_text(quarantine_text(records))
    raise typer.Exit(Exit.FINDING if any(not record.accepted for record in records) else Exit.OK)


def _accept(directory: MirrorDirectory) -> None:
    now = datetime.now(UTC)
    generation = directory.current()
    assert generation is not None
    with hold_lock(directory.lock, since=now), MirrorStore(generation) as store:
        store.accept_quarantine(now)


def quarantine_document(records: list[Quarantined]) -> Json:
    """Return the document of ``quarantine --json``."""
    return {
        "schema": schema_of("quarantine"),
        "records": [
            {
                "file": record.file,
                "number": record.number,
                "reason": record.reason,
                "detail": record.detail,
                "accepted": record.accepted,
                "xml": record.xml.decode("utf-8", errors="backslashreplace"),
            }
            for record in records
        ],
    }


def quarantine_text(records: list[Quarantined]) -> str:
    """Return the records for people, without the XML."""
    if not records:
        return "The quarantine is empty."
    return "\n".join(line for record in records for line in wrapped(_record_text(record)))


def _record_text(record: Quarantined) -> str:
    accepted = f" (accepted {record.accepted})" if record.accepted else ""
    return f"{record.file}, record {record.number}: {record.reason}: {record.detail}{accepted}"
