"""``smki-sync doctor``: what would stop a sync, and how to mend it.

For: the first day, and any bad one. Refuses: to mend, to log in more than once.
"""

from collections.abc import Iterator
from pathlib import Path

import typer

from smki_sync.cli import options
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.cli.job import login_memory_of, opening_of
from smki_sync.cli.output import say, say_json
from smki_sync.config.whole import Config
from smki_sync.doctor import Finding, Patient, Places, Verdict, examine
from smki_sync.doctor.finding import failed, fine
from smki_sync.doctor.remote import OpenHeard
from smki_sync.download import BY_HAND, CarefulSource
from smki_sync.errors import ConfigError
from smki_sync.events import Listener
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.sources.address import parse_address
from smki_sync.sources.base import Source
from smki_sync.text import block


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    *,
    mirror: options.Mirror = None,
    source: options.Source = None,
    identity_file: options.IdentityFile = None,
    known_hosts: options.KnownHosts = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Say what would stop a sync and how to mend it: from the configuration to the disk.

    Connects once and logs in once. The exit code is that of the first cause; 3 where a sync would work
    and something should be looked at; 0 where all is well.
    """
    findings = []
    for finding in _findings(
        mirror=mirror, source=source, identity_file=identity_file, known_hosts=known_hosts, config=config
    ):
        findings.append(finding)
        if not as_json:
            _say(finding)
    code = exit_of_findings(findings)
    say_json(document(findings, code)) if as_json else say(_CLOSING.get(code, "A sync would fail."))
    raise typer.Exit(code)


_CLOSING = {
    Exit.OK: "Nothing would stop a sync.",
    Exit.ATTENTION: "A sync would work; look at what is marked.",
}


def _findings(**given: Path | str | None) -> Iterator[Finding]:
    try:
        settings = configure(**given)
        patient = _patient(settings)
    except ConfigError as error:
        yield failed("configuration", error)
        return
    named = f"{settings.file} was read" if settings.file else "no file; options and environment"
    yield fine("configuration", f"{named}; {len(settings.origins)} keys are set")
    yield from examine(patient)


def _patient(settings: Config) -> Patient:
    """The configured set-up; raises ``ConfigError`` for what shows without looking further."""
    settings.secrets()
    settings.trust.read_anchors()
    return Patient(
        address=parse_address(settings.need_url()),
        open_source=lambda hear: _watched(settings, hear),
        directory=MirrorDirectory(settings.need_mirror()),
        names=settings.repository.names(),
        policy=settings.policy.rules(),
        now=now_here(),
        places=_places(settings),
    )


def _places(settings: Config) -> Places:
    """What is configured beside; raises ``ConfigError`` for a fallback that is no address."""
    hooks = settings.hooks

    def opener(url: str) -> OpenHeard:
        parse_address(url)
        return lambda hear: _watched(settings, hear, url)

    return Places(
        fallbacks=tuple(map(opener, settings.repository.fallbacks)),
        archive=settings.archive.path,
        textfile=settings.metrics.textfile,
        hooks={
            "on_updated": hooks.on_updated,
            "on_attention": hooks.on_attention,
            "on_failed": hooks.on_failed,
        },
    )


def _watched(settings: Config, hear: Listener, url: str | None = None) -> Source:
    source = opening_of(settings, url).heard_by(hear)
    memory = login_memory_of(settings, url=url, most=BY_HAND)
    return CarefulSource(source, memory=memory) if memory else source


def exit_of_findings(findings: list[Finding]) -> Exit:
    """The code of the first cause; attention where there are only warnings."""
    causes = [finding.error for finding in findings if finding.error]
    if causes:
        return exit_of(causes[0])
    return Exit.ATTENTION if any(f.verdict is Verdict.WARN for f in findings) else Exit.OK


def document(findings: list[Finding], code: Exit) -> Json:
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


_COLOURS = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "yellow", Verdict.SKIPPED: ""}
_MARKS = {Verdict.OK: "ok", Verdict.WARN: "LOOK", Verdict.FAIL: "FAIL", Verdict.SKIPPED: "-"}


def _say(finding: Finding) -> None:
    head = f"{_MARKS[finding.verdict]:<5}{finding.check:<17} {finding.seen}"
    first, *more = block(head.replace("\n", "; "), hanging=23)
    say(first, colour=_COLOURS[finding.verdict])
    lines = [*more, *(block(f"mend: {finding.mend}", indent=" " * 23, hanging=2) if finding.mend else [])]
    if lines:
        say("\n".join(lines))
