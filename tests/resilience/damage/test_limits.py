"""The limits of the reader: the notice near a limit, the error beyond it, and constant memory."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.mirror_copies import copy_mirror

from resilience.damage.cases import CASES, Case
from resilience.damage.files import MIB, document, packed, record
from resilience.damage.world import DAY, Place, World, november, truth
from smki_sync.cli.job import job_of
from smki_sync.config.loader import load
from smki_sync.config.settings import TrustSettings
from smki_sync.errors import BadExtract
from smki_sync.events import NullListener
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.policy import ChangeLimits
from smki_sync.reader.gzip_stream import KEYS, ReaderLimits
from smki_sync.sync.runner import run


def sync_with_limits(world: World, limits: ReaderLimits) -> SyncReport:
    """Run a sync in this process. The limits of the reader have no keys in the configuration."""
    options = {"mirror": world.mirror, "source": world.repository.as_uri()}
    config = load(options, {}, cwd=world.place, user_dir=world.place, system_file=world.place / "none")
    config = replace(config, trust=TrustSettings(expect_lists=False))
    return run(replace(job_of(config, NullListener()), limits=limits, today=november(DAY)))


@pytest.mark.parametrize(
    ("field", "limit", "figure"),
    [
        ("records", 10, "4"),
        ("decompressed_bytes", 6000, None),
        ("field_length", 1200, None),
        ("depth", 8, "4"),
        ("record_bytes", 300_000, None),
    ],
)
def test_file_near_a_limit_is_applied_with_a_notice(
    world: World, field: str, limit: int, figure: str | None
) -> None:
    sound = world.sound(Place.DELTA)
    more = {"depth": "<x><y><z/></y></x>", "record_bytes": " " * 200_000}.get(field, "")
    world.put(sound.name, [packed(document(*sound.records, more))])
    report = sync_with_limits(world, ReaderLimits(**{field: limit}))
    assert report.outcome is Outcome.CURRENT
    (notice,) = report.attention
    assert notice.code is NoticeCode.LIMIT_NEAR
    assert notice.code.is_note
    assert KEYS[field] in notice.message
    assert f"limit of {limit:,}" in notice.message
    assert figure is None or f"has {figure} " in notice.message
    assert sound.name in notice.message
    assert world.held() == truth(DAY)


def test_file_far_from_every_limit_has_no_notice(world: World) -> None:
    world.publish(Place.DELTA)
    assert world.sync().document["attention"] == []


@pytest.mark.parametrize(
    ("field", "limit", "code"),
    [
        ("records", 3, "too-many-records"),
        ("decompressed_bytes", 2000, "too-large"),
        ("leading_bytes", 5, "leading-too-long"),
    ],
)
def test_file_beyond_a_limit_is_rejected_and_applied_when_it_is_raised(
    world: World, field: str, limit: int, code: str
) -> None:
    world.publish(Place.DELTA)
    before = world.dump()
    with pytest.raises(BadExtract) as caught:
        sync_with_limits(world, ReaderLimits(**{field: limit}))
    assert caught.value.reason == code
    assert "contact the DCC" in caught.value.hint
    assert world.dump() == before
    assert world.sync().code == 0


def test_file_with_a_high_ratio_has_a_notice(world: World) -> None:
    sound = world.sound(Place.DELTA)
    unit = sound.records[0].encode() + b" " * (MIB // 4)
    data = packed(document(*sound.records, (unit * ChangeLimits().shrink_allowance).decode()))
    ratio = 6 * MIB // len(data)
    world.put(sound.name, [data])
    report = sync_with_limits(world, ReaderLimits(ratio=ratio * 2, ratio_floor=2 * MIB))
    (notice,) = report.attention
    assert notice.code is NoticeCode.LIMIT_NEAR
    assert KEYS["ratio"] in notice.message


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
    copy_mirror(standing, place)
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
