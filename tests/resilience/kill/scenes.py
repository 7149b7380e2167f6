"""Runs that are to be disturbed, and what must hold afterwards, whatever happened.

A :class:`Scene` is one morning: the mirror before it, the files on offer, and the mirror that an undisturbed
run makes of both. :meth:`Scene.settle` is the judgement: the mirror is as some commit of that run left it,
the next run finishes, and then everything is as if nothing had been.
"""

import os
import shutil
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final

from support import plain_reader
from support.cli import surroundings
from support.lives import DAY, START, WITHOUT_LISTS, Life
from support.mirror_copies import copy_mirror

from resilience.kill.moments import Ended, Order, Task, run
from smki_sync.simulator.repository import Repository

NAMES: Final = ("bootstrap", "deltas", "resync")
STOPS: Final = (5, 8, 18)
DEVICES: Final = 6
EVERY: Final = os.environ.get("SMKI_SYNC_KILLS") == "all"
"""Disturb at every moment there is (``make kill``), and not at some."""

UNDISTURBED: Final = Order()

_ROOM: Final = {"mirror.db", "generations", "downloads", "history.db", "lock"}
_KEPT: Final = 2  # generations: the current one and the one before


@dataclass(frozen=True)
class Scene:
    """``before``: the mirror directory; ``after``: the mirror that the run makes of it and of ``offer``.

    ``truth``: what is In-Use at the end of each day.
    """

    name: str
    before: Path
    offer: Path
    today: date
    after: plain_reader.Mirror
    truth: dict[date, set[bytes]]
    known: dict[tuple[frozenset[str], bool], tuple[str, ...]] = field(default_factory=dict, compare=False)

    @cached_property
    def earlier(self) -> plain_reader.Mirror | None:
        return plain_reader.read(self.before)

    def restore(self, place: Path) -> Path:
        """A fresh copy of the mirror before the run, at ``place``."""
        shutil.rmtree(place, ignore_errors=True)
        copy_mirror(self.before, place)
        return place

    def sync(self, mirror: Path, order: Order = UNDISTURBED) -> Ended:
        """The run, with something happening in it."""
        return run(self.task(mirror, order))

    def task(self, mirror: Path, order: Order = UNDISTURBED) -> Task:
        """The run, not yet begun."""
        words = ("sync", "--json", "--verbose", "--mirror", str(mirror), "--source", self.offer.as_uri())
        variables = surroundings(mirror.parent, {"SMKI_SYNC_TODAY": self.today.isoformat()})
        return Task(words=words, root=mirror, variables=variables, order=order)

    def moments(self, place: Path, order: Order = UNDISTURBED) -> tuple[str, ...]:
        """The names of all moments of an undisturbed run, which is run once in ``place``."""
        sort = (frozenset(order.kinds), order.apart)
        if sort not in self.known:
            done = self.sync(self.restore(place), order)
            assert done.code == 0, done.err
            self.known[sort] = done.moments
        return self.known[sort]

    def some(self, moments: int, share: int, salt: str) -> list[int]:
        """Numbers of moments to disturb: ``share`` of them, or every one."""
        every = range(1, moments + 1)
        return (
            list(every) if EVERY else sorted(Random(f"{salt} {self.name}").sample(every, min(share, moments)))
        )

    def check_whole(self, mirror: Path) -> plain_reader.Mirror | None:
        """A committed state is there, and no other."""
        held = plain_reader.read(mirror)
        if held is None:
            assert self.earlier is None, "the mirror is gone"
            return None
        assert held.in_use() == self.truth[held.position], "neither before nor after"
        assert self.earlier is None or held.position >= self.earlier.position
        assert held.position <= self.after.position
        if (
            self.earlier
            and held.position == self.earlier.position
            and len(held.ledger) == len(self.earlier.ledger)
        ):
            assert held == self.earlier
        return held

    def settle(self, mirror: Path) -> None:
        """The mirror is whole; the next run finishes, and nothing tells that one was disturbed."""
        self.check_whole(mirror)
        again = self.sync(mirror)
        assert again.code == 0, again.err
        self.check_finished(mirror)

    def check_finished(self, mirror: Path) -> None:
        after = plain_reader.read(mirror)
        assert after is not None
        assert (after.digest, after.position) == (self.after.digest, self.after.position)
        assert after.rows == self.after.rows
        assert after.journal == self.after.journal
        assert [entry[1:6] for entry in after.ledger] == [entry[1:6] for entry in self.after.ledger]
        left = left_over(mirror)
        assert left == [], left


def left_over(mirror: Path) -> list[str]:
    """Whatever lies in a mirror directory at rest and has no business there."""
    generations = {path.name.partition("-")[0] for path in (mirror / "generations").iterdir()}
    sides = {f"{name}{side}" for name in generations for side in ("", "-wal", "-shm")}
    found = [path.name for path in mirror.iterdir() if path.name not in _ROOM]
    found += [path.name for path in (mirror / "generations").iterdir() if path.name not in sides]
    found += [name for name in generations if not name.endswith(".db")]
    found += sorted(generations)[:-_KEPT]
    found += [path.name for path in (mirror / "downloads").iterdir()]
    return found + ["a card in the lock"] * bool((mirror / "lock").read_bytes())


def make_scenes(place: Path) -> dict[str, Scene]:
    """The mornings, one after the other, undisturbed; the mirror before each is kept."""
    life = _live(place)
    mirror = place / "mirror"
    mirror.mkdir()
    scenes = {}
    for name, (today, offer) in zip(NAMES, life.offers.items(), strict=True):
        before = place / f"before-{name}"
        copy_mirror(mirror, before)
        scene = Scene(name, before, offer, today, None, life.in_use)  # type: ignore[arg-type]  # set below
        done = scene.sync(mirror)
        assert done.code == 0, (done.code, done.out, done.err)
        after = plain_reader.read(mirror)
        assert after is not None
        assert after.in_use() == life.in_use[today]
        scenes[name] = replace(scene, after=after)
    return scenes


def _live(place: Path) -> Life:
    repository = Repository.create(
        place / "repository", devices=DEVICES, days=STOPS[0], start=START, seed=5, shapes="every"
    )
    offers = {}
    for stop in STOPS:
        today = START + (stop - 1) * DAY
        if today > repository.today:
            repository.advance((today - repository.today).days)
        offers[today] = place / f"offer-{today}"
        shutil.copytree(repository.path, offers[today], ignore=WITHOUT_LISTS)
    days = [START + n * DAY for n in range(STOPS[-1])]
    return Life(offers=offers, in_use={day: repository.at(day).in_use() for day in days})
