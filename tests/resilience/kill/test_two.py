"""Two at once: one works, the other says who; a dead one blocks nobody; whoever asks never waits."""

import json
import os
import re
import signal
from pathlib import Path

import pytest
from support.cli import Shell

from resilience.kill.moments import PYTHON, Begun, Order, die, stand_still
from resilience.kill.scenes import EVERY, Scene

ROUNDS = 30 if EVERY else 4
SHARE = 3  # moments of a scene at which it is asked, in every test run


def test_of_two_that_start_in_the_same_instant_one_works_and_one_says_who_does(
    scenes: dict[str, Scene], tmp_path: Path
) -> None:
    scene = scenes["resync"]
    for _ in range(ROUNDS):
        mirror = scene.restore(tmp_path / "mirror")
        with Begun(scene.task(mirror)) as first, Begun(scene.task(mirror)) as second:
            ended = [first.ending(), second.ending()]
        codes = sorted(one.code for one in ended)
        assert codes in ([0, 9], [0, 0]), [one.err for one in ended]  # the second may come when all is done
        for one in ended:
            if one.code == 9:
                assert json.loads(one.out)["error"]["code"] == "locked"
                assert re.search(rf"process ({first.pid}|{second.pid}) on |it has just started", one.out)
        scene.check_finished(mirror)


def test_the_second_is_told_process_host_time_and_command_at_any_moment_of_the_first(
    scene: Scene, tmp_path: Path
) -> None:
    count = len(scene.moments(tmp_path / "mirror", Order(kinds={"event"})))
    at = scene.some(count, 1, "locked")[0]
    mirror = scene.restore(tmp_path / "mirror")
    with Begun(scene.task(mirror, Order(at=at, act=stand_still, kinds={"event"}))) as first:
        first.wait_until_it_stands_still()
        second = scene.sync(mirror)
        first.tell(signal.SIGCONT)
        assert first.ending().code == 0
    assert second.code == 9
    said = json.loads(second.out)["error"]["message"]
    assert f"process {first.pid} on {os.uname().nodename}, since 20" in said
    assert "(sync --json" in said
    scene.check_finished(mirror)


def test_a_dead_holder_blocks_nobody_and_is_not_named(scenes: dict[str, Scene], tmp_path: Path) -> None:
    scene = scenes["deltas"]
    mirror = scene.restore(tmp_path / "mirror")
    with Begun(scene.task(mirror, Order(at=5, act=die, kinds={"event"}))) as dead:
        assert dead.ending().code == -signal.SIGKILL
    assert json.loads((mirror / "lock").read_text())["pid"] == dead.pid
    scene.settle(mirror)


@pytest.mark.parametrize("scene", ["deltas", "resync"], indirect=True)
def test_whoever_asks_is_answered_while_a_run_stands_still_at_any_moment(
    scene: Scene, tmp_path: Path
) -> None:
    """An answer that came while the run did not move cannot have waited for it."""
    shell = Shell(place=tmp_path, today=scene.today)
    assert scene.earlier is not None
    some_serial = next(iter(scene.earlier.rows))[1]
    moments = scene.moments(tmp_path / "mirror", Order(kinds=PYTHON))
    for at in scene.some(len(moments), SHARE, "ask"):
        mirror = scene.restore(tmp_path / "mirror")
        with Begun(scene.task(mirror, Order(at=at, act=stand_still, kinds=PYTHON))) as running:
            running.wait_until_it_stands_still()
            status = shell("status", "--mirror", mirror, "--json")
            shown = shell("show", "--mirror", mirror, f"serial:{some_serial}", "--any-status", "--json")
            assert running.stands_still
            running.tell(signal.SIGCONT)
            assert running.ending().code == 0, moments[at - 1]
        assert status.code in {0, 3}, (moments[at - 1], status.err)
        assert scene.earlier.position.isoformat() <= status.document["position"] <= scene.today.isoformat()
        assert shown.code == 0, (moments[at - 1], shown.err)
        scene.check_finished(mirror)
