"""Nothing imports upward, and one library stands behind one adapter: read from the imports."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smki_sync"

LAYERS = {
    0: ["errors", "events", "model", "timestamps", "text"],
    1: ["catalogue", "merge", "planner", "policy", "records", "trust", "usability", "x509"],
    2: ["files", "mirror", "reader", "sources"],
    3: [
        "doctor",
        "download",
        "export",
        "followers",
        "lookup",
        "monitoring",
        "recovery",
        "status",
        "sync",
        "verify",
    ],
    4: ["__main__", "api", "cli", "config", "report", "service"],
}
"""Rooms by layer; a room that is not written yet may stand here already."""

ASIDE = {"simulator": ["errors", "model", "events", "sources.base", "simulator"]}
"""Rooms beside the layers, and all that they may import: the simulator shares no code with what it tests."""

ROOT = ["__init__", "__version__"]
"""The package itself holds its version; everybody may import it."""

FRONT = ["api"]
"""All that the package itself may import: what ``smki_sync.open`` opens, and not before it is called."""

LIBRARIES = {
    "paramiko": ["sources.sftp", "sources.ssh", "simulator.sftp_server"],
    "lxml": ["reader"],
    "isal": ["reader"],
    "apsw": ["mirror"],
    "sqlite3": ["mirror", "simulator"],
    "sqlite_utils": ["mirror"],
    "typer": ["cli"],
    "rich": ["cli"],
    "pyarrow": ["export.parquet"],
    "prometheus_client": ["monitoring"],
    "uvicorn": ["service.server"],
    "h11": ["service.server"],
}
"""Who may import a library: modules whose names begin so."""

NO_RULE_NEEDS = {
    *("asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "select", "shutil", "signal"),
    *("socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid"),
}
"""I/O, clocks, chance and logs of the standard library: not for layers 0 and 1."""

CLOCKS_AND_FILES = {"now", "today", "utcnow", "open", "print", "input"}
"""Calls that the layers 0 and 1 do not make, under whatever name they come."""


def layer_of(module: str) -> int | None:
    room = module.partition(".")[0]
    return next((layer for layer, rooms in LAYERS.items() if room in rooms), None)


def within(module: str, places: list[str]) -> bool:
    """Whether a module is one of the places, stands inside one, or begins with its whole name."""
    return any(module.startswith((place + ".", place + "_")) or module == place for place in places)


def breach(importer: str, imported: str) -> str | None:
    """Say what is wrong with an import inside the package; both without the package's name."""
    if imported in ROOT or (importer == "__init__" and imported in FRONT):
        return None
    room = importer.partition(".")[0]
    if room in ASIDE:
        return None if within(imported, ASIDE[room]) else "stands aside"
    mine = layer_of(importer)
    return "is in no layer" if mine is None else breach_of_layer(importer, imported, mine)


def breach_of_layer(importer: str, imported: str, mine: int) -> str | None:
    theirs = layer_of(imported)
    if theirs is None:
        return None if mine == max(LAYERS) else "only a door may import what is in no layer"
    if theirs > mine:
        return f"imports upward, from {mine} to {theirs}"
    if (
        mine == theirs == 2
        and imported != "files"
        and importer.partition(".")[0] != imported.partition(".")[0]
    ):
        return "adapters never import each other"
    return None


def foreign_breach(importer: str, library: str) -> str | None:
    """Say what is wrong with an import from outside the package."""
    if library in LIBRARIES and not within(importer, LIBRARIES[library]):
        return f"only {LIBRARIES[library]} may import {library}"
    layer = layer_of(importer)
    if layer not in (0, 1):
        return None
    if library in NO_RULE_NEEDS:
        return f"words and rules do without {library}"
    allowed = {"cryptography"} if layer == 1 else set()
    if library not in sys.stdlib_module_names | allowed:
        return f"layer {layer} does without {library}"
    return None


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(tree: ast.AST, module: str, known: set[str], *, is_package: bool) -> Iterator[str]:
    """Give the absolute name of everything imported, also inside functions and ``if TYPE_CHECKING``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parents = ["smki_sync", *module.split(".")]
                up = parents[: len(parents) - node.level + is_package]
                origin = ".".join([*up, *([origin] if origin else [])])
            for alias in node.names:
                member = f"{origin}.{alias.name}"
                is_module = origin == "smki_sync" or member.removeprefix("smki_sync.") in known
                yield member if is_module else origin


def breaches_in(source: str, module: str, known: set[str], *, is_package: bool = False) -> list[str]:
    tree = ast.parse(source)
    found = []
    for name in imports_of(tree, module, known, is_package=is_package):
        top, _, inside = name.partition(".")
        why = breach(module, inside or "__init__") if top == "smki_sync" else foreign_breach(module, top)
        if why:
            found.append(f"{module} -> {name}: {why}")
    if layer_of(module) in (0, 1):
        found += [f"{module} calls {call}" for call in sorted(calls_in(tree) & CLOCKS_AND_FILES)]
    return found


def calls_in(tree: ast.AST) -> set[str]:
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        f.attr if isinstance(f, ast.Attribute) else f.id
        for f in called
        if isinstance(f, ast.Attribute | ast.Name)
    }


MODULES = modules()


def test_every_module_is_in_a_layer_or_stands_aside() -> None:
    homeless = [
        m for m in MODULES if m not in ROOT and layer_of(m) is None and m.partition(".")[0] not in ASIDE
    ]
    assert homeless == []
    assert {"errors", "catalogue", "planner", "sources.base"} <= set(MODULES)


def test_no_room_is_in_two_layers() -> None:
    rooms = [room for rooms in (*LAYERS.values(), ASIDE) for room in rooms]
    assert len(rooms) == len(set(rooms))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_layer_may(module: str) -> None:
    path = MODULES[module]
    source = path.read_text(encoding="utf-8")
    assert breaches_in(source, module, set(MODULES), is_package=path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from smki_sync.model.plan import Plan"),
        ("events", "import dataclasses"),
        ("planner", "from smki_sync.catalogue import read_catalogue"),
        ("x509.certificate", "import cryptography.x509"),
        ("reader", "import lxml.etree"),
        ("reader.stream", "from smki_sync.reader import limits"),
        ("sources.sftp", "import paramiko"),
        ("sources.sftp_window", "import paramiko"),
        ("mirror.store", "import sqlite3, os"),
        ("sync", "from smki_sync import download"),
        ("cli.demo", "from smki_sync.simulator import repository"),
        ("cli.main", "import typer, rich.table"),
        ("simulator.sftp_server", "import paramiko\nfrom smki_sync.sources.base import Limits"),
        ("simulator.life", "from smki_sync.simulator.pki import Authority"),
        ("mirror.store", "from smki_sync import __version__"),
    ],
)
def test_an_import_within_the_rules_passes(module: str, source: str) -> None:
    assert breaches_in(source, module, set(MODULES)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("errors", "from smki_sync.planner import plan"),
        ("model.plan", "import cryptography"),
        ("planner", "import smki_sync.mirror.store"),
        ("planner", "from smki_sync import sync"),
        ("planner", "from .sync import run"),
        ("planner", "from . import sync"),
        ("planner", "def f():\n    from smki_sync.sources import base"),
        ("planner", "import logging"),
        ("planner", "from pathlib import Path"),
        ("planner", "from datetime import date\ndate.today()"),
        ("catalogue", "open('listing')"),
        ("x509.certificate", "import msgspec"),
        ("reader.stream", "from smki_sync.mirror import store"),
        ("reader.stream", "from ..mirror import store"),
        ("sources.sftp", "from smki_sync.sync import run"),
        ("sources.directory", "import paramiko"),
        ("mirror.store", "import lxml.etree"),
        ("sync", "import typer"),
        ("sync", "import rich.progress"),
        ("sync", "import apsw"),
        ("sync", "from smki_sync.cli import main"),
        ("sync", "from smki_sync.simulator import pki"),
        ("simulator.sftp_server", "from smki_sync.sources.sftp import SftpSource"),
        ("simulator.file_format", "from smki_sync import reader"),
        ("simulator.gz", "import lxml"),
        ("elsewhere", "from smki_sync.errors import UsageError"),
        ("__init__", "from smki_sync.cli import main"),
    ],
)
def test_an_import_against_the_rules_is_found(module: str, source: str) -> None:
    assert len(breaches_in(source, module, set(MODULES))) == 1


def test_a_package_reads_its_own_relative_imports_from_inside() -> None:
    assert breaches_in("from .store import Mirror", "mirror", set(MODULES), is_package=True) == []
    assert len(breaches_in("from ..reader import read", "mirror", set(MODULES), is_package=True)) == 1
