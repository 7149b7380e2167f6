"""A repository to which anything may happen, a mirror that is synced whenever, and what must always hold.

The repository is the simulator's, without lag: each full is what was In-Use at the end of its day, and each
delta what changed on it. So a mirror has exactly one right content for each position.
"""

import hashlib
import os
import shutil
import traceback
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from resilience.kill.moments import die
from resilience.kill.watch import Clock, watch
from support import plain_reader
from support.plain_reader import Mirror

from scenarios.model_based.naive import Naive, is_whole
from scenarios.operator import Operator
from smki_sync.errors import BadExtract
from smki_sync.events import NullListener
from smki_sync.model.certificate import Status
from smki_sync.model.plan import Reason
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.simulator.faults import ON_FULLS, Fault
from smki_sync.simulator.population import end
from smki_sync.simulator.repository import Repository, Truth

DAY = timedelta(days=1)
START = date(2026, 3, 2)
WINDOW = 7
ON_PUBLISHED = frozenset({Fault.CHANGE_AFTER_PUBLICATION, Fault.SAME_SIZE_CHANGE})
WITHIN = frozenset({"file", "sql", "disk"})
"""What a killed run is killed at."""

_EXTRACTS = "SMKIKR_[FD]*_20??-??-??.xml.gz"
_FAST = Path("/dev/shm")  # noqa: S108 - memory, where there is some: nothing here tests the disk


def make_original(place: Path) -> Path:
    """A repository of one day, to be copied: two devices, and the authorities and organisations."""
    return Repository.create(place / "original", devices=2, days=1, start=START, seed=8).path


@dataclass
class World:
    """``versions``: the octets of every file that was ever on offer, by SHA-256."""

    original: Path
    place: Path = field(default_factory=lambda: Path(mkdtemp(dir=_FAST if _FAST.is_dir() else None)))
    versions: dict[str, bytes] = field(default_factory=dict)
    truths: dict[date, Truth] = field(default_factory=dict)
    naive: Naive = field(default_factory=Naive)
    taken: tuple[tuple[object, ...], ...] = ()
    ground: dict[plain_reader.Key, plain_reader.Standing] = field(default_factory=dict)
    held: Mirror | None = None
    spoiled: bool = False
    touches: int = 0

    def __post_init__(self) -> None:
        shutil.copytree(self.original, self.place / "repository")
        self.repository = Repository.open(self.place / "repository")
        self.operator = Operator(self.place / "mirror", self.repository.path)
        self._note()

    def close(self) -> None:
        shutil.rmtree(self.place)

    # What happens at the repository

    @property
    def today(self) -> date:
        return self.repository.today

    def live(self, days: int = 1, faults: frozenset[Fault] = frozenset()) -> None:
        """Days pass; faults of a full only strike where one falls due."""
        for _ in range(days):
            due = (self.today + DAY - START).days % WINDOW == 0
            deltas = any("DELT" in name for name in self.offer())
            impossible = (frozenset() if due else ON_FULLS) | (frozenset() if deltas else ON_PUBLISHED)
            self.repository.advance(faults=faults - impossible)
            self._note()

    def turn(self, number: int, status: Status) -> None:
        """Tomorrow, in its last seconds, a certificate has another status, whatever it had."""
        self.touches += 1
        with self.repository._open_registry() as (registry, _):
            numbers = [certificate.number for certificate, _ in registry.histories()]
            registry.change(numbers[number % len(numbers)], end(self.today + DAY) - self.touches, status)

    def publish_again(self, ago: int) -> None:
        """A delta of the window is published, late or anew, in sound form."""
        self._touch(self.repository.publish_delta(max(START, self.today - ago * DAY)))

    def publish_full_again(self) -> None:
        """The full that fell due last is published, late or anew, in sound form."""
        self._touch(self.repository.publish_full(self.today - (self.today - START).days % WINDOW * DAY))

    def publish_full_today(self) -> None:
        """A full on a day of no full."""
        self._touch(self.repository.publish_full(self.today))

    def remove(self, number: int) -> None:
        if names := self.offer():
            (self.repository.path / names[number % len(names)]).unlink()

    def spoil(self, number: int, *, half: bool) -> None:
        """A file that is on offer is cut, or one octet of it is another."""
        names = [name for name in self.offer() if (self.repository.path / name).stat().st_size]
        if names:
            path = self.repository.path / names[number % len(names)]
            octets = bytearray(path.read_bytes())
            middle = len(octets) // 2
            octets[middle : None if half else middle + 1] = b"" if half else bytes((octets[middle] ^ 1,))
            path.write_bytes(octets)
            self._touch(path.name)

    def offer(self) -> list[str]:
        return sorted(path.name for path in self.repository.path.glob(_EXTRACTS))

    def _touch(self, name: str) -> None:
        """Give a file that was replaced another time, as a server does."""
        self.touches += 1
        moment = datetime.combine(self.today + DAY, datetime.min.time(), UTC).timestamp() + self.touches
        os.utime(self.repository.path / name, (moment, moment))
        self._note()

    def _note(self) -> None:
        """Remember what is true and what is on offer; lists of revoked certificates are another story."""
        for path in self.repository.path.glob("SMKIKR_*.gz"):
            if not path.match(_EXTRACTS):
                path.unlink()
            else:
                octets = path.read_bytes()
                self.versions[hashlib.sha256(octets).hexdigest()] = octets
        self.truths[self.today] = self.repository.at(self.today).truth()

    # What happens at the mirror

    def spoil_mirror(self) -> None:
        """The first page of the current generation is none."""
        if self.held:
            generation = (self.operator.mirror / "mirror.db").resolve()
            with generation.open("r+b") as file:
                file.write(b"\xff" * 4_096)
            self.held, self.spoiled = None, True

    def sync(self, *, full: bool = False, skew: int = 0) -> SyncReport | None:
        """A run, and everything that must hold after it; ``None``: it refused a damaged file."""
        before = self.held
        try:
            report = self.operator.sync(self.today + skew * DAY, full=full)
        except BadExtract:
            report = None
            assert not all(map(is_whole, self.versions.values())), "every file was whole"
        self.judge()
        if report:
            self._judge_report(report, skew=skew)
        elif before:
            assert self.held, "the mirror is gone"
        return report

    def sync_and_die(self, at: int, *, full: bool = False) -> None:
        """A run in a process of its own, killed at its ``at``-th moment, if it has so many."""
        child = os.fork()
        if child == 0:
            self.operator.listener = NullListener()
            kept = watch(Clock(kinds=WITHIN, at=at, act=die), str(self.operator.mirror))
            try:
                self.operator.sync(self.today, full=full)
            except BadExtract:
                os._exit(0)
            except BaseException:  # noqa: BLE001 - nothing may come back from here into the test
                traceback.print_exc()
                os._exit(1)
            del kept
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in {0, -9}, "it failed in another way"
        self.judge()

    # What must hold

    def judge(self) -> None:
        """The mirror is right for its position, its books are right, and nothing was lost."""
        if self.spoiled and self._is_unreadable():
            return
        mirror = plain_reader.read(self.operator.mirror)
        if mirror is None:
            assert self.held is None, "the mirror is gone"
            return
        if self.held:
            assert mirror.position >= self.held.position, "it went back"
            assert mirror.rows.keys() >= self.held.rows.keys(), "a certificate was forgotten"
            assert mirror.ledger[: len(self.held.ledger)] == self.held.ledger
            assert mirror.journal[: len(self.held.journal)] == self.held.journal
        self._follow(mirror)
        if not mirror.unproven:
            truth = self.truths[mirror.position].values()
            assert mirror.in_use() == {der for status, der in truth if status == "I"}
        assert mirror.in_use() == self.naive.in_use()
        ever = self.truths[self.today]
        assert all(ever[key][1] == row.der for key, row in mirror.rows.items())
        self._judge_statuses(mirror)
        assert plain_reader.replay(self.ground, mirror.journal) == plain_reader.standings(mirror)
        self.held, self.spoiled = mirror, False

    def _is_unreadable(self) -> bool:
        """Nobody has built the mirror anew since it was spoiled."""
        with (self.operator.mirror / "mirror.db").open("rb") as file:
            return file.read(4) == b"\xff" * 4

    def _follow(self, mirror: Mirror) -> None:
        """Let the dictionary take what the ledger says was applied since it last looked."""
        anew = mirror.ledger[: len(self.taken)] != self.taken
        if anew:
            assert self.spoiled, "the ledger was rewritten"
            self.naive, self.taken = Naive(), ()
        for _id, name, _kind, _day, _size, sha256, *_ in mirror.ledger[len(self.taken) :]:
            self.naive.take(name, self.versions[sha256])
        if not self.taken:
            self._found(mirror)
        self.taken = mirror.ledger

    def _found(self, mirror: Mirror) -> None:
        """Work out where the journal begins: the first full with its overlap."""
        began, full_day = Naive(), mirror.ledger[0][3]
        for _id, name, _kind, day, _size, sha256, *_ in mirror.ledger:
            if day <= full_day:
                began.take(name, self.versions[sha256])
        keys = {der: key for key, (_, der) in self.truths[self.today].items()}
        self.ground = {keys[der]: (began.status(der) or "I", False, False) for der in began.known()}

    def _judge_statuses(self, mirror: Mirror) -> None:
        """Each row says what the dictionary says, but where that only knows that a full left it out."""
        assert {row.der for row in mirror.rows.values()} == self.naive.known()
        for row in mirror.rows.values():
            status = self.naive.status(row.der)
            if status is None:
                assert not row.in_use
            else:
                assert (row.status, row.withdrawn) == (status, None)

    def _judge_report(self, report: SyncReport, *, skew: int) -> None:
        mirror = self.held
        damaged = " ".join(n.message for n in report.attention if n.code is NoticeCode.DELTA_DAMAGED)
        planned = [extract.name for extract in report.plan.extracts if extract.name not in damaged]
        assert [applied.file for applied in report.applied] == planned
        if mirror is None:
            assert report.outcome is Outcome.BEHIND
            assert report.position is None
            return
        assert report.position == mirror.position
        assert report.counts.digest == plain_reader.digest_hex(self.naive.in_use())
        assert report.counts.total == len(mirror.rows)
        if report.outcome is Outcome.CURRENT:
            newest = max((name for name in self.offer() if "DELT" in name), default="")
            assert newest <= f"SMKIKR_DELT_{mirror.position}.xml.gz", "current, and not all of it applied"
            assert mirror.position >= self.today - DAY + min(skew, 0) * DAY, "current, and days behind"
        if report.plan.reason is Reason.UP_TO_DATE:
            assert not report.applied
