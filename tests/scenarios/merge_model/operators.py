"""What an operator does with a mirror, and on which mornings."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    RESTORE_TO = "restore --to"
    BACK_UP = "backup"
    PUT_BACK = "put the backup back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action. ``back``: how many days before the position `restore --to` goes."""

    day: int
    act: Act
    back: int = 0
    again: bool = False

    def __str__(self) -> str:
        back = (
            f" {self.back} days before the position, from the archive" if self.act is Act.RESTORE_TO else ""
        )
        again = ", a second time" if self.again else ""
        return f"day {self.day}: {self.act}{back}{again}"


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
    Act.RESTORE_TO,
    Act.BACK_UP,
    Act.PUT_BACK,
)
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
        steps.append(Step(day=day, act=act, back=back))
        if act not in (Act.BACK_UP, Act.PUT_BACK, Act.RESTORE_TO) and rng.random() < TWICE:
            steps.append(Step(day=day, act=act, again=True))
        elif act in (Act.PUT_BACK, Act.RESTORE_TO, Act.REPAIR) and rng.random() < 0.7:
            steps.append(Step(day=day, act=Act.SYNC))
    return steps[:most]


def perform(step: Step, world: World, mirror: Mirror, position: int | None) -> Outcome | None:
    """Carry out a step; None where it is not a command."""
    offer, day = world.offer(step.day), step.day
    match step.act:
        case Act.SYNC | Act.SYNC_FULL:
            return mirror.sync(offer, day, full=step.act is Act.SYNC_FULL)
        case Act.RECONCILE | Act.REPAIR:
            return mirror.reconcile(offer, day, repair=step.act is Act.REPAIR)
        case Act.RESTORE:
            return mirror.restore(offer, day)
        case Act.RESTORE_TO:
            to = (day - 1 if position is None else position) - step.back
            return mirror.restore(world.archive(day), day, to=to)
        case Act.BACK_UP:
            return mirror.back_up(day)
        case Act.PUT_BACK:
            mirror.put_back()
            return None


def readable(steps: Sequence[Step]) -> str:
    return "\n".join(map(str, steps))
