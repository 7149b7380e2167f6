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
from smki_sync.cli.schedule import (
    Into,
    Schedule,
    Scheduling,
    schedule_for_init,
    schedule_lines,
    write_schedule,
)
from smki_sync.config.file import (
    FILE_VARIABLE,
    current_directory,
    expand_home,
    find_config_file,
    new_config_file,
    untrusted_directories,
    user_config_directory,
)
from smki_sync.config.loader import Config
from smki_sync.config.schema import example
from smki_sync.doctor import CheckContext, CheckOutcome, CheckResult, ConfiguredPaths, examine
from smki_sync.doctor.local import failed, passed
from smki_sync.doctor.remote import OpenWithEvents
from smki_sync.download import MANUAL_LOGIN_LIMIT, LoginGuard
from smki_sync.errors import ConfigError, SourceRefused, UsageError
from smki_sync.events import EventListener
from smki_sync.files import atomic_file
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.sources import fetch_host_key
from smki_sync.sources.base import Address, Limits, SftpAddress, Source, parse_address
from smki_sync.sources.ssh_settings import HostKey
from smki_sync.text import wrapped

PRIVATE_FILE: Final = 0o600
"""Mode of the files that `init` writes: only the owner can read them."""

PRIVATE_DIRECTORY: Final = 0o700
"""Mode of the user's configuration directory."""

SYSTEM_DIRECTORY: Final = 0o755
"""Mode of the configuration directory of the machine. Other users can see which files it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the new configuration contains.

    Args:
        file: The configuration file to write.
        named: Whether the user named the file.
        host_key: The key to write to ``known_hosts``, or ``None``.
    """

    file: Path
    named: bool
    source: str
    mirror: Path
    identity_file: Path | None
    password_file: Path | None
    known_hosts: Path | None
    host_key: HostKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """The options of `init` about the configuration; ``None`` if not given."""

    config: Path | None
    source: str | None
    mirror: Path | None
    identity_file: Path | None
    password_file: Path | None
    known_hosts: Path | None
    fingerprint: str | None


def register_init(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "init",
        init,
        examples=(
            "smki-sync init",
            "smki-sync init --source file:///media/smki --mirror /var/lib/smki --schedule none",
        ),
    )


def init(
    *,
    source: arguments.Source = None,
    mirror: arguments.Mirror = None,
    identity_file: arguments.IdentityFile = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="File that contains the password, mode 0600."),
    ] = None,
    known_hosts: arguments.KnownHosts = None,
    accept_fingerprint: Annotated[
        str | None,
        typer.Option(
            "--accept-fingerprint",
            metavar="SHA256:…",
            help="Trust the host key of the server if it has this fingerprint, which the DCC gave you.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="File to write (default: smki-sync/smki-sync.toml in your configuration directory; for root"
            " /etc/smki-sync/smki-sync.toml).",
        ),
    ] = None,
    schedule: Annotated[
        Scheduling | None,
        typer.Option(
            "--schedule", help="Also write what `smki-sync schedule` writes for this scheduler, or none."
        ),
    ] = None,
    into: Into = None,
    as_json: arguments.Json = False,
) -> None:
    """Write a configuration file and trust the host key of the server.

    The file has comments and is readable only for you. On a terminal, the command asks for missing values. It
    never overwrites a file. It trusts a host key only after you confirm its fingerprint, or if
    --accept-fingerprint gives it. It also offers a systemd timer.
    """
    answers = _complete(
        _Options(
            config=config,
            source=source,
            mirror=mirror,
            identity_file=identity_file,
            password_file=password_file,
            known_hosts=known_hosts,
            fingerprint=accept_fingerprint,
        )
    )
    scheduled = schedule_for_init(
        schedule,
        into,
        config=answers.file,
        source=answers.source,
        mirror=answers.mirror,
        read=(answers.identity_file, password_file, answers.known_hosts),
    )
    _write(answers)
    if scheduled:
        write_schedule(scheduled)
    if as_json:
        print_json(init_document(answers, scheduled))
    else:
        print_text("\n".join(_init_lines(answers, scheduled)))
    raise typer.Exit(Exit.OK)


def _complete(options: _Options) -> Answers:
    """Ask for what no option gives, and confirm the host key."""
    file, named = _file_to_write(options.config)
    _check_absent(file)
    url = options.source or _ask("Repository URL (sftp://user@host:port/path):", "--source")
    address = parse_address(url)
    is_sftp = isinstance(address, SftpAddress)
    if is_sftp and options.known_hosts is None:
        _check_absent(
            file.with_name("known_hosts"),
            hint="Name it with --known-hosts if its key is the right one, or move it away.",
        )
    directory = options.mirror or Path(_ask("Mirror directory:", "--mirror"))
    identity_file = options.identity_file
    if is_sftp and not identity_file and not options.password_file:
        identity_file = Path(_ask("Private key file for the login:", "--identity-file"))
    host_key = None if options.known_hosts else _confirmed_host_key(address, options.fingerprint)
    return Answers(
        file=file,
        named=named,
        source=url,
        mirror=directory,
        identity_file=identity_file,
        password_file=options.password_file,
        known_hosts=options.known_hosts or (file.with_name("known_hosts") if host_key else None),
        host_key=host_key,
    )


def _file_to_write(option: Path | None) -> tuple[Path, bool]:
    """Return the configuration file to write, and whether the user named it."""
    name = option or os.environ.get(FILE_VARIABLE)
    return (Path(name), True) if name else (new_config_file(), False)


def _ask(question: str, option: str) -> str:
    """Ask on the terminal.

    Raises:
        UsageError: There is no terminal.
    """
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(f"{option} is required when not running on a terminal.", hint=f"Give {option}.")
    answer: str = typer.prompt(question, prompt_suffix=" ", err=True)
    return answer


def _check_absent(*paths: Path, hint: str = "Name another file with --config, or move it away.") -> None:
    for path in paths:
        if os.path.lexists(path):
            raise ConfigError(f"{path} already exists.", hint=hint, code="would-overwrite")


def _confirmed_host_key(address: Address, fingerprint: str | None) -> HostKey | None:
    """Return the server's host key after the user or the option has confirmed it. It does not log in."""
    if not isinstance(address, SftpAddress):
        return None
    key = fetch_host_key(address, limits=Limits())
    shown = f"{address.peer} has the host key {key.fingerprint} ({key.kind})"
    if fingerprint is not None:
        if fingerprint != key.fingerprint:
            raise SourceRefused(
                f"{shown}, but --accept-fingerprint gives {fingerprint}.",
                code="host-key-differs",
                hint="Stop. Ask the DCC which fingerprint is right.",
            )
        return key
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(
            f"{shown}. Cannot ask for confirmation: not a terminal.",
            hint="Compare it with the fingerprint from the DCC, then pass it as --accept-fingerprint.",
        )
    sys.stderr.write("\n".join(wrapped(f"{shown}.")) + "\n")
    if not typer.confirm("Did the DCC give you the same fingerprint in another way?", err=True):
        raise SourceRefused(
            "The host key was not accepted. Nothing was written.",
            code="host-key-differs",
            hint="Ask the DCC for the fingerprint, then run `smki-sync init` again.",
        )
    return key


def _write(answers: Answers) -> None:
    """Write both files, or neither if one exists."""
    new_known_hosts = answers.known_hosts if answers.host_key else None
    _check_absent(answers.file, *filter(None, [new_known_hosts]))
    _prepare_directory(answers)
    if answers.host_key and new_known_hosts:
        with atomic_file(new_known_hosts, force=False, mode=PRIVATE_FILE) as file:
            file.write(answers.host_key.line + "\n")
    with atomic_file(answers.file, force=False, mode=PRIVATE_FILE) as file:
        file.write(example(_values(answers)))
    configure(config=answers.file)  # check that it can be loaded, as a sync will do


def _prepare_directory(answers: Answers) -> None:
    """Create the default configuration directory, and check that commands will accept a file in it."""
    if answers.named:
        return
    directory = answers.file.parent
    mode = PRIVATE_DIRECTORY if directory == user_config_directory() else SYSTEM_DIRECTORY
    with disk_errors(directory):
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=mode, exist_ok=True)
        reason = untrusted_directories(answers.file)
    if reason:
        raise ConfigError(
            f"{answers.file} would not be used: {reason}.",
            hint="Correct this, or name a file with --config.",
            code="config-untrusted",
        )


def _values(answers: Answers) -> dict[str, object]:
    given: dict[str, object] = {
        "repository.url": answers.source,
        "repository.identity_file": answers.identity_file,
        "repository.password_file": answers.password_file,
        "repository.known_hosts": answers.known_hosts,
        "mirror.path": answers.mirror,
    }
    # Options are relative to the current directory, but values of the file to its own directory.
    return {
        key: expand_home(value).absolute() if isinstance(value, Path) else value
        for key, value in given.items()
        if value is not None
    }


def init_document(answers: Answers, scheduled: Schedule | None) -> Json:
    """Return the document of ``init --json``."""
    return {
        "schema": schema_of("init"),
        "file": str(answers.file.absolute()),
        "known_hosts": str(answers.known_hosts.absolute()) if answers.known_hosts else None,
        "pinned": answers.host_key.fingerprint if answers.host_key else None,
        "scheduled": [str(file.path) for file in scheduled.files] if scheduled else [],
        "steps": list(scheduled.steps) if scheduled else [],
        "hindrances": list(scheduled.hindrances) if scheduled else [],
    }


def _init_lines(answers: Answers, scheduled: Schedule | None) -> Iterator[str]:
    yield f"Written: {answers.file}"
    if answers.host_key:
        yield f"Trusted: {answers.host_key.fingerprint} in {answers.known_hosts}"
    option = "" if _is_found(answers.file) else f" --config {answers.file}"
    yield f"Next:    smki-sync doctor{option}"
    if scheduled:
        yield from schedule_lines(scheduled)
        return
    yield f"         smki-sync sync{option}"
    yield f"         smki-sync schedule{option}"


def _is_found(file: Path) -> bool:
    """Whether commands find this file without --config."""
    try:
        found = find_config_file(None, os.environ, cwd=current_directory(), user_dir=user_config_directory())
    except ConfigError:
        return False
    return bool(found and found.path == file.absolute())


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
    results = []
    for result in _check_results(
        mirror=mirror, source=source, identity_file=identity_file, known_hosts=known_hosts, config=config
    ):
        results.append(result)
        if not as_json:
            _print_result(result)
    code = exit_of_results(results)
    if as_json:
        print_json(doctor_document(results, code))
    else:
        print_text(_SUMMARIES.get(code, "A sync would fail."))
    raise typer.Exit(code)


_SUMMARIES = {
    Exit.OK: "A sync would succeed.",
    Exit.ATTENTION: "A sync would succeed, with warnings (see LOOK).",
}


def _check_results(**options: Path | str | None) -> Iterator[CheckResult]:
    try:
        config = configure(**options)
        context = _check_context(config)
    except ConfigError as error:
        yield failed("configuration", error)
        return
    origin = f"{config.file} was read" if config.file else "no file; options and environment"
    count = len(config.origins)
    yield passed("configuration", f"{origin}; {count} key{'s are' if count != 1 else ' is'} set")
    yield from examine(context)


def _check_context(config: Config) -> CheckContext:
    """Return what the checks need.

    Raises:
        ConfigError: A value cannot be used: the password file, a trust anchor, a URL.
    """
    config.secrets()
    config.trust.read_anchors()
    return CheckContext(
        address=parse_address(config.need_url()),
        open_source=lambda events: _guarded_source(config, events),
        directory=MirrorDirectory(config.need_mirror()),
        names=config.repository.file_names(),
        policy=config.policy.planner_policy(),
        now=now_here(),
        paths=_configured_paths(config),
    )


def _configured_paths(config: Config) -> ConfiguredPaths:
    def opener(url: str) -> OpenWithEvents:
        parse_address(url)
        return lambda events: _guarded_source(config, events, url)

    return ConfiguredPaths(
        fallbacks=tuple(map(opener, config.repository.fallbacks)),
        archive=config.archive.path,
        textfile=config.metrics.textfile,
        after_run=config.hooks.after_run,
    )


def _guarded_source(config: Config, events: EventListener, url: str | None = None) -> Source:
    """Return a source that does not lock the account. ``doctor`` may try more often than a run."""
    source = source_config_of(config, url).open(events)
    lockout = login_lockout_of(config, url=url, max_refused=MANUAL_LOGIN_LIMIT)
    return LoginGuard(source, lockout=lockout) if lockout else source


def exit_of_results(results: list[CheckResult]) -> Exit:
    """Return the exit code of the first failure, or that of warnings, or OK."""
    errors = [result.error for result in results if result.error]
    if errors:
        return exit_of(errors[0])
    return Exit.ATTENTION if any(r.outcome is CheckOutcome.WARN for r in results) else Exit.OK


def doctor_document(results: list[CheckResult], code: Exit) -> Json:
    """Return the document of ``doctor --json``."""
    outcome = {Exit.OK: "ready", Exit.ATTENTION: "attention"}.get(code, "hindered")
    return {
        "schema": schema_of("doctor"),
        "outcome": outcome,
        "exit": int(code),
        "checks": [
            {
                "check": result.check,
                "verdict": result.outcome.value,
                "code": result.error.reason if result.error else None,
                "exit": int(exit_of(result.error)) if result.error else 0,
                "seen": result.message,
                "mend": result.fix,
            }
            for result in results
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


def _print_result(result: CheckResult) -> None:
    head = f"{_MARKS[result.outcome]:<5}{result.check:<17} {result.message}"
    first, *more = wrapped(head.replace("\n", "; "), hanging=23)
    print_text(first, colour=_COLOURS[result.outcome])
    fix = wrapped(f"fix: {result.fix}", indent=" " * 23, hanging=2) if result.fix else []
    if more or fix:
        print_text("\n".join([*more, *fix]))
