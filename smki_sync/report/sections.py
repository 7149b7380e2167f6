"""The parts of the page, in the order in which they are read.

For: headings, and what stands below each. Refuses: to leave a part out; one without data says why.
"""

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from smki_sync.report import contents, course, state
from smki_sync.report.data import PageFacts
from smki_sync.report.markup import el


def sections(facts: PageFacts) -> list[Element]:
    """Every part of the page below its headline."""
    shown = course.timeline_of(facts)
    return [
        _section("holdings", "State", state.holdings(facts)),
        _section("cliff", "The seven-day cliff", state.cliff(facts)),
        _section("certificates", "Certificates", [*contents.kinds(facts), *contents.roles(facts)]),
        _section("changes", "Changes", [course.changes(shown)]),
        _section("lag", "Lag", [course.lag(shown, facts.policy.window_days)]),
        _section("runs", "Runs", [course.runs(shown), *course.last_runs(facts.runs)]),
        _section("files", "Files applied", contents.files(facts)),
        _section("quarantine", "Quarantine", contents.quarantine(facts)),
        _section("trust", "Trust", contents.trust(facts)),
    ]


def _section(key: str, title: str, content: Iterable[Element]) -> Element:
    return el("section", el("h2", title, id=key), *content, aria_labelledby=key)
