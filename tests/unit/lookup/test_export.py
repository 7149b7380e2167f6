"""``export``: every format equal to the mirror, of one state, and what stands where nothing may stand."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from support.cli import Shell, surroundings
from support.exports import ask_duckdb, bodies, held

from smki_sync.errors import MirrorDamaged
from smki_sync.export.export import ExportFormat
from smki_sync.export.formats import tree_path
from smki_sync.files import MANIFEST
from smki_sync.mirror.queries import Certificate
from smki_sync.model.certificate import Flag

FORMATS = [form.value for form in ExportFormat]
TREES = ("parquet", "der-tree")
COMMITTED_SINCE = "file IN (SELECT name FROM extract WHERE committed >= '2026-11-10')"


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_holds_what_the_mirror_holds(ask: Shell, mirror: Path, form: str) -> None:
    for words, where in (
        ((), "in_use"),
        (("--kind", "organisation", "--role", "supplier"), "in_use AND role = 2"),
        (("--changed-since", "2026-11-10", "--any-status"), COMMITTED_SINCE),
    ):
        ran = ask("export", "--format", form, "--output", f"made-{len(words)}", *words, "--json")
        assert ran.code == 0, ran.err
        assert bodies(ask.place / f"made-{len(words)}", form) == held(mirror, where)
        assert ran.document["certificates"] == len(held(mirror, where)) > 0


@pytest.mark.parametrize("form", FORMATS)
def test_it_says_of_which_state_it_is_and_where_the_feed_goes_on(ask: Shell, form: str) -> None:
    ran = ask("export", "--format", form, "--output", "made", "--json")
    made = ran.document
    status = ask("status", "--json").document
    assert (made["position"], made["digest"]) == (status["position"], status["digest"])
    assert (made["schema"], made["output"]) == ("smki-sync/export/1", str(ask.place / "made"))
    assert made["token"] == f"{made['lineage']}:{made['sequence']}"
    assert ask("changes", "--since", made["token"]).raw == b""
    files = [path for path in (ask.place / "made", *(ask.place / "made").rglob("*")) if path.is_file()]
    assert (made["files"], made["bytes"]) == (len(files), sum(path.stat().st_size for path in files))
    if form in TREES:
        manifest = json.loads((ask.place / "made" / MANIFEST).read_text())
        assert manifest["token"] == made["token"]
        assert manifest["certificates"] == made["certificates"]


def test_people_are_told_the_same(ask: Shell) -> None:
    ran = ask("export", "--format", "pem", "--output", "made.pem", "--kind", "oca")
    assert (ran.code, ran.err) == (0, "")
    for part in ("certificates in 1 file", "made.pem", "2026-11-11", "token"):
        assert part in ran.out


# Parquet, with DuckDB's eyes.


@pytest.fixture
def table(ask: Shell) -> str:
    """Where DuckDB finds the whole mirror."""
    ran = ask("export", "--format", "parquet", "--output", "made", "--any-status", "--json")
    assert ran.code == 0
    return f"'{ask.place / 'made'}/**/*.parquet'"


def test_parquet_is_partitioned_by_kind_and_usage(ask: Shell, table: str, mirror: Path) -> None:
    names = {
        path.relative_to(ask.place / "made").as_posix() for path in (ask.place / "made").rglob("*.parquet")
    }
    assert "kind=device/usage=DS/part-0.parquet" in names
    assert "kind=oca/usage=__HIVE_DEFAULT_PARTITION__/part-0.parquet" in names
    grouped = "SELECT kind, usage, count(*) FROM {} GROUP BY kind, usage ORDER BY kind, usage NULLS FIRST"
    with closing(sqlite3.connect(f"{(mirror / 'mirror.db').as_uri()}?mode=ro", uri=True)) as db:
        expected = db.execute(grouped.format("certificates")).fetchall()
    assert ask_duckdb(grouped.format(table)) == expected


def test_parquet_has_types(table: str) -> None:
    types = {name: kind for name, kind, *_ in ask_duckdb(f"DESCRIBE SELECT * FROM {table}")}
    assert {name: types[name] for name in ("in_use", "manufacturing")} == dict.fromkeys(
        ("in_use", "manufacturing"), "BOOLEAN"
    )
    assert {types[name] for name in TIMES} == {"TIMESTAMP WITH TIME ZONE"}
    assert {types[name] for name in ("first_seen", "last_changed", "withdrawn")} == {"DATE"}
    assert (types["role"], types["flags"], types["der"]) == ("INTEGER", "INTEGER", "BLOB")


TIMES = ("not_before", "not_after", "revoked", "issuer_revoked", "revocation_until")
"""Of these DuckDB makes times with a zone, which Python has to be given as seconds."""


def test_each_value_in_parquet_is_that_of_the_mirror(table: str, rows: list[sqlite3.Row]) -> None:
    columns = [name for name in rows[0].keys() if name not in TIMES]  # noqa: SIM118 - a Row
    found = ask_duckdb(
        f"SELECT {', '.join(columns)}, epoch(not_before)::BIGINT, epoch(not_after)::BIGINT"
        f" FROM {table} ORDER BY serial, issuer"
    )
    for row, line in zip(rows, found, strict=True):
        *plain, begins, ends = line
        assert [_text(value) for value in plain] == [row[name] for name in columns]
        for seconds, name in ((begins, "not_before"), (ends, "not_after")):
            assert seconds == int(datetime.fromisoformat(row[name]).astimezone(UTC).timestamp())


def _text(value: object) -> object:
    """As SQLite has it."""
    return value.isoformat() if isinstance(value, date) else int(value) if isinstance(value, bool) else value


def test_each_file_of_parquet_says_which_state_it_is(ask: Shell, table: str) -> None:
    pairs = ask_duckdb(f"SELECT DISTINCT key::VARCHAR, value::VARCHAR FROM parquet_kv_metadata({table})")
    metadata = dict(pair for pair in pairs if pair[0].startswith("smki-sync."))
    manifest = json.loads((ask.place / "made" / MANIFEST).read_text())
    for name in ("position", "digest", "lineage", "token", "version"):
        assert metadata[f"smki-sync.{name}"] == manifest[name]
    assert metadata["smki-sync.sequence"] == str(manifest["sequence"])


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None  # as where it was never installed
from smki_sync.cli import main
main()
"""


def test_without_pyarrow_parquet_says_what_to_install_and_the_rest_works(ask: Shell, mirror: Path) -> None:
    environment = {**surroundings(ask.place), "SMKI_SYNC_MIRROR": str(mirror)}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_PYARROW, "export", *words],
            cwd=ask.place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    without = run("--format", "parquet", "--output", "made", "--json")
    assert without.returncode == 2
    error = json.loads(without.stdout)["error"]
    assert error["code"] == "parquet-not-installed"
    assert "smki-sync[parquet]" in error["hint"]
    assert not (ask.place / "made").exists()
    assert run("--format", "csv", "--output", "made.csv").returncode == 0


# A tree of files: whatever stands in a certificate, the path is hex.


def certificate(serial: str, issuer: str) -> Certificate:
    return Certificate(
        *(None, "device", None, "DS", "I", True, serial, issuer, "", "", "", None, None, "", "", None),
        *(Flag(0), "", b""),
    )


@pytest.mark.parametrize("issuer", ["CN=../../etc/passwd", "CN=\0", "CN=" + "x" * 9000, "", "CN=a/b"])
def test_a_path_in_a_tree_is_made_of_hex_digits_alone(issuer: str) -> None:
    path = tree_path(certificate("0A", issuer))
    shard, second, name = path.parts
    assert (len(shard), len(second)) == (2, 2)
    assert name.startswith("0A-")
    assert set("".join(path.parts)) <= set("0123456789abcdefABCDEF-.der")


def test_one_number_of_two_issuers_is_two_files_and_a_long_one_fits_a_name() -> None:
    assert tree_path(certificate("0A", "CN=1")) != tree_path(certificate("0A", "CN=2"))
    longest, other = certificate("AB" * 500, "CN=1"), certificate("AB" * 500 + "CD", "CN=1")
    assert tree_path(longest) != tree_path(other)
    assert len(tree_path(longest).name) < 255


@pytest.mark.parametrize("serial", ["", "../x", "0a", "0A\n", "0A/B"])
def test_a_serial_number_that_is_not_hex_is_damage(serial: str) -> None:
    with pytest.raises(MirrorDamaged):
        tree_path(certificate(serial, "CN=1"))
