"""Without space, rights or a directory in the middle of a step: 7, a path and a way out, nothing lost."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support.cli import Shell

from resilience.kill.disks import (
    allow_no_octet_more,
    ballast,
    deny,
    elsewhere,
    fill,
    move_away,
    permit,
    remount,
    small_disk,
)
from resilience.kill.moments import Ended, Order
from resilience.kill.scenes import Scene
from resilience.kill.watch import Act

SHARE = 2  # moments of a scene for each disaster, in every test run
DISK_MEGABYTES = 80  # above what is to be free before the first byte, smki_sync.sync.runner.RESERVE_BYTES

Disaster = Callable[[Path], Act]
Mend = Callable[[Path], None]


def no_mend(_mirror: Path) -> None:
    """The next run has no limit."""


def bring_back(mirror: Path) -> None:
    """Where the run had not yet looked, it has begun a new mirror in the place of the one that is gone."""
    if elsewhere(mirror).exists():
        shutil.rmtree(mirror, ignore_errors=True)
        elsewhere(mirror).rename(mirror)


DISASTERS: dict[str, tuple[Disaster, Mend]] = {
    "no space": (lambda _mirror: allow_no_octet_more, no_mend),
    "no permission": (lambda mirror: partial(deny, mirror), permit),
    "no directory": (lambda mirror: partial(move_away, mirror), bring_back),
}


@pytest.mark.parametrize("disaster", DISASTERS)
def test_a_disk_that_fails_at_any_moment_is_named_and_loses_nothing(
    scene: Scene, tmp_path: Path, disaster: str
) -> None:
    befall, mend = DISASTERS[disaster]
    moments = scene.moments(tmp_path / "mirror")
    for at in scene.some(len(moments), SHARE, disaster):
        mirror = scene.restore(tmp_path / "mirror")
        ended = scene.sync(mirror, Order(at=at, act=befall(mirror)))
        mend(mirror)
        assert_named(ended, mirror, moments[at - 1])
        assert not list(mirror.glob("generations/*.building")) or disaster != "no space"
        scene.settle(mirror)


def assert_named(ended: Ended, mirror: Path, moment: str) -> None:
    """The run exits 11 and names a path and a remedy, or 0 if it needed no more space."""
    assert ended.code in {0, 11}, (moment, ended.out, ended.err)
    if ended.code:
        error = json.loads(ended.out)["error"]
        assert str(mirror) in error["message"], (moment, error)
        assert "space" in error["hint"] or "Check that the directory exists" in error["hint"], (moment, error)
        assert error["code"] in {"mirror-not-writable", "resources", "no-space"}, (moment, error)


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(DISK_MEGABYTES) as path:
        yield path


def test_a_disk_that_fills_up_at_any_moment_is_named_and_the_next_run_with_space_finishes(
    scene: Scene, disk: Path
) -> None:
    moments = scene.moments(disk / "mirror")
    for at in scene.some(len(moments), SHARE, "fill"):
        mirror = scene.restore(disk / "mirror")
        ended = scene.sync(mirror, Order(at=at, act=partial(fill, disk)))
        assert_named(ended, mirror, moments[at - 1])
        assert scene.check_whole(mirror) or not scene.earlier, "it can be read while the disk is full"
        ballast(disk).unlink(missing_ok=True)
        scene.settle(mirror)


def test_a_disk_that_is_too_small_is_refused_before_the_first_byte(
    scenes: dict[str, Scene], disk: Path
) -> None:
    scene = scenes["resync"]
    mirror = scene.restore(disk / "mirror")
    fill(disk)
    ended = scene.sync(mirror)
    assert ended.code == 11
    assert str(disk) in json.loads(ended.out)["error"]["message"]
    assert scene.check_whole(mirror) == scene.earlier
    ballast(disk).unlink(missing_ok=True)
    scene.settle(mirror)


def test_on_a_disk_that_may_only_be_read_a_run_says_so_and_queries_are_answered(
    scenes: dict[str, Scene], disk: Path
) -> None:
    """What a kernel does to a file system in which it has found an error."""
    scene = scenes["deltas"]
    mirror = scene.restore(disk / "mirror")
    remount(disk, "ro")
    try:
        shell = Shell(place=disk, today=scene.today)
        ended = scene.sync(mirror)
        assert_named(ended, mirror, "from the start")
        assert ended.code == 11
        assert shell("status", "--mirror", mirror).code in {0, 3}
        assert shell("show", "--mirror", mirror, "serial:00").code == 10
    finally:
        remount(disk, "rw")
    scene.settle(mirror)


def test_where_the_directory_cannot_be_made_a_run_says_where(
    scenes: dict[str, Scene], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ended = scenes["bootstrap"].sync(tmp_path / "file" / "mirror")
    assert ended.code == 11
    assert str(tmp_path / "file") in json.loads(ended.out)["error"]["message"]


def test_the_record_of_runs_may_fail_and_the_run_does_not(scenes: dict[str, Scene], tmp_path: Path) -> None:
    scene = scenes["deltas"]
    mirror = scene.restore(tmp_path / "mirror")
    (mirror / "history.db").unlink()
    (mirror / "history.db").mkdir()
    ended = scene.sync(mirror)
    assert ended.code == 0
    assert "could not be recorded" in ended.err
    (mirror / "history.db").rmdir()
    scene.settle(mirror)
