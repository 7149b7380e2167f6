"""The documents as a site: one command builds it without a warning, and no link in it is dead."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it."""
    place = tmp_path_factory.mktemp("site")
    words = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(place / "trees")]
    done = subprocess.run(
        [sys.executable, *words, str(ROOT / "docs"), str(place / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return place / "html"


def test_every_page_is_on_the_site(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    assert pages
    assert [page for page in pages if not (site / page.with_suffix(".html")).exists()] == []


def test_no_link_on_the_site_is_dead(site: Path) -> None:
    checked = 0
    for page in sorted(site.rglob("*.html")):
        for link in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text("utf-8")):
            if "://" in link or link.startswith("mailto:"):
                continue
            name, _, fragment = unquote(link).partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.is_file(), f"{page.name}: {link}"
            if fragment and target.suffix == ".html":
                assert f'id="{fragment}"' in target.read_text("utf-8"), f"{page.name}: {link}"
            checked += 1
    assert checked > 100


def test_make_docs_builds_it_the_same_way() -> None:
    recipe = (ROOT / "Makefile").read_text()
    assert re.search(r"^docs: setup.*\n\t\$\(BIN\)/sphinx-build -q -W --keep-going", recipe, re.MULTILINE)
