"""A mirror that follows the rules of the issue by the book: the merge rule, and which files to take when.

It keeps every file that it has used and computes the rows from the start each time, so nothing is forgotten.
"""

from dataclasses import dataclass, field, replace

from scenarios.merge_model.extracts import IN_USE, Extract, Kind
from scenarios.merge_model.mirrors import ATTENTION, CURRENT, FINDING, Line, News, Offer, Outcome, View
from scenarios.merge_model.reference import DEFAULT, Merged, Row, Rule, merge
from scenarios.merge_model.world import WINDOW

BAD_EXTRACT = 6
MIRROR = 7


@dataclass(slots=True)
class Books:
    """What one lineage is made of: the fulls used, the deltas applied by day, and how far that leads."""

    fulls: list[Extract] = field(default_factory=list)
    deltas: dict[int, Extract] = field(default_factory=dict)
    position: int = 0

    @property
    def base(self) -> Extract:
        return self.fulls[-1]

    def missing(self, rule: Rule) -> tuple[int, ...]:
        return rule.missing(self.base.day, self.deltas, self.position)

    def copy(self) -> "Books":
        return Books(list(self.fulls), dict(self.deltas), self.position)

    def use_full(self, full: Extract) -> None:
        self.fulls = [one for one in self.fulls if one.day != full.day]
        self.fulls.append(full)
        self.position = max(self.position, full.day - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The usable files of an offer, by kind and day.

    ``first_source``: the deltas that the repository itself offers. ``damaged``: days of deltas that cannot be
    read.
    """

    fulls: dict[int, Extract]
    deltas: dict[int, Extract]
    first_source: dict[int, Extract]
    damaged: set[int]
    today: int

    @classmethod
    def of(cls, offer: Offer, today: int, fallback: Offer | None = None) -> "Sound":
        fulls: dict[int, Extract] = {}
        deltas: dict[int, Extract] = {}
        first_source: dict[int, Extract] = {}
        for source in (fallback or {}, offer):
            first_source = {}
            for name in sorted(source, key=lambda name: name == source[name].name):
                one = source[name]
                if one.damage is None and one.kind is Kind.FULL and one.day <= today:
                    fulls[one.day] = one
                elif one.damage is None and one.kind is Kind.DELTA:
                    deltas[one.day] = first_source[one.day] = one
        damaged = {one.day for one in offer.values() if one.damage and one.kind is Kind.DELTA} - deltas.keys()
        return cls(fulls=fulls, deltas=deltas, first_source=first_source, damaged=damaged, today=today)

    def newest_full(self, after: int, until: int) -> Extract | None:
        """The newest full dated later than ``after`` and no later than ``until``."""
        days = [day for day in self.fulls if after < day <= until]
        return self.fulls[max(days)] if days else None

    def has_left(self, day: int) -> bool:
        """Whether an unavailable delta has been removed after its seven days.

        An older delta that came late may still be there.
        """
        last = max(self.first_source, default=day)
        return last > day and (last - day >= WINDOW or self.today - day > WINDOW)


class ReferenceMirror:
    """The mirror by the book; a subclass that gets one rule wrong must be found out by the checks."""

    def __init__(self, rule: Rule = DEFAULT, *, skips_far: bool = True, heeds_damage: bool = True) -> None:
        """Two things that the issue leaves open.

        Args:
            rule: what the operator has set.
            skips_far: whether deltas after the full's own may have left the window too.
            heeds_damage: whether a damaged delta proves that there is something newer.
        """
        self.rule, self.skips_far, self.heeds_damage = rule, skips_far, heeds_damage
        self.books: Books | None = None
        self.lineage = 0
        self.journal: list[Line] = []
        self._rows: dict[int, Row] = {}
        self._accepted: set[tuple[Extract, int]] = set()
        self._accepted_conflicts: frozenset[int] = frozenset()
        self._kept: tuple[Books, list[Line], dict[int, Row]] | None = None

    # What an operator does

    def sync(self, offer: Offer, day: int, *, full: bool = False, fallback: Offer | None = None) -> Outcome:
        sound, before = Sound.of(offer, day, fallback), self._files()
        books = self._start(self.books, sound, full=full)
        if books is None:
            return Outcome(exit=ATTENTION)
        is_first = self.books is None
        self._go_forward(books, sound)
        self._commit(books, is_first=is_first)
        return self._outcome(sound, before)

    def reconcile(self, offer: Offer, day: int, *, repair: bool = False) -> Outcome:
        sound, books = Sound.of(offer, day), self.books
        if books is None:
            return Outcome(exit=MIRROR)
        full = sound.newest_full(books.base.day - 1, books.position + 1)
        if full is None:
            return Outcome(exit=ATTENTION)
        after = books.copy()
        after.use_full(full)
        if repair:
            self._commit(after)
            return Outcome(exit=CURRENT, position=books.position)
        agrees = self._merged(after).in_use == self.merged().in_use
        return Outcome(exit=CURRENT if agrees else FINDING)

    def restore(self, offer: Offer, day: int, *, to: int | None = None) -> Outcome:
        sound, before = Sound.of(offer, day), self._files()
        if to is None:
            books = self._start(self.books, sound, full=True)
            if books is not None:
                self._go_forward(books, sound)
            if books is None or (self.books and books.position < self.books.position):
                return Outcome(exit=FINDING)
            self._commit(books, is_first=self.books is None)
            return self._outcome(sound, before)
        full = sound.newest_full(-WINDOW, to + 1)
        if full is None:
            return Outcome(exit=FINDING)
        books = Books()
        books.position = full.day - 1
        books.use_full(full)
        self._go_forward(books, sound, to)
        self.lineage, self.journal = self.lineage + 1, []
        self._commit(books, is_first=True)
        return Outcome(exit=ATTENTION, position=books.position)

    def accept(self, day: int) -> Outcome:  # noqa: ARG002 - the client's needs the day
        self._accepted = {(one, number) for one in self._files() for number in range(len(one.records))}
        self._accepted_conflicts = self.merged().conflicts if self.books else frozenset()
        return Outcome(exit=CURRENT)

    def back_up(self, day: int) -> Outcome:  # noqa: ARG002 - the client's needs the day
        assert self.books
        self._kept = self.books.copy(), list(self.journal), dict(self._rows)
        return Outcome(exit=CURRENT)

    def put_back(self, *, alone: bool = True) -> None:  # noqa: ARG002 - as above
        assert self._kept
        books, journal, rows = self._kept
        self.books, self.journal, self._rows = books.copy(), list(journal), dict(rows)
        self.lineage += 1

    # What a reader sees

    def view(self, day: int) -> View | None:  # noqa: ARG002 - as above
        if self.books is None:
            return None
        merged = self.merged()
        return View(
            position=self.books.position,
            base=self.books.base.day,
            used=(self.books.base, *self.books.deltas.values()),
            rows=dict(self._rows),
            missing=merged.missing if merged.unproven else None,
            digest=str(sorted(merged.in_use)),
            status_exit=ATTENTION if merged.unproven else CURRENT,
        )

    def token(self) -> str:
        return f"{self.lineage}:{len(self.journal)}"

    def news(self, token: str) -> News:
        lineage, sequence = map(int, token.split(":"))
        if lineage != self.lineage:
            return News(lines=None, token=self.token())
        return News(lines=tuple(self.journal[sequence:]), token=self.token())

    # The rules

    def merged(self) -> Merged:
        assert self.books
        return self._merged(self.books)

    def _merged(self, books: Books) -> Merged:
        return merge(books.fulls, books.deltas.values(), books.position, self.rule)

    def _start(self, books: Books | None, sound: Sound, *, full: bool) -> Books | None:
        """What a run starts from: nothing yet, a full that has to be taken, or what is there."""
        if books is None:
            newest = sound.newest_full(-WINDOW, sound.today)
            if newest is None:
                return None
            books = Books(position=newest.day - 1)
            books.use_full(newest)
            return books
        books = books.copy()
        changed = self._changed(books, sound)
        is_reread = sound.fulls.get(books.base.day, books.base) is not books.base
        if not full and not changed and not is_reread:
            return books
        newest = sound.newest_full(books.base.day - 1, sound.today)
        if newest is None or not self._joins(newest, books, sound):
            return books
        for day in changed:
            books.deltas[day] = sound.deltas[day]
        books.use_full(newest)
        return books

    def _changed(self, books: Books, sound: Sound) -> list[int]:
        """The deltas of the chain that are on offer with other bytes."""
        return [
            day
            for day, applied in books.deltas.items()
            if day >= books.base.day - self.rule.overlap
            and sound.first_source.get(day, applied) is not applied
        ]

    def _joins(self, full: Extract, books: Books, sound: Sound) -> bool:
        """Whether a full and what is on offer or applied lead at least as far as the mirror is."""
        days = range(full.day, books.position + 1)
        return all(day in sound.deltas or day in books.deltas for day in days)

    def _go_forward(self, books: Books, sound: Sound, to: int | None = None) -> None:
        """Take what is on offer, in order, and never beyond a gap."""
        limit = sound.today if to is None else to
        while self._take_one(books, sound, limit):
            pass

    def _take_one(self, books: Books, sound: Sound, limit: int) -> bool:
        late = [day for day in books.missing(self.rule) if day in sound.deltas]
        following = books.position + 1
        later = [day for day in sound.deltas if following < day <= limit]
        is_damaged = self.heeds_damage and any(following <= day <= limit for day in sound.damaged)
        is_behind = bool(later) or is_damaged
        if late:
            books.deltas[late[0]] = sound.deltas[late[0]]
        elif following in sound.deltas and following <= limit:
            books.deltas[following] = sound.deltas[following]
            books.position = following
        elif (full := self._needed_full(books, sound, limit, later=is_behind)) is not None:
            books.use_full(full)
        elif (
            later
            and following == books.base.day
            and sound.has_left(following)
            and (self.skips_far or min(later) == following + 1)
        ):
            books.position = min(later)
            books.deltas[books.position] = sound.deltas[books.position]
        else:
            return False
        return True

    def _needed_full(self, books: Books, sound: Sound, limit: int, *, later: bool) -> Extract | None:
        """A full that closes a gap, or that heals a mirror which is unproven."""
        newest = sound.newest_full(books.base.day, limit + 1)
        if newest is None:
            return None
        gap = newest.day - 1 > books.position and (later or sound.has_left(books.position + 1))
        heals = newest.day - 1 <= books.position and self._merged(books).unproven
        return newest if gap or heals else None

    def _commit(self, books: Books, *, is_first: bool = False) -> None:
        """Make it the mirror, and write what it changes into the journal."""
        after = dict(self._merged(books).rows)
        if not is_first:
            for number in self._rows.keys() - after.keys():  # a file that was published anew leaves it out
                old = self._rows[number]
                after[number] = replace(old, withdrawn=old.status == IN_USE, marked=False)
            self.journal += _lines(self._rows, after)
        self.books, self._rows = books, after

    def _outcome(self, sound: Sound, before: list[Extract]) -> Outcome:
        assert self.books
        merged = self.merged()
        is_current = (
            not merged.unproven
            and not self._rejected()
            and self.books.position >= sound.today - 1
            and not any(day > self.books.position for day in sound.deltas)
            and not self._changed(self.books, sound)
        )
        return Outcome(
            exit=CURRENT if is_current else ATTENTION,
            position=self.books.position,
            applied=tuple(one for one in self._files() if one not in before),
        )

    def _rejected(self) -> bool:
        """Whether a record since the last full was not understood, and nobody has accepted that."""
        assert self.books
        base = self.books.base
        since = [one for day, one in self.books.deltas.items() if day >= base.day - self.rule.overlap]
        rejected = {
            (one, number)
            for one in (base, *since)
            for number, record in enumerate(one.records)
            if not self.rule.accepts(record)
        }
        return bool(rejected - self._accepted) or bool(self.merged().conflicts - self._accepted_conflicts)

    def _files(self) -> list[Extract]:
        return [*self.books.fulls, *self.books.deltas.values()] if self.books else []


def _lines(before: dict[int, Row], after: dict[int, Row]) -> list[Line]:
    """What a journal has to say between two states."""
    lines = []
    for number, row in after.items():
        old = before.get(number)
        if old is None:
            lines.append(Line(number=number, change="added", before=None, after=row.status))
            if row.withdrawn:
                lines.append(Line(number=number, change="withdrawn", before=IN_USE, after=None))
        elif row.withdrawn and not old.withdrawn:
            if old.status != row.status:
                lines.append(Line(number=number, change="status", before=old.status, after=row.status))
            lines.append(Line(number=number, change="withdrawn", before=row.status, after=None))
        elif old.withdrawn and not row.withdrawn:
            lines.append(Line(number=number, change="reinstated", before=None, after=row.status))
        elif old.status != row.status:
            lines.append(Line(number=number, change="status", before=old.status, after=row.status))
    return lines
