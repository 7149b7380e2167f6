"""Limits of the reader: told from two fifths on, raised by configuration, and memory that stays flat."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resilience.damage.cases import CASES, Case
from resilience.damage.files import MIB, document, packed, record
from resilience.damage.world import DAY, Place, World, november, truth
from smki_sync.config.schema import KEYS as SETTINGS
from smki_sync.reader.gzip_stream import KEYS, ReaderLimits


def test_the_keys_that_are_named_exist() -> None:
    assert set(KEYS.values()) <= set(SETTINGS)


@pytest.mark.parametrize(
    ("setting", "figure"),
    [
        ("records = 10", "4"),
        ("decompressed_bytes = 6000", None),
        ("field_bytes = 1200", None),
        ("depth = 8", "4"),
        ("record_bytes = 300000", None),
    ],
)
def test_a_file_that_comes_near_a_limit_is_applied_and_told(
    world: World, setting: str, figure: str | None
) -> None:
    sound = world.sound(Place.DELTA)
    more = "<x><y><z/></y></x>" if "depth" in setting else " " * 200_000 if "record_bytes" in setting else ""
    world.put(sound.name, [packed(document(*sound.records, more))])
    world.configure(f"[limits]\n{setting}\n")
    ran = world.sync()
    assert ran.code == 0, ran.out
    assert ran.document["outcome"] == "current"
    (said,) = ran.document["attention"]
    key, limit = setting.split(" = ")
    assert (said["code"], said["level"]) == ("limit-near", "note")
    assert f"limits.{key}" in said["message"]
    assert f"{int(limit):,}" in said["message"]
    assert figure is None or f"took {figure} of" in said["message"]
    assert sound.name in said["message"]
    assert world.held() == truth(DAY)


def test_a_file_far_from_every_limit_says_nothing(world: World) -> None:
    world.publish(Place.DELTA)
    assert world.sync().document["attention"] == []


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("records = 3", "too-many-records"),
        ("decompressed_bytes = 2000", "too-large"),
        ("leading_bytes = 5", "leading-too-long"),
    ],
)
def test_a_file_beyond_a_configured_limit_is_refused_and_told_which_key_to_raise(
    world: World, setting: str, code: str
) -> None:
    world.publish(Place.DELTA)
    world.configure(f"[limits]\n{setting}\n")
    before = world.dump()
    error = world.sync().error
    assert error["code"] == code
    assert f"limits.{setting.partition(' ')[0]}" in error["hint"]
    assert world.dump() == before
    world.configure("")
    assert world.sync().code == 0


def test_a_ratio_near_its_limit_is_told(world: World) -> None:
    sound = world.sound(Place.DELTA)
    unit = sound.records[0].encode() + b" " * (MIB // 4)
    octets = packed(document(*sound.records, (unit * 100).decode()))
    ratio = 26 * MIB // len(octets)
    world.put(sound.name, [octets])
    world.configure(f"[limits]\nratio = {ratio * 2}\n[policy]\nshrink_allowance = 200\n")
    ran = world.sync()
    assert [one["code"] for one in ran.document["attention"]] == ["limit-near"], ran.out
    assert "limits.ratio" in ran.document["attention"][0]["message"]


# Memory.

PEAK = """
import resource, sys
from smki_sync.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(end.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

LARGE_WORDS = ("gigabyte", "100 MB", "10 000", "thousand")
LARGE = [case for case in CASES if any(word in case.name for word in LARGE_WORDS)]


def peak_of(world: World) -> tuple[int, int]:
    """Exit code, and the most memory that the whole program had, in KiB."""
    words = ["sync", "--quiet", "--mirror", str(world.mirror), "--source", world.repository.as_uri()]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *words],
        cwd=world.place,
        env=world.shell.environment({"SMKI_SYNC_TODAY": november(DAY).isoformat()}),
        capture_output=True,
        text=True,
        check=True,
    )
    code, peak = done.stdout.split()
    return int(code), int(peak)


@pytest.fixture(scope="session")
def usual(standing: Path, pool: tuple[bytes, ...], tmp_path_factory: pytest.TempPathFactory) -> int:
    """What a sound delta takes, in KiB."""
    place = tmp_path_factory.mktemp("usual") / "world"
    shutil.copytree(standing, place, symlinks=True)
    world = World(place, pool)
    world.publish(Place.DELTA)
    code, peak = peak_of(world)
    assert code == 0
    return peak


@pytest.mark.parametrize("case", LARGE, ids=[case.name for case in LARGE])
def test_a_file_of_any_size_takes_little_more_memory_than_a_sound_one(
    world: World, usual: int, case: Case
) -> None:
    sound = world.sound(Place.DELTA)
    made = case.make(sound)
    world.put(sound.name, [made] if isinstance(made, bytes) else made)
    code, peak = peak_of(world)
    assert code == case.exit
    assert peak < usual + 24 * 1024


def test_there_are_large_cases() -> None:
    assert len(LARGE) == 6


def test_a_record_claim_of_the_largest_size_is_kept_as_evidence_in_part_only(world: World) -> None:
    sound = world.sound(Place.DELTA)
    world.put(sound.name, [packed(document(*sound.records, record(b"x" * 45_000, "I")))])
    assert world.sync().code == 3
    ((octets,),) = world.ask("SELECT length(xml) FROM quarantine")
    assert octets == ReaderLimits().evidence_bytes
