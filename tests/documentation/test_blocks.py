"""Every other block: configurations load, documents keep to their schemas, what is not run says why."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.markdown import DOCS, PAGES, TOGETHER, Fence, fences, name_of, prose

from documentation.marks import is_reason, is_run, unrun
from smki_sync.config.loader import load

RUN_ELSEWHERE = {"console", "python", "sql"}
"""The languages whose blocks run: here beside, and in tests/documentation/test_pages.py beside a mirror."""


def every(language: str) -> list[Fence]:
    return [f for page in TOGETHER for f in fences(page) if f.language == language and is_run(f)]


def where(fence: Fence) -> str:
    return fence.where


@pytest.mark.parametrize("fence", every("toml"), ids=where)
def test_a_configuration_that_a_page_shows_loads(fence: Fence, tmp_path: Path) -> None:
    file = tmp_path / "smki-sync.toml"
    file.write_text(fence.text)
    config = load({"config": file}, {}, cwd=tmp_path, user_dir=tmp_path / "nobody")
    assert config.file == file


@pytest.mark.parametrize("fence", every("json"), ids=where)
def test_a_document_that_a_page_shows_keeps_to_its_schema(fence: Fence) -> None:
    document = json.loads(fence.text)
    name = "failure" if document["outcome"] == "failed" else document["schema"].split("/")[1]
    schema = json.loads((DOCS / "schemas" / f"{name}.json").read_text("utf-8"))
    assert [e.message for e in Draft202012Validator(schema).iter_errors(document)] == []


def test_the_pages_show_configurations_and_documents_at_all() -> None:
    assert len(every("toml")) > 2
    assert every("json")


@pytest.mark.parametrize("page", TOGETHER, ids=name_of)
def test_no_block_escapes_the_tests_by_its_language(page: Path) -> None:
    """A text is what the program above it prints; anything else that is not run says why."""
    before = ""
    for fence in filter(is_run, fences(page)):
        assert fence.language in {*RUN_ELSEWHERE, "toml", "json"} or (fence.language, before) == (
            "text",
            "python",
        ), fence.where
        before = fence.language


@pytest.mark.parametrize("page", TOGETHER, ids=name_of)
def test_no_block_escapes_the_tests_by_its_indentation(page: Path) -> None:
    assert re.findall(r"(?:^|\n)\n {4,}(?![-*|\d])\S.*", prose(page)) == []


def test_what_is_not_run_says_why_in_one_of_few_ways() -> None:
    assert [(page, reason) for page, reason in unrun() if not is_reason(reason)] == []


def test_what_is_not_run_stands_in_the_list() -> None:
    """A new one is a new line there, for somebody to wonder about."""
    text = (DOCS / "contributing.md").read_text("utf-8").partition("### Documentation tests")[2]
    rows = re.findall(r"^\| `([\w./-]+)` \| ([^|]+) \| (\d+) \|$", text, re.MULTILINE)
    assert {(page, reason): int(count) for page, reason, count in rows} == unrun()
    assert PAGES
