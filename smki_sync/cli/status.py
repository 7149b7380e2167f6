"""The command `status`."""

from typing import Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.arguments import MirrorOptions, add_command, load_config
from smki_sync.cli.context import now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import Json, print_json, print_text, schema_of
from smki_sync.cli.run_report import unproven_document
from smki_sync.config.loader import Config
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.signature_cache import LastVerification
from smki_sync.model.certificate import Status
from smki_sync.model.report import CertificateCounts
from smki_sync.status import (
    Freshness,
    MirrorStatus,
    StatusState,
    TrustStatus,
    freshness_of,
    mirror_status,
    trust_status,
)
from smki_sync.text import age_text, bytes_text, duration_text, wrapped

_DAY_HOURS: Final = 24

EXITS: Final = {
    StatusState.EMPTY: Exit.ATTENTION,
    StatusState.CURRENT: Exit.OK,
    StatusState.UNPROVEN: Exit.ATTENTION,
    StatusState.STALE: Exit.ATTENTION,
    StatusState.DAMAGED: Exit.MIRROR,
}


def register_status(app: typer.Typer) -> None:
    """Add the command."""
    add_command(
        app,
        "status",
        status,
        examples=("smki-sync status", "smki-sync status --max-age 48", "smki-sync status --json"),
    )


def status(
    *, max_age: arguments.MaxAge = None, place: MirrorOptions, as_json: arguments.Json = False
) -> None:
    """Show what the mirror contains and how old it is.

    Also shows how recent runs ended. Makes no network connection. Exit code 0 if the mirror is up to date,
    3 if it is empty or stale, 7 if it is damaged.
    """
    settings = load_config(place)
    directory = MirrorDirectory(settings.need_mirror())
    trust = trust_status(directory, anchors=len(settings.trust.read_anchors()))
    now = now_here()
    found = mirror_status(directory, now=now, max_age=hours_of(max_age, settings))
    fresh = freshness_of(
        directory, position=found.position, window_days=settings.policy.window_days, today=now.date()
    )
    if as_json:
        print_json(status_document(found) | freshness_document(fresh) | trust_document(trust))
    else:
        print_text("\n".join([*status_lines(found), *freshness_lines(fresh), *trust_lines(trust)]))
    raise typer.Exit(EXITS[found.state])


def hours_of(max_age: float | None, settings: Config) -> float:
    """Return after how many hours a mirror is stale: the option, or a day more than a late Repository."""
    return max_age if max_age is not None else _DAY_HOURS * (settings.policy.late_after_days + 1)


def status_document(found: MirrorStatus) -> Json:
    """Return the document of ``status --json``, without freshness and trust."""
    counts = found.counts or CertificateCounts()
    run = found.last_run
    return {
        "schema": schema_of("status"),
        "state": found.state.value,
        "position": found.position.isoformat() if found.position else None,
        "age_hours": found.age_hours,
        "last_full": found.last_full.isoformat() if found.last_full else None,
        "last_run": {"at": run.at, "outcome": run.outcome, "exit": run.exit, "reason": run.reason}
        if run
        else None,
        "last_success": found.last_success.at if found.last_success else None,
        "certificates": {
            "total": counts.total,
            "in_use": counts.in_use,
            "by_kind": dict(counts.by_kind),
            "by_status": dict(counts.by_status),
        },
        "quarantined": counts.quarantined,
        "unproven": unproven_document(counts),
        "digest": counts.digest or None,
        "bytes": found.bytes,
        "message": found.message or None,
    }


def freshness_document(fresh: Freshness) -> Json:
    """Return the fields about the next delta and the next full extract; null if unknown."""
    return {
        "looked": fresh.looked,
        "cliff": {
            "next_delta": fresh.next_delta.isoformat() if fresh.next_delta else None,
            "leaves": fresh.leaves.isoformat() if fresh.leaves else None,
            "days_left": fresh.days_left,
        },
        "forecast": {"full_bytes": fresh.full_bytes, "full_seconds": fresh.full_seconds},
    }


def trust_document(trust: TrustStatus) -> Json:
    """Return the fields about trust anchors and the last full verification."""
    last = trust.last
    return {
        "anchored": trust.anchors > 0,
        "anchors": trust.anchors,
        "last_verified": {
            "at": last.at,
            "position": last.position,
            "certificates": last.certificates,
            "errors": last.errors,
            "warnings": last.warnings,
            "anchored": last.anchored,
            "replaced": trust.replaced,
        }
        if last
        else None,
    }


_HEADLINES: Final = {
    StatusState.EMPTY: "The mirror is empty.",
    StatusState.CURRENT: "The mirror is up to date.",
    StatusState.UNPROVEN: "The mirror is UNPROVEN until the next full is compared.",
    StatusState.STALE: "The mirror is STALE. Run `smki-sync sync` and follow its report.",
    StatusState.DAMAGED: "The mirror CANNOT BE READ.",
}


def status_lines(found: MirrorStatus) -> list[str]:
    """Return the state for people, one fact per line."""
    lines = [_HEADLINES[found.state]]
    lines += [*wrapped(found.message, indent="  "), *wrapped(found.hint, indent="  ")]
    if found.counts:
        lines += _content_lines(found, found.counts)
    if found.last_run:
        run = found.last_run
        lines.append(f"last run      {run.at}  {run.outcome}, exit {run.exit}, {run.reason}")
    if found.last_success:
        lines.append(f"last success  {found.last_success.at}")
    return lines


def _unproven_lines(counts: CertificateCounts) -> list[str]:
    if counts.unproven is None:
        return []
    days = ", ".join(day.isoformat() for day in counts.unproven.missing)
    why = f"deltas never applied: {days}" if days else "the next full ends this"
    return wrapped(f"unproven      since {counts.unproven.since}: {why}", hanging=14)


def _content_lines(found: MirrorStatus, counts: CertificateCounts) -> list[str]:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.by_kind.items())
    words = {status.value: status.words for status in Status} | {"revoked": "revoked by a list"}
    statuses = ", ".join(f"{count:,} {words.get(name, name)}" for name, count in counts.by_status.items())
    return [
        f"position      {found.position}  ({age_text(found.age_hours or 0)} old)",
        f"last full     {found.last_full}",
        f"certificates  {counts.total:,}, {counts.in_use:,} In-Use",
        *wrapped(f"  by kind     {kinds}", hanging=14),
        *wrapped(f"  by status   {statuses}", hanging=14),
        f"quarantined   {counts.quarantined:,}",
        *_unproven_lines(counts),
        f"digest        {counts.digest}",
        f"size          {bytes_text(found.bytes)}",
    ]


def freshness_lines(fresh: Freshness) -> list[str]:
    """Return what is known about the next delta and the next full extract, one fact per line."""
    listed = [f"last listing  {fresh.looked}"] if fresh.looked else []
    return [*listed, *_deadline_lines(fresh), *_forecast_lines(fresh)]


def _deadline_lines(fresh: Freshness) -> list[str]:
    if fresh.days_left is None:
        return []
    if fresh.days_left == 0:
        return [
            f"full needed   if the delta of {fresh.next_delta} was removed (possible since {fresh.leaves})"
        ]
    days = f"{fresh.days_left} day{'s' * (fresh.days_left > 1)} left"
    return [
        f"sync before   {fresh.leaves} ({days}), or a full resync is needed:",
        f"              the delta of {fresh.next_delta} may then be removed",
    ]


def _forecast_lines(fresh: Freshness) -> list[str]:
    if fresh.full_bytes is None:
        return []
    duration = f", {duration_text(fresh.full_seconds)} (from recent runs)" if fresh.full_seconds else ""
    return [f"next full     about {bytes_text(fresh.full_bytes)}{duration}"]


def trust_lines(trust: TrustStatus) -> list[str]:
    """Return trust anchors and the last full verification, one fact per line."""
    anchors = f"{trust.anchors} anchor{'s' * (trust.anchors > 1)}"
    configured = anchors if trust.anchors else "no trust anchors (trust.anchors is not configured)"
    verified = _verified_text(trust.last, replaced=trust.replaced) if trust.last else _NEVER_VERIFIED
    return [f"trust         {configured}", f"verified      {verified}"]


_NEVER_VERIFIED: Final = "never fully verified: run `smki-sync verify`"


def _verified_text(last: LastVerification, *, replaced: bool) -> str:
    result = f"{last.errors:,} error{'s' * (last.errors > 1)}" if last.errors else "no errors"
    anchored = "" if last.anchored else ", without trust anchors"
    other = ", mirror replaced since" if replaced else ""
    return f"{last.at}  {result}{anchored}, position {last.position}{other}"
