"""``smki-sync anchors``: the anchor slots of each region, and what a device manufacturer loads.

For: looking before devices are loaded. Refuses: to answer from anything but what a sync has taken in, and to
end with 0 where regions differ in more than they may, or a certificate is not In-Use.
"""

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from smki_sync.cli import options
from smki_sync.cli.documents import Json, schema_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.identities import link_in
from smki_sync.cli.output import say, say_json
from smki_sync.config.place import mirror_here
from smki_sync.errors import UsageError
from smki_sync.export.formats import role_name_of
from smki_sync.mirror.companions import Publication, is_in_use, read_publications
from smki_sync.mirror.queries import open_mirror
from smki_sync.text import block
from smki_sync.trust.anchor_slots import Changes, Difference, SlotCertificate, changes, differences
from smki_sync.x509.pem import to_pem


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The newest publication of a region, beside the one before it.

    ``used``: whether the mirror holds each certificate as In-Use, ``None`` where it does not hold it.
    """

    now: Publication
    before: Publication | None
    used: tuple[bool | None, ...]

    @property
    def changes(self) -> Changes:
        """What the newest publication changed."""
        return changes(self.before.certificates, self.now.certificates) if self.before else Changes()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("anchors")(anchors)


def anchors(
    *,
    region: Annotated[
        str | None, typer.Option("--region", metavar="NAME", help="Only this region, in any letter case.")
    ] = None,
    pem: Annotated[bool, typer.Option("--pem", help="One region's certificates as a PEM bundle.")] = False,
    mirror: options.Mirror = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """List the anchor slots of each region, what is In-Use of them, and what has changed.

    Exit code 10 when there are none, when regions differ in more than the WAN provider's certificates,
    or when one of the certificates is not In-Use in the mirror.
    """
    if as_json and pem:
        raise UsageError("--json and --pem exclude one another")
    with open_mirror(link_in(mirror_here(mirror=mirror, config=config))) as db:
        every = _newest(read_publications(db))
        chosen = [pair for pair in every if region is None or pair[0].region.lower() == region.lower()]
        found = [
            Region(now=now, before=before, used=tuple(is_in_use(db, one) for one in now.certificates))
            for now, before in chosen
        ]
    odd = differences({now.region: now.certificates for now, _ in every})
    if as_json:
        say_json(document(found, odd))
    elif pem:
        say("".join(to_pem(one.der) for one in _only(found).now.certificates), end="")
    else:
        say("\n".join(line for one in found for line in _lines(one)) or _none(region, every))
    if not as_json:
        sys.stderr.write("".join(f"{line}\n" for line in _warnings(found, odd)))
    sound = found and not odd and all(all(one.used) for one in found)
    raise typer.Exit(Exit.OK if sound else Exit.FINDING)


def _none(region: str | None, every: list[tuple[Publication, Publication | None]]) -> str:
    """What to say where nothing is listed: another region may be."""
    names = ", ".join(sorted({now.region for now, _ in every}))
    if region and names:
        return "\n".join(block(f"No anchor slots of {region} have been taken in; there are: {names}."))
    return "No anchor slots have been taken in."


def _newest(publications: list[Publication]) -> list[tuple[Publication, Publication | None]]:
    """The newest publication of each file, and the one before."""
    of_file: dict[tuple[str, str], list[Publication]] = {}
    for one in publications:
        of_file.setdefault((one.region, one.file), []).append(one)
    return [(some[0], some[1] if len(some) > 1 else None) for some in of_file.values()]


def _only(found: list[Region]) -> Region:
    if len(found) != 1:
        names = ", ".join(sorted(one.now.region for one in found)) or "none"
        raise UsageError(f"--pem writes one region, and there are: {names}", hint="Name one with --region.")
    return found[0]


def document(found: list[Region], odd: tuple[Difference, ...]) -> Json:
    """The document of ``anchors --json``."""
    return {
        "schema": schema_of("anchors"),
        "regions": [_region(one) for one in found],
        "differences": [
            {**_certificate(one.certificate), "present": list(one.present), "absent": list(one.absent)}
            for one in odd
        ],
    }


def _region(one: Region) -> Json:
    pairs = zip(one.now.certificates, one.used, strict=True)
    return {
        "region": one.now.region,
        "file": one.now.file,
        "day": one.now.day,
        "sha256": one.now.sha256,
        "before": one.before.day if one.before else None,
        "added": [certificate.serial for certificate in one.changes.added],
        "removed": [certificate.serial for certificate in one.changes.removed],
        "certificates": [
            {**_certificate(certificate), "in_use": used, "pem": to_pem(certificate.der)}
            for certificate, used in pairs
        ],
    }


def _certificate(one: SlotCertificate) -> Json:
    return {
        "role": one.role,
        "role_name": role_name_of(one.role),
        "usage": one.usage,
        "serial": one.serial,
        "issuer": one.issuer,
        "subject": one.subject,
        "sha256": one.sha256,
    }


def _lines(one: Region) -> list[str]:
    now = one.now
    lines = block(f"{now.region}: {len(now.certificates)} certificates, {now.file}, taken in {now.day}")
    pairs = zip(now.certificates, one.used, strict=True)
    lines += [f"  {_row(certificate)}  {_USED[used]}".rstrip() for certificate, used in pairs]
    if one.before:
        lines += block(f"since the publication of {one.before.day}: {_moved(one.changes)}", indent="  ")
    return lines


_USED = {True: "In-Use", False: "NOT In-Use", None: "not in the mirror"}


def _row(one: SlotCertificate) -> str:
    role = role_name_of(one.role) or ("" if one.role is None else f"role {one.role}")
    return f"{role:<19}  {one.usage or '':<2}  {one.serial:<32}"


def _moved(moved: Changes) -> str:
    parts = [f"new {one.label}" for one in moved.added] + [f"gone {one.label}" for one in moved.removed]
    return "; ".join(parts) or "the same certificates"


def _warnings(found: list[Region], odd: tuple[Difference, ...]) -> list[str]:
    said = [
        f"{one.certificate.label} stands in {', '.join(one.present)} and not in {', '.join(one.absent)}: do"
        " not load devices before the DCC has said which is right."
        for one in odd
    ]
    unused = sum(not used for one in found for used in one.used)
    if unused:
        said.append(f"{unused} of these are not In-Use in the mirror: do not load them.")
    return [line for text in said for line in block(text)]
