"""Memory that does not grow with the answer: the peak of a process, over many rows and over few."""

import os
import subprocess
from pathlib import Path

import pytest
from support.cli import command_line, surroundings
from support.mirror_builders import build, entry

MANY = 60_000
MIB = 1 << 20


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("many")
    (place / "generations").mkdir()
    build(place / "generations" / "000001.db", [entry(n, body=os.urandom(400)) for n in range(1, MANY)])
    (place / "mirror.db").symlink_to("generations/000001.db")
    return place


def peak(place: Path, *words: object) -> int:
    """The largest resident set of a command, in octets."""
    process = subprocess.Popen(
        command_line(*words), env=surroundings(place), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * 1024


def test_a_long_answer_takes_no_more_memory_than_a_short_one(larger: Path, tmp_path: Path) -> None:
    words = ("find", "--mirror", larger, "--format", "pem")
    assert peak(tmp_path, *words) - peak(tmp_path, *words, "--limit", "100") < 16 * MIB < MANY * 400


def test_parquet_holds_one_row_group_and_not_all_rows(larger: Path, tmp_path: Path) -> None:
    words = ("export", "--mirror", larger, "--format", "parquet", "--output")
    empty = peak(tmp_path, *words, tmp_path / "none", "--kind", "oca")
    assert peak(tmp_path, *words, tmp_path / "all") - empty < 140 * MIB  # all of them at once: 197
