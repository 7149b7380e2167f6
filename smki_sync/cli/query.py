"""The commands `show`, `find` and `changes`."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, assert_never

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import parse_date
from smki_sync.cli.certificate_view import ShowRequest, link_in, render_show
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit, exit_of, failure
from smki_sync.cli.output import (
    Column,
    Json,
    Progress,
    print_stream,
    print_text,
    schema_of,
    table,
    width_here,
)
from smki_sync.config.file import mirror_here
from smki_sync.errors import SmkiSyncError, UsageError
from smki_sync.export.formats import (
    Fields,
    certificates_csv,
    certificates_json,
    certificates_pem,
    csv_lines,
    fields_of,
    json_lines,
    role_name_of,
)
from smki_sync.mirror.journal import (
    AfterLine,
    FromDate,
    JournalFeed,
    JournalGapError,
    JournalLine,
    Place,
    read_changes,
    read_journal,
    start_after,
)
from smki_sync.mirror.queries import (
    Certificate,
    CertificateFilter,
    Connection,
    open_mirror,
    read_issuers,
    read_position,
)
from smki_sync.mirror.queries import find as find_in
from smki_sync.model.certificate import Usage
from smki_sync.text import days_text, wrapped

_ISSUERS: Final = 20
"""Issuers that are named where none of that name has issued anything: there are tens."""
TABLE_ROWS: Final = 100
"""Rows of a table unless told otherwise: what somebody reads."""


class Format(StrEnum):
    """How the certificates are written."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PEM = "pem"


def _letter(c: Certificate) -> str:
    """The status as a table shows it: what a list revokes is revoked, whatever was said before."""
    return "R" if c.revoked else "W" if c.withdrawn else c.status


COLUMNS: Final = (
    Column[Certificate](title="EUI-64 or name", width=23, cell=lambda c: c.eui or c.subject),
    Column[Certificate](title="kind", width=12, cell=lambda c: c.kind),
    Column[Certificate](title="KU", width=2, cell=lambda c: c.usage or ""),
    Column[Certificate](title="st", width=2, cell=_letter),
    Column[Certificate](title="serial", width=32, cell=lambda c: c.serial),
    Column[Certificate](title="changed", width=10, cell=lambda c: c.last_changed),
    Column[Certificate](title="ends", width=10, cell=lambda c: c.not_after[:10]),
    Column[Certificate](title="role", width=19, cell=lambda c: role_name_of(c.role) or str(c.role or "")),
    Column[Certificate](title="issuer", width=32, cell=lambda c: c.issuer),
    Column[Certificate](title="file", width=32, cell=lambda c: c.file),
)
"""What a table shows, the first the last to go where the terminal is narrow."""


@dataclass(slots=True)
class Shown:
    """Rows on their way out, at most ``limit``. ``cut``: there were more.

    ``begun``: the head of a JSON document is written, so that it must be brought to its end.
    """

    limit: int | None
    count: int = 0
    cut: bool = False
    begun: bool = False

    def pass_on(self, found: Iterable[Certificate]) -> Iterator[Certificate]:
        """Hand on what may be shown, and count it."""
        for one in found:
            if self.count == self.limit:
                self.cut = True
                return
            self.count += 1
            yield one


def register_find(app: typer.Typer) -> None:
    """Add the command."""
    app.command("find")(find)


def find(
    *,
    kinds: arguments.Kinds = None,
    statuses: arguments.Statuses = None,
    any_status: arguments.AnyStatus = False,
    usage: arguments.Usage = None,
    role: arguments.Role = None,
    issuer: arguments.Issuer = None,
    changed_since: arguments.ChangedSince = None,
    expiring_within: arguments.ExpiringWithin = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help=f"At most so many; 0: all. A table shows {TABLE_ROWS} unless told.",
        ),
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="How they are written; a table unless told.")
    ] = None,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """List the certificates that pass every filter, In-Use only unless told otherwise.

    Exit code 10 when there is none.
    """
    form = _form(form, as_json=as_json)
    wanted = arguments.filter_from_options(
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
    shown = Shown(limit=(TABLE_ROWS if form is Format.TABLE else None) if limit is None else limit or None)
    try:
        issuers = _write(form, wanted, shown, link_in(mirror_here(mirror=mirror, config=config)))
    except (SmkiSyncError, KeyboardInterrupt) as error:
        if form is not Format.JSON or not shown.begun:
            raise
        print_text(_json_end(shown, error))
        raise typer.Exit(exit_of(error)) from None
    if form is Format.JSON:
        print_text(_json_end(shown))
    _say_rest(shown, issuers)
    raise typer.Exit(Exit.OK if shown.count else Exit.FINDING)


def _form(form: Format | None, *, as_json: bool) -> Format:
    if as_json and form not in (None, Format.JSON):
        raise UsageError(f"--json and --format {form} exclude one another", hint="Leave one of them out.")
    return Format.JSON if as_json else form or Format.TABLE


def _write(form: Format, wanted: CertificateFilter, shown: Shown, link: Path) -> str:
    """Write all but the end of a JSON document; what to say on stderr where nothing was found."""
    with Progress(sys.stderr) as progress, open_mirror(link) as db:
        position = read_position(db).day
        rows = shown.pass_on(find_in(db, wanted, told=progress))
        print_stream(_lines(form, rows, shown, position), before=progress.clear)
        return "" if shown.count else _none(db, wanted, position)


def _lines(form: Format, rows: Iterator[Certificate], shown: Shown, position: date) -> Iterator[str]:
    match form:
        case Format.TABLE:
            first = next(rows, None)  # no header over nothing
            return iter(()) if first is None else table(COLUMNS, chain([first], rows), width=width_here())
        case Format.JSON:
            return _json_begin(rows, shown, position)
        case Format.JSONL:
            return certificates_json(rows)
        case Format.CSV:
            return certificates_csv(rows)
        case Format.PEM:
            return certificates_pem(rows)
        case _:
            assert_never(form)


def _json_begin(rows: Iterable[Certificate], shown: Shown, position: date) -> Iterator[str]:
    """The document up to its last certificate, one a line."""
    shown.begun = True
    head = {"schema": schema_of("find"), "position": position.isoformat()}
    yield json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "certificates": ['
    for number, c in enumerate(rows):
        yield f"{',' if number else ''}\n    {json.dumps(fields_of(c))}"


def _json_end(shown: Shown, error: BaseException | None = None) -> str:
    """The rest of the document; one that could not be finished says so in the promised fields."""
    tail: Json = {"count": shown.count, "truncated": shown.cut or error is not None}
    if error is not None:
        failed = failure("find", error, exit_of(error))
        tail |= {"outcome": failed["outcome"], "error": failed["error"]}
    return "\n  ],\n" + json.dumps(tail, indent=2).removeprefix("{\n")


def _none(db: Connection, wanted: CertificateFilter, position: date) -> str:
    age = days_text((now_here().date() - position).days)
    issuers = "" if wanted.issuer is None else f" Issuers are: {'; '.join(read_issuers(db)[:_ISSUERS])}."
    return f"No certificate in the mirror, as of {position} ({age}), passes these filters.{issuers}"


def _say_rest(shown: Shown, nothing: str) -> None:
    """What stdout does not say."""
    cut = f"Only the first {shown.count:,} are shown: --limit N shows more, --limit 0 all."
    if shown.cut or nothing:
        sys.stderr.write("\n".join(wrapped(cut if shown.cut else nothing)) + "\n")


class ChangesFormat(StrEnum):
    """How the changes are written."""

    JSONL = "jsonl"
    CSV = "csv"
    TABLE = "table"


FIELDS: Final = (
    *("sequence", "date", "change", "kind", "eui", "serial", "issuer", "from", "to", "file", "token"),
)
"""The columns of CSV: the fields of a JSON line."""

CHANGES_COLUMNS: Final = (
    Column[JournalLine](title="sequence", width=8, cell=lambda line: str(line.sequence)),
    Column[JournalLine](title="date", width=10, cell=lambda line: line.day),
    Column[JournalLine](title="change", width=10, cell=lambda line: line.change),
    Column[JournalLine](
        title="status", width=6, cell=lambda line: f"{line.before or '-'} > {line.after or '-'}"
    ),
    Column[JournalLine](title="serial", width=32, cell=lambda line: line.serial),
    Column[JournalLine](title="EUI-64", width=23, cell=lambda line: line.eui or ""),
    Column[JournalLine](title="kind", width=12, cell=lambda line: line.kind),
    Column[JournalLine](title="issuer", width=32, cell=lambda line: line.issuer),
    Column[JournalLine](title="file", width=32, cell=lambda line: line.file),
)
"""What a table shows, the first the last to go where the terminal is narrow."""


def register_changes(app: typer.Typer) -> None:
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
    form: Annotated[
        ChangesFormat, typer.Option("--format", help="How they are written.")
    ] = ChangesFormat.JSONL,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
) -> None:
    """Write what has changed, in order, without a gap even across a full resync.

    Keep the token of the last line, and give it to --since the next time. Exit code 10 where the
    journal does not reach back so far, or is another one.
    """
    place = parse_place(since)
    with open_mirror(link_in(mirror_here(mirror=mirror, config=config))) as db:
        journal = read_journal(db)
        start = start_after(db, journal, place)
        if not isinstance(start, JournalGapError):
            print_stream(_changes_lines(form, read_changes(db, start), journal))
    if isinstance(start, JournalGapError):
        sys.stderr.write("\n".join((*wrapped(start.why), *wrapped(start.hint, indent="  "))) + "\n")
        raise typer.Exit(Exit.FINDING)


def parse_place(text: str) -> Place:
    """A place in the journal: YYYY-MM-DD, a number, or a token."""
    try:
        return AfterLine.parse(text)
    except ValueError as exc:
        if ":" in text or text.isdigit():
            raise UsageError(f"--since: {exc}", hint="Give it as it stood in a line.") from exc
    return FromDate(day=parse_date("--since", text))


def _changes_lines(form: ChangesFormat, found: Iterator[JournalLine], journal: JournalFeed) -> Iterator[str]:
    match form:
        case ChangesFormat.JSONL:
            return json_lines(_fields(line, journal) for line in found)
        case ChangesFormat.CSV:
            return csv_lines(FIELDS, (_fields(line, journal) for line in found))
        case ChangesFormat.TABLE:
            return table(CHANGES_COLUMNS, found, width=width_here())
        case _:
            assert_never(form)


def _fields(line: JournalLine, journal: JournalFeed) -> Fields:
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


def register_show(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show)


def show(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="IDENTITY",
            help="An EUI-64; serial: in hex or decimal; ski:, sha1:, sha256: in hex; or a certificate file.",
        ),
    ],
    *,
    usage: Annotated[Usage | None, typer.Option(help="Only this key usage.", case_sensitive=False)] = None,
    role: Annotated[
        str | None, typer.Option(metavar="R", help="Only this Remote Party Role, by number or name.")
    ] = None,
    any_status: Annotated[
        bool, typer.Option("--any-status", help="Also what is not In-Use, or withdrawn.")
    ] = False,
    pem: Annotated[bool, typer.Option("--pem", help="The certificates in PEM.")] = False,
    der: Annotated[bool, typer.Option("--der", help="The certificate's octets; exactly one.")] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Say step by step why each, of any status, is or is not usable.",
        ),
    ] = False,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """Show the certificates of one subject, In-Use only unless told otherwise.

    Exit code 10 when there is none.
    """
    asked = ShowRequest(
        identity=identity,
        usage=usage,
        role=role,
        any_status=any_status,
        pem=pem,
        der=der,
        explain=explain,
        mirror=mirror,
        config=config,
        as_json=as_json,
    )
    raise typer.Exit(render_show(asked))
