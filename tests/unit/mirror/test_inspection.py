"""What lies at a path: a mirror, another version's, or nothing to be trusted."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.mirror_builders import apply, build, entry, november

from smki_sync.errors import MirrorDamaged, OtherSchema
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.schema import SCHEMA_VERSION
from smki_sync.mirror.store import check_schema_version
from smki_sync.model.plan import MirrorState


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "000001.db"
    build(found, [entry(n) for n in range(1, 200)])
    return found


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)


def check_damaged(path: Path) -> None:
    assert check_schema_version(path) is MirrorState.DAMAGED


def test_a_mirror_is_healthy_before_and_after_a_delta(path: Path) -> None:
    assert check_schema_version(path) is MirrorState.HEALTHY
    apply(path, november(10), [entry(1, "R")])
    assert check_schema_version(path) is MirrorState.HEALTHY


@pytest.mark.parametrize(
    ("version", "state"),
    [(SCHEMA_VERSION - 1, MirrorState.OLDER_SCHEMA), (SCHEMA_VERSION + 1, MirrorState.NEWER_SCHEMA)],
)
def test_a_mirror_of_another_version_is_told_from_damage(
    path: Path, version: int, state: MirrorState
) -> None:
    alter(path, f"PRAGMA user_version = {version}")
    assert check_schema_version(path) is state
    with pytest.raises(OtherSchema, match=f"schema {version}") as caught, open_mirror(path):
        pytest.fail("it was opened")
    assert "sync" in caught.value.hint


def test_another_program_s_file_is_damage_whatever_its_version(path: Path) -> None:
    alter(path, "PRAGMA application_id = 0")
    check_damaged(path)
    with pytest.raises(MirrorDamaged, match="no mirror"), open_mirror(path):
        pytest.fail("it was opened")
    alter(path, "PRAGMA user_version = 99")
    check_damaged(path)


def test_noise_is_damage(path: Path) -> None:
    path.write_bytes(b"noise" * 10_000)
    check_damaged(path)


def test_an_empty_file_is_damage(path: Path) -> None:
    path.write_bytes(b"")
    check_damaged(path)


@pytest.mark.parametrize("octets", [50, 5_000, 40_000, -16_384])
def test_a_file_that_was_cut_is_damage(path: Path, octets: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:octets])
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    check_damaged(path)


@pytest.mark.parametrize("table", ["mirror", "extract"])
def test_a_mirror_that_lacks_a_table_is_damage(path: Path, table: str) -> None:
    alter(path, f"DROP TABLE {table}")
    check_damaged(path)


@pytest.mark.parametrize("change", ["position = NULL", "position = 'x'", "digest = x'00'"])
def test_a_mirror_that_has_lost_its_position_is_damage(path: Path, change: str) -> None:
    alter(path, f"UPDATE mirror SET {change}")
    check_damaged(path)
