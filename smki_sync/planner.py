"""Pure: plan(position, catalogue, policy, today) -> Plan with a named reason."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import assert_never

from smki_sync.model.extract import Catalogue, Extract, ExtractKind
from smki_sync.model.plan import Action, AppliedFile, MirrorState, Plan, Policy, Position, Reason

DAY = timedelta(days=1)
CLOCK_TOLERANCE = DAY
"""Midnight, time zones and a slow clock: an extract may be dated tomorrow without being doubted."""
PROOF_DISTANCE = DAY
"""A full that is dated ahead counts if a delta is dated this near: then the clock is wrong, not it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableExtracts:
    """The extracts that count. ``full``: the newest one, if any counts."""

    deltas: Mapping[date, Extract]
    full: Extract | None
    policy: Policy
    today: date

    def run_after(self, day: date) -> tuple[Extract, ...]:
        """Give the deltas that follow ``day`` without a hole, in order."""
        return tuple(self._consecutive(day + DAY, DAY, limit=len(self.deltas)))

    def overlap(self, full: date) -> tuple[Extract, ...]:
        """Give the deltas to replay onto a full: an unbroken run that ends at its date.

        It stops at the first date that is absent, going back: an older delta without every later
        one could put back what the absent one took out.
        """
        back = self._consecutive(full, -DAY, limit=self.policy.full_overlap_days + 1)
        return tuple(back)[::-1]

    def uncovered(self, full: date) -> tuple[date, ...]:
        """Name the dates of a full's overlap that no delta of the run covers."""
        covered = {delta.day for delta in self.overlap(full)}
        wanted = (full - days * DAY for days in range(self.policy.full_overlap_days, -1, -1))
        return tuple(day for day in wanted if day not in covered)

    def absent(self, after: date, before: date) -> tuple[date, ...]:
        """Name the dates strictly between two that have no delta on offer."""
        between = (after + days * DAY for days in range(1, (before - after).days))
        return tuple(day for day in between if day not in self.deltas)

    def missing_after(self, day: date) -> tuple[date, ...]:
        """Name the dates after ``day`` whose deltas later ones prove to exist and that are absent."""
        return self.absent(day, max(self.deltas, default=day))

    def goes_on_after(self, day: date) -> bool:
        """Whether anything on offer proves that the Repository published after ``day``."""
        return any(known > day for known in self.deltas) or (self.full is not None and self.full.day > day)

    def gone(self, day: date) -> bool:
        """Whether the delta of a date has left the window, rather than not having come.

        Deltas leave in order of date (MP147: each after seven days), so nothing has gone while an
        earlier delta is on offer. Today's may not be out yet: with a window of seven, the deltas of
        today-7 to today-1 are as complete as those of today-6 to today, and today-7 has not gone
        unless today's delta is there to take its place.
        """
        window = self.policy.window_days * DAY
        earliest_of_all = all(day < known for known in self.deltas)
        pushed_out = any(day <= known - window for known in self.deltas)
        return earliest_of_all and (pushed_out or day < self.today - window)

    def _consecutive(self, day: date, step: timedelta, *, limit: int) -> Iterator[Extract]:
        for _ in range(limit):
            if day not in self.deltas:
                return
            yield self.deltas[day]
            day += step


def usable_extracts(
    catalogue: Catalogue, *, position: Position | None, policy: Policy, today: date
) -> AvailableExtracts:
    """Keep the extracts of a catalogue that are to be believed on a day.

    Dropped are extracts dated ahead of the clock for which nothing else speaks: one file with a
    wrong year must neither become the position for ever nor make a hole of the years between.
    """
    latest = max(today + CLOCK_TOLERANCE, position.day if position else today)  # what is held has come
    dates = [e.day for e in (*catalogue.fulls, *catalogue.deltas)] + ([position.day] if position else [])
    near = policy.window_days * DAY
    believed = (d.day for d in catalogue.deltas if d.day <= latest or _in_company(d, dates, near))
    newest = max(believed, default=date.min)
    deltas = {d.day: d for d in catalogue.deltas if d.day <= newest}
    fulls = [f for f in catalogue.fulls if f.day <= latest or _is_proven(f, deltas)]
    full = max(fulls, key=lambda f: f.day, default=None)
    return AvailableExtracts(deltas=deltas, full=full, policy=policy, today=today)


def dated_in_future(catalogue: Catalogue, today: date) -> tuple[Extract, ...]:
    """Give the extracts dated later than tomorrow, in order: somebody's clock or name is wrong."""
    return tuple(
        sorted(
            (e for e in (*catalogue.fulls, *catalogue.deltas) if e.day > today + CLOCK_TOLERANCE),
            key=lambda e: (e.day, e.kind),
        )
    )


def _is_proven(full: Extract, deltas: Mapping[date, Extract]) -> bool:
    return any(abs(full.day - day) <= PROOF_DISTANCE for day in deltas)


def _in_company(delta: Extract, dates: list[date], near: timedelta) -> bool:
    """Tell a delta of a Repository whose clock is ahead of ours from a lone one with a wrong date.

    Another extract or the mirror's own position within one window makes it believed.
    """
    return sum(abs(delta.day - day) <= near for day in dates) > 1  # one of them is its own


def plan(
    *,
    state: MirrorState,
    position: Position | None,
    catalogue: Catalogue,
    policy: Policy,
    today: date,
    requested: bool = False,
    changed: frozenset[str] = frozenset(),
) -> Plan:
    """Decide what brings the mirror up to date.

    ``position``: counts only where the mirror is healthy. ``today``: in UTC. ``requested``: the
    operator asks for a full. ``changed``: names of applied deltas whose bytes are known to differ
    now, also of such as are no longer on offer. Never raises for dates that ``read_catalogue`` lets in.
    """
    held = position if state is MirrorState.HEALTHY else None
    offer = usable_extracts(catalogue, position=held, policy=policy, today=today)
    if held is None:
        return _take_full(_why_rebuild(state), offer, held)
    if requested:
        return _take_full(Reason.REQUESTED, offer, held)
    if _has_changed(held, catalogue, changed):
        return _take_full(Reason.DELTA_CHANGED, offer, held)
    return _go_on(held, offer)


def suspect_deltas(position: Position, catalogue: Catalogue) -> tuple[Extract, ...]:
    """Give the applied deltas on offer whose size is the same but whose time of change is not.

    Only their bytes can tell: the driver fetches and hashes these, and hands the names of those that
    differ to :func:`plan` as ``changed``.
    """
    return tuple(
        offered
        for applied, offered in _still_on_offer(position, catalogue)
        if applied.size == offered.size
        and None not in (applied.extract.modified, offered.modified)
        and applied.extract.modified != offered.modified
    )


def resized_files(position: Position, catalogue: Catalogue) -> frozenset[str]:
    """Name the applied deltas that are on offer with another size: they certainly have other bytes."""
    return frozenset(o.name for applied, o in _still_on_offer(position, catalogue) if applied.size != o.size)


def late_days(reached: date, policy: Policy, today: date) -> int:
    """Count the days that the Repository is late: 0 when it is not.

    ``reached``: the date of the last extract that the mirror could apply. It is expected to be no
    older than ``late_after_days`` before ``today``.
    """
    return max(0, (today - reached).days - policy.late_after_days)


def _why_rebuild(state: MirrorState) -> Reason:
    match state:
        case MirrorState.ABSENT | MirrorState.HEALTHY:  # healthy without a position: still empty
            return Reason.NO_MIRROR
        case MirrorState.DAMAGED:
            return Reason.MIRROR_DAMAGED
        case MirrorState.OLDER_SCHEMA | MirrorState.NEWER_SCHEMA:
            return Reason.SCHEMA_CHANGED
        case _:
            assert_never(state)


def _has_changed(position: Position, catalogue: Catalogue, changed: frozenset[str]) -> bool:
    """Whether a delta was applied from other bytes than it has now. A full's bytes prove nothing."""
    known = any(applied.extract.name in changed for applied in _applied_deltas(position))
    return known or bool(resized_files(position, catalogue))


def _go_on(position: Position, offer: AvailableExtracts) -> Plan:
    """Follow a healthy mirror's position; a full only where the deltas do not lead on."""
    if offer.gone(position.day + DAY) and offer.goes_on_after(position.day):
        return _take_full(Reason.GAP_BEYOND_WINDOW, offer, position)
    missing = offer.missing_after(position.day)
    if not missing:
        return _take_deltas(position, offer)
    if offer.full and offer.full.day >= missing[0]:
        return _take_full(Reason.HOLE_IN_DELTAS, offer, position)
    return _stop_at_hole(position, offer, missing)


def _take_deltas(position: Position, offer: AvailableExtracts) -> Plan:
    overlap, deltas = _overlap_due(position, offer), offer.run_after(position.day)
    if not overlap and not deltas:
        return Plan(action=Action.NONE, reason=Reason.UP_TO_DATE)
    return Plan(
        action=Action.DELTAS,
        reason=Reason.DELTAS_AVAILABLE,
        overlap=overlap,
        deltas=deltas,
        uncovered=offer.uncovered(position.full) if overlap else (),
    )


def _stop_at_hole(position: Position, offer: AvailableExtracts, missing: tuple[date, ...]) -> Plan:
    """Go as far as the hole: what lies before it is as true as ever, and newer than what is held."""
    overlap = _overlap_due(position, offer)
    return Plan(
        action=Action.BLOCKED,
        reason=Reason.HOLE_IN_DELTAS,
        overlap=overlap,
        deltas=offer.run_after(position.day),
        missing=missing,
        uncovered=offer.uncovered(position.full) if overlap else (),
    )


def _overlap_due(position: Position, offer: AvailableExtracts) -> tuple[Extract, ...]:
    """Give the overlap that the mirror's full still lacks, whole: its deltas only count in order.

    Nothing is due once a later delta is applied: an older one after it could undo it.
    """
    if position.day != position.full:
        return ()
    overlap = offer.overlap(position.full)
    replayed = {applied.extract.day for applied in _applied_deltas(position)}
    return overlap if any(delta.day not in replayed for delta in overlap) else ()


def _take_full(reason: Reason, offer: AvailableExtracts, held: Position | None) -> Plan:
    """Start from the newest full, if one is on offer from which the deltas lead on."""
    if offer.full is None:
        missing = offer.missing_after(held.day) if held else ()
        return Plan(action=Action.BLOCKED, reason=Reason.NO_FULL_AVAILABLE, missing=missing)
    if unbridged := _unbridged(offer.full, offer, held):
        return Plan(action=Action.BLOCKED, reason=Reason.FULL_TOO_OLD, missing=unbridged)
    return Plan(
        action=Action.FULL,
        reason=reason,
        full=offer.full,
        overlap=offer.overlap(offer.full.day),
        deltas=offer.run_after(offer.full.day),
        missing=offer.missing_after(offer.full.day),
        uncovered=offer.uncovered(offer.full.day),
    )


def _unbridged(full: Extract, offer: AvailableExtracts, held: Position | None) -> tuple[date, ...]:
    """Name the dates for want of which a full is of no use; none where it is.

    Either the deltas after it have left the window, or it would take a healthy mirror back.
    """
    later = [day for day in offer.deltas if day > full.day]
    if later and offer.gone(full.day + DAY):
        return offer.absent(full.day, min(later))
    return offer.absent(full.day, held.day + DAY) if held else ()


def _applied_deltas(position: Position) -> Iterator[AppliedFile]:
    return (applied for applied in position.chain if applied.extract.kind is ExtractKind.DELTA)


def _still_on_offer(position: Position, catalogue: Catalogue) -> Iterator[tuple[AppliedFile, Extract]]:
    """Pair each applied delta with what is on offer under its name now, in order of date."""
    applied = {file.extract.name: file for file in _applied_deltas(position)}
    return ((applied[delta.name], delta) for delta in catalogue.deltas if delta.name in applied)
