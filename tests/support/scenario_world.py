"""A repository that lives through bad days, an operator who comes on some of them, and what must hold.

:class:`World` judges every run against the simulator's truth, which the program never sees.

What a Party cannot know, and what is therefore not asked of the mirror:

* what happened on a day of which nothing is on offer yet: the mirror equals the truth of its position;
* with a full whose records lie apart in time, changes of those of its days that no delta covers;
* lists are of today, so a certificate that they revoke is out of use before the position has come there;
* of a certificate that left In-Use during a gap, whether it is N, E or R now: it is withdrawn, or keeps
  the last status that was heard.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from random import Random

from scenarios.operator import Operator

from smki_sync.errors import BadExtract
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.file_format import Shapes
from smki_sync.simulator.pki import SOME_QUIRKS
from smki_sync.simulator.repository import Repository, Truth
from support import plain_reader
from support.plain_reader import Key, Mirror

DAY = timedelta(days=1)
START = date(2026, 3, 2)
FIRST_DAYS = 3
DEVICES = 40

DAMAGING = frozenset({Fault.TRUNCATE, Fault.CORRUPT, Fault.MISMATCHED_TAG, Fault.EMPTY_FILE})
ODDITIES = (
    Fault.WITHHOLD_DELTA,
    Fault.LATE_DELTA,
    Fault.CHANGE_AFTER_PUBLICATION,
    Fault.CHANGE_AFTER_PUBLICATION,
    Fault.SAME_SIZE_CHANGE,
    Fault.SAME_SIZE_CHANGE,
    Fault.HALF_WRITTEN,
    Fault.STRANGE_NAME,
    Fault.IMPOSSIBLE_DATE,
    Fault.FUTURE_FULL,
    Fault.POISON_RECORD,
    Fault.CLAIMS_OF_ANOTHER,
    *sorted(DAMAGING),
)


def _date_in(entry: tuple[object, ...]) -> date:
    """The date of the file of an entry of the ledger."""
    return date.fromisoformat(str(entry[3]))


@dataclass(slots=True)
class Calendar:
    """The truth of each day, asked for once."""

    repository: Repository
    _days: dict[date, Truth] = field(default_factory=dict)

    def truth(self, day: date) -> Truth:
        if day not in self._days:
            self._days[day] = self.repository.at(day).truth()
        return self._days[day]

    def in_use(self, day: date) -> set[bytes]:
        return {der for status, der in self.truth(day).values() if status == "I"}

    def last_change(self, key: Key, day: date) -> date:
        """The day up to ``day`` on which a certificate got the status that it had then."""
        while day >= START and self.truth(day - DAY).get(key) == self.truth(day)[key]:
            day -= DAY
        return day


@dataclass
class World:
    """One seed's weeks."""

    place: Path
    seed: int
    heard: set[date] = field(default_factory=set)
    tally: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = Random(f"story {self.seed}")
        self.lag = self.seed % 3
        self.repository = Repository.create(
            self.place / "repository",
            devices=DEVICES,
            days=FIRST_DAYS,
            start=START,
            seed=self.seed,
            shapes=Shapes.EVERY,
            full_lag_days=self.lag,
            quirks=SOME_QUIRKS,
        )
        self.operator = Operator(self.place / "mirror", self.repository.path)
        self.calendar = Calendar(self.repository)
        self.damaged: set[date] = set()

    @cached_property
    def ground(self) -> Mirror:
        """The mirror as the first full left it: where a consumer of the journal begins."""
        return self.operator.witness.seen[0][1]

    def live(self, days: int) -> None:
        for _ in range(days):
            self._mend()
            today = self.repository.today + DAY
            faults = {f for f in self.rng.sample(ODDITIES, 2) if self.rng.random() < 1 / 4}
            if self._is_full_day(today) and self.rng.random() < 1 / 5:
                faults.add(self.rng.choice((Fault.WITHHOLD_FULL, Fault.CORRUPT_FULL, Fault.TRUNCATE_FULL)))
            self.repository.advance(faults=faults)
            if faults & DAMAGING and not faults & {Fault.WITHHOLD_DELTA, Fault.LATE_DELTA}:
                self.damaged.add(today)
            if self.rng.random() < 1 / 20:
                self._spoil(today - self.rng.randrange(7) * DAY)

    def _spoil(self, day: date) -> None:
        """A delta that was published, and perhaps applied, is replaced by the half of it."""
        path = self.repository.path / f"SMKIKR_DELT_{day}.xml.gz"
        if path.exists() and path.stat().st_size:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            self.damaged.add(day)

    def _is_full_day(self, day: date) -> bool:
        return (day - START).days % 7 == 0

    def _mend(self) -> None:
        """The DCC publishes some of its damaged deltas anew, a day or more later."""
        today = self.repository.today
        for day in sorted(self.damaged):
            if day > today - 6 * DAY and self.rng.random() < 1 / 2:
                self.repository.publish_delta(day)
                self.damaged.remove(day)

    def visit(self) -> None:
        """One morning: a run, everything that must hold after it, and a second run that does nothing."""
        before = plain_reader.read(self.operator.mirror)
        full = self.rng.random() < 1 / 10
        report = self._run(full=full)
        after = plain_reader.read(self.operator.mirror)
        self._check_state(before, after)
        if report:
            self._check_report(report, after)
        again = self._run(full=False)
        if not full or (report and report.applied):
            assert (again is None) == (report is None)
            assert again is None or not again.applied
            assert plain_reader.read(self.operator.mirror) == after
        if report and report.applied:
            assert again is not None
            assert again.outcome is report.outcome
            assert again.counts == report.counts

    def _run(self, *, full: bool) -> SyncReport | None:
        """``None``: a file was damaged."""
        held = plain_reader.read(self.operator.mirror)
        before = len(self.operator.witness.seen)
        try:
            report = self.operator.sync(self.repository.today, full=full)
        except BadExtract:
            report = None
        self._listen(before)
        committed = self.operator.witness.seen[before:]
        left = committed[-1][1] if committed else held
        assert plain_reader.by_extracts(plain_reader.read(self.operator.mirror)) == plain_reader.by_extracts(
            left
        )
        word = report.plan.reason.value if report else "bad-extract"
        self.tally[word] = self.tally.get(word, 0) + 1
        return report

    def _listen(self, since: int) -> None:
        """Record the deltas that were committed."""
        files = [name for name, _ in self.operator.witness.seen[since:]]
        days = [date.fromisoformat(name[12:22]) for name in files]
        self.heard |= {day for name, day in zip(files, days, strict=True) if "DELT" in name}

    def _check_state(self, before: Mirror | None, after: Mirror | None) -> None:
        if after is None:
            assert before is None
            return
        truth = self.calendar.truth(after.position)
        if before:
            assert after.position >= before.position, "the mirror went back"
            assert after.ledger[: len(before.ledger)] == before.ledger
            assert after.journal[: len(before.journal)] == before.journal
            assert before.rows.keys() <= after.rows.keys(), "a certificate was forgotten"
            for key, row in before.rows.items():
                assert after.rows[key].first_seen == row.first_seen, key
        # A full may list what was issued on its own day, and the position is the day before until the delta.
        listed = self.calendar.truth(max(after.position, *map(_date_in, after.ledger)))
        for key, row in after.rows.items():
            assert row.der == listed[key][1]
        self._check_revoked(after)
        if not after.unproven:
            assert after.in_use() == self.calendar.in_use(after.position) - after.revoked()
            self._check_statuses(after, truth)
        assert plain_reader.replay(
            plain_reader.standings(self.ground), after.journal
        ) == plain_reader.standings(after)

    def _check_revoked(self, mirror: Mirror) -> None:
        """What a list revokes is what the Repository has revoked by today."""
        today = self.calendar.truth(self.repository.today)
        for key, row in mirror.rows.items():
            assert not row.revoked or today[key][0] == "R", key

    def _check_statuses(self, mirror: Mirror, truth: Truth) -> None:
        for key, (status, _) in truth.items():
            row = mirror.rows.get(key)
            changed = self.calendar.last_change(key, mirror.position)
            if changed >= START and changed in self.heard:
                assert row is not None
                assert row.status == status or (row.withdrawn and status != "I")
            if row:
                assert row.in_use == (status == "I" and not row.revoked)
                assert not row.withdrawn or row.status == "I"

    def _check_report(self, report: SyncReport, after: Mirror | None) -> None:
        today = self.repository.today
        if after is None:
            assert report.outcome is Outcome.BEHIND
            assert report.position is None
            return
        assert report.position == after.position
        assert report.counts.digest == plain_reader.digest_hex(after.in_use())
        assert report.counts.total == len(after.rows)
        assert report.counts.in_use == len(after.in_use())
        moved = [a.file for a in report.applied]
        damaged = " ".join(n.message for n in report.attention if n.code is NoticeCode.DELTA_DAMAGED)
        assert moved == [x.name for x in report.plan.extracts if x.name not in damaged]
        assert not damaged or report.outcome is Outcome.BEHIND
        for applied in report.applied:
            assert applied.bytes == (self.repository.path / applied.file).stat().st_size
        if report.outcome is Outcome.CURRENT:
            assert after.position >= today - DAY, "current, and behind"
            if after.position < today:
                delta = self.repository.path / f"SMKIKR_DELT_{today}.xml.gz"
                assert not delta.exists(), "current, and not all of the offer applied"
            if not after.unproven and after.position == today:
                assert after.in_use() == self.repository.in_use()
                assert after.lists == {"arl", "crl"}
        codes = {a.code for a in report.attention}
        assert (NoticeCode.UNPROVEN in codes) == after.unproven
