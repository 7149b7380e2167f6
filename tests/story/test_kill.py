"""Killed at any instant, a run leaves a mirror of before or after, and the next one ends as if nothing was.

The instants: every event that a run tells of, random ones in a forked run, and random ones of the command.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random

import pytest

from smki_sync.events import Event, Listener
from story import plain
from story.lives import Life
from story.stage import Operator, command, environment

INSTANTS = 8
COMMANDS = 3
KEPT = 2  # generations: the current one and the one before, or one that was finished and never linked
SCENES = ("bootstrap", "deltas", "resync")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A run that is to be killed: ``before`` holds the mirror, ``after`` what an undisturbed run made."""

    before: Path
    files: Path
    today: date
    after: plain.Mirror
    earlier: plain.Mirror | None
    events: int
    seconds: float
    life: Life


class Counter:
    """Counts events, and at one of them does something."""

    def __init__(self, inner: Listener, at: int = 0, act: Callable[[], None] = lambda: None) -> None:
        self.inner, self.at, self.act, self.count = inner, at, act, 0

    def hear(self, event: Event) -> None:
        self.inner.hear(event)
        self.count += 1
        if self.count == self.at:
            self.act()


@pytest.fixture(scope="module")
def scenes(life: Life, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """The three runs undisturbed, one after the other; the mirror before each is kept."""
    place = tmp_path_factory.mktemp("kill")
    found = {}
    mirror = place / "mirror"
    mirror.mkdir()
    for name, (today, files) in zip(SCENES, life.offers.items(), strict=True):
        before = place / f"before-{name}"
        shutil.copytree(mirror, before, symlinks=True)
        earlier = plain.read(mirror)
        operator = Operator(mirror, files)
        counter = Counter(operator.witness)
        operator.listener = counter
        began = time.monotonic()
        operator.sync(today)
        after = operator.held()
        assert after.in_use() == life.in_use[today]
        found[name] = Scene(
            before=before,
            files=files,
            today=today,
            after=after,
            earlier=earlier,
            events=counter.count,
            seconds=time.monotonic() - began,
            life=life,
        )
    return found


def restored(scene: Scene, place: Path) -> Operator:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(scene.before, place, symlinks=True)
    return Operator(place, scene.files)


def fork_and_run(operator: Operator, today: date) -> int:
    """Run in a forked process; returns its number."""
    child = os.fork()
    if child == 0:
        try:
            operator.sync(today)
        finally:
            os._exit(0)
    return child


def check(scene: Scene, operator: Operator) -> None:
    """A committed state is there, whole; the next run finishes, and nothing is left that was not finished."""
    held = plain.read(operator.mirror)
    if held is None:
        assert scene.earlier is None
    else:
        assert held.in_use() == scene.life.in_use[held.position]
        assert scene.earlier is None or held.position >= scene.earlier.position
        assert held.position <= scene.after.position
        if scene.earlier and held.position == scene.earlier.position:
            assert held == scene.earlier
    operator.sync(scene.today)
    after = operator.held()
    assert (after.digest, after.position) == (scene.after.digest, scene.after.position)
    assert after.rows == scene.after.rows
    assert after.journal == scene.after.journal
    assert [entry[1:5] for entry in after.ledger] == [entry[1:5] for entry in scene.after.ledger]
    generations = {path.name for path in (operator.mirror / "generations").glob("*.db")}
    assert len(generations) <= KEPT
    assert not operator.sync(scene.today).applied


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_any_event_the_mirror_is_whole_and_the_next_run_finishes(
    scenes: dict[str, Scene], tmp_path: Path, name: str
) -> None:
    scene = scenes[name]
    for number in Random(f"events {name}").sample(range(1, scene.events + 1), min(INSTANTS, scene.events)):
        operator = restored(scene, tmp_path / "mirror")
        undisturbed = operator.listener
        operator.listener = Counter(undisturbed, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        _, status = os.waitpid(fork_and_run(operator, scene.today), 0)
        assert os.WIFSIGNALED(status), "the run was not killed"
        operator.listener = undisturbed
        check(scene, operator)


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_a_random_instant_the_mirror_is_whole_and_the_next_run_finishes(
    scenes: dict[str, Scene], tmp_path: Path, name: str
) -> None:
    scene, rng = scenes[name], Random(f"instants {name}")
    for _ in range(INSTANTS):
        operator = restored(scene, tmp_path / "mirror")
        child = fork_and_run(operator, scene.today)
        time.sleep(rng.random() * scene.seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        check(scene, operator)


@pytest.mark.parametrize("name", SCENES)
def test_the_killed_command_leaves_a_whole_mirror_and_the_next_run_finishes(
    scenes: dict[str, Scene], tmp_path: Path, name: str
) -> None:
    scene, rng = scenes[name], Random(f"commands {name}")
    for _ in range(COMMANDS):
        operator = restored(scene, tmp_path / "mirror")
        words = ("sync", "--mirror", operator.mirror, "--source", scene.files.as_uri(), "--quiet")
        with subprocess.Popen(command(*words), env=environment(scene.today)) as process:
            lock, died = operator.mirror / "lock", False
            while not (died or (lock.exists() and lock.stat().st_size)):
                died = process.poll() is not None  # finished before we looked
            time.sleep(rng.random() * scene.seconds)
            process.kill()
        check(scene, operator)
