"""Other blocks: configurations load, JSON matches its schema, blocks that are not run give a reason."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.markdown import DOCS, PAGES, TOGETHER, Fence, fences, name_of, prose

from documentation.marks import is_reason, is_run, unrun
from smki_sync.config.loader import load

RUN_ELSEWHERE = {"console", "python", "sql"}
"""Languages whose blocks are run by other modules of this package."""


def every(language: str) -> list[Fence]:
    return [f for page in TOGETHER for f in fences(page) if f.language == language and is_run(f)]


def where(fence: Fence) -> str:
    return fence.where


@pytest.mark.parametrize("fence", every("toml"), ids=where)
def test_configuration_on_a_page_loads(fence: Fence, tmp_path: Path) -> None:
    file = tmp_path / "smki-sync.toml"
    file.write_text(fence.text)
    config = load({"config": file}, {}, cwd=tmp_path, user_dir=tmp_path / "nobody")
    assert config.file == file


@pytest.mark.parametrize("fence", every("json"), ids=where)
def test_json_on_a_page_matches_its_schema(fence: Fence) -> None:
    document = json.loads(fence.text)
    name = "failure" if document["outcome"] == "failed" else document["schema"].split("/")[1]
    schema = json.loads((DOCS / "schemas" / f"{name}.json").read_text("utf-8"))
    assert [e.message for e in Draft202012Validator(schema).iter_errors(document)] == []


def test_pages_show_configurations_and_json() -> None:
    assert len(every("toml")) > 2
    assert every("json")


@pytest.mark.parametrize("page", TOGETHER, ids=name_of)
def test_block_has_a_language_that_is_tested(page: Path) -> None:
    """A text block is the output of the Python block above it; any other gives a reason."""
    before = ""
    for fence in filter(is_run, fences(page)):
        assert fence.language in {*RUN_ELSEWHERE, "toml", "json"} or (fence.language, before) == (
            "text",
            "python",
        ), fence.where
        before = fence.language


@pytest.mark.parametrize("page", TOGETHER, ids=name_of)
def test_page_has_no_indented_code_block(page: Path) -> None:
    assert re.findall(r"(?:^|\n)\n {4,}(?![-*|\d])\S.*", prose(page)) == []


def test_block_that_is_not_run_has_a_known_reason() -> None:
    assert [(page, reason) for page, reason in unrun() if not is_reason(reason)] == []


def test_blocks_that_are_not_run_are_listed() -> None:
    """A new one needs a new row in docs/contributing.md, so that a reviewer sees it."""
    text = (DOCS / "contributing.md").read_text("utf-8").partition("### Documentation tests")[2]
    rows = re.findall(r"^\| `([\w./-]+)` \| ([^|]+) \| (\d+) \|$", text, re.MULTILINE)
    assert {(page, reason): int(count) for page, reason, count in rows} == unrun()
    assert PAGES
