"""``smki-sync init``: a configuration that works, and the server's key pinned after somebody has compared it.

For: the first ten minutes. Refuses: to overwrite a file, to pin a key without a yes or the right fingerprint,
to ask for a secret: a password stays in a file or in the environment.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import say, say_json
from smki_sync.cli.schedule import Into, lines
from smki_sync.cli.scheduling import Schedule, Scheduling, offered, write
from smki_sync.config.file import at_home
from smki_sync.config.reference import example
from smki_sync.errors import ConfigError, SourceRefused, UsageError
from smki_sync.mirror.connection import named
from smki_sync.sources.address import Address, SftpAddress, parse_address
from smki_sync.sources.base import Limits
from smki_sync.sources.first_key import fetch_host_key
from smki_sync.sources.ssh_settings import HostKey
from smki_sync.text import block

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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    *,
    source: options.Source = None,
    mirror: options.Mirror = None,
    identity_file: options.IdentityFile = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="File that holds the password, mode 0600."),
    ] = None,
    known_hosts: options.KnownHosts = None,
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
    as_json: options.Json = False,
) -> None:
    """Write a commented configuration, readable by its owner alone, and pin the server's host key.

    Asks on a terminal for what no option says. Nothing is overwritten. A key is pinned only after a yes,
    or where it has the fingerprint that --accept-fingerprint gives. A timer of systemd is offered too.
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
    say_json(document(answers, made)) if as_json else say("\n".join(_lines(answers, made)))
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
    sys.stderr.write("\n".join(block(f"{shown}.")) + "\n")
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
        key: at_home(value).absolute() if isinstance(value, Path) else value
        for key, value in given.items()
        if value is not None
    }


def _create(path: Path, text: str) -> None:
    """Make a file that was not there, for its owner alone; what a symlink points at is not touched."""
    with named(path):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)


def document(answers: Answers, made: Schedule | None) -> Json:
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
        yield from lines(made)
        return
    yield f"         smki-sync sync{named_so}"
    yield f"         smki-sync schedule{named_so}"
