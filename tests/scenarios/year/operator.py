"""A party's mirror through the months: cron at half past midnight in London, faults, outages, new keys.

The repository lives in UTC and publishes each day's files as the day ends. Cron lives in London, so a run in
summer finds a day less than the same run in winter: in spring a run finds nothing new, in autumn two days.
After each run everything is held against the repository's own books, and against a consumer of ``changes``.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from support import plain_reader
from support.plain_reader import Mirror
from support.schemas import faults

import smki_sync
from scenarios.year.ends import ENDS
from smki_sync.cli import _run as run_command
from smki_sync.cli.context import configure
from smki_sync.cli.exit_codes import Exit, exit_of, exit_of_outcome
from smki_sync.cli.job import job_of, record_run
from smki_sync.cli.run_report import document
from smki_sync.errors import SmkiSyncError
from smki_sync.events import NullListener
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History, Run
from smki_sync.mirror.queries import Certificate
from smki_sync.model.report import SyncReport
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.publisher import IMPOSSIBLE
from smki_sync.simulator.repository import Repository
from smki_sync.simulator.sftp_server import Service, serve
from smki_sync.sync import run

DAY = timedelta(days=1)
OVERLAP = 2 * DAY
"""A full says nothing certain about this time before its date. Deltas prove it."""

WITHOUT_DELTA = frozenset({Fault.WITHHOLD_DELTA, Fault.TRUNCATE, Fault.CORRUPT, Fault.MISMATCHED_TAG})
LONDON = ZoneInfo("Europe/London")
BESIDE_BYTES = 1_000_000
"""What may lie beside two generations: records of a year's runs, proofs, an extract that waits."""


CRON = time(0, 30)


@dataclass
class Consumer:
    """Somebody who keeps a copy by the feed alone: the standing of each certificate, and the last token."""

    standings: dict[plain_reader.Key, plain_reader.Standing]
    token: str

    def take(self, feed: str) -> int:
        """Follow the lines of ``changes --format jsonl``; how many they were."""
        lines = [json.loads(line) for line in feed.splitlines()]
        read = tuple(
            plain_reader.Line(
                one["sequence"], one["date"], one["change"], (one["issuer"], one["serial"]), *ends
            )
            for one in lines
            for ends in [(one["from"], one["to"])]
        )
        self.standings = plain_reader.replay(self.standings, read)
        self.token = lines[-1]["token"] if lines else self.token
        return len(lines)


@dataclass
class RowFollower:
    """Keeps a copy of all rows with ``Mirror.news`` alone. ``rows``: every other column, by identity."""

    rows: dict[plain_reader.Key, Certificate]
    token: str

    def take(self, found: Iterable[Certificate], token: str) -> None:
        """Store changed rows and the token of the same state."""
        self.rows |= {(c.issuer, c.serial): stored(c) for c in found}
        self.token = token


def stored(c: Certificate) -> Certificate:
    """Return a certificate without the columns that depend on lists, authorities, the time or the full.

    ``first_seen``, ``last_changed`` and ``file`` are left out too: a late delta makes the first one earlier,
    and a rebuild from other files changes the others, without a line in the journal.
    """
    stripped = c._replace(
        first_seen="",
        last_changed="",
        file="",
        revoked_by=None,
        revocation_reason=None,
        issuer_revoked=None,
        unproven=False,
    )
    return stripped._replace(revoked_authority=None, revocation_until=None, revocation=None, unusable=None)


@dataclass
class Operator:
    """``place``: of everything. ``troubles``: faults that nobody has mended, with the ends still to come.

    ``struck``: all that went wrong so far. ``codes``, ``reasons``: how runs ended, and why.
    ``notices``: of the last run. ``accepted``: the poisoned record, which is the same each time.
    """

    place: Path
    repository: Repository
    troubles: list[tuple[Fault, date, list[Exit]]] = field(default_factory=list)
    struck: list[tuple[Fault, date]] = field(default_factory=list)
    codes: list[Exit] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    accepted: bool = False
    consumer: Consumer | None = None
    follower: RowFollower | None = None
    held: Mirror | None = None
    service: Service | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def begin(cls, place: Path, *, start: date, devices: int = 2) -> "Operator":
        """A repository of one day, and an account of it over a directory."""
        repository = Repository.create(place / "repository", devices=devices, days=1, start=start, seed=28)
        operator = cls(place=place, repository=repository)
        operator.configure_directory()
        return operator

    @property
    def mirror(self) -> Path:
        return self.place / "mirror"

    # How the mirror is reached

    def configure_directory(self) -> None:
        self._configure(f'url = "{self.repository.path.as_uri()}"\n')

    def configure_sftp(self) -> None:
        """The repository goes over to SFTP."""
        self.service = self._stack.enter_context(serve(self.repository.path, keys=self._keys()))
        shutil.copytree(self._keys(), self.place / "ours", dirs_exist_ok=True)
        self._configure(
            f'url = "{self.service.url}"\n'
            'identity_file = "ours/client_ed25519"\nknown_hosts = "ours/known_hosts"\n'
        )

    def rotate(self, *names: str) -> None:
        """The server has other keys from now on, on the same port; ours are the old ones."""
        assert self.service
        port = self.service.port
        self._stack.close()
        for name in names:
            (self._keys() / name).unlink()
        self.service = self._stack.enter_context(serve(self.repository.path, port=port, keys=self._keys()))

    def take_keys(self) -> None:
        """The keys of the server's side have reached us by another way."""
        shutil.copytree(self._keys(), self.place / "ours", dirs_exist_ok=True)

    def close(self) -> None:
        self._stack.close()

    def _keys(self) -> Path:
        keys = self.place / "keys"
        keys.mkdir(exist_ok=True)
        return keys

    def _configure(self, repository: str) -> None:
        (self.place / "smki-sync.toml").write_text(
            f'[repository]\n{repository}[mirror]\npath = "mirror"\n'
            '[archive]\npath = "archive"\nkeep_fulls = 2\n'
            '[metrics]\ntextfile = "smki.prom"\n[policy]\nlogin_lockout_minutes = 0\nverify = "new"\n'
        )

    # A day

    def publish_until(self, last: date, faults: Callable[[date], frozenset[Fault]]) -> None:
        """The repository publishes each day as it ends."""
        while self.repository.today < last:
            day = self.repository.today + DAY
            struck = faults(day)
            self.repository.advance(faults=struck)
            self.struck += [(fault, day) for fault in struck]
            self.troubles += [(fault, day, list(ENDS[fault])) for fault in struck]

    def mend(self, now: datetime) -> None:
        """What has lasted long enough is put right, by the DCC or by us."""
        for fault, day, ends in self.troubles:
            if not ends:
                self._mend(fault, day, now)
        self.troubles = [trouble for trouble in self.troubles if trouble[2]]

    def _mend(self, fault: Fault, day: date, now: datetime) -> None:
        match fault:
            case (
                Fault.TRUNCATE
                | Fault.CORRUPT
                | Fault.MISMATCHED_TAG
                | Fault.EMPTY_FILE
                | Fault.WITHHOLD_DELTA
            ):
                name = self.repository.publish_delta(day)
            case Fault.CORRUPT_FULL:
                name = self.repository.publish_full(day)
            case Fault.POISON_RECORD:
                self.ask("quarantine", "--accept", code=Exit.OK)
                self.accepted = True
                return
            case _:
                return
        moment = now.timestamp() - 3600
        os.utime(self.repository.path / name, (moment, moment))

    def sync(self, now: datetime, *, full: bool = False, accept_shrink: bool = False) -> Exit:
        """The command that cron runs, at a time of our choice."""
        settings = configure()
        job = replace(job_of(settings, NullListener()), clock=lambda: now)
        job = replace(job, change_limits=replace(job.change_limits, accept_shrink=accept_shrink))
        try:
            report = record_run(settings, job, "sync", lambda: run(job, full=full))
        except SmkiSyncError as error:
            self.reasons.append(error.reason)
            return exit_of(error)
        assert faults("sync", document(report)) == []
        self._check_report(report)
        self.notices = [str(notice.code) for notice in report.attention]
        self.reasons.append(str(report.plan.reason))
        return exit_of_outcome(report.outcome)

    def _check_report(self, report: SyncReport) -> None:
        mirror = plain_reader.read(self.mirror)
        assert (mirror.position if mirror else None) == report.position
        if mirror:
            assert report.counts.digest == plain_reader.digest_hex(mirror.in_use())

    def ask(self, *words: str, code: Exit | None = None) -> str:
        """Any other command, in this process; what it says on stdout."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            ended = run_command(words)
        said = out.getvalue()
        assert code is None or ended == code, (words, ended, said[-800:], err.getvalue()[-800:])
        assert "--json" not in words or faults(words[0], json.loads(said)) == []
        return said

    def runs_remembered(self) -> tuple[Run, ...]:
        return History(MirrorDirectory(self.mirror).history).runs(since="")

    def expected(self) -> Exit:
        """The graver of what the troubles that stand bring; each has one end less to come."""
        due = [Exit.OK]
        for fault, day, ends in self.troubles:
            if not ends:
                continue
            end = ends.pop(0)
            if fault in WITHOUT_DELTA and (full := self._covering(day)):
                # A full that is newer by more than the overlap needs no delta of that day.
                end = Exit.ATTENTION if full - day <= OVERLAP else Exit.OK
            if fault is Fault.POISON_RECORD and self.accepted:
                end = Exit.OK
            due.append(end)
        return max(due)

    def _covering(self, day: date) -> date | None:
        """The newest full that makes up for a missing delta, which a later delta proves not to be late."""
        offer = self.repository.path.glob("SMKIKR_*_20??-??-??.xml.gz")
        days = [
            (path.name[7:11], date.fromisoformat(path.name[12:22]))
            for path in offer
            if path.name != IMPOSSIBLE
        ]
        fulls = [full for kind, full in days if kind == "FULL" and day < full <= self.repository.today]
        is_late = not any(kind == "DELT" and day < later for kind, later in days)
        return None if is_late else max(fulls, default=None)

    def lacking(self) -> list[date]:
        """The days of the overlap of the newest full of which the ledger has no delta."""
        if not (self.mirror / "mirror.db").exists():
            return []
        with plain_reader.opened(self.mirror) as db:
            ledger = db.execute("SELECT kind, day FROM extract WHERE superseded = 0").fetchall()
        files = [(kind, date.fromisoformat(day)) for kind, day in ledger]
        full = max((day for kind, day in files if kind == "full"), default=date.min + OVERLAP)
        days = [full - back * DAY for back in range(OVERLAP.days + 1)]
        return [day for day in days if ("delta", day) not in files]

    # What must hold

    def judge(self, code: Exit) -> None:
        """Right for its position, current where it says so, whole books, no more on disk than it needs."""
        self.codes.append(code)
        mirror = plain_reader.read(self.mirror)
        assert mirror is not None
        truth = self.repository.at(mirror.position).truth()
        listed = {row.der for row in mirror.rows.values() if row.status == "I" and not row.withdrawn}
        if not mirror.unproven:
            assert listed == {der for status, der in truth.values() if status == "I"}
        if code is Exit.OK:
            assert not mirror.unproven
            assert mirror.in_use() == listed
        if self.held:
            assert mirror.position >= self.held.position, "it went back"
            assert mirror.ledger[: len(self.held.ledger)] == self.held.ledger
            assert mirror.journal[: len(self.held.journal)] == self.held.journal
        self.held = mirror
        self._follow(mirror)
        self._weigh()

    def _follow(self, mirror: Mirror) -> None:
        if self.consumer is None:
            lineage = json.loads(self.ask("manifest", "--json"))["lineage"]
            self.consumer = Consumer(plain_reader.standings(mirror), f"{lineage}:{len(mirror.journal)}")
        self.consumer.take(self.ask("changes", "--since", self.consumer.token, code=Exit.OK))
        assert self.consumer.standings == plain_reader.standings(mirror)
        self._follow_rows()

    def _follow_rows(self) -> None:
        """Compare all columns of a copy that knows only the news with those of the mirror."""
        with smki_sync.open(self.mirror) as mirror:
            if self.follower is None:
                self.follower = RowFollower({}, "")
                self.follower.take(mirror.find(any_status=True), mirror.token)
            self.follower.take(mirror.news(since=self.follower.token), mirror.token)
            rows = {(c.issuer, c.serial): stored(c) for c in mirror.find(any_status=True)}
        differing = {
            name
            for key in self.follower.rows | rows
            for name in Certificate._fields
            if getattr(self.follower.rows.get(key), name, None) != getattr(rows.get(key), name, None)
        }
        assert not differing, sorted(differing)

    def _weigh(self) -> None:
        """Nothing lies about that no run will need again."""
        files = [path for path in self.mirror.rglob("*") if path.is_file() and not path.is_symlink()]
        generations = [path for path in files if path.suffix == ".db" and path.parent.name == "generations"]
        assert len(generations) <= 2
        left = {path.parent.name for path in files} - {"generations", "mirror"}
        assert left <= {"downloads"}
        waiting = [path.name for path in files if path.parent.name == "downloads"]
        assert self.troubles or not waiting, waiting
        known = {"mirror.db", "history.db", "trust.db", "lock", *(path.name for path in files)}
        assert {path.name for path in self.mirror.iterdir()} <= known | {"generations", "downloads"}
        current = (self.mirror / "mirror.db").resolve().stat().st_size
        assert sum(path.stat().st_size for path in files) < 2 * current + BESIDE_BYTES


def moment_of(day: date) -> datetime:
    """When cron runs on a day in London, in UTC."""
    return datetime.combine(day, CRON, LONDON).astimezone(UTC)
