"""Killed anywhere, a run leaves a mirror of before or after, and the next run ends as if nothing had been.

A share of the moments in every test run, all of them with ``make kill``.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest
from support.cli import command_line, surroundings

from resilience.kill.moments import PYTHON, Order, die, die_with_all
from resilience.kill.scenes import EVERY, Scene
from smki_sync.cli.exit_codes import Exit

SHARE = 8  # moments of a scene, in every test run
APART_SHARE = 2
INSTANTS = 60 if EVERY else 2


def test_killed_at_any_moment_the_mirror_is_whole_and_the_next_run_finishes(
    scene: Scene, tmp_path: Path
) -> None:
    moments = scene.moments(tmp_path / "mirror")
    for at in scene.some(len(moments), SHARE, "kill"):
        mirror = scene.restore(tmp_path / "mirror")
        assert scene.sync(mirror, Order(at=at, act=die)).code == -signal.SIGKILL, moments[at - 1]
        scene.settle(mirror)


@pytest.mark.parametrize("scene", ["bootstrap", "resync"], indirect=True)
def test_killed_with_its_helper_at_any_moment_it_leaves_no_process_and_a_whole_mirror(
    scene: Scene, tmp_path: Path
) -> None:
    """A full is read by a second process. Each run ends only when whatever shares its streams has ended."""
    moments = scene.moments(tmp_path / "mirror", Order(kinds=PYTHON, apart=True))
    assert "file subprocess.Popen" in moments
    numbers = scene.some(len(moments), APART_SHARE, "apart")
    for place, at in enumerate(numbers):
        mirror = scene.restore(tmp_path / "mirror")
        act = (die, die_with_all)[place % 2]
        ended = scene.sync(mirror, Order(at=at, act=act, kinds=PYTHON, apart=True))
        assert ended.code == -signal.SIGKILL, moments[at - 1]
        scene.settle(mirror)


def test_the_command_killed_at_a_random_instant_leaves_a_whole_mirror(scene: Scene, tmp_path: Path) -> None:
    rng = Random(f"instants {scene.name}")
    for place in range(INSTANTS):
        mirror = scene.restore(tmp_path / "mirror")
        words = ("sync", "--mirror", mirror, "--source", scene.offer.as_uri(), "--quiet")
        variables = surroundings(tmp_path, {"SMKI_SYNC_TODAY": scene.today.isoformat()})
        with subprocess.Popen(command_line(*words), env=variables, start_new_session=True) as process:
            lock, ended = mirror / "lock", False
            while not (ended or (lock.exists() and lock.stat().st_size)):
                ended = process.poll() is not None  # finished before we looked
            time.sleep(rng.random() * 0.1)  # a run of this size takes about so long
            if place % 2:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
        scene.settle(mirror)


def test_the_helper_killed_alone_is_a_failure_that_changes_nothing(
    scenes: dict[str, Scene], tmp_path: Path
) -> None:
    """What a machine does that is short of memory."""
    scene = scenes["resync"]
    mirror = scene.restore(tmp_path / "mirror")
    ended = scene.sync(mirror, Order(at=1, act=die_at_birth, kinds={"file"}, apart=True))
    assert ended.code == Exit.RESOURCES
    assert "out-of-memory" in ended.out
    assert scene.check_whole(mirror) == scene.earlier
    scene.settle(mirror)


def die_at_birth() -> None:
    """From now on whoever is started is killed at once."""
    start = subprocess.Popen.__init__

    def killed(process: subprocess.Popen[bytes], *args: object, **more: object) -> None:
        start(process, *args, **more)  # type: ignore[call-overload]  # as it was called
        process.kill()

    subprocess.Popen.__init__ = killed  # type: ignore[method-assign,assignment]  # in the process that is disturbed
