"""The commands `verify` and `anchors`."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.cli import arguments
from smki_sync.cli.certificate_view import link_in
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.job import event_reporter
from smki_sync.cli.output import Json, outside_mirror, print_json, print_text, schema_of
from smki_sync.config.file import mirror_here
from smki_sync.errors import UsageError
from smki_sync.export.formats import role_name_of
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.integrity import CheckedPart
from smki_sync.mirror.ledger import utc
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.revocation import Publication, is_in_use, read_publications
from smki_sync.text import duration_text, visible, wrapped
from smki_sync.trust.anchor_slots import SlotCertificate, SlotChanges, SlotDifference, changes, differences
from smki_sync.trust.profiles import FindingCode, Severity
from smki_sync.verify import Scope, VerifyJob
from smki_sync.verify import verify as carry_out
from smki_sync.verify.inspector import FoundProblem, Verification
from smki_sync.verify.runner import document_of
from smki_sync.x509.der import to_pem

NOTHING_ANCHORED = (
    "none: trust.anchors is not configured. Chains were followed as far as the mirror's own authorities go,"
    " which proves that it agrees with itself, and no more."
)

_UNANCHORED = (
    "Where a chain ends at a root that you trust, name that root in trust.anchors, too: the OCA's and the"
    " DCA's are two."
)

_NAMED = 3
"""Certificates that are named below each code; the file of `--list` has all."""


def verify_document(done: Verification) -> Json:
    """The document of ``verify --json``."""
    tally = done.tally
    held = {damage.aspect for damage in done.damages}
    return {
        "schema": schema_of("verify"),
        "outcome": "sound" if done.is_sound else "findings",
        "at": utc(done.at),
        "position": done.position.isoformat(),
        "anchored": done.anchors > 0,
        "anchors": done.anchors,
        "sample": done.sample,
        "any_status": done.any_status,
        "certificates": {
            "checked": tally.checked,
            "anchored": tally.anchored,
            "with_errors": tally.faulty,
            "with_warnings": tally.odd,
        },
        "signatures": {"proven": tally.proven, "remembered": tally.remembered, "kept": done.kept},
        "aspects": {
            aspect.value: "damaged"
            if aspect in held
            else "sound"
            if aspect in done.aspects
            else "not-checked"
            for aspect in CheckedPart
        },
        "damages": [{"aspect": d.aspect.value, "detail": d.detail} for d in done.damages],
        "errors": done.errors,
        "warnings": done.warnings,
        "codes": [
            {
                "code": code.value,
                "severity": code.severity.value,
                "step": int(code.step),
                "count": count,
                "meaning": code.words,
                "rule": code.step.rule,
            }
            for code, count in sorted(tally.counts.items(), key=lambda pair: (pair[0].step, pair[0]))
        ],
        "examples": [document_of(found) for found in tally.found],
        "seconds": round(done.seconds, 3),
    }


def verify_text(done: Verification) -> str:
    """The same for people, in at most 80 columns."""
    return "\n".join([*wrapped(_headline(done)), *_facts(done), *_damages(done), *_codes(done)])


def _headline(done: Verification) -> str:
    what = f"the mirror as of {done.position}, judged by {utc(done.at)}"
    if not done.is_sound:
        return f"NOT sound: {what}; what was found stands below."
    loose = "" if done.anchors else " in itself, but nothing is anchored"
    sample = "The sample is sound" if done.sample is not None else "Sound"
    return f"{sample}{loose}: {what}."


def _facts(done: Verification) -> Iterator[str]:
    tally = done.tally
    kind = "by chance" if done.sample is not None else "of any status" if done.any_status else "In-Use"
    yield from _fact("certificates", f"{tally.checked:,} {kind}, {tally.faulty:,} with errors")
    kept = "" if done.kept else ", and none will be"
    signatures = f"{tally.proven:,} proven now, {tally.remembered:,} remembered{kept}"
    yield from _fact("signatures", signatures)
    if done.anchors:
        trusted = f"{done.anchors} trusted; {tally.anchored:,} certificates lead to one"
        yield from _fact("anchors", trusted)
    else:
        yield from _fact("anchors", NOTHING_ANCHORED)
    if done.aspects:
        damaged = {damage.aspect for damage in done.damages}
        held = {aspect: "DAMAGED" if aspect in damaged else "sound" for aspect in done.aspects}
        words = [f"{aspect.value} {held.get(aspect, 'not checked')}" for aspect in CheckedPart]
        yield from _fact("mirror", ", ".join(words))
    else:
        yield from _fact("mirror", "pages, indexes, counts and digest not checked: that takes --all")
    yield from _fact("took", duration_text(done.seconds))


def _fact(name: str, words: str) -> list[str]:
    return wrapped(f"{name:<13} {words}", indent="  ", hanging=14)


def _damages(done: Verification) -> Iterator[str]:
    for damage in done.damages:
        yield from wrapped(f"ERROR {damage.aspect.value}: {damage.detail}")
    if done.damages:
        yield from wrapped(
            "The next `smki-sync sync` builds the mirror anew, unless policy.repair_damage is off.",
            indent="  ",
        )


def _codes(done: Verification) -> Iterator[str]:
    for code, count in sorted(done.tally.counts.items(), key=lambda pair: (pair[0].step, pair[0])):
        mark = "ERROR" if code.severity is Severity.ERROR else "warning"
        yield from wrapped(
            f"{mark} {code.value}, {count:,}: {code.words} (step {int(code.step)}: {code.step.rule})"
        )
        of_code = [found for found in done.tally.found if found.finding.code is code]
        for found in of_code[:_NAMED]:
            yield from wrapped(_named(found), indent="  ")
        if count > _NAMED:
            yield f"  and {count - _NAMED:,} more; --list FILE writes them all"
        if code is FindingCode.NOT_ANCHORED:
            yield from wrapped(_UNANCHORED, indent="  ")


def _named(found: FoundProblem) -> str:
    subject, detail = found.subject, found.finding.detail
    who = subject.eui or subject.name or "no name"
    return visible(f"{subject.kind} {who}, serial {subject.serial}{f': {detail}' if detail else ''}")


def register_verify(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Every certificate, page and index; the default.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=1, help="Only so many certificates, chosen by chance."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Judge dates by this date or time (UTC), not by now."),
    ] = None,
    any_status: Annotated[
        bool, typer.Option("--any-status", help="Also what is not In-Use, or withdrawn.")
    ] = False,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Prove every signature again, also those that are remembered.")
    ] = False,
    complete: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Write every finding to a file, a JSON object a line."),
    ] = None,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
    quiet: arguments.Quiet = False,
    verbose: arguments.Verbose = False,
    log_format: arguments.LogFormat = None,
) -> None:
    """Verify every certificate up to a trust anchor, and the mirror against itself.

    Signatures that were proven before are remembered. Exit code 0, or 10 where something is found that
    speaks against the mirror or a certificate in it.
    """
    if everything and sample is not None:
        raise UsageError("--all and --sample exclude one another")
    settings = configure(mirror=mirror, config=config, log_format=log_format)
    if complete:
        outside_mirror(complete, settings)
    with event_reporter(settings, quiet=quiet, verbose=verbose) as talk:
        job = VerifyJob(
            directory=MirrorDirectory(settings.need_mirror()),
            at=parse_time(at) if at else now_here(),
            anchors=settings.trust.read_anchors(),
            scope=Scope(sample=sample, any_status=any_status, afresh=afresh),
            complete=complete,
            hear=talk,
        )
        done = carry_out(job)
    if as_json:
        print_json(verify_document(done))
    else:
        headline, *rest = verify_text(done).split("\n")
        print_text(headline, colour="green" if done.is_sound else "yellow")
        print_text("\n".join(rest))
    raise typer.Exit(Exit.OK if done.is_sound else Exit.FINDING)


def parse_time(words: str) -> datetime:
    """A date (its first moment) or a time, ISO 8601, UTC unless it says otherwise."""
    try:
        if len(words) == len("YYYY-MM-DD"):
            return datetime.combine(date.fromisoformat(words), time(), tzinfo=UTC)
        moment = datetime.fromisoformat(words)
    except ValueError as exc:
        raise UsageError(
            f"{words!r:.40} is no time", hint="Write 2026-11-22 or 2026-11-22T07:30:00Z."
        ) from exc
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The newest publication of a region, beside the one before it.

    ``used``: whether the mirror holds each certificate as In-Use, ``None`` where it does not hold it.
    """

    now: Publication
    before: Publication | None
    used: tuple[bool | None, ...]

    @property
    def changes(self) -> SlotChanges:
        """What the newest publication changed."""
        return changes(self.before.certificates, self.now.certificates) if self.before else SlotChanges()


def register_anchors(app: typer.Typer) -> None:
    """Add the command."""
    app.command("anchors")(anchors)


def anchors(
    *,
    region: Annotated[
        str | None, typer.Option("--region", metavar="NAME", help="Only this region, in any letter case.")
    ] = None,
    pem: Annotated[bool, typer.Option("--pem", help="One region's certificates as a PEM bundle.")] = False,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
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
        print_json(anchors_document(found, odd))
    elif pem:
        print_text("".join(to_pem(one.der) for one in _only(found).now.certificates), end="")
    else:
        print_text("\n".join(line for one in found for line in _lines(one)) or _none(region, every))
    if not as_json:
        sys.stderr.write("".join(f"{line}\n" for line in _warnings(found, odd)))
    sound = found and not odd and all(all(one.used) for one in found)
    raise typer.Exit(Exit.OK if sound else Exit.FINDING)


def _none(region: str | None, every: list[tuple[Publication, Publication | None]]) -> str:
    """What to say where nothing is listed: another region may be."""
    names = ", ".join(sorted({now.region for now, _ in every}))
    if region and names:
        return "\n".join(wrapped(f"No anchor slots of {region} have been taken in; there are: {names}."))
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


def anchors_document(found: list[Region], odd: tuple[SlotDifference, ...]) -> Json:
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
    lines = wrapped(f"{now.region}: {len(now.certificates)} certificates, {now.file}, taken in {now.day}")
    pairs = zip(now.certificates, one.used, strict=True)
    lines += [f"  {_row(certificate)}  {_USED[used]}".rstrip() for certificate, used in pairs]
    if one.before:
        lines += wrapped(f"since the publication of {one.before.day}: {_moved(one.changes)}", indent="  ")
    return lines


_USED = {True: "In-Use", False: "NOT In-Use", None: "not in the mirror"}


def _row(one: SlotCertificate) -> str:
    role = role_name_of(one.role) or ("" if one.role is None else f"role {one.role}")
    return f"{role:<19}  {one.usage or '':<2}  {one.serial:<32}"


def _moved(moved: SlotChanges) -> str:
    parts = [f"new {one.label}" for one in moved.added] + [f"gone {one.label}" for one in moved.removed]
    return "; ".join(parts) or "the same certificates"


def _warnings(found: list[Region], odd: tuple[SlotDifference, ...]) -> list[str]:
    said = [
        f"{one.certificate.label} stands in {', '.join(one.present)} and not in {', '.join(one.absent)}: do"
        " not load devices before the DCC has said which is right."
        for one in odd
    ]
    unused = sum(not used for one in found for used in one.used)
    if unused:
        said.append(f"{unused} of these are not In-Use in the mirror: do not load them.")
    return [line for text in said for line in wrapped(text)]
