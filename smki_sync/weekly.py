"""Each new full held against the mirror, once, by the run that meets it first.

For: drift that is found weekly without anybody thinking of it (``policy.reconcile``). A full that the mirror
was built from has nothing to say, and one that was compared has said it. The comparison fetches the full: one
a week is what the Code of Connection assumes (Appendix P), on the day and at the hours that were agreed.
Refuses: to make a good run fail: a comparison that could not be made is a note.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from smki_sync.errors import BadExtract, Locked, MirrorError, MirrorNotWritable, SmkiSyncError, SourceError
from smki_sync.mirror.history import HeldAgainst, History, Offer
from smki_sync.mirror.queries import open_mirror, read_census, read_position
from smki_sync.model.drift import ReconcilePolicy
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.report import Attention, AttentionCode, SyncReport
from smki_sync.policy import Outside
from smki_sync.recovery.reconcile import Reconciled, RepairRefused, reconcile
from smki_sync.sync import Job

_NOT_MADE: Final = (SourceError, BadExtract, Locked, MirrorNotWritable)
"""What keeps a comparison from being made, and says nothing of the mirror."""


def hold_weekly(job: Job, report: SyncReport, policy: ReconcilePolicy) -> SyncReport:
    """Add to a run's report what a comparison with a new full has shown, where one is due.

    Drift that was found and not made good is said by every run until it is, or the mirror is built anew.
    Raises :class:`MirrorDamaged` where the mirror turns out to be that.
    """
    if policy is ReconcilePolicy.NEVER or job.directory.current() is None:
        return report
    history = History(job.directory.history)
    try:
        offer, known = history.offer(), history.comparisons()
    except MirrorError as error:
        return _with(report, _unknown(error))
    full = _due(job, offer, known)
    if full is None:
        return _with(report, *_standing(job, known))
    if not job.agreement.holds(job.now) and job.agreement.outside is Outside.WAIT:
        put_off = f"that waits for what was agreed with the DCC ({job.agreement.words})"
        return _with(report, *_standing(job, known), _not_made(full, put_off))
    return _held(job, report, full, known, repair=policy is ReconcilePolicy.REPAIR)


def _held(
    job: Job, report: SyncReport, full: Extract, known: Sequence[HeldAgainst], *, repair: bool
) -> SyncReport:
    """The report of a run in which a comparison was due."""
    try:
        found = reconcile(job, repair=repair)
    except RepairRefused as error:
        return _with(report, _not_repaired(full, error))
    except _NOT_MADE as error:
        return _with(report, *_standing(job, known), _not_made(full, _sentence(error)))
    return _compared(job, report, full, found)


def _compared(job: Job, report: SyncReport, full: Extract, found: Reconciled) -> SyncReport:
    """The report of a run in which a comparison was made."""
    with open_mirror(job.directory.link) as db:
        report = replace(report, census=read_census(db))
    return _with(
        report,
        *([_drifted(found.full, found.drift)] if found.drift else []),
        *([_repaired(found)] if found.repaired else []),
        *([] if job.agreement.holds(job.now) else [_outside(job, full)]),
    )


def _due(job: Job, offer: Offer | None, known: Sequence[HeldAgainst]) -> Extract | None:
    """The newest full on offer that the mirror has caught up with, if it is news."""
    with open_mirror(job.directory.link) as db:
        position = read_position(db)
    offered = offer.extracts if offer else ()
    fulls = [x for x in offered if x.kind is ExtractKind.FULL and position.full < x.day <= position.day]
    newest = max(fulls, key=lambda x: x.day, default=None)
    return newest if newest and newest.name not in {comparison.full for comparison in known} else None


def _standing(job: Job, known: Sequence[HeldAgainst]) -> Iterator[Attention]:
    """What the last comparison of this generation has left."""
    current = job.directory.current()
    if known and known[-1].drift and current and known[-1].generation == current.name:
        yield _drifted(known[-1].full, known[-1].drift, at=known[-1].at)


def _drifted(full: str, drift: int, *, at: str | None = None) -> Attention:
    return Attention(
        code=AttentionCode.DRIFT,
        message=f"The mirror has drifted from {full}: {drift:,} certificates{f', as of {at}' if at else ''}.",
        hint="`smki-sync reconcile` shows where; with --repair it makes it good.",
    )


def _not_repaired(full: Extract, error: RepairRefused) -> Attention:
    return Attention(
        code=AttentionCode.DRIFT,
        message=f"The mirror has drifted from {full.name}, and was not made good: {_sentence(error)}.",
        hint=error.hint,
    )


def _unknown(error: MirrorError) -> Attention:
    return Attention(
        code=AttentionCode.RECONCILIATION_UNKNOWN,
        message=f"Nobody can say whether the mirror was held against the newest full: {_sentence(error)}.",
        hint=f"{error.hint} The next run then compares anew.",
    )


def _outside(job: Job, full: Extract) -> Attention:
    return Attention(
        code=AttentionCode.FULL_OUTSIDE_AGREED,
        message=f"{full.name} was taken, to be held against the mirror, outside what was agreed with the DCC"
        f" ({job.agreement.words}).",
        hint="Tell the DCC. `policy.full_download_outside` can put that off instead.",
    )


def _repaired(found: Reconciled) -> Attention:
    return Attention(
        code=AttentionCode.DRIFT_REPAIRED,
        message=f"The mirror had drifted from {found.full} and was made good: {found.missing:,} missing,"
        f" {found.unexpected:,} unexpected, {found.differing:,} differing.",
        hint="Find out who changes it.",
    )


def _not_made(full: Extract, why: str) -> Attention:
    return Attention(
        code=AttentionCode.NOT_RECONCILED,
        message=f"The mirror was not held against {full.name}: {why}.",
        hint="The next run tries again.",
    )


def _sentence(error: SmkiSyncError) -> str:
    return error.message.removesuffix(".")


def _with(report: SyncReport, *attention: Attention) -> SyncReport:
    every = (*report.attention, *attention)
    return replace(report, attention=tuple(sorted(every, key=lambda a: a.code.is_note)))
