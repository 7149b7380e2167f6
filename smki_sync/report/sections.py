"""The parts of the page, one function each, in the order in which they are read.

For: from facts to elements. Refuses: to read anything, to leave out what is not known; a part without
data says why.
"""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Final
from xml.etree.ElementTree import Element

from smki_sync.cli.status import State
from smki_sync.cli.words import in_age, in_bytes, in_time
from smki_sync.mirror.history import Run
from smki_sync.model.certificate import ROLE_NAMES, Kind, Status
from smki_sync.model.report import Outcome
from smki_sync.report.charts import Chart, Mark, Series, figure
from smki_sync.report.cliff import Cliff, cliff_of
from smki_sync.report.facts import SHOWN, PageFacts
from smki_sync.report.markup import Node, el, table
from smki_sync.report.periods import Timeline, timeline

_STATE_WORDS: Final = {
    State.EMPTY: ("bad", "Empty", "There is no mirror yet. Run smki-sync sync."),
    State.CURRENT: ("good", "Current", "The mirror is as new as the operator asks for."),
    State.STALE: ("fair", "Stale", "The mirror is older than the operator asks for."),
    State.DAMAGED: ("bad", "Damaged", "The mirror cannot be read. Run smki-sync sync: it rebuilds it."),
}
_OUTCOME_COLOURS: Final = {Outcome.CURRENT: "good", Outcome.BEHIND: "fair", Outcome.FAILED: "bad"}
_STATUSES: Final = {
    Status.IN_USE.value: "In-Use",
    **{status.value: status.words for status in Status if status is not Status.IN_USE},
    "withdrawn": "Withdrawn",
}


def sections(facts: PageFacts) -> list[Element]:
    """Every part of the page below its headline."""
    shown = _timeline(facts)
    return [
        _section("holdings", "State", _holdings(facts)),
        _section("cliff", "The seven-day cliff", _cliff(facts)),
        _section("certificates", "Certificates", [*_kinds(facts), *_roles(facts)]),
        _section("changes", "Changes", [_changes(shown)]),
        _section("lag", "Lag", [_lag(shown, facts.policy.window_days)]),
        _section("runs", "Runs", [_runs(shown), *_last_runs(facts.runs)]),
        _section("files", "Files applied", _files(facts)),
        _section("quarantine", "Quarantine", _quarantine(facts)),
    ]


def headline(facts: PageFacts) -> list[Element]:
    """What one reads first: the state, in a word, a sentence and a colour."""
    colour, word, sentence = _STATE_WORDS[facts.finding.state]
    held = facts.finding.position
    as_of = f" It holds the Repository as of {held}." if held else ""
    return [
        el("p", el("strong", word, class_=f"state {colour}"), f" {sentence}{as_of}", class_="lead"),
        *([el("p", facts.finding.message, class_="bad words")] if facts.finding.message else []),
    ]


def _section(key: str, title: str, content: Iterable[Element]) -> Element:
    return el("section", el("h2", title, id=key), *content, aria_labelledby=key)


def _timeline(facts: PageFacts) -> Timeline:
    today = facts.made.date()
    known = [f.committed.date() for f in facts.contents.ledger] + [_day_of(run) for run in facts.runs]
    days = [f.day for f in facts.contents.ledger]
    earliest = min([*known, *days], default=today)
    first = max(earliest, today - timedelta(days=facts.days - 1))
    return timeline(min(first, today), today, ledger=facts.contents.ledger, runs=facts.runs)


def _holdings(facts: PageFacts) -> list[Element]:
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
    return [el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in known))]


def _cliff(facts: PageFacts) -> list[Element]:
    if facts.finding.position is None:
        return [el("p", "Without a position there is no next delta: the next run takes a full.")]
    cliff = cliff_of(
        facts.finding.position, offer=facts.offer, window=facts.policy.window_days, today=facts.made.date()
    )
    looked = f"what the run of {facts.offer.at} saw on offer" if facts.offer else "no run has noted the offer"
    rows = [
        (str(d.day), "applied" if d.applied else "not applied", d.seen.value, str(d.leaves))
        for d in cliff.days
    ]
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
        f" mends the gap: a run has to succeed within {_count(cliff.left, 'day')}.",
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
    words = f"{_count(left, 'day')} of {most} left"
    return el(
        "svg",
        el("title", words, id="gauge-title"),
        *boxes,
        viewBox=f"0 0 {most * 12 - 2} 10",
        role="img",
        aria_labelledby="gauge-title",
        class_="gauge",
    )


def _kinds(facts: PageFacts) -> list[Element]:
    held = facts.contents.holdings
    if not held:
        return [el("p", "The mirror holds no certificates.")]
    counts = {(h.kind, h.status): h.count for h in held}
    kinds = dict.fromkeys(h.kind for h in held)
    statuses = [s for s in _STATUSES if any((kind, s) in counts for kind in kinds)]
    rows = [
        (kind.value, *(f"{counts.get((kind, s), 0):,}" for s in statuses), f"{_sum(counts, kind):,}")
        for kind in kinds
    ]
    head = ("Kind", *(_STATUSES[s] for s in statuses), "All")
    return [table("By kind and status", head, rows, numbers=len(statuses) + 1)]


def _sum(counts: dict[tuple[Kind, str], int], wanted: Kind) -> int:
    return sum(count for (kind, _), count in counts.items() if kind == wanted)


def _roles(facts: PageFacts) -> list[Element]:
    rows = [(_role(r.role), r.kind.value, f"{r.in_use:,}", f"{r.total:,}") for r in facts.contents.roles]
    if not rows:
        return []
    head = ("Remote Party Role", "Kind", "In-Use", "All")
    return [table("Organisations and authorities by role", head, rows, numbers=2)]


def _role(role: int | None) -> str:
    return "none" if role is None else f"{role} {ROLE_NAMES.get(role, 'without a name')}"


def _changes(shown: Timeline) -> Element:
    every = "week" if shown.by_week else "day"
    return figure(
        Chart(
            key="changes-chart",
            title=f"Certificates that changed, by {every}",
            summary=f"Certificates that extracts brought, changed or no longer listed, by {every} of the "
            "extract. The first full is not counted.",
            periods=shown.periods,
            series=[
                Series(name="new", colour="one", values=shown.new),
                Series(name="changed", colour="two", values=shown.changed),
                Series(name="withdrawn", colour="three", values=shown.withdrawn),
            ],
        )
    )


def _lag(shown: Timeline, window: int) -> Element:
    worst = max(shown.lag)
    most = "at the end of the day" if not shown.by_week else "at the end of its worst day"
    return figure(
        Chart(
            key="lag-chart",
            title="Days behind",
            summary=f"How many days the position lay behind the calendar, by {_every(shown)}, {most}. "
            f"At most {_count(worst, 'day')}.",
            periods=shown.periods,
            series=[Series(name="days behind", colour="one", values=shown.lag, sum_up=False)],
            mark=Mark(value=window, words=f"{window} days: the window of deltas"),
        )
    )


def _every(shown: Timeline) -> str:
    return "week" if shown.by_week else "day"


def _runs(shown: Timeline) -> Element:
    total = sum(sum(values) for values in shown.runs.values())
    return figure(
        Chart(
            key="runs-chart",
            title=f"Runs of sync, by {_every(shown)}",
            summary=f"{_count(total, 'run')} of sync by {_every(shown)}, and how they ended.",
            periods=shown.periods,
            series=[
                Series(name=outcome.value, colour=_OUTCOME_COLOURS[outcome], values=shown.runs[outcome])
                for outcome in Outcome
            ],
        )
    )


def _last_runs(runs: Sequence[Run]) -> list[Element]:
    if not runs:
        return [el("p", "No run is on record.")]
    rows = [
        (r.at, _pill(r.outcome), r.reason, str(r.position or "none"), str(r.exit), in_time(r.seconds))
        for r in reversed(runs[-SHOWN:])
    ]
    head = ("Began", "Outcome", "Reason", "Position", "Exit", "Took")
    return [table(f"The last {_count(len(rows), 'run')}", head, rows, numbers=2)]


def _pill(outcome: str) -> Element:
    known = {o.value: colour for o, colour in _OUTCOME_COLOURS.items()}
    return el("span", outcome, class_=f"pill {known.get(outcome, '')}".strip())


def _files(facts: PageFacts) -> list[Element]:
    ledger = facts.contents.ledger
    if not ledger:
        return [el("p", "No file was applied.")]
    rows = [
        (
            f.name,
            f"{f.records:,}",
            f"{f.inserted:,}",
            f"{f.updated:,}",
            f"{f.withdrawn:,}",
            f"{f.quarantined:,}",
            in_bytes(f.size),
            in_time(f.seconds),
        )
        for f in reversed(ledger[-SHOWN:])
    ]
    head = ("File", "Records", "New", "Changed", "Withdrawn", "Quarantined", "Size", "Took")
    return [
        table(f"The last {len(rows)} of {_count(len(ledger), 'file')}", head, rows, numbers=len(head) - 1)
    ]


def _quarantine(facts: PageFacts) -> list[Element]:
    reasons = facts.contents.quarantine
    if not reasons:
        return [el("p", "The quarantine is empty.")]
    sums = [(q.reason, f"{q.open:,}", f"{q.total:,}") for q in reasons]
    held = [
        (s.file, str(s.number), s.reason, el("span", s.detail, class_="long"), s.accepted or "no")
        for s in facts.contents.set_aside
    ]
    total = sum(q.total for q in reasons)
    return [
        table("Records by reason", ("Reason", "Not accepted", "All"), sums, numbers=2),
        table(
            f"The newest {len(held)} of {_count(total, 'record')}",
            ("File", "Record", "Reason", "What was found", "Accepted"),
            held,
        ),
    ]


def _day_of(run: Run) -> date:
    return date.fromisoformat(run.at[:10])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
