"""A run, remembered in ``history.db`` however it ended, and told to whoever watches.

For: the commands that change a mirror. Refuses: to make a run fail because it cannot be remembered or told.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from smki_sync.cli.aftermath import Ended, tell
from smki_sync.cli.exit_codes import exit_of, exit_of_outcome
from smki_sync.config.whole import Config
from smki_sync.errors import Locked, SmkiSyncError
from smki_sync.events import Detail, Noted
from smki_sync.mirror.history import History, Run
from smki_sync.mirror.ledger import utc
from smki_sync.model.report import Outcome, SyncReport
from smki_sync.sync import Job


def recorded(settings: Config, job: Job, command: str, deed: Callable[[], SyncReport]) -> SyncReport:
    """Run a deed, remember how it went, also where it failed, and tell it."""
    began = job.clock()
    try:
        report = deed()
    except Locked:  # the run that holds the lock is the one to remember
        raise
    except (Exception, KeyboardInterrupt) as error:
        run = _failed(job, began, command, error)
        _record(job, run)
        for note in tell(settings, Ended(run=run, error=error)):
            job.hear.hear(Noted(attention=note))
        raise
    run = _ended(job, began, command, report)
    _record(job, run)
    notes = tell(settings, Ended(run=run, report=report))
    return replace(report, attention=(*report.attention, *notes))


def _failed(job: Job, began: datetime, command: str, error: BaseException) -> Run:
    interrupted = "interrupted" if isinstance(error, KeyboardInterrupt) else "unexpected"
    return Run(
        at=utc(began),
        command=command,
        outcome=str(Outcome.FAILED),
        exit=int(exit_of(error)),
        reason=error.reason if isinstance(error, SmkiSyncError) else interrupted,
        position=None,
        seconds=_seconds_since(job, began),
    )


def _ended(job: Job, began: datetime, command: str, report: SyncReport) -> Run:
    return Run(
        at=utc(began),
        command=command,
        outcome=str(report.outcome),
        exit=int(exit_of_outcome(report.outcome)),
        reason=str(report.plan.reason),
        position=report.position.isoformat() if report.position else None,
        seconds=_seconds_since(job, began),
    )


def _seconds_since(job: Job, began: datetime) -> float:
    return round((job.clock() - began).total_seconds(), 3)


def _record(job: Job, run: Run) -> None:
    try:
        History(job.directory.history).record(run)
    except Exception as error:  # noqa: BLE001 - a run never fails because it cannot be remembered
        job.hear.hear(Detail(text=f"this run could not be recorded: {error}"))
