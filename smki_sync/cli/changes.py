"""``smki-sync changes``: the journal as a feed for other systems.

For: whoever keeps a copy: each change once, in order, across deltas and resyncs. Refuses: to begin where
lines are missing; that is exit code 10, with what to do.
"""

import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Final, assert_never

import typer

from smki_sync.cli import options
from smki_sync.cli.arguments import parse_date
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.identities import link_in
from smki_sync.cli.output import say_stream
from smki_sync.cli.tables import Column, table, width_here
from smki_sync.config.place import mirror_here
from smki_sync.errors import UsageError
from smki_sync.export.formats import Fields
from smki_sync.export.lines import csv_lines, json_lines
from smki_sync.mirror.queries import (
    AfterLine,
    Gap,
    Journal,
    Line,
    OnDay,
    Place,
    open_mirror,
    read_changes,
    read_journal,
    start_after,
)
from smki_sync.text import block


class Format(StrEnum):
    """How the changes are written."""

    JSONL = "jsonl"
    CSV = "csv"
    TABLE = "table"


FIELDS: Final = (
    *("sequence", "date", "change", "kind", "eui", "serial", "issuer", "from", "to", "file", "token"),
)
"""The columns of CSV: the fields of a JSON line."""

COLUMNS: Final = (
    Column[Line](title="sequence", width=8, cell=lambda line: str(line.sequence)),
    Column[Line](title="date", width=10, cell=lambda line: line.day),
    Column[Line](title="change", width=10, cell=lambda line: line.change),
    Column[Line](title="status", width=6, cell=lambda line: f"{line.before or '-'} > {line.after or '-'}"),
    Column[Line](title="serial", width=32, cell=lambda line: line.serial),
    Column[Line](title="EUI-64", width=23, cell=lambda line: line.eui or ""),
    Column[Line](title="kind", width=12, cell=lambda line: line.kind),
    Column[Line](title="issuer", width=32, cell=lambda line: line.issuer),
    Column[Line](title="file", width=32, cell=lambda line: line.file),
)
"""What a table shows, the first the last to go where the terminal is narrow."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("changes")(changes)


def changes(
    *,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="DATE|SEQUENCE",
            help="From this date on, or after the line of this number or token. 0: from the first.",
        ),
    ],
    form: Annotated[Format, typer.Option("--format", help="How they are written.")] = Format.JSONL,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
) -> None:
    """Write what has changed, in order, without a gap even across a full resync.

    Keep the token of the last line, and give it to --since the next time. Exit code 10 where the
    journal does not reach back so far, or is another one.
    """
    place = parse_place(since)
    with open_mirror(link_in(mirror_here(mirror=mirror, config=config))) as db:
        journal = read_journal(db)
        start = start_after(db, journal, place)
        if not isinstance(start, Gap):
            say_stream(_lines(form, read_changes(db, start), journal))
    if isinstance(start, Gap):
        sys.stderr.write("\n".join((*block(start.why), *block(start.hint, indent="  "))) + "\n")
        raise typer.Exit(Exit.FINDING)


def parse_place(text: str) -> Place:
    """A place in the journal: YYYY-MM-DD, a number, or a token."""
    try:
        return AfterLine.parse(text)
    except ValueError as exc:
        if ":" in text or text.isdigit():
            raise UsageError(f"--since: {exc}", hint="Give it as it stood in a line.") from exc
    return OnDay(day=parse_date("--since", text))


def _lines(form: Format, found: Iterator[Line], journal: Journal) -> Iterator[str]:
    match form:
        case Format.JSONL:
            return json_lines(_fields(line, journal) for line in found)
        case Format.CSV:
            return csv_lines(FIELDS, (_fields(line, journal) for line in found))
        case Format.TABLE:
            return table(COLUMNS, found, width=width_here())
        case _:
            assert_never(form)


def _fields(line: Line, journal: Journal) -> Fields:
    return {
        "sequence": line.sequence,
        "date": line.day,
        "change": line.change,
        "kind": line.kind,
        "eui": line.eui,
        "serial": line.serial,
        "issuer": line.issuer,
        "from": line.before,
        "to": line.after,
        "file": line.file,
        "token": journal.token(line.sequence),
    }
