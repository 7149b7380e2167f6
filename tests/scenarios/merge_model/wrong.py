"""Mirrors that get one rule wrong, most of them as the client once did: the checks must find each of them."""

from dataclasses import replace

from scenarios.merge_model.extracts import Extract, Kind
from scenarios.merge_model.mirrors import CURRENT, Offer, Outcome, View
from scenarios.merge_model.reference import DEFAULT, Merged, Row, Rule, merge
from scenarios.merge_model.reference_mirror import Books, ReferenceMirror, Sound


class LaterArrivedWins(ReferenceMirror):
    """Whatever was applied last counts, whatever its date."""

    def __init__(self, rule: Rule = DEFAULT) -> None:
        super().__init__(rule)
        self._arrived: list[Extract] = []

    def _merged(self, books: Books) -> Merged:
        right = super()._merged(books)
        files = [*books.fulls, *books.deltas.values()]
        self._arrived = [one for one in self._arrived if one in files]
        self._arrived += [one for one in files if one not in self._arrived]
        rows: dict[int, Row] = {}
        for one in self._arrived:
            if one.kind is Kind.FULL:
                rows = {number: replace(row, withdrawn=row.status == "I") for number, row in rows.items()}
            for record in one.records:
                rows[record.number] = Row(
                    status=record.status,
                    withdrawn=False,
                    manufacturing=record.manufacturing,
                    body=record.body,
                )
        return replace(right, rows=rows)


class ForgetsConfirmations(ReferenceMirror):
    """A statement that changes nothing is not remembered, so that an older full undoes it."""

    def _merged(self, books: Books) -> Merged:
        right = super()._merged(books)
        kept: list[Extract] = []
        for day, delta in sorted(books.deltas.items()):
            fulls = [one for one in books.fulls if one.day <= day] or books.fulls[:1]
            before = merge(fulls, kept, day - 1, self.rule).rows
            changes = tuple(
                one
                for one in delta.records
                if one.number not in before or before[one.number].status != one.status
            )
            kept.append(replace(delta, records=changes))
        return replace(right, rows=merge(books.fulls, kept, books.position, self.rule).rows)


class UnreadableIsNotListed(ReferenceMirror):
    """A record of a full that cannot be read counts as not there."""

    def _merged(self, books: Books) -> Merged:
        right = super()._merged(books)
        fulls = [
            replace(one, records=tuple(record for record in one.records if not record.defect))
            for one in books.fulls
        ]
        return replace(
            right, rows=merge(fulls, books.deltas.values(), books.position, self.rule).rows, doubtful=False
        )


class FullIncludesItsDay(ReferenceMirror):
    """A full of F counts as if the delta of F had been applied."""

    def _take_one(self, books: Books, sound: Sound, limit: int) -> bool:
        if books.position == books.base.day - 1:
            books.position = books.base.day
            return True
        return super()._take_one(books, sound, limit)


class NeverUnproven(ReferenceMirror):
    """A missing delta of the overlap goes unmentioned."""

    def _merged(self, books: Books) -> Merged:
        return replace(super()._merged(books), missing=(), doubtful=False)


class WithoutOverlap(ReferenceMirror):
    """A full counts as the state of the day before it; deltas of its overlap lose to it."""

    def _merged(self, books: Books) -> Merged:
        right = super()._merged(books)
        deltas = [one for day, one in books.deltas.items() if day >= books.base.day]
        return replace(merge(books.fulls, deltas, books.position, self.rule), missing=right.missing)


class ForgetsAtResync(ReferenceMirror):
    """A full that is taken again is merged with what is on offer now, and no more."""

    def _start(self, books: Books | None, sound: Sound, *, full: bool) -> Books | None:
        started = super()._start(books, sound, full=full)
        if started and full:
            started.deltas = {day: one for day, one in started.deltas.items() if day in sound.deltas}
        return started

    def _merged(self, books: Books) -> Merged:
        return replace(super()._merged(books), missing=())


class TakesOlderFull(ReferenceMirror):
    """The newest full on offer is taken, though it is older than the one before."""

    def _start(self, books: Books | None, sound: Sound, *, full: bool) -> Books | None:
        newest = sound.newest_full(-9, sound.today)
        if books is None or not full or newest is None or newest.day >= books.base.day:
            return super()._start(books, sound, full=full)
        books = Books(fulls=[newest], deltas=books.deltas, position=books.position)
        books.deltas = {day: one for day, one in sound.deltas.items() if day <= books.position}
        return books

    def _merged(self, books: Books) -> Merged:
        return replace(super()._merged(books), missing=())


class LateDeltaIgnored(ReferenceMirror):
    """A delta of the overlap that comes late counts as applied, and is not."""

    def _take_one(self, books: Books, sound: Sound, limit: int) -> bool:
        late = [
            day
            for day in books.missing(self.rule)
            if day in sound.deltas and books.position >= books.base.day
        ]
        for day in late:
            books.deltas[day] = replace(sound.deltas[day], records=())
        return bool(late) or super()._take_one(books, sound, limit)


class BelievesTheFuture(ReferenceMirror):
    """A full dated ahead of the clock counts."""

    def sync(self, offer: Offer, day: int, *, full: bool = False, fallback: Offer | None = None) -> Outcome:
        ahead = {one.day for one in offer.values() if one.kind is Kind.FULL and one.day > day}
        outcome = super().sync(offer, day, full=full, fallback=fallback)
        if self.books and ahead:
            newest = next(one for one in offer.values() if one.kind is Kind.FULL and one.day == max(ahead))
            self.books.fulls.append(replace(newest, day=day))
            self._commit(self.books)
        return outcome


class SkipsGaps(ReferenceMirror):
    """Deltas beyond a gap are applied all the same."""

    def _take_one(self, books: Books, sound: Sound, limit: int) -> bool:
        later = [day for day in sound.deltas if books.position < day <= limit]
        if not later:
            return False
        books.position = min(later)
        books.deltas[books.position] = sound.deltas[books.position]
        return True

    def _merged(self, books: Books) -> Merged:
        right = super()._merged(books)
        return replace(right, missing=tuple(day for day in right.missing if day < books.base.day))


class DamagedIsEmpty(ReferenceMirror):
    """A damaged delta counts as one that says nothing."""

    def sync(self, offer: Offer, day: int, *, full: bool = False, fallback: Offer | None = None) -> Outcome:
        mended = {
            name: replace(one, damage=None, records=()) if one.kind is Kind.DELTA and one.damage else one
            for name, one in offer.items()
        }
        return super().sync(mended, day, full=full, fallback=fallback)


class SaysCurrent(ReferenceMirror):
    """Every run ends with 0."""

    def sync(self, offer: Offer, day: int, *, full: bool = False, fallback: Offer | None = None) -> Outcome:
        return replace(super().sync(offer, day, full=full, fallback=fallback), exit=CURRENT)


class KeepsItsLineage(ReferenceMirror):
    """A copy that is put back goes on under the lineage of what it replaces."""

    def put_back(self, *, alone: bool = True) -> None:
        super().put_back(alone=alone)
        self.lineage -= 1


class PositionIsPlanned(ReferenceMirror):
    """The position is the newest delta that is listed."""

    def view(self, day: int) -> View | None:
        view = super().view(day)
        return replace(view, position=max(view.position, day - 1)) if view else None


class AnotherDigestEachTime(ReferenceMirror):
    """The digest depends on how often the mirror was written."""

    def __init__(self, rule: Rule = DEFAULT) -> None:
        super().__init__(rule)
        self._writes = 0

    def _commit(self, books: Books, *, is_first: bool = False) -> None:
        self._writes += 1
        super()._commit(books, is_first=is_first)

    def view(self, day: int) -> View | None:
        view = super().view(day)
        return replace(view, digest=f"{view.digest} {self._writes}") if view else None


WRONG: tuple[type[ReferenceMirror], ...] = tuple(ReferenceMirror.__subclasses__())
"""Every mirror of this module."""
