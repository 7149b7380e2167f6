"""Each new full held against the mirror, once, by the run that meets it first.

For: drift that is found weekly without anybody thinking of it (``policy.reconcile``). A full that the mirror
was built from has nothing to say, and one that was compared has said it. The comparison fetches the full: one
a week is what the Code of Connection assumes (Appendix P). Refuses: to make a good run fail: a comparison
that could not be made is a note.
"""

from collections.abc import Iterator
from dataclasses import replace

from smki_sync.errors import BadExtract, SourceError
from smki_sync.mirror.history import History
from smki_sync.mirror.queries import open_mirror, read_census, read_position
from smki_sync.model.drift import ReconcilePolicy
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.report import Attention, AttentionCode, SyncReport
from smki_sync.reconcile import Reconciled, reconcile
from smki_sync.sync import Job


def hold_weekly(job: Job, report: SyncReport, policy: ReconcilePolicy) -> SyncReport:
    """Add to a run's report what a comparison with a new full has shown, where one is due.

    Drift that was found and not made good is said by every run until it is, or the mirror is built anew.
    """
    if policy is ReconcilePolicy.NEVER or job.directory.current() is None:
        return report
    full = _due(job)
    if full is None:
        return _with(report, *_standing(job))
    try:
        found = reconcile(job, repair=policy is ReconcilePolicy.REPAIR)
    except (SourceError, BadExtract) as error:
        return _with(report, *_standing(job), _not_made(full, error))
    with open_mirror(job.directory.link) as db:
        report = replace(report, census=read_census(db))
    return _with(report, *_standing(job), *([_repaired(found)] if found.repaired else []))


def _due(job: Job) -> Extract | None:
    """The newest full on offer that the mirror has caught up with, if it is news."""
    history = History(job.directory.history)
    offer = history.offer()
    with open_mirror(job.directory.link) as db:
        position = read_position(db)
    offered = offer.extracts if offer else ()
    fulls = [x for x in offered if x.kind is ExtractKind.FULL and position.full < x.day <= position.day]
    newest = max(fulls, key=lambda x: x.day, default=None)
    known = {comparison.full for comparison in history.comparisons()}
    return newest if newest and newest.name not in known else None


def _standing(job: Job) -> Iterator[Attention]:
    """What the last comparison of this generation has left."""
    last = next(reversed(History(job.directory.history).comparisons()), None)
    current = job.directory.current()
    if last and last.drift and current and last.generation == current.name:
        yield Attention(
            code=AttentionCode.DRIFT,
            message=f"The mirror has drifted from {last.full}: {last.drift:,} certificates, as of {last.at}.",
            hint="`smki-sync reconcile` shows where; with --repair it makes it good.",
        )


def _repaired(found: Reconciled) -> Attention:
    return Attention(
        code=AttentionCode.DRIFT_REPAIRED,
        message=f"The mirror had drifted from {found.full} and was made good: {found.missing:,} missing,"
        f" {found.unexpected:,} unexpected, {found.differing:,} differing.",
        hint="Find out who changes it.",
    )


def _not_made(full: Extract, error: SourceError | BadExtract) -> Attention:
    return Attention(
        code=AttentionCode.NOT_RECONCILED,
        message=f"The mirror was not held against {full.name}: {error.message}.",
        hint="The next run tries again.",
    )


def _with(report: SyncReport, *attention: Attention) -> SyncReport:
    every = (*report.attention, *attention)
    return replace(report, attention=tuple(sorted(every, key=lambda a: a.code.is_note)))
