"""The whole document.

For: one string that is the file. The browser is told to load nothing and to run nothing, so that even a
mistake here could not make it. Refuses: to write the file; the command does.
"""

from importlib.resources import files
from typing import Final
from xml.etree.ElementTree import Element

from smki_sync import __version__
from smki_sync.mirror.ledger import utc
from smki_sync.report.facts import PageFacts
from smki_sync.report.markup import document, el, style
from smki_sync.report.sections import sections
from smki_sync.report.state import headline

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(facts: PageFacts) -> str:
    """Write the page as HTML, some 100 kB for a year."""
    parts = sections(facts)
    return document(el("html", _head(facts), _body(facts, parts), lang="en-GB"))


def _head(facts: PageFacts) -> Element:
    sheet = files("smki_sync.report").joinpath("style.css").read_text(encoding="utf-8")
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"SMKI mirror: {facts.finding.state.value}"),
        style(sheet),
    )


def _body(facts: PageFacts, parts: list[Element]) -> Element:
    links = (el("li", el("a", part[0].text or "", href=f"#{part.get('aria-labelledby')}")) for part in parts)
    return el(
        "body",
        el(
            "header",
            el("h1", "SMKI mirror"),
            *headline(facts),
            el("nav", el("ul", *links), aria_label="Parts of this page"),
        ),
        el("main", *parts),
        el(
            "footer",
            el(
                "p",
                f"Made {utc(facts.made)} by smki-sync {__version__} from ",
                el("code", facts.place),
                f"; the last {facts.days} days at most. Times are UTC.",
            ),
        ),
    )
