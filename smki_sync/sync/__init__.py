"""Run a sync: list, plan, download, apply, report. Entry point: :func:`run`.

The planner decides what to do. All files are downloaded first: deltas before the full, because the
Repository removes them after some days. Then the connection is closed, and the files are applied in order.
"""

from smki_sync.sync.job import SyncJob
from smki_sync.sync.runner import dry_run, run

__all__ = ["SyncJob", "dry_run", "run"]
