"""What the page says, gathered once.

For: one frozen value between the mirror and the page, read in one snapshot. Refuses: the network, the
lock, and to fail over a mirror that is empty or damaged: then the page says so.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from smki_sync.cli.status import StatusFinding, TrustStatus, mirror_status
from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History, Run, StoredListing
from smki_sync.mirror.inspection import (
    CertificateCount,
    LedgerFile,
    QuarantineReason,
    QuarantineRow,
    RoleCount,
    read_certificate_counts,
    read_ledger,
    read_quarantine_reasons,
    read_quarantine_rows,
    read_roles,
)
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.revocation import read_lists
from smki_sync.model.extract import ListInForce
from smki_sync.model.plan import Policy

SHOWN: Final = 14
"""So many runs, files and quarantined records are listed one by one, two weeks of each; totals count all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the mirror itself says; all empty where there is none."""

    ledger: tuple[LedgerFile, ...] = ()
    holdings: tuple[CertificateCount, ...] = ()
    roles: tuple[RoleCount, ...] = ()
    quarantine: tuple[QuarantineReason, ...] = ()
    set_aside: tuple[QuarantineRow, ...] = ()
    lists: tuple[ListInForce, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """Everything that the page shows. ``runs``: those of the time shown, oldest first.

    ``made``: the time of the page; its date is the day that age and cliff are judged by.
    ``days``: how many days are shown, at most.
    """

    made: datetime
    place: str
    days: int
    policy: Policy
    finding: StatusFinding
    contents: Contents
    runs: tuple[Run, ...]
    offer: StoredListing | None
    trusted: TrustStatus


def gather(
    directory: MirrorDirectory,
    *,
    now: datetime,
    max_age: float,
    days: int,
    policy: Policy,
    trusted: TrustStatus,
) -> PageFacts:
    """Read mirror and history. ``max_age`` in hours, and ``trusted``: as for ``status``."""
    finding = mirror_status(directory, now=now, max_age=max_age)
    since = (now - timedelta(days=days)).date().isoformat()
    runs, offer = _remembered(History(directory.history), since)
    return PageFacts(
        made=now,
        place=str(directory.root.absolute()),
        days=days,
        policy=policy,
        finding=finding,
        contents=_contents(directory) if finding.census else Contents(),
        runs=runs,
        offer=offer,
        trusted=trusted,
    )


def _contents(directory: MirrorDirectory) -> Contents:
    with open_mirror(directory.link) as db:
        return Contents(
            ledger=read_ledger(db),
            holdings=read_certificate_counts(db),
            roles=read_roles(db),
            quarantine=read_quarantine_reasons(db),
            set_aside=read_quarantine_rows(db, limit=SHOWN),
            lists=read_lists(db),
        )


def _remembered(history: History, since: str) -> tuple[tuple[Run, ...], StoredListing | None]:
    """Runs and the last listing; a record of runs that cannot be read says nothing."""
    with suppress(MirrorError):
        return history.runs(since=since), history.offer()
    return (), None
