"""``smki-sync show``: one subject's certificates.

For: the question that is asked all day. Refuses: to answer from anything but the mirror.
"""

import sys
from hashlib import sha1, sha256
from typing import Annotated, Final

import typer

from smki_sync.cli import options
from smki_sync.cli.exits import Exit
from smki_sync.cli.identities import parse_identity
from smki_sync.cli.out import say, say_json, say_octets
from smki_sync.cli.render import Json, schema_of
from smki_sync.cli.setting import configure
from smki_sync.cli.words import block, visible
from smki_sync.errors import MirrorError, UsageError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import Certificate, find_certificates, open_mirror, read_position
from smki_sync.model.certificate import ROLE_NAMES, Status, Usage
from smki_sync.model.plan import Position
from smki_sync.x509 import read_facts
from smki_sync.x509.pem import to_pem

_USAGES: Final = {Usage.DIGITAL_SIGNING: "digital signing", Usage.KEY_AGREEMENT: "key agreement"}
_NUMBERS: Final = {name.lower(): number for number, name in ROLE_NAMES.items()}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show")(show)


def show(
    identity: Annotated[
        str,
        typer.Argument(
            metavar="IDENTITY",
            help="An EUI-64; serial: in hex or decimal; ski:, sha1:, sha256: in hex; or a certificate file.",
        ),
    ],
    *,
    usage: Annotated[Usage | None, typer.Option(help="Only this key usage.", case_sensitive=False)] = None,
    role: Annotated[
        str | None, typer.Option(metavar="R", help="Only this Remote Party Role, by number or name.")
    ] = None,
    any_status: Annotated[
        bool, typer.Option("--any-status", help="Also what is not In-Use, or withdrawn.")
    ] = False,
    pem: Annotated[bool, typer.Option("--pem", help="The certificates in PEM.")] = False,
    der: Annotated[bool, typer.Option("--der", help="The certificate's octets; exactly one.")] = False,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Show the certificates of one subject, In-Use only unless told otherwise.

    Exit code 10 when there is none.
    """
    if as_json + pem + der > 1:
        raise UsageError("--json, --pem and --der exclude one another")
    wanted = parse_identity(identity)
    link = MirrorDirectory(configure(mirror=mirror, config=config).need_mirror()).link
    if not link.is_symlink():
        raise MirrorError(
            f"there is no mirror in {link.parent}", hint="Run `smki-sync sync`.", code="no-mirror"
        )
    with open_mirror(link) as db:
        position = read_position(db)
        found = find_certificates(db, wanted, usage=usage, role=parse_role(role), any_status=any_status)
    if as_json:
        say_json(document(found, position))
    elif not found:
        more = _restrictions(usage=usage, role=role, any_status=any_status)
        sys.stderr.write("\n".join(block(_none(identity, position, more))) + "\n")
    elif pem:
        say("".join(to_pem(c.der) for c in found), end="")
    elif der:
        say_octets(_only(found).der)
    else:
        say("\n\n".join(_paragraph(c) for c in found))
    raise typer.Exit(Exit.OK if found else Exit.FINDING)


def parse_role(text: str | None) -> int | None:
    """A Remote Party Role by number or name, any case."""
    if text is None or text.isdigit():
        return None if text is None else int(text)
    if text.lower() not in _NUMBERS:
        raise UsageError(
            f"{text!r:.40} is no Remote Party Role", hint=f"One of {', '.join(ROLE_NAMES.values())}."
        )
    return _NUMBERS[text.lower()]


def document(found: list[Certificate], position: Position) -> Json:
    """The document of ``show --json``."""
    return {
        "schema": schema_of("show"),
        "position": position.day.isoformat(),
        "certificates": [_fields(c) for c in found],
    }


def _fields(c: Certificate) -> Json:
    return {
        "eui": c.eui,
        "kind": c.kind,
        "role": c.role,
        "role_name": None if c.role is None else ROLE_NAMES.get(c.role),
        "usage": c.usage,
        "status": c.status,
        "status_name": Status(c.status).words,
        "in_use": c.in_use,
        "serial": c.serial,
        "serial_decimal": str(int(c.serial, 16)),
        "issuer": c.issuer,
        "subject": c.subject,
        "not_before": c.not_before,
        "not_after": c.not_after,
        "ski": c.ski,
        "aki": read_facts(c.der).aki,
        "sha1": sha1(c.der, usedforsecurity=False).hexdigest(),
        "sha256": sha256(c.der).hexdigest(),
        "manufacturing": c.manufacturing,
        "first_seen": c.first_seen,
        "last_changed": c.last_changed,
        "withdrawn": c.withdrawn,
        "revoked": c.revoked,
        "file": c.file,
        "flags": list(c.flags.codes),
        "pem": to_pem(c.der),
    }


def _none(identity: str, position: Position, more: str) -> str:
    return f"The mirror, as of {position.day}, holds no certificate of {identity}{more}."


def _restrictions(*, usage: Usage | None, role: str | None, any_status: bool) -> str:
    wanted = [f"--usage {usage}"] * bool(usage) + [f"--role {role}"] * bool(role)
    state = "" if any_status else " In-Use (--any-status shows others)"
    return f"{state}{' with ' if wanted else ''}{' and '.join(wanted)}"


def _paragraph(c: Certificate) -> str:
    role = "" if c.role is None else f", {ROLE_NAMES.get(c.role, 'role')} ({c.role})"
    usage = f", {_USAGES[Usage(c.usage)]}" if c.usage else ""
    lines = [
        f"{c.eui or visible(c.subject)}  {c.kind}{role}{usage}",
        f"  {_standing(c)}",
        f"  serial      {c.serial}",
        f"  issuer      {visible(c.issuer)}",
        *([f"  subject     {visible(c.subject)}"] if c.subject else []),
        f"  valid       {c.not_before} to {c.not_after}",
        f"  key id      {c.ski or 'none in the certificate'}",
        f"  first seen  {c.first_seen}, last changed {c.last_changed}",
        f"  file        {visible(c.file)}",
        *([f"  flags       {', '.join(c.flags.codes)}"] if c.flags else []),
    ]
    return "\n".join(lines)


def _standing(c: Certificate) -> str:
    if c.in_use:
        return "In-Use"
    if c.revoked:
        return f"NOT In-Use: revoked by a list since {c.revoked}"
    if c.withdrawn:
        return f"NOT In-Use: withdrawn, no longer listed by the full of {c.withdrawn}"
    return f"NOT In-Use: status {Status(c.status).words} ({c.status}) since {c.last_changed}"


def _only(found: list[Certificate]) -> Certificate:
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} certificates match, and --der writes one",
            hint="Add --usage or --role, name it by serial:, or use --pem.",
        )
    return found[0]
