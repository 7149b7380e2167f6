"""The command `resolve`."""

import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import MirrorOptions, add_command, load_config
from smki_sync.cli.certificate_view import link_in, parse_role
from smki_sync.cli.check import STDIN, opened, unproven_document
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.option_specs import FILTER_PANEL
from smki_sync.cli.output import Json, ProgressCounter, print_json, print_text, schema_of
from smki_sync.errors import UsageError
from smki_sync.lookup.inputs import open_input
from smki_sync.lookup.resolve import (
    DUIS_ROLES,
    Assessment,
    Credential,
    CredentialVerdict,
    assess,
    credential_of,
    credential_of_line,
    parse_expectation,
    role_name,
)
from smki_sync.mirror.queries import (
    Certificate,
    CertificateFilter,
    Connection,
    find,
    open_mirror,
    read_position,
)
from smki_sync.model.certificate import Eui
from smki_sync.model.plan import Position
from smki_sync.reader.credentials import looks_like_xml, read_credentials
from smki_sync.text import wrapped
from smki_sync.timestamps import utc
from smki_sync.usability import UsabilityRule, rule_at

MAX_INPUT_BYTES: Final = 4 * 1024 * 1024
"""Largest input in bytes: the credentials of one device, or a list of them."""
_DUIS_ROLES: Final = {name.lower(): number for name, number in DUIS_ROLES.items()}


def register_resolve(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "resolve",
        resolve,
        examples=(
            "smki-sync resolve answer-6.24.1.xml --expect supplier=90-B3-D5-1F-30-01-00-00",
            "smki-sync resolve alert.xml --json",
            "smki-sync resolve - --expect networkOperator=90-B3-D5-1F-30-02-00-00",
        ),
    )


def resolve(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-",
            help="Answer to 6.24.1 or 6.24.2, outcome of an update, or alert (MMC or DUIS XML); or lines with"
            " hashes, key identifiers or serial numbers; - = stdin.",
        ),
    ],
    *,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            "--expect",
            metavar="ROLE=EUI",
            help="The party that a role must be; may be repeated (default: party.euis, by their roles).",
            rich_help_panel=FILTER_PANEL,
        ),
    ] = None,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """Assess the credentials that a device reports.

    One line for each credential: whose certificate it is, and whether it is correct, expired, revoked, or not
    that of the expected party. Exit code 0 if every credential is correct, otherwise 10.
    """
    expected = parse_expected(expect or [])
    data = _read(file)
    device, credentials = credentials_in(file, data)
    settings, at = place.lookup(), now_here()
    rule = rule_at(at, settings.stale_lists)
    parties = () if expect else load_config(place).party.parties()
    with ProgressCounter(sys.stderr) as progress, open_mirror(link_in(settings.mirror)) as db:
        if parties:
            expected = parties_by_role(db, parties, rule)
        found = assess(db, credentials, expected, rule, progress=progress)
        position = read_position(db)
    correct = bool(found) and all(one.verdict is CredentialVerdict.CORRECT for one in found)
    if as_json:
        print_json(resolve_document(found, device, at, position))
    else:
        _print_answer(found, device, position)
    raise typer.Exit(Exit.OK if correct else Exit.FINDING)


def parse_expected(texts: Iterable[str]) -> dict[int, frozenset[Eui]]:
    """Parse the values of --expect: several parties of one role are alternatives."""
    expected: dict[int, set[Eui]] = defaultdict(set)
    for text in texts:
        try:
            role, eui = parse_expectation(text)
        except ValueError as exc:
            raise UsageError(
                f"--expect: {text!r:.60}: {exc}.", hint="Write --expect supplier=00-DB-12-34-56-78-90-A4."
            ) from exc
        number = _DUIS_ROLES.get(role.lower())
        number = parse_role(role) if number is None else number
        if number is not None:
            expected[number].add(eui)
    return {role: frozenset(parties) for role, parties in expected.items()}


def parties_by_role(
    db: Connection, parties: tuple[Eui, ...], rule: UsabilityRule
) -> dict[int, frozenset[Eui]]:
    """Return our parties by the roles of their certificates in the mirror."""
    expected: dict[int, set[Eui]] = defaultdict(set)
    for c in find(db, CertificateFilter(euis=parties, any_status=True), rule):
        if c.role is not None and c.eui is not None:
            expected[c.role].add(Eui(c.eui))
    return {role: frozenset(found) for role, found in expected.items()}


def _read(name: str) -> bytes:
    if name == STDIN:
        data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    else:
        with opened(name) as stream:
            data = stream.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise UsageError(
            f"{name} has more than {MAX_INPUT_BYTES:,} bytes.", hint="Use `smki-sync check` for long lists."
        )
    return data


def credentials_in(name: str, data: bytes) -> tuple[str | None, list[Credential]]:
    """Return the device, if it is known, and its credentials; raises :class:`UsageError`, ``BadExtract``."""
    if not looks_like_xml(data):
        lines = open_input(name, io.BytesIO(data)).lines
        return None, [credential_of_line(f"line {line.number}", line.readings, line.error) for line in lines]
    try:
        report = read_credentials(data, name=name)
    except ValueError as exc:
        raise UsageError(f"{name}: {exc}.", code="not-credentials") from exc
    return report.device, [credential_of(one) for one in report.credentials]


def resolve_document(
    found: Iterable[Assessment], device: str | None, at: datetime, position: Position
) -> Json:
    """Return the document of ``resolve --json``."""
    rows = [_row(one) for one in found]
    correct = bool(rows) and all(row["verdict"] == CredentialVerdict.CORRECT.value for row in rows)
    return {
        "schema": schema_of("resolve"),
        "outcome": "correct" if correct else "findings",
        "position": position.day.isoformat(),
        "unproven": unproven_document(position),
        "at": utc(at),
        "device": device,
        "credentials": rows,
    }


def _row(one: Assessment) -> Json:
    given, c = one.credential, one.certificate
    role = given.role if given.role is not None else (c.role if c else None)
    return {
        "label": given.label or None,
        "role": role,
        "usage": given.usage or (c.usage if c else None),
        "party": given.party,
        "status": given.status,
        "verdict": one.verdict.value,
        "why": one.why or None,
        **_facts("", c),
        **_facts("newer_", one.newer),
    }


def _facts(prefix: str, c: Certificate | None) -> Mapping[str, object]:
    values = {
        "eui": c.eui if c else None,
        "subject": c.subject if c else None,
        "issuer": c.issuer if c else None,
        "serial": c.serial if c else None,
        "ski": c.ski if c else None,
        "not_before": c.not_before if c else None,
        "not_after": c.not_after if c else None,
    }
    if prefix:
        values = {name: values[name] for name in ("serial", "ski", "not_before", "not_after")}
    return {f"{prefix}{name}": value for name, value in values.items()}


def _print_answer(found: list[Assessment], device: str | None, position: Position) -> None:
    wrong = sum(one.verdict is not CredentialVerdict.CORRECT for one in found)
    of_device = f" of device {device}" if device else ""
    if not found:
        print_text("There is no credential to assess.", colour="yellow")
    else:
        colour = "yellow" if wrong else "green"
        print_text(f"{len(found) - wrong} of {len(found)} credentials{of_device} are correct.", colour=colour)
    for one in found:
        print_text(
            "\n".join(_lines(one)), colour="" if one.verdict is CredentialVerdict.CORRECT else "yellow"
        )
    unproven = f", UNPROVEN since {position.unproven.since}" if position.unproven else ""
    print_text(f"mirror at position {position.day}{unproven}")


def _lines(one: Assessment) -> Iterator[str]:
    """Yield the paragraph of one credential."""
    given, c = one.credential, one.certificate
    role = given.role if given.role is not None else (c.role if c else None)
    what = " ".join(part for part in (given.label, role_name(role), given.usage or (c and c.usage)) if part)
    whose = f": {c.eui or c.subject}, serial {c.serial}, to {c.not_after[:10]}" if c else ""
    yield from wrapped(f"{what}: {one.verdict}{whose}")
    if one.why:
        yield from wrapped(one.why, indent="  ", hanging=0)
