"""The command `status`."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Final

import typer

from smki_sync.cli import arguments
from smki_sync.cli.context import configure, now_here
from smki_sync.cli.exit_codes import Exit
from smki_sync.cli.output import Json, print_json, print_text, schema_of
from smki_sync.config.loader import Config
from smki_sync.errors import MirrorError, ResourceError
from smki_sync.mirror.directory import MirrorDirectory, find_holder
from smki_sync.mirror.history import History, Run
from smki_sync.mirror.queries import open_mirror, read_counts, read_position
from smki_sync.mirror.signature_cache import LastVerification, last_verification
from smki_sync.model.certificate import Status
from smki_sync.model.report import CertificateCounts, Outcome
from smki_sync.status import Freshness, freshness_of
from smki_sync.text import age_text, bytes_text, duration_text, wrapped


def freshness_document(fresh: Freshness) -> Json:
    """As JSON: every field is there, and null where it is not known."""
    return {
        "looked": fresh.looked,
        "cliff": {
            "next_delta": fresh.next_delta.isoformat() if fresh.next_delta else None,
            "leaves": fresh.leaves.isoformat() if fresh.leaves else None,
            "days_left": fresh.days_left,
        },
        "forecast": {"full_bytes": fresh.full_bytes, "full_seconds": fresh.full_seconds},
    }


def freshness_lines(fresh: Freshness) -> list[str]:
    """For people, one fact a line; what is not known is not said."""
    looked = [f"last looked   {fresh.looked}"] if fresh.looked else []
    return [*looked, *_deadline_line(fresh), *_forecast(fresh)]


def _deadline_line(fresh: Freshness) -> list[str]:
    if fresh.days_left is None:
        return []
    if fresh.days_left == 0:
        return [f"cliff         reached: the delta of {fresh.next_delta} may be gone; then a full is needed"]
    days = f"{fresh.days_left} day{'s' * (fresh.days_left > 1)} left"
    return [f"cliff         {days}: from {fresh.leaves} the delta of {fresh.next_delta} may be gone"]


def _forecast(fresh: Freshness) -> list[str]:
    if fresh.full_bytes is None:
        return []
    time = f", about {duration_text(fresh.full_seconds)} at the measured rates" if fresh.full_seconds else ""
    return [f"a full        would be {bytes_text(fresh.full_bytes)}{time}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStatus:
    """``anchors``: trust anchors that are configured. ``last``: the last whole verification that is known.

    ``replaced``: another generation has taken the place of the one that was verified.
    """

    anchors: int
    last: LastVerification | None
    replaced: bool = False

    def document(self) -> Json:
        """As JSON."""
        last = self.last
        return {
            "anchored": self.anchors > 0,
            "anchors": self.anchors,
            "last_verified": {
                "at": last.at,
                "position": last.position,
                "certificates": last.certificates,
                "errors": last.errors,
                "warnings": last.warnings,
                "anchored": last.anchored,
                "replaced": self.replaced,
            }
            if last
            else None,
        }

    def lines(self) -> list[str]:
        """For people."""
        few = f"{self.anchors} anchor{'s' * (self.anchors > 1)}"
        held = few if self.anchors else "nothing is anchored: trust.anchors is not configured"
        return [f"trust         {held}", f"verified      {self._verified()}"]

    def _verified(self) -> str:
        if self.last is None:
            return "as a whole not that is known; `smki-sync verify` does"
        end = f"{self.last.errors:,} error{'s' * (self.last.errors > 1)}" if self.last.errors else "sound"
        loose = "" if self.last.anchored else ", not anchored"
        gone = ", replaced since" if self.replaced else ""
        return f"{self.last.at}  {end}{loose}, as of {self.last.position}{gone}"


def trust_status(settings: Config, directory: MirrorDirectory) -> TrustStatus:
    """Read the anchors, which fails where one that is named is not there, and what is remembered."""
    anchors = len(settings.trust.read_anchors())
    last = last_verification(directory.proofs)
    return TrustStatus(anchors=anchors, last=last, replaced=_is_replaced(last, directory))


def _is_replaced(last: LastVerification | None, directory: MirrorDirectory) -> bool:
    """Whether readers see another generation by now; one that cannot be found has said so already."""
    if last is None or not last.generation:
        return False
    with suppress(MirrorError):
        now = directory.linked()
        return now is not None and now.name != last.generation
    return False


_DAY_HOURS: Final = 24


class StatusState(StrEnum):
    """What monitoring asks for."""

    EMPTY = "empty"
    CURRENT = "current"
    STALE = "stale"
    DAMAGED = "damaged"


EXITS: Final = {
    StatusState.EMPTY: Exit.ATTENTION,
    StatusState.CURRENT: Exit.OK,
    StatusState.STALE: Exit.ATTENTION,
    StatusState.DAMAGED: Exit.MIRROR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFinding:
    """What was found. ``age_hours``: since the position's date began, UTC; ``bytes``: of the mirror.

    ``message``, ``hint``: why it cannot be read, and what to do.
    """

    state: StatusState
    position: date | None = None
    age_hours: float | None = None
    last_full: date | None = None
    last_run: Run | None = None
    last_success: Run | None = None
    census: CertificateCounts | None = None
    bytes: int = 0
    message: str = ""
    hint: str = ""


def register_status(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    *,
    max_age: arguments.MaxAge = None,
    mirror: arguments.Mirror = None,
    config: arguments.ConfigFile = None,
    as_json: arguments.Json = False,
) -> None:
    """Say what the mirror holds, how old it is and how the last runs went; asks nobody.

    Exit code 0 current, 3 empty or stale, 7 damaged.
    """
    settings = configure(mirror=mirror, config=config)
    directory = MirrorDirectory(settings.need_mirror())
    trusted = trust_status(settings, directory)
    now = now_here()
    finding = mirror_status(directory, now=now, max_age=hours_of(max_age, settings))
    fresh = freshness_of(
        directory, position=finding.position, window_days=settings.policy.window_days, today=now.date()
    )
    if as_json:
        print_json(status_document(finding) | freshness_document(fresh) | trusted.document())
    else:
        print_text("\n".join([status_text(finding), *freshness_lines(fresh), *trusted.lines()]))
    raise typer.Exit(EXITS[finding.state])


def hours_of(max_age: float | None, settings: Config) -> float:
    """After how many hours a mirror is stale: as asked for, or a day more than a repository may be late."""
    return max_age if max_age is not None else _DAY_HOURS * (settings.policy.late_after_days + 1)


def mirror_status(directory: MirrorDirectory, *, now: datetime, max_age: float) -> StatusFinding:
    """Find out the state; ``max_age`` in hours.

    Raises :class:`ResourceError` if this user may not read the mirror: that is not damage.
    """
    last, success = _runs(History(directory.history))
    try:
        generation = directory.current()
        if generation is None:
            message, hint = _emptiness(directory)
            return StatusFinding(
                state=StatusState.EMPTY, last_run=last, last_success=success, message=message, hint=hint
            )
        with open_mirror(directory.link) as db:
            position, census = read_position(db), read_counts(db)
    except ResourceError:
        raise
    except MirrorError as error:
        return StatusFinding(
            state=StatusState.DAMAGED,
            last_run=last,
            last_success=success,
            message=error.message,
            hint=error.hint,
        )
    began = datetime.combine(position.day, time(), tzinfo=UTC)
    age = max((now - began).total_seconds() / 3600, 0.0)
    return StatusFinding(
        state=StatusState.STALE if age > max_age else StatusState.CURRENT,
        position=position.day,
        age_hours=round(age, 1),
        last_full=position.full,
        last_run=last,
        last_success=success,
        census=census,
        bytes=_size(generation),
    )


def _emptiness(directory: MirrorDirectory) -> tuple[str, str]:
    """Whether a run, which may take hours, is filling it already; and what to do."""
    with suppress(MirrorError, OSError):
        if holder := find_holder(directory.lock):
            return f"A run is at work on it: {holder}.", "Wait until it has ended."
    return "", "Run `smki-sync sync`."


def _runs(history: History) -> tuple[Run | None, Run | None]:
    """The last run and the last success; a record of runs that cannot be read says nothing."""
    with suppress(MirrorError):
        return history.last(), history.last(outcome=Outcome.CURRENT)
    return None, None


def _size(generation: Path) -> int:
    side = (generation.with_name(generation.name + suffix) for suffix in ("", "-wal"))
    return sum(path.stat().st_size for path in side if path.exists())


def status_document(finding: StatusFinding) -> Json:
    """The document of ``status --json``."""
    census = finding.census or CertificateCounts()
    run = finding.last_run
    return {
        "schema": schema_of("status"),
        "state": finding.state.value,
        "position": finding.position.isoformat() if finding.position else None,
        "age_hours": finding.age_hours,
        "last_full": finding.last_full.isoformat() if finding.last_full else None,
        "last_run": {"at": run.at, "outcome": run.outcome, "exit": run.exit, "reason": run.reason}
        if run
        else None,
        "last_success": finding.last_success.at if finding.last_success else None,
        "certificates": {
            "total": census.total,
            "in_use": census.in_use,
            "by_kind": dict(census.by_kind),
            "by_status": dict(census.by_status),
        },
        "quarantined": census.quarantined,
        "digest": census.digest or None,
        "bytes": finding.bytes,
        "message": finding.message or None,
    }


_HEADLINES: Final = {
    StatusState.EMPTY: "The mirror is empty.",
    StatusState.CURRENT: "The mirror is current.",
    StatusState.STALE: "The mirror is STALE. Run `smki-sync sync` and read what it says.",
    StatusState.DAMAGED: "The mirror CANNOT BE READ.",
}


def status_text(finding: StatusFinding) -> str:
    """The same for people, one fact a line."""
    lines = [_HEADLINES[finding.state]]
    lines += [*wrapped(finding.message, indent="  "), *wrapped(finding.hint, indent="  ")]
    if finding.census:
        lines += _holdings(finding, finding.census)
    if finding.last_run:
        run = finding.last_run
        lines.append(f"last run      {run.at}  {run.outcome}, exit {run.exit}, {run.reason}")
    if finding.last_success:
        lines.append(f"last success  {finding.last_success.at}")
    return "\n".join(lines)


def _holdings(finding: StatusFinding, census: CertificateCounts) -> list[str]:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in census.by_kind.items())
    words = {status.value: status.words for status in Status} | {"revoked": "revoked by a list"}
    statuses = ", ".join(f"{count:,} {words.get(name, name)}" for name, count in census.by_status.items())
    return [
        f"as of         {finding.position}  (that day began {age_text(finding.age_hours or 0)} ago, UTC)",
        f"last full     {finding.last_full}",
        f"certificates  {census.total:,}, {census.in_use:,} In-Use",
        *wrapped(f"  by kind     {kinds}", hanging=14),
        *wrapped(f"  by status   {statuses}", hanging=14),
        f"quarantined   {census.quarantined:,}",
        f"digest        {census.digest}",
        f"size          {bytes_text(finding.bytes)}",
    ]
