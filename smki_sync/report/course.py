"""How the mirror came to where it is: changes, lag, runs.

For: the parts of the page that are charts. Refuses: to count the first full as a change.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Final
from xml.etree.ElementTree import Element

from smki_sync.mirror.history import Run
from smki_sync.model.report import Outcome
from smki_sync.report.charts import Chart, Mark, Series, figure
from smki_sync.report.data import SHOWN, PageFacts
from smki_sync.report.markup import count, el, table
from smki_sync.report.periods import Timeline, timeline
from smki_sync.text import in_time

_OUTCOME_COLOURS: Final = {Outcome.CURRENT: "good", Outcome.BEHIND: "fair", Outcome.FAILED: "bad"}


def timeline_of(facts: PageFacts) -> Timeline:
    """What happened in the time shown, from the first that is known."""
    today = facts.made.date()
    known = [f.committed.date() for f in facts.contents.ledger] + [_day_of(run) for run in facts.runs]
    days = [f.day for f in facts.contents.ledger]
    earliest = min([*known, *days], default=today)
    first = max(earliest, today - timedelta(days=facts.days - 1))
    return timeline(min(first, today), today, ledger=facts.contents.ledger, runs=facts.runs)


def changes(shown: Timeline) -> Element:
    """Certificates that changed."""
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


def lag(shown: Timeline, window: int) -> Element:
    """Days behind; ``window``: how many of them deltas can close."""
    worst = max(shown.lag)
    most = "at the end of the day" if not shown.by_week else "at the end of its worst day"
    return figure(
        Chart(
            key="lag-chart",
            title="Days behind",
            summary=f"How many days the position lay behind the calendar, by {_every(shown)}, {most}. "
            f"At most {count(worst, 'day')}.",
            periods=shown.periods,
            series=[Series(name="days behind", colour="one", values=shown.lag, sum_up=False)],
            mark=Mark(value=window, words=f"{window} days: the window of deltas"),
        )
    )


def _every(shown: Timeline) -> str:
    return "week" if shown.by_week else "day"


def runs(shown: Timeline) -> Element:
    """Runs by outcome."""
    total = sum(sum(values) for values in shown.runs.values())
    return figure(
        Chart(
            key="runs-chart",
            title=f"Runs of sync, by {_every(shown)}",
            summary=f"{count(total, 'run')} of sync by {_every(shown)}, and how they ended.",
            periods=shown.periods,
            series=[
                Series(name=outcome.value, colour=_OUTCOME_COLOURS[outcome], values=shown.runs[outcome])
                for outcome in Outcome
            ],
        )
    )


def last_runs(runs: Sequence[Run]) -> list[Element]:
    """The last runs, one by one."""
    if not runs:
        return [el("p", "No run is on record.")]
    rows = [
        (r.at, _pill(r.outcome), r.reason, str(r.position or "none"), str(r.exit), in_time(r.seconds))
        for r in reversed(runs[-SHOWN:])
    ]
    head = ("Began", "Outcome", "Reason", "Position", "Exit", "Took")
    return [table(f"The last {count(len(rows), 'run')}", head, rows, numbers=2)]


def _pill(outcome: str) -> Element:
    known = {o.value: colour for o, colour in _OUTCOME_COLOURS.items()}
    return el("span", outcome, class_=f"pill {known.get(outcome, '')}".strip())


def _day_of(run: Run) -> date:
    return date.fromisoformat(run.at[:10])
