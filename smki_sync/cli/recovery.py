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
from smki_sync.cli.job import job_of, recorded, talking
from smki_sync.cli.output import Json, check_place, outside_mirror, say, say_json, schema_of
from smki_sync.cli.run_report import applied_document, attention_document
from smki_sync.cli.run_report import document as sync_document
from smki_sync.cli.sync import show_report
from smki_sync.errors import UsageError
from smki_sync.events import Noted
from smki_sync.export.formats import csv_lines
from smki_sync.files import whole_file
from smki_sync.mirror.connection import named
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.reconcile import Difference
from smki_sync.model.report import SyncReport
from smki_sync.recovery import Drilled, NotDrilled, Restored
from smki_sync.recovery import drill as carry_out
from smki_sync.recovery import restore as restore_from
from smki_sync.recovery.reconcile import Keep, Reconciled, forget
from smki_sync.recovery.reconcile import reconcile as reconcile_with
from smki_sync.report.page import drill_page
from smki_sync.text import block, in_time, visible

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
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        found = reconcile_with(job_of(settings, talk), repair=repair, keep=_writer(list_to))
    if as_json:
        say_json(document_reconcile(found))
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


def document_reconcile(found: Reconciled) -> Json:
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
    done: list[Restored] = []
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)

        def deed() -> SyncReport:
            done.append(restore_from(job, until=day, anchors=settings.trust.read_anchors()))
            return done[0].report

        report = recorded(settings, job, "restore", deed)
        if as_json or quiet:
            for attention in report.attention:
                talk.hear(Noted(attention=attention))
    if as_json:
        say_json(document_restore(done[0]))
    elif not quiet:
        show_report(report)
        say("\n".join(lines_restore(done[0])))
    raise typer.Exit(exit_of_outcome(report.outcome))


def document_restore(restored: Restored) -> Json:
    """The document of ``restore --json``: that of ``sync``, with phases and checks."""
    return {
        **sync_document(restored.report, command="restore"),
        "phases": phases_document(restored),
        "checks": checks_document(restored),
    }


def phases_document(restored: Restored) -> list[Json]:
    """How long each phase took, in seconds to the millisecond."""
    return [{"phase": phase.name, "seconds": round(phase.seconds, 3)} for phase in restored.phases]


def checks_document(restored: Restored) -> list[Json]:
    """What was checked before it took over."""
    return [
        {"check": check.name, "passed": check.passed, "detail": check.detail} for check in restored.checks
    ]


_MARKS = {True: "passed", False: "FAILED", None: "not made"}


def lines_restore(restored: Restored) -> list[str]:
    """Phases and checks for people."""
    total = sum(phase.seconds for phase in restored.phases)
    times = ", ".join(f"{phase.name} {in_time(phase.seconds)}" for phase in restored.phases)
    return [
        *block(f"  took          {in_time(total)}: {times}", hanging=16),
        *(
            line
            for check in restored.checks
            for line in block(
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
    with talking(settings, quiet=quiet, verbose=verbose) as talk:
        job = job_of(settings, talk)
        done = carry_out(job, scratch or root / "drill", anchors=settings.trust.read_anchors())
    made = document(done)
    report = _write(reports, made)
    if as_json:
        say_json(made)
    elif not quiet:
        say("\n".join(text(done, report)))
    raise typer.Exit(Exit.OK if made["agrees"] else Exit.FINDING)


def _write(directory: Path, made: Json) -> Path:
    """The report as JSON and as a page that carries its hash; the page's path."""
    written = json.dumps(made, indent=2) + "\n"
    stem = f"drill-{str(made['began']).replace(':', '')}"
    page = directory / f"{stem}.html"
    with named(directory):
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        (directory / f"{stem}.json").write_text(written, encoding="utf-8")
        page.write_text(drill_page(made, sha256=sha256(written.encode()).hexdigest()), encoding="utf-8")
    return page


def document(done: Drilled | NotDrilled) -> Json:
    """The document of ``drill --json``; what was never found out is ``null`` or empty."""
    frame = {
        "schema": schema_of("drill"),
        "agrees": isinstance(done, Drilled) and done.agrees,
        "began": utc(done.began),
        "ended": utc(done.ended),
        "live": done.live and {"position": done.live.position.isoformat(), "digest": done.live.digest},
        "machine": dict(done.machine),
    }
    return frame | (_found(done) if isinstance(done, Drilled) else _failed(done))


def _found(done: Drilled) -> Json:
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


def _failed(done: NotDrilled) -> Json:
    nothing = ("recovery_seconds", "recovery_point", "recovery_point_age_days", "certificates", "digest")
    return {
        **dict.fromkeys((*nothing, "only_live", "only_restored")),
        **{name: [] for name in ("files", "phases", "checks", "attention")},
        "error": failure("drill", done.error, exit_of(done.error))["error"],
    }


def text(done: Drilled | NotDrilled, report: Path) -> list[str]:
    """The drill for people."""
    where = f"  report        {visible(str(report))}"
    if isinstance(done, NotDrilled):
        error = done.error
        said = block(f"{error.message}. {error.hint}", indent="  ")
        return ["The drill FAILED: it could not be carried out.", *said, where]
    word = "passed" if done.agrees else "FAILED"
    parted = done.parted
    return [
        f"The drill {word}: restored in {in_time(done.recovery_seconds)}, as of {done.live.position}.",
        *lines_restore(done.restored),
        *(
            block(
                f"  parted        {len(parted.only_one):,} certificates are In-Use in the live mirror alone,"
                f" {len(parted.only_other):,} in the restored one alone",
                hanging=16,
            )
            if parted
            else []
        ),
        where,
    ]
