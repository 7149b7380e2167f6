"""What an operator does with a mirror, and on which mornings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from scenarios.merge_model.mirrors import Mirror, Outcome
from scenarios.merge_model.world import World


class Act(StrEnum):
    """A command, or the hand of the operator."""

    SYNC = "sync"
    SYNC_FULL = "sync --full"
    RECONCILE = "reconcile"
    REPAIR = "reconcile --repair"
    RESTORE = "restore"
    RESTORE_ARCHIVE = "restore from the archive"
    RESTORE_TO = "restore --to"
    ACCEPT = "quarantine --accept"
    BACK_UP = "backup"
    PUT_BACK = "put the backup back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action.

    ``back``: how many days before the position `restore --to` goes. ``skew``: how many days the clock of the
    client is ahead. ``alone``: whether a backup is put into a new directory.
    """

    day: int
    act: Act
    back: int = 0
    again: bool = False
    skew: int = 0
    alone: bool = True

    def __str__(self) -> str:
        back = (
            f" {self.back} days before the position, from the archive" if self.act is Act.RESTORE_TO else ""
        )
        again = ", a second time" if self.again else ""
        skew = f", with a clock that is {self.skew} days ahead" if self.skew else ""
        alone = ", beside what else is in the directory" if not self.alone else ""
        return f"day {self.day}: {self.act}{back}{again}{skew}{alone}"


_USUAL = (1, 1, 2, 3)
_SELDOM = (1, 2, 4, 6, 8, 10)
_ACTS = (
    *[Act.SYNC] * 12,
    Act.SYNC_FULL,
    Act.SYNC_FULL,
    Act.RECONCILE,
    Act.REPAIR,
    Act.REPAIR,
    Act.RESTORE,
    Act.RESTORE,
    Act.RESTORE_ARCHIVE,
    Act.RESTORE_TO,
    Act.ACCEPT,
    Act.BACK_UP,
    Act.PUT_BACK,
)
SKEWED = 0.05
"""Chance that a sync meets a wrong clock."""

TWICE = 0.2
"""Chance that an action is repeated at once."""


def thought_up(seed: int, world: World, most: int) -> list[Step]:
    """At most so many steps, from a first sync on, to the end of the world's days."""
    rng = Random(f"operator {seed}")
    pauses = rng.choice((_USUAL, _SELDOM, _SELDOM))
    day = world.first_full + rng.choice((0, 0, 1, 2, 4, 5, 6))
    steps = [Step(day=day, act=Act.SYNC)]
    has_backup = False
    while len(steps) < most and day < world.days:
        act = rng.choice(_ACTS)
        if act is Act.PUT_BACK and not has_backup:
            act = Act.SYNC
        has_backup |= act is Act.BACK_UP
        if act not in (Act.REPAIR, Act.RECONCILE, Act.SYNC_FULL) or rng.random() < 0.5:
            day += rng.choice(pauses)
        if day >= world.days:
            break
        back = rng.randrange(10) if act is Act.RESTORE_TO else 0
        skew = rng.choice((-3, -1, 1, 2, 9)) if act is Act.SYNC and rng.random() < SKEWED else 0
        alone = act is not Act.PUT_BACK or rng.random() < 1 / 2
        steps.append(Step(day=day, act=act, back=back, skew=skew, alone=alone))
        if act not in (Act.BACK_UP, Act.PUT_BACK, Act.RESTORE_TO) and rng.random() < TWICE:
            steps.append(replace(steps[-1], again=True))
        elif act in (Act.PUT_BACK, Act.RESTORE_TO, Act.REPAIR) and rng.random() < 0.7:
            steps.append(Step(day=day, act=Act.SYNC))
    return steps[:most]


def perform(step: Step, world: World, mirror: Mirror, position: int | None) -> Outcome | None:
    """Carry out a step; None where it is not a command."""
    day = step.day
    match step.act:
        case Act.SYNC | Act.SYNC_FULL:
            full, fallback = step.act is Act.SYNC_FULL, world.fallback(day)
            return mirror.sync(world.offer(day), day + step.skew, full=full, fallback=fallback)
        case Act.RECONCILE | Act.REPAIR:
            return mirror.reconcile(world.offer(day), day, repair=step.act is Act.REPAIR)
        case Act.RESTORE | Act.RESTORE_ARCHIVE | Act.RESTORE_TO:
            return _restore(step, world, mirror, day - 1 if position is None else position)
        case Act.BACK_UP | Act.ACCEPT:
            return mirror.back_up(day) if step.act is Act.BACK_UP else mirror.accept(day)
        case Act.PUT_BACK:
            mirror.put_back(alone=step.alone)
            return None


def _restore(step: Step, world: World, mirror: Mirror, position: int) -> Outcome:
    offer = world.offer(step.day) if step.act is Act.RESTORE else world.archive(step.day)
    to = position - step.back if step.act is Act.RESTORE_TO else None
    return mirror.restore(offer, step.day, to=to)


def readable(steps: Sequence[Step]) -> str:
    return "\n".join(map(str, steps))
