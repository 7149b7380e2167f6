"""An export read without the code that wrote it, and what plain SQL says it must hold."""

import csv
import json
import re
import sqlite3
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----\n", re.DOTALL)


def held(mirror: Path, where: str = "in_use") -> list[bytes]:
    """The certificates that the view has, sorted."""
    with closing(sqlite3.connect(f"{(mirror / 'mirror.db').as_uri()}?mode=ro", uri=True)) as db:
        return sorted(der for (der,) in db.execute(f"SELECT der FROM certificates WHERE {where}"))


def bodies(path: Path, form: str) -> list[bytes]:
    """The certificates that an export has, sorted."""
    return sorted(_BODIES[form](path))


def ask_duckdb(sql: str) -> list[tuple[Any, ...]]:
    """What DuckDB answers."""
    found = duckdb.sql(sql)
    assert found is not None
    return found.fetchall()


def _parquet(path: Path) -> list[bytes]:
    return [der for (der,) in ask_duckdb(f"SELECT der FROM '{path}/**/*.parquet'")]


def _tree(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in path.rglob("*.der")]


def _csv(path: Path) -> list[bytes]:
    with path.open(encoding="utf-8", newline="") as file:
        return [b64decode(row["der"]) for row in csv.DictReader(file)]


def _jsonl(path: Path) -> list[bytes]:
    return [_pem_in(json.loads(line)["pem"])[0] for line in path.read_text("utf-8").splitlines()]


def _pem(path: Path) -> list[bytes]:
    return _pem_in(path.read_text("ascii"))


def _pem_in(text: str) -> list[bytes]:
    return [b64decode(body) for body in _PEM.findall(text)]


_BODIES = {"parquet": _parquet, "der-tree": _tree, "csv": _csv, "jsonl": _jsonl, "pem": _pem}
