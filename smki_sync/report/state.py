"""How the mirror stands: state, age, and the cliff before it.

For: what an operator reads first. Refuses: to say of what is not known more than that.
"""

from typing import Final
from xml.etree.ElementTree import Element

from smki_sync.cli.status import State
from smki_sync.report.cliff import Cliff, cliff_of
from smki_sync.report.data import PageFacts
from smki_sync.report.markup import Node, count, el, facts_list, table
from smki_sync.text import in_age, in_bytes

_STATE_WORDS: Final = {
    State.EMPTY: ("bad", "Empty", "There is no mirror yet. Run smki-sync sync."),
    State.CURRENT: ("good", "Current", "The mirror is as new as the operator asks for."),
    State.STALE: ("fair", "Stale", "The mirror is older than the operator asks for."),
    State.DAMAGED: ("bad", "Damaged", "The mirror cannot be read."),
}


def headline(facts: PageFacts) -> list[Element]:
    """What one reads first: the state, in a word, a sentence and a colour."""
    colour, word, sentence = _STATE_WORDS[facts.finding.state]
    held = facts.finding.position
    as_of = f" It holds the Repository as of {held}." if held else ""
    return [
        el("p", el("strong", word, class_=f"state {colour}"), f" {sentence}{as_of}", class_="lead"),
        *(el("p", text, class_="bad words") for text in (facts.finding.message, facts.finding.hint) if text),
    ]


def holdings(facts: PageFacts) -> list[Element]:
    """State, age, counts, digest."""
    finding, run = facts.finding, facts.finding.last_run
    census = finding.census
    known: list[tuple[str, Node]] = [
        ("As of", f"{finding.position}" if finding.position else "no position"),
        (
            "That day began",
            f"{in_age(finding.age_hours)} ago, UTC" if finding.age_hours is not None else "not known",
        ),
        ("Last looked", f"{run.at}: {run.outcome}, exit {run.exit}, {run.reason}" if run else "never"),
        ("Last success", finding.last_success.at if finding.last_success else "never"),
        ("Last full", f"{finding.last_full}" if finding.last_full else "none"),
        ("Certificates", f"{census.total:,}, of them {census.in_use:,} In-Use" if census else "none"),
        ("Quarantined", f"{census.quarantined:,} not accepted" if census else "not known"),
        ("Size on disk", in_bytes(finding.bytes)),
        ("Set digest", el("code", census.digest) if census else "not known"),
    ]
    return [facts_list(known)]


def cliff(facts: PageFacts) -> list[Element]:
    """How long the next delta stays on offer."""
    if facts.finding.position is None:
        return [el("p", "Without a position there is no next delta: the next run takes a full.")]
    cliff = cliff_of(
        facts.finding.position, offer=facts.offer, window=facts.policy.window_days, today=facts.made.date()
    )
    looked = f"what the run of {facts.offer.at} saw on offer" if facts.offer else "no run has noted the offer"
    rows = [(str(d.day), "held" if d.applied else "not yet", d.seen.value, str(d.leaves)) for d in cliff.days]
    return [
        el("p", *_cliff_words(cliff)),
        _gauge(cliff),
        table(
            f"The deltas of the last days; {looked}",
            ("Delta of", "In the mirror", "At the Repository", "May be gone from"),
            rows,
        ),
    ]


def _cliff_words(cliff: Cliff) -> list[Node]:
    next_day, leaves = el("time", str(cliff.next_day)), el("time", str(cliff.leaves))
    if not cliff.left:
        return ["The delta of ", next_day, " may be gone since ", leaves, "; then the next run takes a full."]
    return [
        *(
            "The next delta is that of ",
            next_day,
            ". From ",
            leaves,
            " on it may be gone, and then only a full",
        ),
        f" mends the gap: a run has to succeed within {count(cliff.left, 'day')}.",
    ]


def _gauge(cliff: Cliff) -> Element:
    """Days left, as boxes: as many as an up-to-date mirror has."""
    most = cliff.window + 1
    left = min(cliff.left, most)
    colour = "good" if left > most / 2 else "fair" if left > 1 else "bad"
    boxes = (
        el("rect", x=str(n * 12), width="10", height="10", class_=colour if n < left else "gone")
        for n in range(most)
    )
    words = f"{count(left, 'day')} of {most} left"
    return el(
        "svg",
        el("title", words, id="gauge-title"),
        *boxes,
        viewBox=f"0 0 {most * 12 - 2} 10",
        role="img",
        aria_labelledby="gauge-title",
        class_="gauge",
    )
