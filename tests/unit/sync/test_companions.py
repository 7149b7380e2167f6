"""Lists and slot files in a run: downloaded when they change, checked, in force, and reported."""

import gzip
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from support import plain_reader
from support.list_pki import with_null

from smki_sync.errors import BadExtract, SourceMissing, SourceRefused
from smki_sync.events import Event
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.journal import FromDate, read_changes, read_journal, start_after
from smki_sync.mirror.queries import open_mirror
from smki_sync.model.certificate import Kind
from smki_sync.model.extract import ListPolicy, ListState, RemoteFile
from smki_sync.model.plan import Action
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.recovery import restore
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.pki import OCA
from smki_sync.simulator.population import NO_CHANGES, DailyRates
from smki_sync.simulator.publisher import ANCHORS_NORTH, ARL, CRL
from smki_sync.simulator.repository import Repository
from smki_sync.sources.base import Chunks, Limits
from smki_sync.sources.directory import DirectorySource
from smki_sync.sync import SyncJob, dry_run, run

DAY = timedelta(days=1)
START = date(2026, 3, 2)
REVOKING = DailyRates(**dict.fromkeys(NO_CHANGES.__dataclass_fields__, 0) | {"organisation_revoked": 1.0})
"""Every day one organisation certificate is revoked and replaced, and nothing else happens."""


@dataclass
class Watched:
    """The files in a directory, and which of them were downloaded. ``broken``: raised for a name."""

    inner: DirectorySource
    fetched: list[str] = field(default_factory=list)
    broken: dict[str, Exception] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.inner.title

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Nothing to close."""

    def fetch_listing(self) -> tuple[RemoteFile, ...]:
        return self.inner.fetch_listing()

    @contextmanager
    def fetch(self, name: str, *, offset: int = 0) -> Iterator[Chunks]:
        self.fetched.append(name)
        if name in self.broken:
            raise self.broken[name]
        with self.inner.fetch(name, offset=offset) as chunks:
            yield chunks


@dataclass
class Party:
    """A repository in which an organisation is revoked each day, and a mirror of it."""

    repository: Repository
    mirror: Path
    source: Watched = field(init=False)

    def __post_init__(self) -> None:
        self.source = Watched(DirectorySource(self.repository.path, limits=Limits()))

    def job(self, today: date | None = None) -> SyncJob:
        return SyncJob(
            directory=MirrorDirectory(self.mirror),
            open_source=lambda: self.source,
            today=today or self.repository.today,
        )

    def sync(self, *faults: Fault, advance: bool = True, lists: ListPolicy | None = None) -> SyncReport:
        """Let a day happen, and run."""
        if advance:
            self.repository.advance(faults=faults)
        self.source.fetched.clear()
        return run(replace(self.job(), lists=lists or ListPolicy()))

    def ask(self, sql: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(f"{(self.mirror / 'mirror.db').as_uri()}?mode=ro", uri=True)) as db:
            return db.execute(sql, values).fetchall()

    def in_use(self) -> set[bytes]:
        found = plain_reader.read(self.mirror)
        assert found is not None
        return found.in_use()


@pytest.fixture
def party(tmp_path: Path) -> Party:
    repository = Repository.create(
        tmp_path / "repository", devices=3, days=5, start=START, seed=4, pace=REVOKING
    )
    return Party(repository, tmp_path / "mirror")


@pytest.fixture
def started(party: Party) -> Party:
    assert party.sync(advance=False).outcome is Outcome.CURRENT
    return party


def codes(report: SyncReport) -> list[NoticeCode]:
    return [attention.code for attention in report.attention if not attention.code.is_note]


def states(report: SyncReport) -> dict[str, ListState]:
    return {one.file: one.state for one in report.lists}


def test_first_run_applies_full_deltas_and_lists(party: Party) -> None:
    report = party.sync(advance=False)
    assert (report.plan.action, codes(report)) == (Action.FULL, [])
    assert states(report) == {ARL: ListState.APPLIED, CRL: ListState.APPLIED}
    assert party.ask("SELECT kind, number, in_force FROM revocation_list") == [
        ("arl", "5", 1),
        ("crl", "5", 1),
    ]
    assert party.ask("SELECT count(*) FROM certificates WHERE revoked IS NOT NULL AND status <> 'R'") == [
        (0,)
    ]
    (revoked,) = party.ask("SELECT count(*) FROM certificates WHERE revoked IS NOT NULL")
    assert revoked[0] >= 4
    assert party.in_use() == party.repository.in_use()


def test_run_is_current_when_only_a_list_is_new(started: Party) -> None:
    crl = (started.repository.path / CRL).read_bytes()
    started.sync()
    (started.repository.path / CRL).write_bytes(crl)  # the delta is here, the list is of the day before
    started.repository.advance()
    started.repository.remove(f"SMKIKR_DELT_{started.repository.today}.xml.gz")
    ledger = "SELECT id, name, sha256, committed FROM extract"
    before = started.ask("SELECT position FROM mirror"), started.ask(ledger)
    report = started.sync(advance=False)
    assert (report.plan.action, report.outcome) == (Action.NONE, Outcome.CURRENT)
    (crl_outcome,) = (one for one in report.lists if one.file == CRL)
    assert (crl_outcome.state, crl_outcome.revoked) == (ListState.APPLIED, 1)
    assert (started.ask("SELECT position FROM mirror"), started.ask(ledger)) == before
    assert started.ask(
        "SELECT status, in_use FROM certificates WHERE revoked IS NOT NULL AND status = 'I'"
    ) == [("I", 0)]
    assert report.counts.in_use == len(started.in_use())


def test_unchanged_companions_are_not_downloaded_again(started: Party) -> None:
    report = started.sync(advance=False)
    assert started.source.fetched == []
    assert set(states(report).values()) == {ListState.IN_FORCE}
    stamp = (started.repository.path / CRL).stat().st_mtime
    os.utime(started.repository.path / CRL, (stamp + 1, stamp + 1))
    started.sync(advance=False)
    assert started.source.fetched == [CRL]


def test_overdue_list_is_downloaded_again(started: Party) -> None:
    late = started.repository.today + 40 * DAY
    started.source.fetched.clear()
    report = run(started.job(late))
    assert started.source.fetched.count(CRL) == 1
    assert NoticeCode.LIST_STALE in codes(report)
    assert report.outcome is Outcome.BEHIND


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.OLDER_CRL, NoticeCode.LIST_OLDER),
        (Fault.FORGED_CRL, NoticeCode.LIST_SIGNATURE_FALSE),
        (Fault.STRANGER_CRL, NoticeCode.LIST_SIGNER_UNKNOWN),
        (Fault.CORRUPT_CRL, NoticeCode.LIST_UNREADABLE),
    ],
)
def test_bad_list_is_refused_until_it_is_replaced(started: Party, fault: Fault, code: NoticeCode) -> None:
    held = started.ask("SELECT number, sha256 FROM revocation_list WHERE kind = 'crl' AND in_force")
    for report in (started.sync(fault), started.sync(advance=False)):
        assert (report.outcome, codes(report)) == (Outcome.BEHIND, [code])
        assert states(report)[CRL] is ListState.REFUSED
    assert started.ask("SELECT number, sha256 FROM revocation_list WHERE kind = 'crl' AND in_force") == held
    ((name, kept, content),) = started.ask("SELECT name, code, content FROM refused_companion")
    assert (name, kept, content) == (CRL, code, (started.repository.path / CRL).read_bytes())
    report = started.sync()
    assert (report.outcome, states(report)[CRL]) == (Outcome.CURRENT, ListState.APPLIED)


def test_certificate_is_revoked_only_while_it_is_listed(started: Party) -> None:
    report = started.sync(Fault.LISTED_ALONE)
    assert report.outcome is Outcome.CURRENT
    ((serial, status, used),) = started.ask(
        "SELECT serial, status, in_use FROM certificates WHERE revoked IS NOT NULL AND status = 'I'"
    )
    assert (status, used) == ("I", 0)
    assert len(started.in_use()) == len(started.repository.in_use()) - 1
    started.sync()
    assert started.in_use() == started.repository.in_use()
    lines = started.ask("SELECT change, file FROM changes WHERE serial = ? ORDER BY sequence", serial)
    assert lines[:2] == [("revoked", CRL), ("unrevoked", CRL)]


def test_list_is_applied_when_a_delta_is_damaged(started: Party) -> None:
    started.repository.advance(faults=[Fault.TRUNCATE])
    position = started.ask("SELECT position FROM mirror")
    with pytest.raises(BadExtract):
        run(started.job())
    assert started.ask("SELECT position FROM mirror") == position
    assert started.ask("SELECT number FROM revocation_list WHERE kind = 'crl' AND in_force") == [("6",)]
    assert started.ask("SELECT count(*) FROM certificates WHERE revoked IS NOT NULL AND status = 'I'") == [
        (1,)
    ]


def test_list_is_applied_when_its_signer_is_new(started: Party) -> None:
    with closing(sqlite3.connect(started.mirror / "mirror.db")) as db, db:
        db.execute("DELETE FROM revocation_list")
        db.execute("DELETE FROM revocation")
        db.execute("UPDATE certificate SET kind = 1 WHERE kind = 2")  # the mirror knows no authority yet
    report = run(started.job(), full=True)
    assert states(report) == {ARL: ListState.APPLIED, CRL: ListState.APPLIED}
    assert codes(report) == []


def test_list_is_applied_when_its_signer_has_an_anchor(party: Party) -> None:
    roots = party.repository.roots()
    ours, others = (roots[Kind.OCA],), (roots[Kind.DCA],)
    report = run(replace(party.job(), anchors=others))
    assert report.outcome is Outcome.BEHIND
    assert codes(report) == [NoticeCode.LIST_NOT_ANCHORED] * 2
    assert party.ask("SELECT count(*) FROM revocation") == [(0,)]
    assert party.ask("SELECT code FROM refused_companion") == [("list-not-anchored",)] * 2
    party.source.fetched.clear()
    report = run(replace(party.job(), anchors=ours))
    assert report.outcome is Outcome.CURRENT
    assert states(report) == {ARL: ListState.APPLIED, CRL: ListState.APPLIED}
    assert party.source.fetched == []  # checked again, from the stored bytes


def test_list_in_force_stays_when_it_has_no_anchor(started: Party) -> None:
    before = started.ask("SELECT * FROM revocation")
    others = (started.repository.roots()[Kind.DCA],)
    for _ in range(2):
        assert codes(run(replace(started.job(), anchors=others))) == [NoticeCode.LIST_NOT_ANCHORED] * 2
    assert started.ask("SELECT * FROM revocation") == before


def test_list_with_null_parameters_is_applied(started: Party) -> None:
    started.repository.advance(faults=(Fault.LISTED_ALONE,))
    path = started.repository.path / CRL
    with started.repository._open_registry() as (registry, _):
        authority = registry.authorities()[OCA]
    path.write_bytes(gzip.compress(with_null(gzip.decompress(path.read_bytes()), authority)))
    report = run(started.job())
    assert (report.outcome, states(report)[CRL]) == (Outcome.CURRENT, ListState.APPLIED)
    assert started.ask("SELECT count(*) FROM certificates WHERE revoked <> '' AND status = 'I'") == [(1,)]


def test_missing_lists_stay_in_force(started: Party) -> None:
    revoked = started.ask("SELECT serial FROM certificates WHERE revoked IS NOT NULL")
    report = started.sync(Fault.WITHHOLD_LISTS)
    assert codes(report) == [NoticeCode.LIST_MISSING] * 2
    assert set(revoked) <= set(started.ask("SELECT serial FROM certificates WHERE revoked IS NOT NULL"))
    assert codes(dry_run(started.job())) == [NoticeCode.LIST_MISSING] * 2


def test_missing_lists_are_reported_unless_none_is_expected(party: Party) -> None:
    for name in (ARL, CRL):
        party.repository.remove(name)
    report = party.sync(advance=False)
    assert [a.code for a in report.attention if a.code is NoticeCode.NO_LISTS] == [NoticeCode.NO_LISTS]
    assert report.outcome is Outcome.CURRENT
    silent = party.sync(advance=False, lists=ListPolicy(expected=False))
    assert silent.attention == ()


def test_list_is_stale_beyond_the_configured_age(started: Party) -> None:
    policy = ListPolicy(crl_max_age_days=2)
    job = replace(started.job(started.repository.today + 4 * DAY), lists=policy)
    stale = [a for a in run(job).attention if a.code is NoticeCode.LIST_STALE]
    assert len(stale) == 1
    assert "more than 2 days ago" in stale[0].message


def test_newest_of_several_lists_is_applied(started: Party) -> None:
    path = started.repository.path
    (path / "SMKIKR_CRL_before.crl.gz").write_bytes((path / CRL).read_bytes())
    report = started.sync()
    assert report.outcome is Outcome.CURRENT
    assert [(one.file, one.number) for one in report.lists if one.kind == "crl"] == [(CRL, 6)]
    assert started.sync(advance=False).outcome is Outcome.CURRENT


def test_run_continues_when_a_companion_is_missing(started: Party) -> None:
    started.source.broken = {
        CRL: SourceMissing("it has just left"),
        ARL: SourceRefused("no", code="permission-denied"),
    }
    report = started.sync()
    assert report.position == started.repository.today
    assert codes(report) == [NoticeCode.COMPANION_NOT_FETCHED] * 2
    started.source.broken = {}
    assert started.sync(advance=False).outcome is Outcome.CURRENT


def test_run_stops_when_the_login_is_refused(started: Party) -> None:
    started.source.broken = {CRL: SourceRefused("the password is wrong", code="login-refused")}
    with pytest.raises(SourceRefused):
        started.sync()


@pytest.mark.parametrize("stated", [True, False], ids=["by its listing", "by its bytes"])
def test_companion_above_the_limit_is_not_downloaded(
    started: Party, monkeypatch: pytest.MonkeyPatch, stated: bool
) -> None:
    size = (started.repository.path / CRL).stat().st_size
    listing = started.source.inner.fetch_listing()
    changed = tuple(
        replace(file, size=size if stated else 1, modified=None) if file.name == CRL else file
        for file in listing
    )
    monkeypatch.setattr(started.source, "fetch_listing", lambda: changed)
    report = started.sync(advance=False, lists=ListPolicy(largest_bytes=size - 1))
    (told,) = (a for a in report.attention if a.code is NoticeCode.COMPANION_NOT_FETCHED)
    assert CRL in told.message
    assert f"{size - 1:,}" in told.message
    assert started.source.fetched == ([] if stated else [CRL])


def test_compressed_bomb_is_unreadable(started: Party) -> None:
    (started.repository.path / CRL).write_bytes(gzip.compress(b"\0" * 100_000_000))
    assert codes(started.sync(advance=False)) == [NoticeCode.LIST_UNREADABLE]


def test_resync_keeps_lists_slots_and_evidence(started: Party) -> None:
    started.sync(Fault.FORGED_CRL)
    tables = ("revocation_list", "companion", "refused_companion", "slot_publication", "slot_body")
    before = {table: started.ask(f"SELECT * FROM {table}") for table in tables}
    used = started.in_use()
    report = run(started.job(), full=True)
    assert report.plan.action is Action.FULL
    assert {table: started.ask(f"SELECT * FROM {table}") for table in tables} == before
    assert started.in_use() == used


# Anchor slots.


def test_slot_files_are_stored_with_their_history(started: Party) -> None:
    started.sync()
    started.sync(Fault.SLOTS_DIFFER)
    rows = started.ask("SELECT region, day FROM slot_publication WHERE region = 'NORTH' ORDER BY id")
    assert rows[0] == ("NORTH", "2026-03-06")
    assert rows[-1] == ("NORTH", "2026-03-08")
    regions = started.ask("SELECT DISTINCT region FROM slot_publication ORDER BY 1")
    assert regions == [("CENTRAL_SOUTH",), ("NORTH",)]


def test_slot_files_that_differ_are_reported(started: Party) -> None:
    for report in (started.sync(Fault.SLOTS_DIFFER), started.sync(advance=False)):
        assert codes(report) == [NoticeCode.SLOTS_DIFFER]
        assert "supplier" in report.attention[0].message
        assert "in NORTH, not in CENTRAL_SOUTH" in report.attention[0].message
    assert codes(started.sync()) == []


@pytest.mark.parametrize(
    "xml",
    [
        b"<CertificateDataResponse></CertificateDataResponse>",
        (
            b"<CertificateDataResponse><CertificateResponse><CertificateStatus>I</CertificateStatus>"
            b"</CertificateResponse></CertificateDataResponse>"
        ),
        b"<html/>",
    ],
    ids=["empty", "a record without a body", "no extract"],
)
def test_unreadable_slot_file_is_refused(started: Party, xml: bytes) -> None:
    before = started.ask("SELECT * FROM slot_publication")
    (started.repository.path / ANCHORS_NORTH).write_bytes(gzip.compress(xml))
    assert codes(started.sync(advance=False)) == [NoticeCode.SLOTS_UNREADABLE]
    assert started.ask("SELECT * FROM slot_publication") == before
    assert started.ask("SELECT name, code FROM refused_companion") == [(ANCHORS_NORTH, "slots-unreadable")]


def test_restore_applies_the_lists(party: Party, tmp_path: Path) -> None:
    report = party.sync(Fault.LISTED_ALONE)
    before = party.in_use()
    party.mirror = tmp_path / "restored"
    restored = restore(party.job())
    assert party.in_use() == before
    assert party.ask("SELECT count(*) FROM certificates WHERE revoked <> '' AND status = 'I'") == [(1,)]
    assert restored.report.counts.digest == report.counts.digest
    assert {one.state for one in restored.report.lists} == {ListState.APPLIED}


def test_restore_accepts_a_newer_list(party: Party) -> None:
    party.sync()
    crl = party.repository.path / CRL
    older = crl.read_bytes(), crl.stat().st_mtime
    party.repository.advance(faults=(Fault.LISTED_ALONE,))
    crl_now = crl.read_bytes(), crl.stat().st_mtime
    _put(crl, older)
    run(party.job())
    held = party.in_use()
    _put(crl, crl_now)
    restored = restore(party.job())
    assert held - party.in_use()
    assert {check.name: check.passed for check in restored.checks}["digest"]


def _put(path: Path, content: tuple[bytes, float]) -> None:
    path.write_bytes(content[0])
    os.utime(path, (content[1], content[1]))


@dataclass
class Reader:
    """Reads the mirror at each event of a run."""

    party: Party
    seen: list[set[bytes]] = field(default_factory=list)

    def emit(self, _event: Event) -> None:
        if (self.party.mirror / "mirror.db").exists():
            self.seen.append(self.party.in_use())


def test_first_mirror_is_published_with_its_lists_applied(party: Party) -> None:
    party.repository.advance(faults=(Fault.LISTED_ALONE,))
    reader = Reader(party)
    report = run(replace(party.job(), events=reader))
    revoked = {
        der for (der,) in party.ask("SELECT der FROM certificates WHERE revoked <> '' AND status = 'I'")
    }
    assert len(revoked) == 1
    assert len(reader.seen) > 1
    assert not any(revoked & seen for seen in reader.seen)
    assert states(report) == {ARL: ListState.APPLIED, CRL: ListState.APPLIED}
    assert max(one.revoked for one in report.lists) > 1


def test_lists_of_the_first_mirror_are_not_in_its_journal(
    party: Party,
) -> None:
    party.sync(advance=False)
    assert party.ask("SELECT count(*) FROM changes WHERE change = 'revoked'") == [(0,)]
    for _ in range(2):
        party.sync()
    with open_mirror(party.mirror / "mirror.db") as db:
        journal = read_journal(db)
        for number in range((party.repository.today - journal.since).days + 1):
            day = journal.since + number * DAY
            start = start_after(db, journal, FromDate(day=day))
            assert isinstance(start, int)
            lines = list(read_changes(db, start))
            assert lines
            first = db.execute("SELECT min(recorded) FROM change WHERE sequence > ?", (start,)).get
            assert datetime.fromtimestamp(first, UTC).date() >= day


def test_restore_to_a_date_says_that_its_lists_are_newer(party: Party) -> None:
    before = party.repository.today
    party.sync()
    party.sync(Fault.LISTED_ALONE)
    restored = restore(party.job(), until=before)
    (told,) = (one for one in restored.report.attention if one.code is NoticeCode.RESTORED_TO_DATE)
    assert "lists are those of today" in told.message
    assert party.ask("SELECT count(*) FROM certificates WHERE revoked <> '' AND status = 'I'") > [(0,)]
    for name in (ARL, CRL):
        party.repository.remove(name)
    party.mirror = party.mirror.with_name("elsewhere")
    restored = restore(party.job(), until=before)
    (told,) = (one for one in restored.report.attention if one.code is NoticeCode.RESTORED_TO_DATE)
    assert "lists" not in told.message
