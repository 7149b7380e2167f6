"""A mirror that `verify` finds damaged is built anew by the next sync, or left to the operator."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from support.cli import Shell

from smki_sync.mirror.directory import MirrorDirectory
from unit.recovery.conftest import TODAY

PAGE = 4096
LOOK = ("verify", "--at", str(TODAY + timedelta(days=1)))
"""As of tomorrow: some certificates were issued today, later than it may be now."""


def generation(place: Path) -> Path:
    return (place / "mirror" / "mirror.db").resolve()


def a_flipped_bit(place: Path) -> None:
    """In the signature of a certificate, where no page's structure suffers."""
    with closing(sqlite3.connect(f"file:{generation(place)}?mode=ro", uri=True)) as db:
        (der,) = db.execute("SELECT der FROM certificates WHERE usage = 'KA' AND in_use").fetchone()
    path = generation(place)
    octets = bytearray(path.read_bytes())
    octets[octets.rindex(der[-40:]) + 20] ^= 4
    path.write_bytes(octets)


def noise_behind_its_beginning(place: Path) -> None:
    path = generation(place)
    octets = path.read_bytes()
    path.write_bytes(octets[: 8 * PAGE] + Random(1).randbytes(len(octets) - 8 * PAGE))


def noise_throughout(place: Path) -> None:
    path = generation(place)
    path.write_bytes(Random(1).randbytes(path.stat().st_size))


@pytest.mark.parametrize(
    ("harm", "code"), [(a_flipped_bit, 10), (noise_behind_its_beginning, 7), (noise_throughout, 7)]
)
def test_what_verify_finds_damaged_the_next_sync_builds_anew(
    smki: Shell, place: Path, harm: Callable[[Path], None], code: int
) -> None:
    before = smki("status", "--json").document
    harmed = generation(place)
    harm(place)
    ran = smki(*LOOK)
    assert ran.code == code, ran.err
    assert smki(*LOOK).code == ran.code, "it can be looked at again"
    assert smki("status").code == 7
    ran = smki("sync", "--json")
    assert ran.code in {0, 3}, ran.err
    assert ran.document["plan"]["reason"] == "mirror-damaged"
    assert generation(place) != harmed
    after = smki("status", "--json").document
    assert (after["position"], after["digest"]) == (before["position"], before["digest"])
    assert smki(*LOOK).code == 0
    assert smki("sync", "--json").document["plan"]["reason"] == "up-to-date"


def test_a_sound_mirror_gets_no_mark(smki: Shell, place: Path) -> None:
    assert smki(*LOOK).code == 0
    assert list((place / "mirror" / "generations").glob("*-damaged")) == []
    assert smki("sync", "--json").document["plan"]["action"] == "none"


def test_where_policy_says_so_a_damaged_mirror_is_left_as_it_is(smki: Shell, place: Path) -> None:
    (place / "smki-sync.toml").write_text("[policy]\nrepair_damage = false\n")
    a_flipped_bit(place)
    harmed = generation(place)
    assert smki(*LOOK).code == 10
    octets = harmed.read_bytes()
    for words in (["sync", "--json"], ["sync", "--dry-run", "--json"]):
        ran = smki(*words)
        assert ran.code == 7
        assert ran.error["code"] == "mirror-damaged"
        assert "sync --full" in ran.error["hint"]
    assert generation(place) == harmed
    assert harmed.read_bytes() == octets
    assert smki("sync", "--full").code in {0, 3}
    assert generation(place) != harmed
    assert smki(*LOOK).code == 0


def test_a_generation_that_is_gone_meanwhile_gets_no_mark_and_the_new_one_none(place: Path) -> None:
    """A verification may end after a sync has built anew."""
    directory = MirrorDirectory(place / "mirror")
    directory.mark_damaged(directory.generations / "000099.db")
    assert list(directory.generations.glob("*-damaged")) == []
    assert directory.current() is not None
