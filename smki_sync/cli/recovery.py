"""The commands `reconcile`, `restore` and `drill`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import parse_date
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit, exit_of, exit_of_outcome, failure
from smki_sync.cli.job import event_reporter, job_of, record_run
from smki_sync.cli.output import Json, check_place, outside_mirror, print_json, print_text, schema_of
from smki_sync.cli.run_report import applied_document, attention_document
from smki_sync.cli.run_report import document as sync_document
from smki_sync.cli.sync import show_report
from smki_sync.errors import UsageError
from smki_sync.events import Logged
from smki_sync.export.formats import csv_lines
from smki_sync.files import atomic_file
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.reconcile import DriftDifference
from smki_sync.model.report import SyncReport
from smki_sync.recovery import RehearsalFailed, RehearsalResult, RestoreResult
from smki_sync.recovery import rehearse_restore as carry_out
from smki_sync.recovery import restore as restore_from
from smki_sync.recovery.reconcile import Keep, ReconcileResult, forget
from smki_sync.recovery.reconcile import reconcile as reconcile_with
from smki_sync.report.page import drill_page
from smki_sync.text import duration_text, visible, wrapped

_COLUMNS = ("drift", "kind", "eui", "serial", "issuer", "held", "listed", "what")


def register_reconcile(app: typer.Typer) -> None:
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
    mirror: arguments.Mirror = None,
    source: arguments.Source = None,
    identity_file: arguments.IdentityFile = None,
    known_hosts: arguments.KnownHosts = None,
    bandwidth: arguments.Bandwidth = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
    quiet: arguments.Quiet = False,
    verbose: arguments.Verbose = False,
    log_format: arguments.LogFormat = None,
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
    with event_reporter(settings, quiet=quiet, verbose=verbose) as talk:
        found = reconcile_with(job_of(settings, talk), repair=repair, keep=_writer(list_to))
    if as_json:
        print_json(reconcile_document(found))
    elif not quiet:
        print_text("\n".join(reconcile_lines(found)))
    raise typer.Exit(Exit.OK if found.agrees else Exit.FINDING)


def _writer(path: Path | None) -> Keep:
    if path is None:
        return forget

    def write(differences: Iterable[DriftDifference]) -> None:
        with atomic_file(path, force=True) as file:
            file.writelines(csv_lines(_COLUMNS, map(asdict_of, differences)))

    return write


def asdict_of(found: DriftDifference) -> Json:
    """One difference as the fields of JSON and CSV."""
    values = asdict(found) | {"drift": found.drift.value, "what": " ".join(found.what)}
    return {name: values[name] for name in _COLUMNS}


def reconcile_document(found: ReconcileResult) -> Json:
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


def reconcile_lines(found: ReconcileResult) -> Iterator[str]:
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
        yield from wrapped(_line(example), indent="  ")
    if not found.agrees:
        yield from wrapped(
            "`smki-sync reconcile --repair` makes it good; `--list FILE` writes every difference."
        )


def _headline(found: ReconcileResult) -> str:
    if found.repaired:
        return f"Repaired: the mirror agrees with {found.full} now."
    return (
        f"The mirror agrees with {found.full}."
        if found.agrees
        else f"Drift: the mirror differs from {found.full}."
    )


def _line(found: DriftDifference) -> str:
    who = f"{found.kind} {found.eui or ''} {found.serial} of {visible(found.issuer)}"
    what = f" ({', '.join(found.what)})" if found.what else ""
    return f"{found.drift}: {who}: held {found.held or 'not'}, listed {found.listed or 'not'}{what}"


def register_restore(app: typer.Typer) -> None:
    """Add the command."""
    app.command("restore")(restore)


def restore(
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The state of that day, not the newest.")
    ] = None,
    mirror: arguments.Mirror = None,
    source: arguments.Source = None,
    identity_file: arguments.IdentityFile = None,
    known_hosts: arguments.KnownHosts = None,
    bandwidth: arguments.Bandwidth = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
    quiet: arguments.Quiet = False,
    verbose: arguments.Verbose = False,
    log_format: arguments.LogFormat = None,
) -> None:
    """Make the mirror anew from the repository or an archive, whatever has become of the old one.

    The new one is looked through before it takes over. The old one is kept until `smki-sync prune`.
    Exit code 0 where it is current, 3 where it stands and is not.
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
    day = parse_date("--to", to) if to else None
    if day and day > now_here().date():
        raise UsageError(f"--to: {day} has not come yet", hint="Without --to the newest state is restored.")
    done: list[RestoreResult] = []
    with event_reporter(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)

        def deed() -> SyncReport:
            done.append(restore_from(job, until=day, anchors=settings.trust.read_anchors()))
            return done[0].report

        report = record_run(settings, job, "restore", deed)
        if as_json or quiet:
            for attention in report.attention:
                talk.hear(Logged(attention=attention))
    if as_json:
        print_json(restore_document(done[0]))
    elif not quiet:
        show_report(report)
        print_text("\n".join(restore_lines(done[0])))
    raise typer.Exit(exit_of_outcome(report.outcome))


def restore_document(restored: RestoreResult) -> Json:
    """The document of ``restore --json``: that of ``sync``, with phases and checks."""
    return {
        **sync_document(restored.report, command="restore"),
        "phases": phases_document(restored),
        "checks": checks_document(restored),
    }


def phases_document(restored: RestoreResult) -> list[Json]:
    """How long each phase took, in seconds to the millisecond."""
    return [{"phase": phase.name, "seconds": round(phase.seconds, 3)} for phase in restored.phases]


def checks_document(restored: RestoreResult) -> list[Json]:
    """What was checked before it took over."""
    return [
        {"check": check.name, "passed": check.passed, "detail": check.detail} for check in restored.checks
    ]


_MARKS = {True: "passed", False: "FAILED", None: "not made"}


def restore_lines(restored: RestoreResult) -> list[str]:
    """Phases and checks for people."""
    total = sum(phase.seconds for phase in restored.phases)
    times = ", ".join(f"{phase.name} {duration_text(phase.seconds)}" for phase in restored.phases)
    return [
        *wrapped(f"  took          {duration_text(total)}: {times}", hanging=16),
        *(
            line
            for check in restored.checks
            for line in wrapped(
                f"  check         {check.name} {_MARKS[check.passed]}: {check.detail}", hanging=16
            )
        ),
    ]


def register_drill(app: typer.Typer) -> None:
    """Add the command."""
    app.command("drill")(drill)


def drill(
    *,
    scratch: Annotated[
        Path | None,
        typer.Option("--scratch", metavar="DIR", help="Where to restore to; removed afterwards."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Where the report goes: JSON and HTML.")
    ] = None,
    mirror: arguments.Mirror = None,
    source: arguments.Source = None,
    identity_file: arguments.IdentityFile = None,
    known_hosts: arguments.KnownHosts = None,
    bandwidth: arguments.Bandwidth = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
    quiet: arguments.Quiet = False,
    verbose: arguments.Verbose = False,
    log_format: arguments.LogFormat = None,
) -> None:
    """Restore into a scratch place, hold it against the live mirror, and leave a report.

    The live mirror is only read. Exit code 0 where the drill passed, 10 where it did not, or could not be
    carried out: then, too, the report says why.
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
    root = link_in(settings.need_mirror()).parent
    reports = check_place(output or root / "drills", directory=True)
    with event_reporter(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)
        done = carry_out(job, scratch or root / "drill", anchors=settings.trust.read_anchors())
    made = drill_document(done)
    report = _write(reports, made)
    if as_json:
        print_json(made)
    elif not quiet:
        print_text("\n".join(drill_text(done, report)))
    raise typer.Exit(Exit.OK if made["agrees"] else Exit.FINDING)


def _write(directory: Path, made: Json) -> Path:
    """The report as JSON and as a page that carries its hash; the page's path."""
    written = json.dumps(made, indent=2) + "\n"
    stem = f"drill-{str(made['began']).replace(':', '')}"
    page = directory / f"{stem}.html"
    with disk_errors(directory):
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    with atomic_file(directory / f"{stem}.json", force=True) as file:
        file.write(written)
    with atomic_file(page, force=True) as file:
        file.write(drill_page(made, sha256=sha256(written.encode()).hexdigest()))
    return page


def drill_document(done: RehearsalResult | RehearsalFailed) -> Json:
    """The document of ``drill --json``; what was never found out is ``null`` or empty."""
    frame = {
        "schema": schema_of("drill"),
        "agrees": isinstance(done, RehearsalResult) and done.agrees,
        "began": utc(done.began),
        "ended": utc(done.ended),
        "live": done.live and {"position": done.live.position.isoformat(), "digest": done.live.digest},
        "machine": dict(done.machine),
    }
    return frame | (_found(done) if isinstance(done, RehearsalResult) else _failed(done))


def _found(done: RehearsalResult) -> Json:
    report, parted = done.restored.report, done.parted
    return {
        "recovery_seconds": round(done.recovery_seconds, 3),
        "recovery_point": report.position and report.position.isoformat(),
        "recovery_point_age_days": report.position and (now_here().date() - report.position).days,
        "certificates": {"total": report.census.total, "in_use": report.census.in_use},
        "digest": report.census.digest,
        "only_live": 0 if parted is None else len(parted.only_one),
        "only_restored": 0 if parted is None else len(parted.only_other),
        "files": [applied_document(applied) for applied in report.applied],
        "phases": phases_document(done.restored),
        "checks": checks_document(done.restored),
        "attention": [attention_document(attention) for attention in report.attention],
        "error": None,
    }


def _failed(done: RehearsalFailed) -> Json:
    nothing = ("recovery_seconds", "recovery_point", "recovery_point_age_days", "certificates", "digest")
    return {
        **dict.fromkeys((*nothing, "only_live", "only_restored")),
        **{name: [] for name in ("files", "phases", "checks", "attention")},
        "error": failure("drill", done.error, exit_of(done.error))["error"],
    }


def drill_text(done: RehearsalResult | RehearsalFailed, report: Path) -> list[str]:
    """The drill for people."""
    where = f"  report        {visible(str(report))}"
    if isinstance(done, RehearsalFailed):
        error = done.error
        said = wrapped(f"{error.message}. {error.hint}", indent="  ")
        return ["The drill FAILED: it could not be carried out.", *said, where]
    word = "passed" if done.agrees else "FAILED"
    parted = done.parted
    return [
        f"The drill {word}: restored in {duration_text(done.recovery_seconds)}, as of {done.live.position}.",
        *restore_lines(done.restored),
        *(
            wrapped(
                f"  parted        {len(parted.only_one):,} certificates are In-Use in the live mirror alone,"
                f" {len(parted.only_other):,} in the restored one alone",
                hanging=16,
            )
            if parted
            else []
        ),
        where,
    ]
