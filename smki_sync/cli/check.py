"""The command `check`."""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, Final, NamedTuple, TextIO

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import (
    MirrorOptions,
    add_command,
    load_config,
    parse_path,
    parse_time,
)
from smki_sync.cli.certificate_view import link_in, parse_role
from smki_sync.cli.context import now_here
from smki_sync.cli.evidence import parse_past_day
from smki_sync.cli.exit_codes import Exit, exit_of, failure
from smki_sync.cli.option_specs import FILTER_PANEL, OUTPUT_PANEL
from smki_sync.cli.output import (
    Column,
    Json,
    ProgressCounter,
    check_place,
    choose_columns,
    outside_mirror,
    print_json,
    print_message,
    print_stream,
    print_text,
    schema_of,
    table,
    width_here,
)
from smki_sync.errors import SmkiSyncError, UsageError
from smki_sync.export.formats import Fields, csv_header, csv_row
from smki_sync.files import atomic_file, atomic_tree
from smki_sync.lookup.as_of import PastMirror, end_of
from smki_sync.lookup.check import CheckedLine, CheckOptions, check_lines
from smki_sync.lookup.check_output import (
    PREFIX,
    CheckCounts,
    PemFiles,
    RowFormat,
    row_format,
    rows_of,
    united_columns,
)
from smki_sync.lookup.inputs import CheckInput, InputLine, open_input
from smki_sync.lookup.verdicts import CheckVerdict
from smki_sync.mirror.queries import Connection, open_mirror, read_position
from smki_sync.model.certificate import Usage
from smki_sync.model.plan import Position
from smki_sync.text import days_text, wrapped
from smki_sync.usability import rule_at

SHOWN_ANSWERS: Final = 100
"""Answers that are not ready and are printed; --output writes all."""
STDIN: Final = "-"
_JSON_LINES_SUFFIXES: Final = {".jsonl", ".ndjson"}


class CheckFormat(StrEnum):
    """Output format of `check`."""

    TABLE = "table"
    CSV = "csv"
    JSONL = "jsonl"


Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE|-]...",
        help="CSV or text with one identity per line, or certificate files in PEM, DER or Base64; - = stdin"
        " (default).",
        show_default=False,
    ),
]
Need = Annotated[
    str,
    typer.Option(
        "--need", metavar="DS,KA", help="Key usages that each EUI-64 needs.", rich_help_panel=FILTER_PANEL
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="TIME",
        help="Check validity at this date or time, UTC (default: now).",
        rich_help_panel=FILTER_PANEL,
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="Answer for the end of this past day, UTC.",
        rich_help_panel=FILTER_PANEL,
    ),
]
ColumnName = Annotated[
    str | None,
    typer.Option(
        "--column",
        metavar="NAME",
        help="Column with the identity, by header or number (default: recognised).",
        rich_help_panel=FILTER_PANEL,
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write every row to FILE, as CSV or, if its name ends with .jsonl, as JSON Lines.",
        parser=parse_path,
        rich_help_panel=OUTPUT_PANEL,
    ),
]
PemDirectory = Annotated[
    Path | None,
    typer.Option(
        "--pem",
        metavar="DIR",
        help="Write each ready certificate to a PEM file in the new directory DIR.",
        parser=parse_path,
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace an existing FILE or DIR.", rich_help_panel=OUTPUT_PANEL),
]
Format = Annotated[
    CheckFormat | None,
    typer.Option(
        "--format",
        help="Format of standard output: a summary, or every row (default: table).",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Bodies = Annotated[
    bool,
    typer.Option(
        "--base64",
        help="Add the column der to CSV and JSON Lines: the ready certificate in Base64.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """The options of `check`. ``output_format``: of ``output``. ``as_json``: one document on stdout."""

    files: tuple[str, ...]
    options: CheckOptions
    column: str | None
    output: Path | None
    output_format: CheckFormat
    form: CheckFormat
    pem: Path | None
    force: bool
    bodies: bool
    as_of: date | None
    columns: str | None
    as_json: bool


def register_check(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "check",
        check,
        examples=(
            "smki-sync check devices.csv --output answers.csv",
            "smki-sync check installs.csv --column 'Device ID' --need DS,KA --at 2026-12-24",
            "smki-sync check certificates.pem --role supplier --json",
        ),
    )


def check(
    files: Files = None,
    *,
    need: Need = "DS,KA",
    at: At = None,
    as_of: AsOf = None,
    role: arguments.Role = None,
    column: ColumnName = None,
    output: OutputFile = None,
    force: Force = False,
    form: Format = None,
    pem: PemDirectory = None,
    base64: Bodies = False,
    columns: arguments.Columns = None,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Check a list of devices or certificates.

    One verdict for each line and each needed key usage: ready, or what is wrong. Certificates in files are
    compared byte by byte. Exit code 0 if every verdict is ready, otherwise 10.
    """
    if as_json and form:
        raise UsageError("Use only one of --json and --format.")
    if columns is not None and (as_json or form in {CheckFormat.CSV, CheckFormat.JSONL}):
        raise UsageError("--columns is only for tables.")
    if base64 and not output and form not in {CheckFormat.CSV, CheckFormat.JSONL}:
        raise UsageError("--base64 needs --output, --format csv or --format jsonl.")
    if at is not None and as_of is not None:
        raise UsageError("Use only one of --at and --as-of.")
    settings = place.lookup()
    day = None if as_of is None else parse_past_day(as_of, now_here())
    moment = end_of(day) if day else parse_time(at) if at else now_here()
    rule = rule_at(moment, settings.stale_lists)
    options = CheckOptions(rule=rule, need=parse_need(need), role=parse_role(role))
    request = CheckRequest(
        files=tuple(files or [STDIN]),
        options=options,
        column=column,
        output=output,
        output_format=_output_format(output, form),
        form=form or CheckFormat.TABLE,
        pem=pem,
        force=force,
        bodies=base64,
        as_of=day,
        columns=columns,
        as_json=as_json,
    )
    link = link_in(settings.mirror)
    if output or pem:
        config = load_config(place)
        for path in (one for one in (output, pem) if one):
            check_place(outside_mirror(path, config), directory=path == pem)
    raise typer.Exit(run_check(request, link))


def parse_need(text: str) -> tuple[Usage, ...]:
    """Parse the usages of --need: DS, KA or both, separated by a comma."""
    try:
        return tuple(dict.fromkeys(Usage(part.strip().upper()) for part in text.split(",")))
    except ValueError as exc:
        raise UsageError(
            f"--need: {text!r:.40} is not a list of key usages.", hint="Write DS, KA or DS,KA."
        ) from exc


def _output_format(output: Path | None, form: CheckFormat | None) -> CheckFormat:
    if form in {CheckFormat.CSV, CheckFormat.JSONL}:
        return form
    is_lines = output is not None and output.suffix.lower() in _JSON_LINES_SUFFIXES
    return CheckFormat.JSONL if is_lines else CheckFormat.CSV


class _NotReady(NamedTuple):
    """A line with an answer that is not ready. ``label``: its place in the input. ``rows``: as in CSV."""

    label: str
    line: CheckedLine
    rows: list[Fields]


@dataclass(slots=True)
class _Run:
    """The state of one run. ``not_ready``: the first ones, for people. ``begun``: JSON was begun."""

    request: CheckRequest
    shape: RowFormat
    position: Position
    counts: CheckCounts
    not_ready: list["_NotReady"]
    columns: list[Column[Fields]] | None
    begun: bool = False


def run_check(request: CheckRequest, link: Path) -> Exit:
    """Check every line, write all outputs, and print the result."""
    with ExitStack() as stack:
        progress = stack.enter_context(ProgressCounter(sys.stderr))
        db = stack.enter_context(open_mirror(link))
        past = None if request.as_of is None else PastMirror(db, request.as_of)
        if past and past.gap:
            return _not_covered(request, past, read_position(db))
        if past:
            request = replace(request, options=replace(request.options, past=past))
        inputs = Inputs(request.files, request.column)
        position = read_position(db)
        shape = row_format(
            inputs.columns,
            position=position.day.isoformat(),
            unproven=position.unproven is not None,
            bodies=request.bodies,
        )
        columns = None if request.columns is None else _columns(request.columns, shape)
        run = _Run(request, shape, position, CheckCounts(), [], columns)
        write_row = _row_writer(stack, run)
        pem_files = _pem_writer(stack, request)
        lines = _stdout_lines(run, _checked(db, inputs, run, progress), write_row, pem_files)
        try:
            print_stream(lines, before=progress.clear)
            deque(lines, maxlen=0)  # the reader of stdout may have gone; the files are still wanted
        except (SmkiSyncError, KeyboardInterrupt) as error:
            if not run.begun:
                raise
            print_text(_json_end(run, inputs, error))
            return exit_of(error)
    _print_end(run, inputs, pem_files.count if pem_files else 0)
    return Exit.OK if run.counts.is_ready else Exit.FINDING


def _not_covered(request: CheckRequest, past: PastMirror, position: Position) -> Exit:
    """Say that the journal does not cover the day."""
    if request.as_json:
        empty: Json = {"lines": 0, "answers": 0, "verdicts": {}, "doubts": 0, "outcome": "not-covered"}
        head = _head(request.options, request.as_of, position)
        print_json({**head, "not_ready": [], "inputs": [], **empty, "gap": past.gap})
    else:
        print_message("\n".join(wrapped(past.gap)))
    return Exit.FINDING


class Inputs:
    """The inputs of a run, each opened when its turn comes."""

    def __init__(self, files: tuple[str, ...], column: str | None) -> None:
        """Look at the beginning of each input, to know the columns of all."""
        if files.count(STDIN) > 1:
            raise UsageError("Standard input (-) can be read only once.")
        self._files = files
        self._column = column
        self._standard_input: CheckInput | None = None
        seen = [self._open_first(name) for name in files]
        self.columns = united_columns(one.columns for one in seen)
        self.remarks = tuple(one.remark for one in seen)

    def _open_first(self, name: str) -> CheckInput:
        if name == STDIN:
            self._standard_input = open_input("standard input", sys.stdin.buffer, self._column)
            return self._standard_input
        with opened(name) as stream:
            return open_input(name, stream, self._column)

    def __iter__(self) -> Iterator[tuple[str, CheckInput]]:
        """Yield the name and the content of each input."""
        for name in self._files:
            if name == STDIN and self._standard_input:
                yield "standard input", self._standard_input
                continue
            with opened(name) as stream:
                yield name, open_input(name, stream, self._column)


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """Open an input file; raises :class:`UsageError`."""
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - closed below; its own errors are not those of a read
    except OSError as exc:
        raise UsageError(
            f"{name} cannot be read: {exc.strerror}.", hint="Name a file, or - for standard input."
        ) from exc
    with stream:
        yield stream


def _checked(
    db: Connection, inputs: Inputs, run: _Run, progress: ProgressCounter
) -> Iterator[tuple[str, CheckInput, CheckedLine]]:
    """Yield every line with its answers, and count."""
    for name, one in inputs:
        progress.count("certificates read")
        for checked in check_lines(
            db, _noted(one.lines, run, progress), run.request.options, progress=progress
        ):
            run.counts.add(checked)
            yield name, one, checked


def _noted(lines: Iterator[InputLine], run: _Run, progress: ProgressCounter) -> Iterator[InputLine]:
    """Pass lines on and show how many were checked."""
    for line in lines:
        progress.count("lines checked")
        progress(run.counts.lines, 0)
        progress.count("certificates read")
        yield line


def _stdout_lines(
    run: _Run,
    checked: Iterator[tuple[str, CheckInput, CheckedLine]],
    write_row: Callable[[Fields], None] | None,
    pem_files: PemFiles | None,
) -> Iterator[str]:
    """Yield what is printed for each line, and write the other outputs."""
    shape, request = run.shape, run.request
    yield from _stdout_begin(run)
    first = True
    for name, one, line in checked:
        cells = {"file": name} | dict(zip(one.columns, line.line.cells, strict=True))
        rows = list(rows_of(shape, cells, line))
        if write_row:
            for row in rows:
                write_row(row)
        if pem_files:
            pem_files.write(line.answers)
        if request.as_json:
            for row, answer in zip(rows, line.answers, strict=True):
                if answer.verdict is not CheckVerdict.READY:
                    yield f"{'' if first else ','}\n    {json.dumps(row)}"
                    first = False
        elif request.form is CheckFormat.TABLE or request.output:
            _keep_not_ready(run, name, line, rows)
        else:
            yield from (_row_text(request.form, shape, row) for row in rows)


def _row_text(form: CheckFormat, shape: RowFormat, row: Fields) -> str:
    return csv_row(shape.columns, row) if form is CheckFormat.CSV else json.dumps(row) + "\n"


def _stdout_begin(run: _Run) -> Iterator[str]:
    request = run.request
    if request.as_json:
        run.begun = True
        yield (
            json.dumps(_head(request.options, request.as_of, run.position), indent=2).removesuffix("\n}")
            + ',\n  "not_ready": ['
        )
    elif request.form is CheckFormat.CSV and not request.output:
        yield csv_header(run.shape.columns)


def _keep_not_ready(run: _Run, name: str, line: CheckedLine, rows: list[Fields]) -> None:
    """Keep the first lines that are not ready, and one more, to know that there are more."""
    pairs = zip(rows, line.answers, strict=True)
    wrong = [row for row, answer in pairs if answer.verdict is not CheckVerdict.READY]
    if wrong and len(run.not_ready) <= SHOWN_ANSWERS:
        number = line.line.number
        label = f"{name}:{number}" if len(run.request.files) > 1 else f"line {number}"
        run.not_ready.append(_NotReady(label, line, wrong))


def _row_writer(stack: ExitStack, run: _Run) -> Callable[[Fields], None] | None:
    """Open the output file; it appears when the stack is closed without an error."""
    request = run.request
    if request.output is None:
        return None
    file: TextIO = stack.enter_context(atomic_file(request.output, force=request.force))
    form, shape = request.output_format, run.shape
    if form is CheckFormat.CSV:
        file.write(csv_header(shape.columns))

    def write(row: Fields) -> None:
        file.write(_row_text(form, shape, row))

    return write


def _pem_writer(stack: ExitStack, request: CheckRequest) -> PemFiles | None:
    if request.pem is None:
        return None
    return PemFiles(stack.enter_context(atomic_tree(request.pem, force=request.force)))


def _head(options: CheckOptions, as_of: date | None, position: Position) -> Json:
    return {
        "schema": schema_of("check"),
        "position": position.day.isoformat(),
        "unproven": unproven_document(position),
        "at": options.rule.at,
        "need": [usage.value for usage in options.need],
        "role": options.role,
        "as_of": as_of.isoformat() if as_of else None,
    }


def unproven_document(position: Position) -> Json | None:
    """Return why the mirror is unproven as JSON; ``None`` if it is proven."""
    unproven = position.unproven
    if unproven is None:
        return None
    return {"since": unproven.since.isoformat(), "missing": [day.isoformat() for day in unproven.missing]}


def _json_end(run: _Run, inputs: Inputs, error: BaseException | None = None) -> str:
    """Return the rest of the document; after an error, with the fields of a failure."""
    tail: Json = {
        "inputs": list(inputs.remarks),
        "lines": run.counts.lines,
        "answers": run.counts.answers,
        "verdicts": run.counts.by_verdict(),
        "doubts": run.counts.doubts,
        "outcome": "ready" if run.counts.is_ready else "findings",
        "gap": None,
    }
    if error is not None:
        failed = failure("check", error, exit_of(error))
        tail |= {"outcome": failed["outcome"], "error": failed["error"]}
    return "\n  ],\n" + json.dumps(tail, indent=2).removeprefix("{\n")


def _print_end(run: _Run, inputs: Inputs, pem_count: int) -> None:
    """Print the summary: on stdout, or on stderr if rows are printed on stdout."""
    if run.request.as_json:
        print_text(_json_end(run, inputs))
        return
    headline, *rest = summary_lines(run.counts, run.request.options, run.position, now_here())
    notes = [line for remark in inputs.remarks for line in wrapped(remark)]
    notes += [f"{pem_count:,} PEM files written to {run.request.pem}"] if run.request.pem else []
    if run.request.form is not CheckFormat.TABLE and not run.request.output:
        print_message("\n".join((*notes, headline, *rest)))
        return
    print_message("\n".join(notes))
    print_text(headline, colour="green" if run.counts.is_ready else "yellow")
    print_text("\n".join(rest))
    shown = run.not_ready[:SHOWN_ANSWERS]
    if run.columns is not None:
        rows: list[Fields] = [{"line": one.label} | row for one in shown for row in one.rows]
        print_stream(table(run.columns, rows, width=width_here()) if rows else ())
    else:
        for one in shown:
            print_text("\n".join(_answer_lines(one.label, one.line)))
    if len(run.not_ready) > SHOWN_ANSWERS:
        print_message(f"Only the first {SHOWN_ANSWERS} lines are shown. Use --output FILE for all.")


_WIDTHS: Final = {"line": 12, "eui": 23, "usage": 5, "verdict": 14, "serial": 32, "not_after": 20, "why": 60}
"""Widths of columns in characters; others have :data:`_OTHER_WIDTH`."""
_OTHER_WIDTH: Final = 23


def _columns(text: str, shape: RowFormat) -> list[Column[Fields]]:
    """Parse --columns: ``line``, a column of the input, or a column of the answer, as in CSV."""
    available = {
        name.lower(): Column[Fields](
            title=name,
            width=_WIDTHS.get(name.removeprefix(PREFIX), _OTHER_WIDTH),
            cell=lambda row, name=name: "" if row[name] is None else str(row[name]),  # type: ignore[misc]
        )
        for name in ("line", *shape.columns)
    }
    return choose_columns(text, available)


def summary_lines(
    counts: CheckCounts, options: CheckOptions, position: Position, now: datetime
) -> Iterator[str]:
    """Yield the summary for people, the result first."""
    ready, total = counts.verdicts[CheckVerdict.READY], counts.answers
    if not total:
        yield "There is no line to check."
    else:
        yield (
            f"All {total:,} answers are ready."
            if counts.is_ready
            else f"{total - ready:,} of {total:,} answers are not ready."
        )
    for verdict, number in counts.by_verdict().items():
        yield f"  {verdict:<16}{number:>10,}"
    if counts.doubts:
        yield from wrapped(f"{counts.doubts:,} ready answers have a remark: see the column why.", indent="  ")
    yield f"{counts.lines:,} lines, for use at {options.rule.at}"
    yield f"mirror at position {position.day} ({_age(now, position.day)}){_unproven_text(position)}"


def _age(now: datetime, day: date) -> str:
    return days_text((now.date() - day).days)


def _unproven_text(position: Position) -> str:
    return f", UNPROVEN since {position.unproven.since}" if position.unproven else ""


def _answer_lines(label: str, line: CheckedLine) -> Iterator[str]:
    """Yield a paragraph for each answer that is not ready."""
    given = next((cell for cell in line.line.cells if cell), "")
    for answer in line.answers:
        if answer.verdict is not CheckVerdict.READY:
            usage = f" {answer.usage}" if answer.usage else ""
            text = f"{label}: {answer.eui or given:.60}{usage} {answer.verdict}. {answer.why}"
            yield from wrapped(text)
