"""A run, remembered in ``history.db`` however it ended.

For: the commands that change a mirror. Refuses: to make a run fail because it cannot be remembered.
"""

from collections.abc import Callable
from datetime import datetime

from smki_sync.cli.exits import Exit, exit_of, exit_of_outcome
from smki_sync.errors import Locked, SmkiSyncError
from smki_sync.events import Detail
from smki_sync.mirror.history import History, Run
from smki_sync.mirror.ledger import utc
from smki_sync.model.report import Outcome, SyncReport
from smki_sync.sync import Job


def recorded(job: Job, command: str, deed: Callable[[], SyncReport]) -> SyncReport:
    """Run a deed, and remember how it went, also where it failed."""
    began = job.clock()
    try:
        report = deed()
    except Locked:  # the run that holds the lock is the one to remember
        raise
    except (Exception, KeyboardInterrupt) as error:
        interrupted = "interrupted" if isinstance(error, KeyboardInterrupt) else "unexpected"
        reason = error.reason if isinstance(error, SmkiSyncError) else interrupted
        _record(
            job, began, command, outcome=Outcome.FAILED, code=exit_of(error), reason=reason, position=None
        )
        raise
    position = report.position.isoformat() if report.position else None
    code = exit_of_outcome(report.outcome)
    reason = report.plan.reason
    _record(job, began, command, outcome=report.outcome, code=code, reason=reason, position=position)
    return report


def _record(
    job: Job,
    began: datetime,
    command: str,
    *,
    outcome: Outcome,
    code: Exit,
    reason: str,
    position: str | None,
) -> None:
    run = Run(
        at=utc(began),
        command=command,
        outcome=outcome,
        exit=int(code),
        reason=reason,
        position=position,
        seconds=round((job.clock() - began).total_seconds(), 3),
    )
    try:
        History(job.directory.history).record(run)
    except Exception as error:  # noqa: BLE001 - a run never fails because it cannot be remembered
        job.hear.hear(Detail(text=f"this run could not be recorded: {error}"))
