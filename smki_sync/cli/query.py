"""The commands `show`, `find` and `changes`."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import chain
from typing import Annotated, Final, assert_never

import typer

from smki_sync.cli import arguments, option_specs
from smki_sync.cli.arguments import (
    FilterOptions,
    MirrorOptions,
    add_command,
    load_config,
    option,
    parse_date,
)
from smki_sync.cli.certificate_view import ShowRequest, link_in, render_show
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit, exit_of, failure
from smki_sync.cli.output import (
    Column,
    Json,
    ProgressCounter,
    choose_columns,
    print_message,
    print_stream,
    print_text,
    schema_of,
    table,
    width_here,
)
from smki_sync.config.file import LookupSettings
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
    find_of_line,
    open_mirror,
    read_issuers,
    read_position,
)
from smki_sync.mirror.queries import find as find_in
from smki_sync.text import days_text, wrapped
from smki_sync.usability import UsabilityRule, rule_at

_MAX_ISSUERS: Final = 20
"""Issuers that are listed if no certificate matches --issuer."""
TABLE_ROWS: Final = 100
"""Default maximum of rows in a table."""


class FindFormat(StrEnum):
    """Output format of `find`."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PEM = "pem"


def _status_letter(c: Certificate) -> str:
    """Return the status for a table: a certificate that a list revokes is R."""
    return "R" if c.revoked else "W" if c.withdrawn else c.status


FIND_COLUMNS: Final = (
    Column[Certificate](title="EUI-64 or name", width=23, cell=lambda c: c.eui or c.subject),
    Column[Certificate](title="kind", width=12, cell=lambda c: c.kind),
    Column[Certificate](title="KU", width=2, cell=lambda c: c.usage or ""),
    Column[Certificate](title="st", width=2, cell=_status_letter),
    Column[Certificate](title="serial", width=32, cell=lambda c: c.serial),
    Column[Certificate](title="changed", width=10, cell=lambda c: c.last_changed),
    Column[Certificate](title="ends", width=10, cell=lambda c: c.not_after[:10]),
    Column[Certificate](title="role", width=19, cell=lambda c: role_name_of(c.role) or str(c.role or "")),
    Column[Certificate](title="issuer", width=32, cell=lambda c: c.issuer),
    Column[Certificate](title="file", width=32, cell=lambda c: c.file),
)
"""Columns of a table, the most important first."""

FIND_NAMES: Final[Mapping[str, Column[Certificate]]] = {
    **dict(
        zip(
            ("eui", "kind", "usage", "status", "serial", "changed", "ends", "role", "issuer", "file"),
            FIND_COLUMNS,
            strict=True,
        )
    ),
    "begins": Column[Certificate](title="begins", width=10, cell=lambda c: c.not_before[:10]),
    "ski": Column[Certificate](title="key identifier", width=16, cell=lambda c: c.ski or ""),
    "unusable": Column[Certificate](title="not usable", width=18, cell=lambda c: c.unusable or ""),
}
"""Columns by the name for --columns."""
_FOR_EXPIRY: Final = "eui,usage,status,ends,role,serial,issuer"
"""Columns if the question is about ends of validity."""
_FOR_CHANGES: Final = "eui,usage,status,changed,serial,kind,ends,role,issuer"
"""Columns if the question is about changes."""


def _table_columns(given: str | None, filters: FilterOptions) -> list[Column[Certificate]]:
    """Return the columns that were chosen, or those that fit the question."""
    if given is not None:
        return choose_columns(given, FIND_NAMES)
    if filters.expiring_within is not None:
        return choose_columns(_FOR_EXPIRY, FIND_NAMES)
    return choose_columns(_FOR_CHANGES, FIND_NAMES) if filters.changed_since else list(FIND_COLUMNS)


@dataclass(slots=True)
class ResultLimit:
    """Passes on at most ``limit`` rows. ``cut``: there were more rows.

    ``begun``: the beginning of a JSON document was printed, so its end must follow.
    """

    limit: int | None
    count: int = 0
    cut: bool = False
    begun: bool = False

    def pass_on(self, found: Iterable[Certificate]) -> Iterator[Certificate]:
        """Yield the rows up to the limit, and count them."""
        for one in found:
            if self.count == self.limit:
                self.cut = True
                return
            self.count += 1
            yield one


def register_find(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "find",
        find,
        examples=(
            "smki-sync find --kind device --expiring-within 90",
            "smki-sync find --kind organisation --role supplier --format csv",
            "smki-sync find --changed-since 2026-11-22 --any-status --json",
        ),
    )


def find(
    *,
    filters: FilterOptions,
    mine: arguments.Mine = False,
    columns: arguments.Columns = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="N",
            min=0,
            help=f"Maximum number of results; 0 = all (default: {TABLE_ROWS} for tables, otherwise all).",
        ),
    ] = None,
    form: Annotated[
        FindFormat | None, typer.Option("--format", help="Output format (default: table).")
    ] = None,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """List certificates that match filters.

    In-Use only by default, usable ones first, then the latest start of validity. A certificate must match
    every filter. Exit code 10 if none matches.
    """
    form = _find_format(form, as_json=as_json)
    if columns is not None and form is not FindFormat.TABLE:
        raise UsageError("--columns is only for tables.")
    chosen = _table_columns(columns, filters)
    wanted = filters.certificate_filter(now_here().date())
    if mine:
        wanted = replace(wanted, euis=load_config(place).need_parties())
    shown = ResultLimit(
        limit=(TABLE_ROWS if form is FindFormat.TABLE else None) if limit is None else limit or None
    )
    try:
        nothing = _write(form, wanted, shown, place.lookup(), chosen)
    except (SmkiSyncError, KeyboardInterrupt) as error:
        if form is not FindFormat.JSON or not shown.begun:
            raise
        print_text(_json_end(shown, error))
        raise typer.Exit(exit_of(error)) from None
    if form is FindFormat.JSON:
        print_text(_json_end(shown))
    _print_remarks(shown, nothing)
    raise typer.Exit(Exit.OK if shown.count else Exit.FINDING)


def _find_format(form: FindFormat | None, *, as_json: bool) -> FindFormat:
    if as_json and form not in (None, FindFormat.JSON):
        raise UsageError(f"Use only one of --json and --format {form}.")
    return FindFormat.JSON if as_json else form or FindFormat.TABLE


def _write(
    form: FindFormat,
    wanted: CertificateFilter,
    shown: ResultLimit,
    settings: LookupSettings,
    columns: list[Column[Certificate]],
) -> str:
    """Print everything but the end of a JSON document; return a message if nothing was found."""
    rule = rule_at(now_here(), settings.stale_lists)
    with ProgressCounter(sys.stderr) as progress, open_mirror(link_in(settings.mirror)) as db:
        position = read_position(db).day
        limit = None if shown.limit is None else shown.limit + 1  # one more shows that there are more
        found = find_in(db, wanted, rule, limit=limit, newest_first=True, progress=progress)
        rows = shown.pass_on(found)
        print_stream(_lines(form, rows, shown, position, columns), before=progress.clear)
        return "" if shown.count else _nothing_found(db, wanted, position)


def _lines(
    form: FindFormat,
    rows: Iterator[Certificate],
    shown: ResultLimit,
    position: date,
    columns: list[Column[Certificate]],
) -> Iterator[str]:
    match form:
        case FindFormat.TABLE:
            first = next(rows, None)  # no header without rows
            return iter(()) if first is None else table(columns, chain([first], rows), width=width_here())
        case FindFormat.JSON:
            return _json_begin(rows, shown, position)
        case FindFormat.JSONL:
            return certificates_json(rows)
        case FindFormat.CSV:
            return certificates_csv(rows)
        case FindFormat.PEM:
            return certificates_pem(rows)
        case _:
            assert_never(form)


def _json_begin(rows: Iterable[Certificate], shown: ResultLimit, position: date) -> Iterator[str]:
    """Yield the document up to its last certificate, one per line."""
    shown.begun = True
    head = {"schema": schema_of("find"), "position": position.isoformat()}
    yield json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "certificates": ['
    for number, c in enumerate(rows):
        yield f"{',' if number else ''}\n    {json.dumps(fields_of(c))}"


def _json_end(shown: ResultLimit, error: BaseException | None = None) -> str:
    """Return the rest of the document; after an error, with the fields of a failure."""
    tail: Json = {"count": shown.count, "truncated": shown.cut or error is not None}
    if error is not None:
        failed = failure("find", error, exit_of(error))
        tail |= {"outcome": failed["outcome"], "error": failed["error"]}
    return "\n  ],\n" + json.dumps(tail, indent=2).removeprefix("{\n")


def _nothing_found(db: Connection, wanted: CertificateFilter, position: date) -> str:
    age = days_text((now_here().date() - position).days)
    issuers = "" if wanted.issuer is None else f" Issuers: {'; '.join(read_issuers(db)[:_MAX_ISSUERS])}."
    return f"No certificate matches these filters. The mirror is at position {position} ({age}).{issuers}"


def _print_remarks(shown: ResultLimit, nothing: str) -> None:
    """Print to stderr that rows were cut, or that nothing was found."""
    cut = f"Only the first {shown.count:,} results are shown. Use --limit N for more, or --limit 0 for all."
    if shown.cut or nothing:
        print_message("\n".join(wrapped(cut if shown.cut else nothing)))


class ChangesFormat(StrEnum):
    """Output format of `changes`."""

    JSONL = "jsonl"
    CSV = "csv"
    TABLE = "table"


CHANGE_FIELDS: Final = (
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
"""Columns of a table, the most important first."""


def register_changes(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "changes",
        changes,
        examples=(
            "smki-sync changes --since 2026-11-22",
            "smki-sync changes --since 0 --format csv",
            "smki-sync changes --since 1042 --with-certificates",
        ),
    )


def changes(
    *,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="DATE|SEQUENCE",
            help="From this date on, or after the line with this number or token; 0 = from the first line.",
        ),
    ],
    form: Annotated[ChangesFormat, typer.Option("--format", help="Output format.")] = ChangesFormat.JSONL,
    with_certificates: Annotated[
        bool,
        typer.Option(
            "--with-certificates", help="Add the certificate, as it is now, to each line (only with jsonl)."
        ),
    ] = False,
    place: MirrorOptions,
) -> None:
    """List changes in order, without gaps.

    There is no gap across a full resync either. Keep the token of the last line and pass it to --since the
    next time. Exit code 10 if the journal does not reach back to this point, or is a different journal.
    """
    if with_certificates and form is not ChangesFormat.JSONL:
        raise UsageError("--with-certificates needs --format jsonl.")
    first, settings = parse_place(since), place.lookup()
    rule = rule_at(now_here(), settings.stale_lists)
    with open_mirror(link_in(settings.mirror)) as db:
        journal = read_journal(db)
        start = start_after(db, journal, first)
        if not isinstance(start, JournalGapError):
            found = read_changes(db, start)
            lines = (
                json_lines(_with_certificate(db, line, journal, rule) for line in found)
                if with_certificates
                else _changes_lines(form, found, journal)
            )
            print_stream(lines)
    if isinstance(start, JournalGapError):
        print_message("\n".join((*wrapped(start.why), *wrapped(start.hint, indent="  "))))
        raise typer.Exit(Exit.FINDING)


def parse_place(text: str) -> Place:
    """Parse a point in the journal: YYYY-MM-DD, a number or a token."""
    try:
        return AfterLine.parse(text)
    except ValueError as exc:
        if ":" in text or text.isdigit():
            raise UsageError(
                f"--since: {exc}", hint="Copy the value from a line of `smki-sync changes`."
            ) from exc
    return FromDate(day=parse_date("--since", text))


def _changes_lines(form: ChangesFormat, found: Iterator[JournalLine], journal: JournalFeed) -> Iterator[str]:
    match form:
        case ChangesFormat.JSONL:
            return json_lines(_change_fields(line, journal) for line in found)
        case ChangesFormat.CSV:
            return csv_lines(CHANGE_FIELDS, (_change_fields(line, journal) for line in found))
        case ChangesFormat.TABLE:
            return table(CHANGES_COLUMNS, found, width=width_here())
        case _:
            assert_never(form)


def _with_certificate(db: Connection, line: JournalLine, journal: JournalFeed, rule: UsabilityRule) -> Fields:
    found = find_of_line(db, line, rule)
    return {**_change_fields(line, journal), "certificate": None if found is None else fields_of(found)}


def _change_fields(line: JournalLine, journal: JournalFeed) -> Fields:
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
    add_command(
        app,
        "show",
        show,
        examples=(
            "smki-sync show 00-DB-12-34-56-78-90-A4",
            "smki-sync show serial:5F3A --any-status --explain",
            "smki-sync show certificate.pem --as-of 2026-10-03 --json",
        ),
    )


def show(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="IDENTITY",
            help="An EUI-64; a serial number (serial:, hex or decimal); ski: in hex; sha1: or sha256: in hex"
            " or Base64; or a certificate file.",
        ),
    ],
    *,
    usage: arguments.Usage = None,
    role: arguments.Role = None,
    any_status: arguments.AnyStatus = False,
    pem: Annotated[bool, option(option_specs.PEM)] = False,
    der: Annotated[bool, option(option_specs.DER)] = False,
    base64: Annotated[bool, option(option_specs.BASE64)] = False,
    explain: Annotated[bool, option(option_specs.EXPLAIN)] = False,
    as_of: Annotated[str | None, option(option_specs.AS_OF)] = None,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Show the certificates of one subject.

    In-Use only by default. A certificate file is compared byte by byte. Exit code 10 if there is no
    match, or with --explain or --as-of if no match is (or was) usable.
    """
    request = ShowRequest(
        identity=identity,
        usage=usage,
        role=role,
        any_status=any_status,
        pem=pem,
        der=der,
        base64=base64,
        explain=explain,
        as_of=as_of,
        mirror=place.mirror,
        config=place.config,
        as_json=as_json,
    )
    raise typer.Exit(render_show(request))
