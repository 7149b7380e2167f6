"""Refused logins, remembered in ``history.db`` until one works or somebody mends the cause.

For: keeping one wrong password from becoming five, which lock the account for an hour (SEC Appendix P).
Refuses: to hold a secret: a row is an account and a time.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlite_utils

from smki_sync.mirror.history import naming


@dataclass(frozen=True, slots=True)
class Logins:
    """The table ``refusal`` of the history at ``path``. Every method raises ``MirrorError``."""

    path: Path

    def refused(self, account: str, *, since: str) -> tuple[str, ...]:
        """When the account was refused, from ``since`` (ISO 8601, UTC) on, oldest first."""
        with naming(self.path):
            if not self.path.exists():
                return ()
        with naming(self.path), closing(sqlite_utils.Database(self.path)) as db:
            if "refusal" not in db.table_names():
                return ()
            rows = db.table("refusal").rows_where(
                "account = ? AND at >= ?", [account, since], order_by="rowid"
            )
            return tuple(row["at"] for row in rows)

    def remember(self, account: str, *, at: str) -> None:
        """Append one refusal, durably."""
        with naming(self.path), closing(sqlite_utils.Database(self.path)) as db:
            db.table("refusal").insert({"account": account, "at": at}, columns={"account": str, "at": str})

    def forget(self, account: str) -> None:
        """A login has worked: what was refused before does not count any more."""
        if not self.refused(account, since=""):
            return
        with naming(self.path), closing(sqlite_utils.Database(self.path)) as db:
            db.table("refusal").delete_where("account = ?", [account])
