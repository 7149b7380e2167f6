"""Runs many histories, and reports those in which something did not hold so that a person can read them.

``SMKI_SYNC_LIVES=N`` runs N histories instead of the usual number; ``SMKI_SYNC_SEED=N`` runs the one of that
seed and prints it, whether it holds or not.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from scenarios.merge_model.client import ClientMirror
from scenarios.merge_model.findings import ALL, Check
from scenarios.merge_model.history import History, Tally
from scenarios.merge_model.mirrors import Mirror
from scenarios.merge_model.operators import Step, readable, thought_up
from scenarios.merge_model.reference import Rule
from scenarios.merge_model.world import World

LIVES = int(os.environ.get("SMKI_SYNC_LIVES", "0"))
SEED = os.environ.get("SMKI_SYNC_SEED")

SHOWN = 3
"""So many failed histories are printed in full."""
SHOWN_FINDINGS = 8

_FAST = Path("/dev/shm")  # noqa: S108 - memory, where there is some: nothing here tests the disk


def seeds(usual: int, times: float = 1.0) -> range:
    """The seeds to run; ``times``: how many histories there are to each that was asked for."""
    if SEED is not None:
        return range(int(SEED), int(SEED) + 1)
    return range(int(LIVES * times) or usual)


@dataclass(slots=True)
class Summary:
    """What came of many histories."""

    tally: Tally = field(default_factory=Tally)
    failed: list[int] = field(default_factory=list)
    checks: Counter[Check] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def add(self, history: History) -> None:
        self.tally.states += history.tally.states
        self.tally.marked += history.tally.marked
        if SEED is not None:
            print(described(history))  # noqa: T201 - asked for
        if history.findings:
            self.failed.append(history.world.seed)
            self.checks.update({one.check for one in history.findings})
            if len(self.texts) < SHOWN:
                self.texts.append(described(history))

    def __str__(self) -> str:
        counts = "\n".join(f"  {count:5} {check}" for check, count in self.checks.most_common())
        return (
            f"{len(self.failed)} histories failed; {self.tally.states} states, {self.tally.marked} marked\n"
            f"seeds: {', '.join(map(str, self.failed[:50]))}\n{counts}\n\n" + "\n\n".join(self.texts)
        )


def described(history: History) -> str:
    """A history for people, with the way to run it again."""
    world = history.world
    published = "\n".join(f"  {one}" for one in world.publications)
    findings = "\n".join(f"  {one}" for one in history.findings[:SHOWN_FINDINGS])
    more = len(history.findings) - SHOWN_FINDINGS
    return (
        f"=== seed {world.seed}: SMKI_SYNC_SEED={world.seed} pytest -s tests/scenarios/merge_model\n"
        f"{world.faults}\n{world.options}\npublished:\n{published}\nhistory:\n{history.story}\n"
        f"what did not hold:\n{findings}" + (f"\n  and {more} more" if more > 0 else "")
    )


def run_many(
    numbers: Iterable[int],
    mirror: Callable[[Rule], Mirror],
    *,
    most: int,
    checks: frozenset[Check] = ALL,
) -> Summary:
    """Run the histories of these seeds with a mirror each, of at most so many steps."""
    summary = Summary()
    for seed in numbers:
        world = World(seed)
        history = History(world, mirror(world.options.rule), checks)
        history.run(thought_up(seed, world, most))
        summary.add(history)
    return summary


def run_clients(numbers: Iterable[int], *, most: int) -> Summary:
    """The same with the client, each mirror in a directory that is removed afterwards."""
    summary = Summary()
    for seed in numbers:
        with Scratch() as place:
            world = World(seed)
            history = History(world, ClientMirror(place, world.options))
            run_steps(history, thought_up(seed, world, most))
            summary.add(history)
    return summary


def run_steps(history: History, steps: list[Step]) -> None:
    """Run a history; an error of the model or the client says in which one it was."""
    try:
        history.run(steps)
    except Exception as error:
        error.add_note(f"{described(history)}\nsteps planned:\n{readable(steps)}")
        raise


class Scratch:
    """A directory in memory for one history."""

    def __enter__(self) -> Path:
        self._path = Path(mkdtemp(prefix="smki-sync-model-", dir=_FAST if _FAST.is_dir() else None))
        return self._path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path)
