"""An archive that is cut off, or has no room: the mirror stands, and the next run makes the archive whole."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from resilience.kill import moments
from resilience.kill.disks import ballast, fill, small_disk
from resilience.kill.moments import Ended, Order, die
from resilience.kill.scenes import UNDISTURBED, Scene, left_over

ARCHIVE_SHARE = 6


@pytest.fixture
def scene(scenes: dict[str, Scene]) -> Scene:
    """Three deltas in a row."""
    return scenes["deltas"]


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(1) as path:
        yield path


def sync(scene: Scene, mirror: Path, archive: Path, order: Order = UNDISTURBED) -> Ended:
    """The run of a scene with an archive; what is watched is what it does there."""
    config = mirror.parent / "smki-sync.toml"
    config.write_text(f'[archive]\npath = "{archive}"\n')
    task = scene.task(mirror, order)
    words = (*task.words, "--config", str(config))
    return moments.run(replace(task, words=words, root=archive))


def applied(ended: Ended) -> dict[str, str]:
    return {one["file"]: one["sha256"] for one in json.loads(ended.out)["applied"]}


def check_archive(archive: Path, expected: dict[str, str]) -> None:
    """Every file with its hash, and nothing else."""
    found = {path.name: path.read_bytes() for path in archive.iterdir()}
    stated = {name: text.decode() for name, text in found.items() if name.endswith(".sha256")}
    kept = {name: sha256(found[name]).hexdigest() for name in found.keys() - stated.keys()}
    assert kept == expected
    assert stated == {f"{name}.sha256": f"{digest}  {name}\n" for name, digest in expected.items()}


def test_killed_at_any_moment_of_keeping_a_file_the_next_run_leaves_the_archive_whole(
    scene: Scene, tmp_path: Path
) -> None:
    kinds = {"file", "event"}
    archive, mirror = tmp_path / "archive", scene.restore(tmp_path / "mirror")
    undisturbed = sync(scene, mirror, archive, Order(kinds=kinds))
    assert undisturbed.code == 0
    check_archive(archive, applied(undisturbed))
    for at in scene.some(len(undisturbed.moments), ARCHIVE_SHARE, "archive"):
        mirror, archive = scene.restore(tmp_path / "mirror"), tmp_path / f"archive-{at}"
        assert sync(scene, mirror, archive, Order(at=at, act=die, kinds=kinds)).code == -signal.SIGKILL
        assert sync(scene, mirror, archive).code == 0
        check_archive(archive, applied(undisturbed))
        assert left_over(mirror) == []


def test_an_archive_without_room_is_said_and_the_files_wait_for_the_next_run(
    scene: Scene, tmp_path: Path, disk: Path
) -> None:
    mirror = scene.restore(tmp_path / "mirror")
    fill(disk)
    full = sync(scene, mirror, disk / "archive")
    assert full.code == 3
    (attention,) = (a for a in json.loads(full.out)["attention"] if a["level"] == "attention")
    assert attention["code"] == "not-archived"
    assert json.loads(full.out)["position"] == scene.today.isoformat()
    scene.check_whole(mirror)
    waiting = {path.name for path in (mirror / "downloads").iterdir()}
    assert waiting == applied(full).keys()
    assert sync(scene, mirror, disk / "archive").code == 3, "there is still no room"
    ballast(disk).unlink()
    assert sync(scene, mirror, disk / "archive").code == 0
    check_archive(disk / "archive", applied(full))
    assert left_over(mirror) == []


def test_killed_while_a_file_is_copied_to_another_file_system_half_of_it_is_never_a_file_of_the_archive(
    scene: Scene, tmp_path: Path, disk: Path
) -> None:
    kinds = {"file"}
    mirror = scene.restore(tmp_path / "mirror")
    undisturbed = sync(scene, mirror, disk / "archive", Order(kinds=kinds))
    for at in scene.some(len(undisturbed.moments), ARCHIVE_SHARE // 2, "copied"):
        mirror, archive = scene.restore(tmp_path / "mirror"), disk / f"archive-{at}"
        assert sync(scene, mirror, archive, Order(at=at, act=die, kinds=kinds)).code == -signal.SIGKILL
        for path in archive.glob("SMKI*.gz") if archive.exists() else ():
            assert sha256(path.read_bytes()).hexdigest() == applied(undisturbed)[path.name]
        assert sync(scene, mirror, archive).code == 0
        check_archive(archive, applied(undisturbed))
