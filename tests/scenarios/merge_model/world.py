"""The Repository of one history: a truth for every hour, and what it publishes, with faults.

A delta of day D states what changed during that day, as it was when the day ended. A full dated F takes
25 to 48 hours to produce and reads each certificate at some hour of those, all before F begins.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random

from scenarios.merge_model.certificates import AUTHORITY, DEVICES, FALSE, SIGNED_TOO
from scenarios.merge_model.extracts import IN_USE, Damage, Defect, Extract, Kind, Record
from scenarios.merge_model.reference import DEFAULT, Rule

HOURS = 24
WINDOW = 7
"""A delta is on offer for so many days (MP147)."""

READ_HOURS = 25
"""A full takes more than a day to produce (MP147); the client assumes two at most."""

FAULTLESS_SHARE = 0.08
"""Share of the histories in which the Repository makes no mistake."""


@dataclass(frozen=True, slots=True)
class State:
    """A certificate at some hour."""

    status: str
    manufacturing: bool | None

    @property
    def in_use(self) -> bool:
        return self.status == IN_USE


@dataclass(slots=True)
class Life:
    """One certificate over time: from each hour of ``hours`` on it is in the state beside it."""

    hours: list[int] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    def at(self, hour: int) -> State | None:
        place = bisect_right(self.hours, hour)
        return self.states[place - 1] if place else None

    def add(self, hour: int, state: State) -> None:
        if self.hours and self.hours[-1] >= hour:
            return
        self.hours.append(hour)
        self.states.append(state)


_NEXT: Mapping[str, str] = {"P": "IIIN", "I": "NNRRE", "N": "IIIR", "R": "RRI", "E": "EI"}
"""What may follow a status, as often as it is likely."""


class Truth:
    """What is true of every certificate at every hour."""

    def __init__(self, rng: Random, days: int) -> None:
        self._lives = {AUTHORITY: Life([-1000], [State(IN_USE, manufacturing=None)])}
        busy = rng.choice((0.06, 0.12, 0.25))
        for number in range(1, DEVICES + 1):
            self._lives[number] = _live(rng, days, busy)
        self._in_use: dict[int, frozenset[int]] = {}
        self._changed: defaultdict[int, list[int]] = defaultdict(list)
        for number, life in self._lives.items():
            for day in dict.fromkeys(hour // HOURS for hour in life.hours):
                self._changed[day].append(number)

    def at(self, number: int, hour: int) -> State | None:
        return self._lives[number].at(hour)

    def in_use(self, day: int) -> frozenset[int]:
        """The certificates that are In-Use when the delta of a day is cut."""
        if day not in self._in_use:
            hour = (day + 1) * HOURS - 1
            found = ((number, life.at(hour)) for number, life in self._lives.items())
            self._in_use[day] = frozenset(number for number, state in found if state and state.in_use)
        return self._in_use[day]

    def changed(self, day: int) -> list[int]:
        """The certificates to which something happened on a day."""
        return self._changed[day]

    def numbers(self) -> Iterator[int]:
        return iter(self._lives)


def _live(rng: Random, days: int, busy: float) -> Life:
    """Think up one certificate's life: ``busy`` is the chance of something on a day."""
    life = Life()
    flag = rng.choice((None, True, False))
    if rng.random() < 0.7:
        life.add(-1000, State(rng.choice("IIIIIIINRP"), flag))
    for day in range(days):
        if rng.random() >= busy:
            continue
        hour = day * HOURS + rng.randrange(HOURS - 2)
        now = life.at(hour)
        if now is None:
            life.add(hour, State(rng.choice("IIIP"), flag))
            continue
        match rng.choice(("status", "status", "status", "blip", "claims", "suspended")):
            case "status":
                life.add(hour, State(rng.choice(_NEXT[now.status]), flag))
            case "blip":
                life.add(hour, State("N" if now.in_use else IN_USE, flag))
                life.add(hour + 1 + rng.randrange(2), State(now.status, flag))
            case "claims":
                flag = not flag
                life.add(hour, State(now.status, flag))
            case "suspended":
                life.add(hour, State("N", flag))
                life.add(hour + rng.randrange(6, 3 * HOURS), State(IN_USE, flag))
    return life


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A file on offer from the morning of ``first`` to that of ``last``, both included."""

    name: str
    first: int
    last: int
    extract: Extract

    def __str__(self) -> str:
        name = "" if self.name == self.extract.name else f" as {self.name}"
        return f"{self.extract}{name}: on offer {self.first} to {self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How likely each fault is, for a delta or a full."""

    late: float = 0.0
    missing: float = 0.0
    damaged: float = 0.0
    again: float = 0.0
    renamed: float = 0.0
    unreadable: float = 0.0
    edited: float = 0.0
    repeated: float = 0.0
    conflict: float = 0.0
    misdated: float = 0.0
    reread: float = 0.0
    not_in_use: float = 0.0
    older: float = 0.0

    @classmethod
    def thought_up(cls, rng: Random) -> "Faults":
        """Some kinds of faults, each rare or frequent."""
        if rng.random() < FAULTLESS_SHARE:
            return cls()
        names = cls.__slots__
        chosen = rng.sample(names, rng.randint(1, 4))
        return cls(**{name: rng.choice((0.05, 0.15, 0.3)) for name in chosen})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator has configured, and how the Repository works in ways that nobody has told.

    ``read_until``: hour of its own day until which a full may still be read. ``reconcile``,
    ``agreed_day``: `policy.reconcile`, `policy.full_download_day` with waiting for it; empty for the
    default. ``fallback_lag``: days by which an archive that is configured as a fallback lags behind.
    """

    rule: Rule = DEFAULT
    read_until: int = 0
    reconcile: str = ""
    agreed_day: str = ""
    fallback_lag: int | None = None

    @classmethod
    def thought_up(cls, rng: Random) -> "Options":
        """The defaults more often than not, otherwise one thing that is different."""
        one = rng.choice(("", "", "", "", "overlap", "verify", "read", "reconcile", "day", "fallback"))
        verify, overlap = one == "verify", rng.choice((1, 3)) if one == "overlap" else DEFAULT.overlap
        return cls(
            rule=Rule(overlap=overlap, verify=verify),
            read_until=rng.randrange(1, HOURS) if one == "read" else 0,
            reconcile=rng.choice(("never", "report", "repair")) if one == "reconcile" else "",
            agreed_day=rng.choice(("monday", "thursday", "sunday")) if one == "day" else "",
            fallback_lag=rng.randrange(6) if one == "fallback" else None,
        )


class World:
    """One history of the Repository, the same for the same seed.

    ``left_out``: what an edition of a delta lacks that a later one has.
    """

    FAULTLESS = Faults()

    def __init__(
        self, seed: int, days: int = 30, faults: Faults | None = None, options: Options | None = None
    ) -> None:
        self.seed, self.days = seed, days
        self.options = options or Options.thought_up(Random(f"options {seed}"))
        self._rng = Random(f"world {seed}")
        self.truth = Truth(self._rng, days)
        self.faults = faults or Faults.thought_up(self._rng)
        self.first_full = self._rng.randrange(3, 7)
        self.publications: list[Publication] = []
        self.left_out: dict[Extract, set[int]] = {}
        self._publish_deltas()
        self._publish_fulls()
        self.publications.sort(key=lambda one: (one.first, one.name, one.last))

    def offer(self, day: int) -> dict[str, Extract]:
        """The directory on the morning of a day: by name, what was published last under it."""
        return {one.name: one.extract for one in self.publications if one.first <= day <= one.last}

    def archive(self, day: int) -> dict[str, Extract]:
        """Every sound file that was on offer until the morning of a day, under its usual name."""
        return {
            one.extract.name: one.extract
            for one in self.publications
            if one.first <= day and not one.extract.damage and not one.extract.is_misdated
        }

    def fallback(self, day: int) -> dict[str, Extract] | None:
        """What an archive offers, if one is configured; it may lack the newest files."""
        lag = self.options.fallback_lag
        return None if lag is None else self.archive(day - lag)

    # Deltas

    def delta(self, day: int) -> Extract:
        """The sound delta of a day."""
        hour = (day + 1) * HOURS - 1
        records = []
        for number in self.truth.changed(day):
            state = self.truth.at(number, hour)
            assert state
            records.append(Record(number=number, status=state.status, manufacturing=state.manufacturing))
        return Extract(kind=Kind.DELTA, day=day, records=tuple(records))

    def _publish_deltas(self) -> None:
        for day in range(self.days):
            self._publish_delta(self._with_odd_records(self.delta(day)))

    def _publish_delta(self, sound: Extract) -> None:
        rng, faults = self._rng, self.faults
        first, last = sound.day + 1, sound.day + WINDOW
        if rng.random() < faults.missing:
            return
        if rng.random() < faults.late:
            first += rng.choice((1, 1, 2, 3, 4, 6, 8))
            last = max(last, first + rng.choice((0, WINDOW - 1)))
        if rng.random() < faults.damaged:
            until = rng.choice((first, first + 1, first + 3, last))
            self._add(sound.damaged(rng.choice(list(Damage))), first, until)
            first = until + 1
        if rng.random() < faults.edited and sound.records:
            until = min(last, first + rng.randrange(5))
            chosen = [(one, rng.random() < 0.6) for one in sound.records]
            shorter = replace(sound, records=tuple(one for one, is_kept in chosen if is_kept))
            self.left_out[shorter] = {one.number for one, is_kept in chosen if not is_kept}
            self._add(shorter, first, until)
            sound, first = replace(sound, edition=1), until + 1
        if first > last:
            return
        if rng.random() < faults.renamed:
            self._add_renamed(sound, first, last)
            return
        self._add(sound, first, last)
        if rng.random() < faults.again:
            back = last + rng.randrange(1, 9)
            self._add(sound, back, back + rng.randrange(1, 4))

    def _add(self, extract: Extract, first: int, last: int, name: str = "") -> None:
        self.publications.append(
            Publication(name=name or extract.name, first=first, last=last, extract=extract)
        )

    def _add_renamed(self, extract: Extract, first: int, last: int) -> None:
        """Under a name in another letter case from some day on, instead of the usual one or with it."""
        rng = self._rng
        name = rng.choice((extract.name.lower(), extract.name.upper()))
        at = min(last, first + rng.randrange(4))
        self._add(extract, at, last, name)
        if rng.random() < 0.5:
            self._add(extract, first, last)
        elif at > first:
            self._add(extract, first, at - 1)

    def _with_odd_records(self, extract: Extract) -> Extract:
        """Some of the records cannot be understood, conflict with a certificate, or stand there twice."""
        rng, faults = self._rng, self.faults
        records = list(extract.records)
        if records and rng.random() < faults.unreadable:
            for place in rng.sample(range(len(records)), min(len(records), rng.choice((1, 1, 2)))):
                records[place] = replace(records[place], defect=rng.choice(list(Defect)))
        if records and rng.random() < faults.repeated:
            before = rng.choice([one for one in records if one.defect is None] or [None])
            if before is not None:
                other = rng.choice(
                    (
                        before,
                        replace(before, manufacturing=not before.manufacturing),
                        replace(before, status="N" if extract.kind is Kind.DELTA else IN_USE),
                    )
                )
                records.insert(0, other)
        if extract.kind is Kind.FULL and rng.random() < faults.not_in_use:
            records += self._not_in_use(extract)
        if records and rng.random() < faults.conflict:
            place = rng.randrange(len(records))
            if records[place].number != AUTHORITY:
                other = replace(records[place], body=rng.choice((SIGNED_TOO, FALSE)))
                records[place : place + rng.randint(0, 1)] = [other]
        return replace(extract, records=tuple(records))

    # Fulls

    def full(self, day: int, rng: Random | None = None) -> Extract:
        """The sound full of a day, each certificate read at an hour of its own."""
        rng, overlap = rng or self._rng, self.options.rule.overlap * HOURS
        longest = overlap + self.options.read_until
        hours = rng.randint(min(READ_HOURS, longest), longest)
        start = day * HOURS - overlap + rng.randint(0, longest - hours)
        records = []
        for number in self.truth.numbers():
            state = self.truth.at(number, start + rng.randrange(hours))
            if state and state.in_use:
                records.append(Record(number=number, status=IN_USE, manufacturing=state.manufacturing))
        rng.shuffle(records)
        return Extract(kind=Kind.FULL, day=day, records=tuple(records))

    def _not_in_use(self, full: Extract) -> list[Record]:
        """Certificates that have not been In-Use for the whole time in which a full is read."""
        until = full.day * HOURS + self.options.read_until
        hours = range(full.day * HOURS - self.options.rule.overlap * HOURS, until)
        records = []
        for number in self.truth.numbers():
            state = self.truth.at(number, until - 1)
            states = [self.truth.at(number, hour) for hour in hours]
            if state and not any(one is None or one.in_use for one in states):
                records.append(Record(number=number, status=state.status, manufacturing=state.manufacturing))
        return self._rng.sample(records, min(len(records), 2))

    def _publish_fulls(self) -> None:
        rng, faults = self._rng, self.faults
        kept = rng.choice((7, 7, 14))
        for day in range(self.first_full, self.days, 7):
            sound = self._with_odd_records(self.full(day))
            is_first = day == self.first_full
            first, last = day, day + kept
            if not is_first and rng.random() < faults.missing:
                continue
            if rng.random() < faults.late:
                first += rng.choice((1, 2, 3, 5))
            if rng.random() < faults.damaged:
                until = rng.choice((first, first + 1, last))
                self._add(sound.damaged(rng.choice((Damage.CUT, Damage.NOT_XML))), first, until)
                first = until + 1
            if first < last and rng.random() < faults.reread:
                at = min(last, first + rng.randrange(1, 6))
                self._add(replace(self.full(day), edition=1), at, last)
                self._add(sound, first, at - 1)
            elif first <= last:
                self._add(sound, first, last)
            if rng.random() < faults.older:
                back = last + rng.randrange(1, 5)
                self._add(sound, back, back + rng.randrange(1, 4))
            if rng.random() < faults.misdated:
                ahead = rng.choice((3, 8, 20, 400))
                until = first + min(ahead - 2, 6)
                self._add(replace(sound, day=first + ahead, is_misdated=True), first, until)
