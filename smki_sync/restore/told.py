"""What a restore tells of itself: its report, and what an operator should know besides.

For: :func:`tell`. Refuses: to soften: a doubt about the result is attention, whoever asked for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from smki_sync.mirror.queries import open_mirror, read_census, read_position
from smki_sync.mirror.revocation import read_lists
from smki_sync.model.plan import Plan
from smki_sync.model.report import Attention, AttentionCode, SyncReport
from smki_sync.policy import Agreement, is_outside
from smki_sync.restore.checks import Check
from smki_sync.restore.way import as_of
from smki_sync.sync.apply import Carrier
from smki_sync.sync.companions import Settled
from smki_sync.sync.decision import Decision
from smki_sync.sync.job import Job
from smki_sync.sync.notices import attend

_HERE: Final = "file:"
"""How the address of a source begins that is a directory: an archive, or a medium."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A restore that is done. ``source``: whence; ``until``: the day that was asked for."""

    job: Job
    source: str
    until: date | None
    decision: Decision
    carrier: Carrier
    generation: Path
    settled: Settled
    checks: Sequence[Check]


def tell(done: Done) -> SyncReport:
    """The report: doubts first, then what a run would say of the day that was restored."""
    with open_mirror(done.generation) as db:
        position, census, lists = read_position(db), read_census(db), read_lists(db)
    attention = attend(
        replace(as_of(done.job, done.until), agreement=Agreement()),  # that was then; see _outside
        done.decision,
        position=position,
        census=census,
        oddities=done.carrier.oddities,
        history_lost=done.carrier.history_lost,
        beside=(*done.settled.attention, *done.carrier.archivist.attention()),
    )
    return SyncReport(
        plan=done.decision.plan,
        position=position.day,
        applied=tuple(done.carrier.applied),
        census=census,
        attention=(
            *_doubts(done.checks),
            *_in_the_past(done, position.day, has_lists=bool(lists)),
            *attention,
            *_outside(done.job, done.decision.plan, done.source),
        ),
        lists=done.settled.lists,
    )


def _in_the_past(done: Done, position: date, *, has_lists: bool) -> Iterator[Attention]:
    if done.until and done.until < done.job.today:
        lists = (
            " The revocation lists in it are those of today and not of that day: what has been revoked since"
            " is out of use in it, too."
        )
        yield Attention(
            code=AttentionCode.RESTORED_TO_DATE,
            message=f"The mirror stands at {position}, as was asked for.{lists if has_lists else ''}",
            hint="`smki-sync sync` takes it forward again.",
        )


def _outside(job: Job, plan: Plan, source: str) -> Iterator[Attention]:
    """A restore never waits for the agreed day (Code of Connection); a full that lay here was no download."""
    origin = (plan.full.origin if plan.full else None) or source
    if is_outside(plan, job.agreement, job.now) and not origin.startswith(_HERE):
        yield Attention(
            code=AttentionCode.FULL_OUTSIDE_AGREED,
            message="A full was taken for the restore outside what was agreed with the DCC"
            f" ({job.agreement.words}).",
            hint="Tell the DCC. From an archive (`--source file:///…`) no download is needed.",
        )


_DOUBTS: Final = {
    "digest": (AttentionCode.OTHER_DIGEST, "Find out which certificates with `smki-sync compare`."),
    "chains": (AttentionCode.CHAINS_BROKEN, "`smki-sync verify` names every certificate."),
}


def _doubts(checks: Sequence[Check]) -> Iterator[Attention]:
    for check in checks:
        if check.passed is False:
            code, hint = _DOUBTS[check.name]
            yield Attention(code=code, message=f"Restored, but {check.name}: {check.detail}.", hint=hint)
