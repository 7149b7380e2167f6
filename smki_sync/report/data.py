"""The data of the status page, read once from mirror and history, without network or lock."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

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
from smki_sync.status import MirrorStatus, TrustStatus, mirror_status

MAX_ROWS: Final = 14
"""Runs, files and quarantined records that are listed one by one: two weeks. Totals count all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Contents of the mirror; all empty if there is no mirror."""

    ledger: tuple[LedgerFile, ...] = ()
    holdings: tuple[CertificateCount, ...] = ()
    roles: tuple[RoleCount, ...] = ()
    quarantine: tuple[QuarantineReason, ...] = ()
    quarantine_rows: tuple[QuarantineRow, ...] = ()
    lists: tuple[ListInForce, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """Everything that the page shows. ``runs``: the runs of the period, oldest first.

    ``made``: time of the page; age and resync deadline are calculated for its date.
    ``days``: maximum length of the period.
    """

    made: datetime
    place: str
    days: int
    policy: Policy
    status: MirrorStatus
    contents: Contents
    runs: tuple[Run, ...]
    offer: StoredListing | None
    trust: TrustStatus


def read_page_facts(
    directory: MirrorDirectory,
    *,
    now: datetime,
    max_age: float,
    days: int,
    policy: Policy,
    trust: TrustStatus,
) -> PageFacts:
    """Read mirror and history. ``max_age`` in hours, and ``trust``: as for the command ``status``."""
    status = mirror_status(directory, now=now, max_age=max_age)
    since = (now - timedelta(days=days)).date().isoformat()
    runs, offer = _runs_and_listing(History(directory.history), since)
    return PageFacts(
        made=now,
        place=str(directory.root.absolute()),
        days=days,
        policy=policy,
        status=status,
        contents=_contents(directory) if status.counts else Contents(),
        runs=runs,
        offer=offer,
        trust=trust,
    )


def _contents(directory: MirrorDirectory) -> Contents:
    with open_mirror(directory.link) as db:
        return Contents(
            ledger=read_ledger(db),
            holdings=read_certificate_counts(db),
            roles=read_roles(db),
            quarantine=read_quarantine_reasons(db),
            quarantine_rows=read_quarantine_rows(db, limit=MAX_ROWS),
            lists=read_lists(db),
        )


def _runs_and_listing(history: History, since: str) -> tuple[tuple[Run, ...], StoredListing | None]:
    """Return runs and the last listing; empty if the history cannot be read."""
    with suppress(MirrorError):
        return history.runs(since=since), history.offer()
    return (), None
