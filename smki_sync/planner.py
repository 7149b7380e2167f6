"""What to fetch and apply, and why: a value, made from values.

For: one decision a run, with a named reason (``docs/decisions/0003-how-a-plan-is-made.md``).
Refuses: to act, to read a clock or a disk, to log. The driver applies
:attr:`~smki_sync.model.plan.Plan.extracts` in order, also those of a blocked plan: what such a plan
still lists lies before the obstacle.
"""

from collections.abc import Iterator
from datetime import date
from typing import assert_never

from smki_sync.model.extract import Catalogue, Extract, ExtractKind
from smki_sync.model.plan import Action, AppliedFile, MirrorState, Plan, Policy, Position, Reason
from smki_sync.offer import DAY, Offer, weigh


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
    offer = weigh(catalogue, position=held, policy=policy, today=today)
    if held is None:
        return _take_full(_why_anew(state), offer, held)
    if requested:
        return _take_full(Reason.REQUESTED, offer, held)
    if _has_changed(held, catalogue, changed):
        return _take_full(Reason.DELTA_CHANGED, offer, held)
    return _go_on(held, offer)


def suspects(position: Position, catalogue: Catalogue) -> tuple[Extract, ...]:
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


def resized(position: Position, catalogue: Catalogue) -> frozenset[str]:
    """Name the applied deltas that are on offer with another size: they certainly have other bytes."""
    return frozenset(o.name for applied, o in _still_on_offer(position, catalogue) if applied.size != o.size)


def late_days(reached: date, policy: Policy, today: date) -> int:
    """Count the days that the Repository is late: 0 when it is not.

    ``reached``: the date of the last extract that the mirror could apply. It is expected to be no
    older than ``late_after_days`` before ``today``.
    """
    return max(0, (today - reached).days - policy.late_after_days)


def _why_anew(state: MirrorState) -> Reason:
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
    return known or bool(resized(position, catalogue))


def _go_on(position: Position, offer: Offer) -> Plan:
    """Follow a healthy mirror's position; a full only where the deltas do not lead on."""
    if offer.gone(position.day + DAY) and offer.goes_on_after(position.day):
        return _take_full(Reason.GAP_BEYOND_WINDOW, offer, position)
    missing = offer.missing_after(position.day)
    if not missing:
        return _take_deltas(position, offer)
    if offer.full and offer.full.day >= missing[0]:
        return _take_full(Reason.HOLE_IN_DELTAS, offer, position)
    return _stop_at_hole(position, offer, missing)


def _take_deltas(position: Position, offer: Offer) -> Plan:
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


def _stop_at_hole(position: Position, offer: Offer, missing: tuple[date, ...]) -> Plan:
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


def _overlap_due(position: Position, offer: Offer) -> tuple[Extract, ...]:
    """Give the overlap that the mirror's full still lacks, whole: its deltas only count in order.

    Nothing is due once a later delta is applied: an older one after it could undo it.
    """
    if position.day != position.full:
        return ()
    overlap = offer.overlap(position.full)
    replayed = {applied.extract.day for applied in _applied_deltas(position)}
    return overlap if any(delta.day not in replayed for delta in overlap) else ()


def _take_full(reason: Reason, offer: Offer, held: Position | None) -> Plan:
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


def _unbridged(full: Extract, offer: Offer, held: Position | None) -> tuple[date, ...]:
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
