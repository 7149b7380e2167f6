"""The page in a real browser: nothing is asked of the network, it fits, it can be read in light and dark."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Tab, browser
from support.cli import Shell
from support.report_year import write_year

from unit.report.conftest import TODAY

WIDTHS = (320, 768, 1400)
READABLE = 4.5
"""The least contrast of text that people with weak sight can read (WCAG 2.2, 1.4.3)."""


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    with browser() as tab:
        yield tab


@pytest.fixture
def page(smki: Shell, own_mirror: Path) -> Path:
    write_year(own_mirror, TODAY)
    ran = smki("report", "--mirror", own_mirror, "--output", "page.html", "--max-age", "1e9")
    assert ran.code == 0
    return smki.place / "page.html"


def test_the_browser_asks_for_nothing_but_the_page_and_has_no_complaint(tab: Tab, page: Path) -> None:
    tab.look(width=1000)
    tab.visit(page)
    assert tab.requests == [page.as_uri()]
    assert tab.complaints == []
    assert tab.ask("document.title") == "SMKI mirror: current"
    shown = tab.ask("document.body.innerText")
    assert "Its position is 2026-11-11." in shown
    assert "<script>document.title" in shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_never_scrolls_sideways(tab: Tab, page: Path, scheme: str) -> None:
    for width in WIDTHS:
        tab.look(width=width, scheme=scheme)
        tab.visit(page)
        assert tab.ask("document.documentElement.scrollWidth <= window.innerWidth"), width
        assert tab.ask(
            "[...document.querySelectorAll('svg')].every(s => s.getBoundingClientRect().width > 0)"
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_enough(tab: Tab, page: Path, scheme: str) -> None:
    tab.look(width=1000, scheme=scheme)
    tab.visit(page)
    pairs = tab.ask("""[...new Set([...document.querySelectorAll('body, body *')]
      .filter(e => !e.closest('svg') && [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()))
      .map(e => {
        let behind = e;
        while (behind && getComputedStyle(behind).backgroundColor == 'rgba(0, 0, 0, 0)')
          behind = behind.parentElement;
        return getComputedStyle(e).color + ' on ' + getComputedStyle(behind).backgroundColor;
      }))]""")
    assert len(pairs) >= 4
    assert {pair: contrast(pair) for pair in pairs if contrast(pair) < READABLE} == {}


def contrast(pair: str) -> float:
    """The contrast of two colours as WCAG 2.2 defines it."""
    numbers = [int(n) / 255 for n in re.findall(r"\d+", pair)]
    linear = [n / 12.92 if n <= 0.04045 else ((n + 0.055) / 1.055) ** 2.4 for n in numbers]
    one, other = (0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (linear[:3], linear[3:]))
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_dark_is_dark_light_is_light_and_paper_is_white(tab: Tab, page: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    colours = {}
    for scheme in ("light", "dark"):
        tab.look(width=1000, scheme=scheme)
        tab.visit(page)
        colours[scheme] = tab.ask(ground)
    tab.look(width=1000, scheme="dark", medium="print")
    assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 22, 28)"}
    assert tab.ask(ground) == "rgb(255, 255, 255)"


def test_the_page_prints(tab: Tab, page: Path) -> None:
    tab.look(width=1000)
    tab.visit(page)
    paper = tab.paper()
    assert paper.startswith(b"%PDF")
    assert 1 <= paper.count(b"/Type /Page\n") <= 8


def test_the_bars_stand_where_their_numbers_say(tab: Tab, page: Path) -> None:
    tab.look(width=1000)
    tab.visit(page)
    assert tab.ask("document.querySelectorAll('svg .one')[0].getBBox().height") == pytest.approx(100, abs=40)
    assert tab.ask("document.querySelectorAll('svg .hint title').length") == 3 * 53
