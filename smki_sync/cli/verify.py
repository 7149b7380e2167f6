"""The commands `verify` and `anchors`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import MirrorOptions, OutputOptions, add_command, load_config, parse_time
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.job import event_reporter
from smki_sync.cli.output import Json, outside_mirror, print_json, print_message, print_text, schema_of
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
from smki_sync.verify import verify as verify_mirror
from smki_sync.verify.inspector import FoundProblem, Verification
from smki_sync.verify.runner import document_of
from smki_sync.x509.der import to_pem

_NO_ANCHORS: Final = (
    "none (trust.anchors is not configured). Chains were checked only up to the authorities in the mirror."
    " This proves that the mirror is consistent, not that it is genuine."
)
_NOT_ANCHORED_HINT: Final = (
    "If you trust the root at the end of a chain, add it to trust.anchors. The OCA and the DCA have"
    " different roots."
)
_MAX_EXAMPLES: Final = 3
"""Certificates that are named below each code; --list writes all."""


def register_verify(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "verify",
        verify,
        examples=(
            "smki-sync verify",
            "smki-sync verify --sample 1000",
            "smki-sync verify --list findings.jsonl",
        ),
    )


def verify(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Verify every certificate, page and index (default).")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option("--sample", metavar="N", min=1, help="Verify only N certificates, chosen at random."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Check validity at this date or time, UTC (default: now)."),
    ] = None,
    any_status: arguments.AnyStatus = False,
    afresh: Annotated[
        bool, typer.Option("--afresh", help="Verify every signature again, including cached ones.")
    ] = False,
    list_to: Annotated[
        Path | None,
        typer.Option("--list", metavar="FILE", help="Write every finding to FILE, as JSON Lines."),
    ] = None,
    place: MirrorOptions,
    output: OutputOptions,
) -> None:
    """Verify all certificates and the mirror itself.

    Every certificate is verified up to a trust anchor. Signatures that were verified before are cached. Exit
    code 0 if there are no errors, otherwise 10.
    """
    if everything and sample is not None:
        raise UsageError("Use only one of --all and --sample.")
    settings = load_config(place, output)
    if list_to:
        outside_mirror(list_to, settings)
    with event_reporter(settings, quiet=output.quiet, verbose=output.verbose) as events:
        job = VerifyJob(
            directory=MirrorDirectory(settings.need_mirror()),
            at=parse_time(at) if at else now_here(),
            anchors=settings.trust.read_anchors(),
            scope=Scope(sample=sample, any_status=any_status, afresh=afresh),
            complete=list_to,
            events=events,
        )
        result = verify_mirror(job)
    if output.as_json:
        print_json(verify_document(result))
    else:
        headline, *rest = verify_text(result).split("\n")
        print_text(headline, colour="green" if result.is_sound else "yellow")
        print_text("\n".join(rest))
    raise typer.Exit(Exit.OK if result.is_sound else Exit.FINDING)


def verify_document(result: Verification) -> Json:
    """Return the document of ``verify --json``."""
    tally = result.tally
    damaged = {damage.aspect for damage in result.damages}
    return {
        "schema": schema_of("verify"),
        "outcome": "sound" if result.is_sound else "findings",
        "at": utc(result.at),
        "position": result.position.isoformat(),
        "anchored": result.anchors > 0,
        "anchors": result.anchors,
        "sample": result.sample,
        "any_status": result.any_status,
        "certificates": {
            "checked": tally.checked,
            "anchored": tally.anchored,
            "with_errors": tally.faulty,
            "with_warnings": tally.odd,
        },
        "signatures": {"proven": tally.proven, "remembered": tally.remembered, "kept": result.kept},
        "aspects": {
            aspect.value: "damaged"
            if aspect in damaged
            else "sound"
            if aspect in result.aspects
            else "not-checked"
            for aspect in CheckedPart
        },
        "damages": [{"aspect": d.aspect.value, "detail": d.detail} for d in result.damages],
        "errors": result.errors,
        "warnings": result.warnings,
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
        "seconds": round(result.seconds, 3),
    }


def verify_text(result: Verification) -> str:
    """Return the result for people, in at most 80 columns."""
    return "\n".join([_headline(result), *_facts(result), *_damages(result), *_codes(result)])


def _headline(result: Verification) -> str:
    if not result.is_sound:
        return "Verification FAILED. See the errors below."
    unanchored = "" if result.anchors else " without trust anchors"
    subject = "The sample was verified" if result.sample is not None else "The mirror was verified"
    return f"{subject}{unanchored}: no errors."


def _facts(result: Verification) -> Iterator[str]:
    tally = result.tally
    kind = (
        "chosen at random"
        if result.sample is not None
        else "of any status"
        if result.any_status
        else "In-Use"
    )
    yield from _fact("position", f"{result.position}, validity checked at {utc(result.at)}")
    yield from _fact("certificates", f"{tally.checked:,} {kind}, {tally.faulty:,} with errors")
    kept = "" if result.kept else "; the cache cannot be written"
    signatures = f"{tally.proven:,} verified now, {tally.remembered:,} cached{kept}"
    yield from _fact("signatures", signatures)
    if result.anchors:
        trusted = f"{result.anchors} configured; {tally.anchored:,} certificates lead to one"
        yield from _fact("anchors", trusted)
    else:
        yield from _fact("anchors", _NO_ANCHORS)
    if result.aspects:
        damaged = {damage.aspect for damage in result.damages}
        states = {aspect: "DAMAGED" if aspect in damaged else "intact" for aspect in result.aspects}
        words = [f"{aspect.value} {states.get(aspect, 'not checked')}" for aspect in CheckedPart]
        yield from _fact("mirror", ", ".join(words))
    else:
        yield from _fact("mirror", "pages, indexes, counts and digest not checked (use --all)")
    yield from _fact("duration", duration_text(result.seconds))


def _fact(name: str, words: str) -> list[str]:
    return wrapped(f"{name:<13} {words}", indent="  ", hanging=14)


def _damages(result: Verification) -> Iterator[str]:
    for damage in result.damages:
        yield from wrapped(f"ERROR {damage.aspect.value}: {damage.detail}")
    if result.damages:
        yield from wrapped(
            "The next `smki-sync sync` rebuilds the mirror, unless policy.repair_damage is off.",
            indent="  ",
        )


def _codes(result: Verification) -> Iterator[str]:
    for code, count in sorted(result.tally.counts.items(), key=lambda pair: (pair[0].step, pair[0])):
        mark = "ERROR" if code.severity is Severity.ERROR else "warning"
        yield from wrapped(
            f"{mark} {code.value}, {count:,}: {code.words} (step {int(code.step)}: {code.step.rule})"
        )
        of_code = [found for found in result.tally.found if found.finding.code is code]
        for found in of_code[:_MAX_EXAMPLES]:
            yield from wrapped(_example_text(found), indent="  ")
        if count > _MAX_EXAMPLES:
            yield f"  and {count - _MAX_EXAMPLES:,} more; --list FILE writes all"
        if code is FindingCode.NOT_ANCHORED:
            yield from wrapped(_NOT_ANCHORED_HINT, indent="  ")


def _example_text(found: FoundProblem) -> str:
    subject, detail = found.subject, found.finding.detail
    name = subject.eui or subject.name or "no name"
    return visible(f"{subject.kind} {name}, serial {subject.serial}{f': {detail}' if detail else ''}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRegion:
    """The newest publication of a region, and the previous one.

    ``used``: whether each certificate is In-Use in the mirror; ``None`` if it is not in the mirror.
    """

    now: Publication
    before: Publication | None
    used: tuple[bool | None, ...]

    @property
    def changes(self) -> SlotChanges:
        """Changes of the newest publication."""
        return changes(self.before.certificates, self.now.certificates) if self.before else SlotChanges()


def register_anchors(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "anchors",
        anchors,
        examples=("smki-sync anchors", "smki-sync anchors --region North --pem > slots.pem"),
    )


def anchors(
    *,
    region: Annotated[
        str | None, typer.Option("--region", metavar="NAME", help="Only this region, in upper or lower case.")
    ] = None,
    pem: Annotated[bool, typer.Option("--pem", help="Print the certificates of one region in PEM.")] = False,
    place: MirrorOptions,
    as_json: arguments.Json = False,
) -> None:
    """List the anchor slots of each region and their changes.

    Also shows which certificates are In-Use. Exit code 10 if there are none, if regions differ in more than
    the certificates of the WAN provider, or if a certificate is not In-Use in the mirror.
    """
    if as_json and pem:
        raise UsageError("Use only one of --json and --pem.")
    with open_mirror(place.link()) as db:
        every = _newest(read_publications(db))
        chosen = [pair for pair in every if region is None or pair[0].region.lower() == region.lower()]
        found = [
            AnchorRegion(now=now, before=before, used=tuple(is_in_use(db, one) for one in now.certificates))
            for now, before in chosen
        ]
    regional = differences({now.region: now.certificates for now, _ in every})
    if as_json:
        print_json(anchors_document(found, regional))
    elif pem:
        print_text("".join(to_pem(one.der) for one in _only_region(found).now.certificates), end="")
    else:
        print_text(
            "\n".join(line for one in found for line in _region_lines(one)) or _no_slots_text(region, every)
        )
    if not as_json:
        for line in _anchor_warnings(found, regional):
            print_message(line)
    sound = found and not regional and all(all(one.used) for one in found)
    raise typer.Exit(Exit.OK if sound else Exit.FINDING)


def _no_slots_text(region: str | None, every: list[tuple[Publication, Publication | None]]) -> str:
    """Return a message; other regions may exist."""
    names = ", ".join(sorted({now.region for now, _ in every}))
    if region and names:
        return "\n".join(wrapped(f"The mirror has no anchor slots of {region}. Regions: {names}."))
    return "The mirror has no anchor slots."


def _newest(publications: list[Publication]) -> list[tuple[Publication, Publication | None]]:
    """Return the newest publication of each file, and the previous one."""
    of_file: dict[tuple[str, str], list[Publication]] = {}
    for one in publications:
        of_file.setdefault((one.region, one.file), []).append(one)
    return [(some[0], some[1] if len(some) > 1 else None) for some in of_file.values()]


def _only_region(found: list[AnchorRegion]) -> AnchorRegion:
    if len(found) != 1:
        names = ", ".join(sorted(one.now.region for one in found)) or "none"
        raise UsageError(
            f"--pem prints one region, but these match: {names}.", hint="Name one with --region."
        )
    return found[0]


def anchors_document(found: list[AnchorRegion], regional: tuple[SlotDifference, ...]) -> Json:
    """Return the document of ``anchors --json``."""
    return {
        "schema": schema_of("anchors"),
        "regions": [_region_document(one) for one in found],
        "differences": [
            {**_slot_document(one.certificate), "present": list(one.present), "absent": list(one.absent)}
            for one in regional
        ],
    }


def _region_document(one: AnchorRegion) -> Json:
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
            {**_slot_document(certificate), "in_use": used, "pem": to_pem(certificate.der)}
            for certificate, used in pairs
        ],
    }


def _slot_document(one: SlotCertificate) -> Json:
    return {
        "role": one.role,
        "role_name": role_name_of(one.role),
        "usage": one.usage,
        "serial": one.serial,
        "issuer": one.issuer,
        "subject": one.subject,
        "sha256": one.sha256,
    }


def _region_lines(one: AnchorRegion) -> list[str]:
    now = one.now
    lines = wrapped(f"{now.region}: {len(now.certificates)} certificates, {now.file}, applied {now.day}")
    pairs = zip(now.certificates, one.used, strict=True)
    lines += [f"  {_slot_row(certificate)}  {_USE_TEXTS[used]}".rstrip() for certificate, used in pairs]
    if one.before:
        lines += wrapped(f"changes since {one.before.day}: {_changes_text(one.changes)}", indent="  ")
    return lines


_USE_TEXTS = {True: "In-Use", False: "NOT In-Use", None: "not in the mirror"}


def _slot_row(one: SlotCertificate) -> str:
    role = role_name_of(one.role) or ("" if one.role is None else f"role {one.role}")
    return f"{role:<19}  {one.usage or '':<2}  {one.serial:<32}"


def _changes_text(found: SlotChanges) -> str:
    parts = [f"added {one.label}" for one in found.added]
    parts += [f"removed {one.label}" for one in found.removed]
    return "; ".join(parts) or "none"


def _anchor_warnings(found: list[AnchorRegion], regional: tuple[SlotDifference, ...]) -> list[str]:
    warnings = [
        f"{one.certificate.label} is in {', '.join(one.present)} but not in {', '.join(one.absent)}."
        " Contact the DCC before you load devices."
        for one in regional
    ]
    unused = sum(not used for one in found for used in one.used)
    if unused:
        warnings.append(f"{unused} of these are not In-Use in the mirror. Do not load them.")
    return [line for text in warnings for line in wrapped(text)]
