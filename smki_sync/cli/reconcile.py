"""``smki-sync reconcile``: the mirror against the newest full.

For: finding drift once a week, and after anything that made somebody doubt the mirror. Refuses: to decide
what is drift (the deed does), and to repair unless told to.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.job import job_of, talking
from smki_sync.cli.output import say, say_json
from smki_sync.cli.outputs import check_place, outside_mirror
from smki_sync.export.lines import csv_lines
from smki_sync.files import whole_file
from smki_sync.mirror.differences import Difference
from smki_sync.recovery.reconcile import Keep, Reconciled, forget
from smki_sync.recovery.reconcile import reconcile as reconcile_with
from smki_sync.text import block, visible

_COLUMNS = ("drift", "kind", "eui", "serial", "issuer", "held", "listed", "what")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile)


def reconcile(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make what differs good, in one transaction.")
    ] = False,
    list_to: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="Write every difference to FILE, as CSV.")
    ] = None,
    mirror: options.Mirror = None,
    source: options.Source = None,
    identity_file: options.IdentityFile = None,
    known_hosts: options.KnownHosts = None,
    bandwidth: options.Bandwidth = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    log_format: options.LogFormat = None,
) -> None:
    """Hold the mirror against the newest full that it has caught up with.

    What a delta explains is no drift: a full takes more than a day to produce. Exit code 0 where they agree,
    or do after a repair; 10 where they differ.
    """
    settings = configure(
        mirror=mirror,
        source=source,
        identity_file=identity_file,
        known_hosts=known_hosts,
        bandwidth=bandwidth,
        config=config,
        log_format=log_format,
    )
    if list_to:
        check_place(outside_mirror(list_to, settings))
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        found = reconcile_with(job_of(settings, talk), repair=repair, keep=_writer(list_to))
    if as_json:
        say_json(document(found))
    elif not quiet:
        say("\n".join(lines(found)))
    raise typer.Exit(Exit.OK if found.agrees else Exit.FINDING)


def _writer(path: Path | None) -> Keep:
    if path is None:
        return forget

    def write(differences: Iterable[Difference]) -> None:
        with whole_file(path, force=True) as file:
            file.writelines(csv_lines(_COLUMNS, map(asdict_of, differences)))

    return write


def asdict_of(found: Difference) -> Json:
    """One difference as the fields of JSON and CSV."""
    values = asdict(found) | {"drift": found.drift.value, "what": " ".join(found.what)}
    return {name: values[name] for name in _COLUMNS}


def document(found: Reconciled) -> Json:
    """The document of ``reconcile --json``."""
    repaired = found.repaired
    return {
        "schema": schema_of("reconcile"),
        "agrees": found.agrees,
        "full": found.full,
        "position": found.position.isoformat(),
        "compared": found.compared,
        "missing": found.missing,
        "unexpected": found.unexpected,
        "differing": found.differing,
        "explained": found.explained,
        "quarantined": found.quarantined,
        "examples": [asdict_of(example) for example in found.examples],
        "repaired": repaired
        and {
            "inserted": repaired.inserted,
            "updated": repaired.updated,
            "withdrawn": repaired.withdrawn,
        },
    }


def lines(found: Reconciled) -> Iterator[str]:
    """The comparison for people."""
    yield _headline(found)
    yield f"  mirror      as of {found.position}"
    yield f"  compared    {found.compared:,} records"
    yield f"  missing     {found.missing:,}"
    yield f"  unexpected  {found.unexpected:,}"
    yield f"  differing   {found.differing:,}"
    yield f"  explained   {found.explained:,} by deltas, and no drift"
    if found.quarantined:
        yield f"  quarantine  {found.quarantined:,} records of the full could not be understood"
    for example in found.examples:
        yield from block(_line(example), indent="  ")
    if not found.agrees:
        yield from block(
            "`smki-sync reconcile --repair` makes it good; `--list FILE` writes every difference."
        )


def _headline(found: Reconciled) -> str:
    if found.repaired:
        return f"Repaired: the mirror agrees with {found.full} now."
    return (
        f"The mirror agrees with {found.full}."
        if found.agrees
        else f"Drift: the mirror differs from {found.full}."
    )


def _line(found: Difference) -> str:
    who = f"{found.kind} {found.eui or ''} {found.serial} of {visible(found.issuer)}"
    what = f" ({', '.join(found.what)})" if found.what else ""
    return f"{found.drift}: {who}: held {found.held or 'not'}, listed {found.listed or 'not'}{what}"
