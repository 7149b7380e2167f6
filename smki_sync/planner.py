"""Decide what brings a mirror up to date: plan(position, catalogue, policy, today) -> Plan with a reason."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import assert_never

from smki_sync.merge import Baseline
from smki_sync.model.extract import Catalogue, Extract, ExtractKind, FileKey
from smki_sync.model.plan import Action, AppliedFile, MirrorState, Plan, Policy, Position, Reason

DAY = timedelta(days=1)
CLOCK_TOLERANCE = DAY
"""Midnight, time zones and a slow clock: a file may be dated one day ahead of this machine's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableExtracts:
    """The extracts of a listing that count. ``full``: the newest one, if any counts."""

    deltas: Mapping[date, Extract]
    full: Extract | None
    policy: Policy
    today: date

    def left_window(self, day: date) -> bool:
        """Whether the delta of a day has left the window, and is not merely late (MP147: seven days).

        With a window of seven, the deltas of today-7 to today-1 are as complete as those of today-6 to today,
        because today's may not be published yet.
        """
        if day in self.deltas:
            return False
        window = self.policy.window_days * DAY
        return day < self.today - window or any(day <= known - window for known in self.deltas)

    def next_day(self, position: date, full: date) -> date:
        """Date of the delta that is needed after ``position``.

        A full does not include the delta of its own date. If that delta has left the window, directly after
        the full was loaded, the first delta that has not is the next one, and the mirror is unproven.
        """
        day = position + DAY
        if day != full or not self.left_window(day):
            return day
        day, last = day + DAY, max(self.deltas, default=day)
        while day < last and self.left_window(day):
            day += DAY
        return day

    def has_gap_at(self, day: date) -> bool:
        """Whether the delta of a day has left the window, and the Repository has published since."""
        return self.left_window(day) and self.published_after(day - DAY)

    def covers(self, hole: date, full: Extract) -> bool:
        """Whether the deltas continue from a full although the delta of ``hole`` is missing."""
        return full.day > hole or (full.day == hole and self.left_window(hole))

    def next_deltas(self, position: date, full: date) -> tuple[Extract, ...]:
        """The deltas that follow ``position`` without a gap, in order."""
        return tuple(self._run_from(self.next_day(position, full)))

    def between(self, first: date, last: date) -> tuple[Extract, ...]:
        """The deltas dated ``first`` to ``last``, in order."""
        return tuple(self.deltas[day] for day in sorted(self.deltas) if first <= day <= last)

    def missing_after(self, position: date, full: date) -> tuple[date, ...]:
        """Dates after ``position`` whose deltas are not available although a later one is."""
        last = max(self.deltas, default=position)
        first = self.next_day(position, full)
        days = (first + number * DAY for number in range((last - first).days))
        return tuple(day for day in days if day not in self.deltas)

    def published_after(self, day: date) -> bool:
        """Whether an available file proves that the Repository published after ``day``."""
        return any(known > day for known in self.deltas) or (self.full is not None and self.full.day > day)

    def _run_from(self, day: date) -> Iterator[Extract]:
        while day in self.deltas:
            yield self.deltas[day]
            day += DAY


def usable_extracts(
    catalogue: Catalogue,
    *,
    position: Position | None,
    policy: Policy,
    today: date,
    unusable: Collection[FileKey] = (),
) -> AvailableExtracts:
    """Select the extracts that count on a day.

    A full does not count if it is older than the newest one used, or dated ahead of the clock. A delta dated
    ahead of the clock counts only if another file or the position is near: one wrong year in a name must not
    become the position. ``unusable``: files that this run could not use.
    """
    latest = max(today + CLOCK_TOLERANCE, position.day if position else today)
    offered = (*catalogue.fulls, *catalogue.deltas)
    dates = [extract.day for extract in offered] + ([position.day] if position else [])
    near = policy.window_days * DAY
    credible = (d.day for d in catalogue.deltas if d.day <= latest or _has_neighbour(d, dates, near))
    newest = max(credible, default=date.min)
    oldest_full = position.full if position else date.min
    fulls = [
        full
        for full in catalogue.fulls
        if oldest_full <= full.day <= today + CLOCK_TOLERANCE and full.key not in unusable
    ]
    return AvailableExtracts(
        deltas={d.day: d for d in catalogue.deltas if d.day <= newest and d.key not in unusable},
        full=max(fulls, key=lambda full: full.day, default=None),
        policy=policy,
        today=today,
    )


def dated_in_future(catalogue: Catalogue, today: date) -> tuple[Extract, ...]:
    """List the extracts dated later than tomorrow, in order: a clock or a name is wrong."""
    return tuple(
        sorted(
            (e for e in (*catalogue.fulls, *catalogue.deltas) if e.day > today + CLOCK_TOLERANCE),
            key=lambda e: (e.day, e.kind),
        )
    )


def _has_neighbour(delta: Extract, dates: list[date], near: timedelta) -> bool:
    """Whether another file, or the position, is dated within one window of a delta.

    This distinguishes a Repository whose clock is ahead of ours from a single file with a wrong date.
    """
    return sum(abs(delta.day - day) <= near for day in dates) > 1  # one of them is the delta itself


def plan(
    *,
    state: MirrorState,
    position: Position | None,
    catalogue: Catalogue,
    policy: Policy,
    today: date,
    requested: bool = False,
    changed: Collection[FileKey] = (),
    unusable: Collection[FileKey] = (),
) -> Plan:
    """Decide what brings the mirror up to date.

    Args:
        state: what was found in the mirror directory; ``position`` counts only if it is healthy.
        today: in UTC.
        requested: whether the operator asks for a full.
        changed: applied files that are known to have other bytes now, even if they are not listed any more.
        unusable: listed files that this run could not use.
    """
    held = position if state is MirrorState.HEALTHY else None
    available = usable_extracts(catalogue, position=held, policy=policy, today=today, unusable=unusable)
    if held is None:
        return _take_full(_why_rebuild(state), available, held)
    every = frozenset(changed) & {applied.extract.key for applied in held.applied}
    every |= resized_files(held, catalogue)
    if requested or every:
        reason = Reason.REQUESTED if requested else _why_changed(every)
        return _take_full(reason, available, held, every)
    return _continue(held, available, unusable)


def suspect_files(position: Position, catalogue: Catalogue) -> tuple[Extract, ...]:
    """List applied files that are available with the same size and another modification time.

    Only their bytes can tell whether they changed: the caller downloads and hashes them, and passes the keys
    of those that differ to :func:`plan` as ``changed``.
    """
    return tuple(
        offered
        for applied, offered in still_offered(position, catalogue)
        if applied.size == offered.size
        and None not in (applied.extract.modified, offered.modified)
        and applied.extract.modified != offered.modified
    )


def resized_files(position: Position, catalogue: Catalogue) -> frozenset[FileKey]:
    """Keys of applied files that are available with another size, and so certainly with other bytes."""
    return frozenset(o.key for applied, o in still_offered(position, catalogue) if applied.size != o.size)


def still_offered(position: Position, catalogue: Catalogue) -> Iterator[tuple[AppliedFile, Extract]]:
    """Pair each applied file with the file that is available under its key, in order of date.

    A file of a fallback source is left out: another edition there is no reason to rebuild.
    """
    applied = {file.extract.key: file for file in position.applied}
    offered = sorted((*catalogue.fulls, *catalogue.deltas), key=lambda extract: extract.day)
    return ((applied[one.key], one) for one in offered if one.key in applied and not one.is_fallback)


def late_days(reached: date, policy: Policy, today: date) -> int:
    """Count the days that the Repository is late, 0 if it is not. ``reached``: date of its newest extract."""
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


def _why_changed(changed: Collection[FileKey]) -> Reason:
    if all(kind is ExtractKind.DELTA for kind, _ in changed):
        return Reason.DELTA_CHANGED
    return Reason.FULL_CHANGED if len(changed) == 1 else Reason.SOURCE_CHANGED


def _continue(held: Position, available: AvailableExtracts, unusable: Collection[FileKey]) -> Plan:
    """Continue from a healthy mirror's position. Take a full only if the deltas have a gap."""
    next_day = available.next_day(held.day, held.full)
    skips = next_day > held.day + 2 * DAY  # more than the delta of the full's own date has left the window
    if available.has_gap_at(next_day) or (skips and available.full and available.full.day > held.full):
        return _take_full(Reason.GAP_BEYOND_WINDOW, available, held)
    missing = available.missing_after(held.day, held.full)
    if not missing:
        last = max([held.day, *(delta.day for delta in available.next_deltas(held.day, held.full))])
        if available.has_gap_at(available.next_day(last, held.full)):
            return _take_full(Reason.GAP_BEYOND_WINDOW, available, held)
        return _take_deltas(held, available)
    if available.full and available.covers(missing[0], available.full):
        damaged = (ExtractKind.DELTA, missing[0]) in unusable
        return _take_full(Reason.DELTA_DAMAGED if damaged else Reason.HOLE_IN_DELTAS, available, held)
    return _blocked(Reason.HOLE_IN_DELTAS, held, available, missing)


def _take_deltas(held: Position, available: AvailableExtracts) -> Plan:
    late, deltas = _late_deltas(held, available), available.next_deltas(held.day, held.full)
    found = bool(late or deltas)
    return Plan(
        action=Action.DELTAS if found else Action.NONE,
        reason=Reason.DELTAS_AVAILABLE if found else Reason.UP_TO_DATE,
        overlap=late,
        deltas=deltas,
        unproven=_unproven_after(_baseline(held), _counting(held), (*late, *deltas)),
    )


def _blocked(
    reason: Reason, held: Position | None, available: AvailableExtracts, missing: tuple[date, ...]
) -> Plan:
    """Apply the deltas before the obstacle: they are true, and newer than the mirror."""
    if held is None:
        return Plan(action=Action.BLOCKED, reason=reason, missing=missing)
    late, deltas = _late_deltas(held, available), available.next_deltas(held.day, held.full)
    return Plan(
        action=Action.BLOCKED,
        reason=reason,
        overlap=late,
        deltas=deltas,
        missing=missing,
        unproven=_unproven_after(_baseline(held), _counting(held), (*late, *deltas)),
    )


def _baseline(held: Position) -> Baseline:
    return Baseline(full=held.full, overlap_days=held.overlap_days)


def _late_deltas(held: Position, available: AvailableExtracts) -> tuple[Extract, ...]:
    """Deltas up to the position that were never applied and have become available only now."""
    offered = available.between(_baseline(held).first_delta, held.day)
    return tuple(delta for delta in offered if delta.day not in _counting(held))


def _counting(held: Position) -> frozenset[date]:
    """Dates of the applied deltas. Those after the full count even if an upgrade has left them in doubt."""
    return held.applied_deltas | {
        day for kind, day in _keys(held) if kind is ExtractKind.DELTA and day > held.full
    }


def _keys(held: Position) -> Iterator[FileKey]:
    return (file.extract.key for file in held.applied)


def _unproven_after(
    baseline: Baseline, applied: Iterable[date], deltas: Iterable[Extract]
) -> tuple[date, ...]:
    known = {*applied, *(delta.day for delta in deltas)}
    return baseline.missing(known, max(known, default=None))


def _take_full(
    reason: Reason, available: AvailableExtracts, held: Position | None, changed: Collection[FileKey] = ()
) -> Plan:
    """Merge the newest full, if there is one from which the deltas continue."""
    full = available.full
    if full is None:
        missing = available.missing_after(held.day, held.full) if held else ()
        return _blocked(Reason.NO_FULL_AVAILABLE, held, available, missing)
    baseline = Baseline(full=full.day, overlap_days=available.policy.full_overlap_days)
    superseded = _superseded(held, available, changed) if held and changed else ()
    applied = (held.applied_deltas if held else frozenset()) - set(superseded)
    position = baseline.position(held.day if held else None)
    if lacking := _not_joined(position, full.day, available, applied):
        return _blocked(Reason.FULL_TOO_OLD, held, available, lacking)
    overlap = available.between(baseline.first_delta, position)
    deltas = available.next_deltas(position, full.day)
    return Plan(
        action=Action.FULL,
        reason=reason,
        full=full,
        overlap=overlap,
        deltas=deltas,
        missing=available.missing_after(position, full.day),
        unproven=_unproven_after(baseline, applied, (*overlap, *deltas)),
        superseded=superseded,
    )


def _superseded(
    held: Position, available: AvailableExtracts, changed: Collection[FileKey]
) -> tuple[date, ...]:
    """Dates of applied deltas whose statements do not count any more.

    A changed delta may have replaced statements of older ones. So an older delta counts only if it is applied
    again. If a full has changed together with another file, the source is another one: nothing counts.
    """
    if _why_changed(changed) is Reason.SOURCE_CHANGED:
        return tuple(sorted(held.applied_deltas))
    days = {day for kind, day in changed if kind is ExtractKind.DELTA}
    older = {day for day in held.applied_deltas if day < max(days, default=day)} - available.deltas.keys()
    return tuple(sorted(days | older))


def _not_joined(
    position: date, full: date, available: AvailableExtracts, applied: Collection[date]
) -> tuple[date, ...]:
    """Dates of the deltas without which a full does not lead to the position, and on; none if it does."""
    known = {*available.deltas, *applied}
    days = (full + number * DAY for number in range(1, (position - full).days + 1))
    if lacking := tuple(day for day in days if day not in known):
        return lacking
    next_day = available.next_day(position, full)
    later = [day for day in available.deltas if day > next_day]
    if not later or not available.left_window(next_day):
        return ()
    return tuple(next_day + number * DAY for number in range((min(later) - next_day).days))
