"""The commands `init` and `doctor`."""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import add_command
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.cli.job import login_lockout_of, source_config_of
from smki_sync.cli.output import Json, print_json, print_text, schema_of
from smki_sync.cli.schedule import Into, Schedule, Scheduling, offered, schedule_lines, write
from smki_sync.config.file import expand_home
from smki_sync.config.loader import Config
from smki_sync.config.schema import example
from smki_sync.doctor import CheckContext, CheckOutcome, CheckResult, ConfiguredPaths, examine
from smki_sync.doctor.local import failed, passed
from smki_sync.doctor.remote import OpenHeard
from smki_sync.download import MANUAL_LOGIN_LIMIT, LoginGuard
from smki_sync.errors import ConfigError, SourceRefused, UsageError
from smki_sync.events import EventListener
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.sources import fetch_host_key
from smki_sync.sources.base import Address, Limits, SftpAddress, Source, parse_address
from smki_sync.sources.ssh_settings import HostKey
from smki_sync.text import wrapped

PRIVATE: Final = 0o600
"""Mode of every file made here: its owner alone reads it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the configuration shall say. ``key``: pinned beside it; ``None`` where nothing is to be pinned."""

    file: Path
    source: str
    mirror: Path
    identity_file: Path | None
    password_file: Path | None
    known_hosts: Path | None
    key: HostKey | None


def register_init(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "init",
        init,
        examples=(
            "smki-sync init",
            "smki-sync init --source file:///media/smki --mirror /srv/smki --schedule none",
        ),
    )


def init(
    *,
    source: arguments.Source = None,
    mirror: arguments.Mirror = None,
    identity_file: arguments.IdentityFile = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="File that holds the password, mode 0600."),
    ] = None,
    known_hosts: arguments.KnownHosts = None,
    accept_fingerprint: Annotated[
        str | None,
        typer.Option(
            "--accept-fingerprint",
            metavar="SHA256:…",
            help="Pin the server's key if it has this fingerprint, which the DCC gave you.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The file to write.")] = Path(
        "smki-sync.toml"
    ),
    schedule: Annotated[
        Scheduling | None,
        typer.Option(
            "--schedule", help="What runs the sync once a day: as `smki-sync schedule` writes it, or none."
        ),
    ] = None,
    into: Into = None,
    as_json: arguments.Json = False,
) -> None:
    """Write a configuration file and pin the host key.

    The file has comments and is readable only by its owner. On a terminal, the command asks for missing
    values. It never overwrites a file. It pins a key only after confirmation, or if its fingerprint is that
    of --accept-fingerprint. It also offers a systemd timer.
    """
    _check_absent(output)
    url = source or _ask("Where do extracts come from (sftp://user@host:port/path)?", "--source")
    address = parse_address(url)
    if isinstance(address, SftpAddress) and known_hosts is None:
        _check_absent(
            output.with_name("known_hosts"),
            hint="Give it as --known-hosts, if the key that it pins is the right one, or move it away.",
        )
    place = mirror or Path(_ask("In which directory shall the mirror be?", "--mirror"))
    if isinstance(address, SftpAddress) and not identity_file and not password_file:
        identity_file = Path(_ask("Which file holds the private key for the login?", "--identity-file"))
    key = _compared(address, accept_fingerprint) if known_hosts is None else None
    answers = Answers(
        file=output,
        source=url,
        mirror=place,
        identity_file=identity_file,
        password_file=password_file,
        known_hosts=known_hosts or (output.with_name("known_hosts") if key else None),
        key=key,
    )
    made = offered(
        schedule,
        into,
        config=output,
        source=url,
        mirror=place,
        read=(identity_file, password_file, answers.known_hosts),
    )
    _write(answers)
    if made:
        write(made)
    print_json(init_document(answers, made)) if as_json else print_text("\n".join(_lines(answers, made)))
    raise typer.Exit(Exit.OK)


def _ask(question: str, option: str) -> str:
    """Ask on the terminal; without one, say which option answers."""
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(f"{option} is not given, and nobody can be asked", hint=f"Give {option}.")
    answer: str = typer.prompt(question, prompt_suffix=" ", err=True)
    return answer


def _check_absent(*paths: Path, hint: str = "Name another file with --output, or move it away.") -> None:
    for path in paths:
        if os.path.lexists(path):
            raise ConfigError(
                f"{path} is there already, and is not overwritten",
                hint=hint,
                code="would-overwrite",
            )


def _compared(address: Address, fingerprint: str | None) -> HostKey | None:
    """The server's key, once somebody has compared it; no login is tried."""
    if not isinstance(address, SftpAddress):
        return None
    key = fetch_host_key(address, limits=Limits())
    shown = f"{address.peer} shows the host key {key.fingerprint} ({key.kind})"
    if fingerprint is not None:
        if fingerprint != key.fingerprint:
            raise SourceRefused(
                f"{shown}, and --accept-fingerprint gives {fingerprint}",
                code="host-key-differs",
                hint="Do not go on. Ask the DCC which fingerprint is the right one.",
            )
        return key
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(
            f"{shown}; nobody can be asked whether it is the right one",
            hint="Compare it with the one that the DCC gave you; then give it as --accept-fingerprint.",
        )
    sys.stderr.write("\n".join(wrapped(f"{shown}.")) + "\n")
    if not typer.confirm("Is this the fingerprint that the DCC gave you by another way?", err=True):
        raise SourceRefused(
            "The host key was not accepted; nothing was written",
            code="host-key-differs",
            hint="Ask the DCC for the fingerprint, then run `smki-sync init` again.",
        )
    return key


def _write(answers: Answers) -> None:
    """Both files, or none where one is there already."""
    pins = [answers.known_hosts] if answers.key and answers.known_hosts else []
    _check_absent(answers.file, *pins)
    if answers.key and answers.known_hosts:
        _create(answers.known_hosts, answers.key.line + "\n")
    _create(answers.file, example(_values(answers)))
    configure(config=answers.file)  # what was written is read, as a sync will


def _values(answers: Answers) -> dict[str, object]:
    given: dict[str, object] = {
        "repository.url": answers.source,
        "repository.identity_file": answers.identity_file,
        "repository.password_file": answers.password_file,
        "repository.known_hosts": answers.known_hosts,
        "mirror.path": answers.mirror,
    }
    # Options are relative to where we stand, the file's values to where it stands.
    return {
        key: expand_home(value).absolute() if isinstance(value, Path) else value
        for key, value in given.items()
        if value is not None
    }


def _create(path: Path, text: str) -> None:
    """Make a file that was not there, for its owner alone; what a symlink points at is not touched."""
    with disk_errors(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)


def init_document(answers: Answers, made: Schedule | None) -> Json:
    """The document of ``init --json``."""
    return {
        "schema": schema_of("init"),
        "file": str(answers.file.absolute()),
        "known_hosts": str(answers.known_hosts.absolute()) if answers.known_hosts else None,
        "pinned": answers.key.fingerprint if answers.key else None,
        "scheduled": [str(one.path) for one in made.made] if made else [],
        "steps": list(made.steps) if made else [],
        "hindrances": list(made.hindrances) if made else [],
    }


def _lines(answers: Answers, made: Schedule | None) -> Iterator[str]:
    yield f"Written: {answers.file}"
    if answers.key:
        yield f"Pinned:  {answers.key.fingerprint} in {answers.known_hosts}"
    named_so = "" if answers.file == Path("smki-sync.toml") else f" --config {answers.file}"
    yield f"Next:    smki-sync doctor{named_so}"
    if made:
        yield from schedule_lines(made)
        return
    yield f"         smki-sync sync{named_so}"
    yield f"         smki-sync schedule{named_so}"


def register_doctor(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, "doctor", doctor, examples=("smki-sync doctor", "smki-sync doctor --json"))


def doctor(
    *,
    mirror: arguments.Mirror = None,
    source: arguments.Source = None,
    identity_file: arguments.IdentityFile = None,
    known_hosts: arguments.KnownHosts = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """Check everything that could make a sync fail.

    Connects once and logs in once. Exit code 0 if a sync would succeed, 3 if it would succeed with warnings,
    otherwise the exit code of the first problem.
    """
    findings = []
    for finding in _findings(
        mirror=mirror, source=source, identity_file=identity_file, known_hosts=known_hosts, config=config
    ):
        findings.append(finding)
        if not as_json:
            _say(finding)
    code = exit_of_findings(findings)
    print_json(doctor_document(findings, code)) if as_json else print_text(
        _CLOSING.get(code, "A sync would fail.")
    )
    raise typer.Exit(code)


_CLOSING = {
    Exit.OK: "Nothing would stop a sync.",
    Exit.ATTENTION: "A sync would work; look at what is marked.",
}


def _findings(**given: Path | str | None) -> Iterator[CheckResult]:
    try:
        settings = configure(**given)
        patient = _check_context(settings)
    except ConfigError as error:
        yield failed("configuration", error)
        return
    named = f"{settings.file} was read" if settings.file else "no file; options and environment"
    yield passed("configuration", f"{named}; {len(settings.origins)} keys are set")
    yield from examine(patient)


def _check_context(settings: Config) -> CheckContext:
    """The configured set-up; raises ``ConfigError`` for what shows without looking further."""
    settings.secrets()
    settings.trust.read_anchors()
    return CheckContext(
        address=parse_address(settings.need_url()),
        open_source=lambda hear: _watched(settings, hear),
        directory=MirrorDirectory(settings.need_mirror()),
        names=settings.repository.file_names(),
        policy=settings.policy.planner_policy(),
        now=now_here(),
        places=_places(settings),
    )


def _places(settings: Config) -> ConfiguredPaths:
    """What is configured beside; raises ``ConfigError`` for a fallback that is no address."""

    def opener(url: str) -> OpenHeard:
        parse_address(url)
        return lambda hear: _watched(settings, hear, url)

    return ConfiguredPaths(
        fallbacks=tuple(map(opener, settings.repository.fallbacks)),
        archive=settings.archive.path,
        textfile=settings.metrics.textfile,
        after_run=settings.hooks.after_run,
    )


def _watched(settings: Config, hear: EventListener, url: str | None = None) -> Source:
    source = source_config_of(settings, url).open(hear)
    lockout = login_lockout_of(settings, url=url, max_refused=MANUAL_LOGIN_LIMIT)
    return LoginGuard(source, lockout=lockout) if lockout else source


def exit_of_findings(findings: list[CheckResult]) -> Exit:
    """The code of the first cause; attention where there are only warnings."""
    causes = [finding.error for finding in findings if finding.error]
    if causes:
        return exit_of(causes[0])
    return Exit.ATTENTION if any(f.verdict is CheckOutcome.WARN for f in findings) else Exit.OK


def doctor_document(findings: list[CheckResult], code: Exit) -> Json:
    """The document of ``doctor --json``."""
    outcome = {Exit.OK: "ready", Exit.ATTENTION: "attention"}.get(code, "hindered")
    return {
        "schema": schema_of("doctor"),
        "outcome": outcome,
        "exit": int(code),
        "checks": [
            {
                "check": f.check,
                "verdict": f.verdict.value,
                "code": f.error.reason if f.error else None,
                "exit": int(exit_of(f.error)) if f.error else 0,
                "seen": f.seen,
                "mend": f.mend,
            }
            for f in findings
        ],
    }


_COLOURS = {
    CheckOutcome.OK: "green",
    CheckOutcome.WARN: "yellow",
    CheckOutcome.FAIL: "yellow",
    CheckOutcome.SKIPPED: "",
}
_MARKS = {
    CheckOutcome.OK: "ok",
    CheckOutcome.WARN: "LOOK",
    CheckOutcome.FAIL: "FAIL",
    CheckOutcome.SKIPPED: "-",
}


def _say(finding: CheckResult) -> None:
    head = f"{_MARKS[finding.verdict]:<5}{finding.check:<17} {finding.seen}"
    first, *more = wrapped(head.replace("\n", "; "), hanging=23)
    print_text(first, colour=_COLOURS[finding.verdict])
    lines = [*more, *(wrapped(f"mend: {finding.mend}", indent=" " * 23, hanging=2) if finding.mend else [])]
    if lines:
        print_text("\n".join(lines))
