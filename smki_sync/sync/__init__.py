"""The daily job: look, decide, fetch, apply, report.

For: :func:`run`, the deed behind ``smki-sync sync``. It carries out what the planner decided and adds
nothing to it. Files are fetched first, the deltas before the full because they leave the window; then
the connection is closed and they are applied in order. Refuses: to decide, to print, to exit.
"""

from smki_sync.sync.job import SyncJob
from smki_sync.sync.runner import dry_run, run

__all__ = ["SyncJob", "dry_run", "run"]
