"""The section on threats names existing code and tests; and what no other test shows of it."""

import ast
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").partition("\n## Threats\n")[2]
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]}
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
CODE = sorted(set(re.findall(r"`([\w/]+\.py)`", PAGE)))
UNDEFENDED = "Not covered"


def functions_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda word: word)
def test_a_test_that_the_page_names_is_there(file: str, name: str) -> None:
    assert name in functions_of(ROOT / file)


@pytest.mark.parametrize("file", CODE)
def test_the_code_that_the_page_names_is_there(file: str) -> None:
    assert (ROOT / "smki_sync" / file).is_file()


@pytest.mark.parametrize("title", sorted(SECTIONS.keys() - {UNDEFENDED}))
def test_every_threat_is_answered_and_shown(title: str) -> None:
    answer, _, rest = SECTIONS[title].partition("\n- ")
    assert len(answer.splitlines()) > 2
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", rest)


@pytest.mark.parametrize(
    "word",
    [
        *("between you", "hostile or broken", "local user", "arguments", "logs", "core", "process lists"),
        *("links", "rights", "escapes", "formulas", "lead out"),
    ],
)
def test_no_threat_is_left_out(word: str) -> None:
    assert word in " ".join(SECTIONS).lower()


PROGRAM = """
import os, resource, sys
from smki_sync.cli.context import configure

most = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
settings = configure(source="file:///tmp")
if sys.argv[1:]:
    settings.secrets()
print(resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True)
os.abort()
"""


@pytest.mark.parametrize(
    ("words", "environment", "leaves_one"),
    [
        ([], {}, True),
        ([], {"SMKI_SYNC_PASSWORD": "mellon"}, False),
        ([], {"SMKI_SYNC_KEY_PASSPHRASE": "mellon"}, False),
        (["secrets"], {}, False),
    ],
    ids=["asks nobody", "password", "passphrase", "opens a source"],
)
def test_a_process_with_a_secret_leaves_no_core(
    tmp_path: Path, words: list[str], environment: dict[str, str], leaves_one: bool
) -> None:
    """It crashes for real; whether a core is written where one may be is up to the kernel's settings."""
    crash = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=tmp_path,
        env={"PATH": "/usr/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert crash.returncode < 0, crash.stderr
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    assert int(crash.stdout) == (most if leaves_one else 0)
    assert leaves_one or list(tmp_path.iterdir()) == []
