"""The commands `reconcile` and `restore`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli.arguments import OutputOptions, SourceOptions, add_command, load_config, parse_date
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import FAILED, Exit, exit_of, exit_of_outcome, failure
from smki_sync.cli.job import event_reporter, job_of, record_run
from smki_sync.cli.output import Json, check_place, outside_mirror, print_json, print_text, schema_of
from smki_sync.cli.run_report import document as sync_document
from smki_sync.cli.sync import show_report
from smki_sync.config.loader import Config
from smki_sync.errors import UsageError
from smki_sync.events import Logged
from smki_sync.export.formats import csv_lines
from smki_sync.files import atomic_file
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.reconcile import DriftDifference
from smki_sync.model.report import SyncReport
from smki_sync.recovery import RehearsalFailed, RehearsalResult, RestoreResult, rehearse_restore
from smki_sync.recovery import restore as restore_from
from smki_sync.recovery.reconcile import Keep, ReconcileResult, forget
from smki_sync.recovery.reconcile import reconcile as reconcile_with
from smki_sync.report.rehearsal import rehearsal_page
from smki_sync.text import duration_text, visible, wrapped

_DRIFT_COLUMNS: Final = ("drift", "kind", "eui", "serial", "issuer", "held", "listed", "what")


def register_reconcile(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "reconcile",
        reconcile,
        examples=(
            "smki-sync reconcile",
            "smki-sync reconcile --list drift.csv",
            "smki-sync reconcile --repair",
        ),
    )


def reconcile(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Repair the differences, in one transaction.")
    ] = False,
    list_to: Annotated[
        Path | None, typer.Option("--list", metavar="FILE", help="Write every difference to FILE, as CSV.")
    ] = None,
    place: SourceOptions,
    output: OutputOptions,
) -> None:
    """Compare the mirror with the newest full extract.

    A change that a later delta explains is not a difference, because a full extract takes more than a day to
    produce. Exit code 0 if the mirror agrees, also after a repair; 10 if it differs.
    """
    settings = load_config(place, output)
    if list_to:
        check_place(outside_mirror(list_to, settings))
    with event_reporter(settings, quiet=output.quiet, verbose=output.verbose) as events:
        found = reconcile_with(job_of(settings, events), repair=repair, keep=_difference_writer(list_to))
    if output.as_json:
        print_json(reconcile_document(found))
    elif not output.quiet:
        print_text("\n".join(reconcile_lines(found)))
    raise typer.Exit(Exit.OK if found.agrees else Exit.FINDING)


def _difference_writer(path: Path | None) -> Keep:
    if path is None:
        return forget

    def write(differences: Iterable[DriftDifference]) -> None:
        with atomic_file(path, force=True) as file:
            file.writelines(csv_lines(_DRIFT_COLUMNS, map(difference_document, differences)))

    return write


def difference_document(found: DriftDifference) -> Json:
    """Return one difference as the fields of JSON and CSV."""
    values = asdict(found) | {"drift": found.drift.value, "what": " ".join(found.what)}
    return {name: values[name] for name in _DRIFT_COLUMNS}


def reconcile_document(found: ReconcileResult) -> Json:
    """Return the document of ``reconcile --json``."""
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
        "examples": [difference_document(example) for example in found.examples],
        "repaired": repaired
        and {
            "inserted": repaired.inserted,
            "updated": repaired.updated,
            "withdrawn": repaired.withdrawn,
        },
    }


def reconcile_lines(found: ReconcileResult) -> Iterator[str]:
    """Yield the comparison for people."""
    yield _reconcile_headline(found)
    yield f"  position    {found.position}"
    yield f"  compared    {found.compared:,} records"
    yield f"  missing     {found.missing:,}"
    yield f"  unexpected  {found.unexpected:,}"
    yield f"  differing   {found.differing:,}"
    yield f"  explained   {found.explained:,} by later deltas (not differences)"
    if found.quarantined:
        yield f"  quarantine  {found.quarantined:,} records of the full extract could not be read"
    for example in found.examples:
        yield from wrapped(_difference_text(example), indent="  ")
    if not found.agrees:
        yield from wrapped(
            "Run `smki-sync reconcile --list FILE` to list every difference,"
            " or `smki-sync reconcile --repair` to repair them."
        )


def _reconcile_headline(found: ReconcileResult) -> str:
    if found.repaired:
        return f"Repaired: the mirror now agrees with {found.full}."
    if found.agrees:
        return f"The mirror agrees with {found.full}."
    return f"Drift: the mirror differs from {found.full}."


def _difference_text(found: DriftDifference) -> str:
    subject = f"{found.kind} {found.eui or ''} {found.serial} of {visible(found.issuer)}"
    fields = f" ({', '.join(found.what)})" if found.what else ""
    states = f"mirror {found.held or 'none'}, full extract {found.listed or 'none'}"
    return f"{found.drift}: {subject}: {states}{fields}"


def register_restore(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "restore",
        restore,
        examples=(
            "smki-sync restore",
            "smki-sync restore --source file:///archive --to 2026-11-22",
            "smki-sync restore --rehearse --output reports",
        ),
    )


def restore(
    *,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DATE", help="Restore the state of this day (default: the newest)."),
    ] = None,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="Restore to a temporary directory and compare with the live mirror."),
    ] = False,
    scratch: Annotated[
        Path | None,
        typer.Option(
            "--scratch",
            metavar="DIR",
            help="With --rehearse: the temporary directory (default: rehearsal in the mirror directory).",
        ),
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="With --rehearse: directory for the report (default: rehearsals in the mirror directory).",
        ),
    ] = None,
    place: SourceOptions,
    output: OutputOptions,
) -> None:
    """Rebuild the mirror from the Repository or an archive.

    Does not need the old mirror. The new mirror is checked before it replaces the old one, which is kept
    until `smki-sync prune`. Exit code 0 if the mirror is up to date, 3 if it is usable but not up to date.

    With --rehearse, the live mirror is only read. A report in JSON and HTML contains the result and the
    measured times. Exit code 0 if the rehearsal passed, 10 if it failed or could not be completed.
    """
    settings = load_config(place, output)
    if rehearse:
        if to:
            raise UsageError("Use only one of --to and --rehearse.")
        _rehearse(settings, output, scratch=scratch, reports=reports)
    if scratch or reports:
        raise UsageError("--scratch and --output need --rehearse.")
    _restore(settings, output, to=to)


def _restore(settings: Config, output: OutputOptions, *, to: str | None) -> None:
    day = parse_date("--to", to) if to else None
    if day and day > now_here().date():
        raise UsageError(f"--to: {day} is in the future.", hint="Omit --to to restore the newest state.")
    restored: RestoreResult | None = None
    with event_reporter(settings, quiet=output.quiet, verbose=output.verbose) as events:
        job = job_of(settings, events)

        def action() -> SyncReport:
            nonlocal restored
            restored = restore_from(job, until=day, anchors=settings.trust.read_anchors())
            return restored.report

        report = record_run(settings, job, "restore", action)
        if output.as_json or output.quiet:
            for notice in report.attention:
                events.emit(Logged(attention=notice))
    assert restored is not None  # record_run raises what the action raises
    if output.as_json:
        print_json(restore_document(restored))
    elif not output.quiet:
        show_report(report)
        print_text("\n".join(restore_lines(restored)))
    raise typer.Exit(exit_of_outcome(report.outcome))


def restore_document(restored: RestoreResult) -> Json:
    """Return the document of ``restore --json``: that of ``sync``, with phases and checks."""
    return {
        **sync_document(restored.report, command="restore"),
        "phases": [{"phase": one.name, "seconds": round(one.seconds, 3)} for one in restored.phases],
        "checks": [
            {"check": one.name, "passed": one.passed, "detail": one.detail} for one in restored.checks
        ],
    }


_CHECK_RESULTS: Final = {True: "passed", False: "FAILED", None: "not made"}


def restore_lines(restored: RestoreResult) -> list[str]:
    """Return phases and checks for people."""
    total = sum(phase.seconds for phase in restored.phases)
    times = ", ".join(f"{phase.name} {duration_text(phase.seconds)}" for phase in restored.phases)
    checks = (f"{one.name} {_CHECK_RESULTS[one.passed]}: {one.detail}" for one in restored.checks)
    return [
        *wrapped(f"  duration      {duration_text(total)}: {times}", hanging=16),
        *(line for check in checks for line in wrapped(f"  check         {check}", hanging=16)),
    ]


def _rehearse(settings: Config, output: OutputOptions, *, scratch: Path | None, reports: Path | None) -> None:
    root = link_in(settings.need_mirror()).parent
    directory = check_place(reports or root / "rehearsals", directory=True)
    with event_reporter(settings, quiet=output.quiet, verbose=output.verbose) as events:
        job = job_of(settings, events)
        done = rehearse_restore(job, scratch or root / "rehearsal", anchors=settings.trust.read_anchors())
    document = rehearsal_document(done)
    page = _write_report(directory, document)
    if output.as_json:
        print_json(document)
    elif not output.quiet:
        print_text("\n".join(rehearsal_lines(done, page)))
    raise typer.Exit(Exit.OK if document["agrees"] else Exit.FINDING)


def _write_report(directory: Path, document: Json) -> Path:
    """Write the report as JSON and as a page that contains its SHA-256; return the path of the page."""
    text = json.dumps(document, indent=2) + "\n"
    stem = f"rehearsal-{str(document['began']).replace(':', '')}"
    page = directory / f"{stem}.html"
    with disk_errors(directory):
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    with atomic_file(directory / f"{stem}.json", force=True) as file:
        file.write(text)
    with atomic_file(page, force=True) as file:
        file.write(rehearsal_page(document, sha256=sha256(text.encode()).hexdigest()))
    return page


def rehearsal_document(done: RehearsalResult | RehearsalFailed) -> Json:
    """Return the document of ``restore --rehearse --json``; unknown values are ``null`` or empty.

    It has all fields of ``restore --json``, so that a script can read both.
    """
    result = _completed(done) if isinstance(done, RehearsalResult) else _not_completed(done)
    return result | {
        "agrees": isinstance(done, RehearsalResult) and done.agrees,
        "began": utc(done.began),
        "ended": utc(done.ended),
        "live": done.live and {"position": done.live.position.isoformat(), "digest": done.live.digest},
        "machine": dict(done.machine),
    }


def _completed(done: RehearsalResult) -> Json:
    report, difference = done.restored.report, done.difference
    document = restore_document(done.restored)
    return {
        **document,
        "recovery_seconds": round(done.recovery_seconds, 3),
        "recovery_point": report.position and report.position.isoformat(),
        "recovery_point_age_days": report.position and (now_here().date() - report.position).days,
        "only_live": 0 if difference is None else len(difference.only_one),
        "only_restored": 0 if difference is None else len(difference.only_other),
        "files": document["applied"],
        "error": None,
    }


_UNKNOWN_FIELDS: Final = (
    *("plan", "position", "certificates", "quarantined", "unproven", "digest"),
    *("recovery_seconds", "recovery_point", "recovery_point_age_days", "only_live", "only_restored"),
)
_EMPTY_FIELDS: Final = ("applied", "files", "phases", "checks", "attention", "lists")


def _not_completed(done: RehearsalFailed) -> Json:
    return {
        "schema": schema_of("restore"),
        "outcome": FAILED,
        "dry_run": False,
        **dict.fromkeys(_UNKNOWN_FIELDS),
        **{name: [] for name in _EMPTY_FIELDS},
        "error": failure("restore", done.error, exit_of(done.error))["error"],
    }


def rehearsal_lines(done: RehearsalResult | RehearsalFailed, page: Path) -> list[str]:
    """Return the result of a rehearsal for people."""
    where = f"  report        {visible(str(page))}"
    if isinstance(done, RehearsalFailed):
        cause = wrapped(f"{done.error.message.removesuffix('.')}. {done.error.hint}", indent="  ")
        return ["The rehearsal FAILED: it could not be completed.", *cause, where]
    result = "passed" if done.agrees else "FAILED"
    seconds = duration_text(done.recovery_seconds)
    difference = done.difference
    return [
        f"The rehearsal {result}: restored position {done.live.position} in {seconds}.",
        *restore_lines(done.restored),
        *(
            wrapped(
                f"  differences   {len(difference.only_one):,} certificates are In-Use only in the live"
                f" mirror, {len(difference.only_other):,} only in the restored mirror",
                hanging=16,
            )
            if difference
            else []
        ),
        where,
    ]
