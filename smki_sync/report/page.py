"""The whole document.

For: one string that is the file. Refuses: to write the file; the command does.
"""

from xml.etree.ElementTree import Element

from smki_sync import __version__
from smki_sync.mirror.ledger import utc
from smki_sync.report.data import PageFacts
from smki_sync.report.frame import whole
from smki_sync.report.markup import el
from smki_sync.report.sections import sections
from smki_sync.report.state import headline


def page(facts: PageFacts) -> str:
    """Write the page as HTML, some 100 kB for a year."""
    parts = sections(facts)
    return whole(f"SMKI mirror: {facts.finding.state.value}", _body(facts, parts))


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
