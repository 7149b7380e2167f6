"""HTML elements, tables and bar charts; changes, lag and runs by day or week."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from itertools import groupby
from typing import Final
from xml.etree.ElementTree import Element, tostring

from smki_sync.mirror.history import Run
from smki_sync.mirror.inspection import LedgerFile
from smki_sync.model.report import Outcome
from smki_sync.report.data import MAX_ROWS, PageFacts
from smki_sync.text import duration_text, visible

Node = Element | str
NUMERIC: Final = "number"
"""CSS class of cells that contain a number."""


def element(tag: str, /, *children: Node, **attributes: str) -> Element:
    """Return an element; ``class_`` and ``aria_label`` become ``class`` and ``aria-label``."""
    made = Element(tag, {key.rstrip("_").replace("_", "-"): visible(v) for key, v in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + visible(child)
        else:
            last.tail = (last.tail or "") + visible(child)
    return made


def style(sheet: str) -> Element:
    """Return the style element; the style sheet is ours and is not escaped."""
    made = Element("style")
    made.text = sheet
    return made


def html_text(root: Element) -> str:
    """Return the whole page."""
    return "<!DOCTYPE html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Node]], *, numbers: int = 0) -> Element:
    """Return a table with row headings in the first column; the last ``numbers`` columns are numbers.

    A table that is wider than the page scrolls, also with the keyboard.
    """
    first = len(head) - numbers
    body = [
        element("tr", *(_cell(n, cell, numeric=n >= first) for n, cell in enumerate(row))) for row in rows
    ]
    headings = [
        element("th", text, scope="col", **({"class_": NUMERIC} if n >= first else {}))
        for n, text in enumerate(head)
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *headings)),
            element("tbody", *body),
        ),
        class_="scroll",
        tabindex="0",
        role="group",
        aria_label=caption,
    )


def facts_list(known: Iterable[tuple[str, Node]]) -> Element:
    """Return a list of named facts."""
    return element(
        "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in known)
    )


def _cell(column: int, content: Node, *, numeric: bool) -> Element:
    marks = {"class_": NUMERIC} if numeric else {}
    return element("th", content, scope="row", **marks) if column == 0 else element("td", content, **marks)


def count(number: int, noun: str) -> str:
    """Return a number and a noun, in the plural if needed."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def full_document(title: str, body: Element) -> str:
    """Return a page as HTML."""
    return html_text(element("html", _head(title), body, lang="en-GB"))


def _head(title: str) -> Element:
    sheet = files("smki_sync.report").joinpath("style.css").read_text(encoding="utf-8")
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        style(sheet),
    )


MAX_DAYS_SHOWN: Final = 92
"""Days that are shown one by one: a quarter. A longer period is shown by week."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A day, or the part of a week (from Monday) that is shown."""

    first: date
    last: date

    @property
    def label(self) -> str:
        """Its name."""
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What happened in each period; every list is as long as ``periods``.

    ``lag``: days behind the calendar, the maximum of the period; 0 before the first mirror.
    ``runs``: number of runs by outcome.
    """

    periods: tuple[Period, ...]
    new: tuple[int, ...]
    changed: tuple[int, ...]
    withdrawn: tuple[int, ...]
    lag: tuple[int, ...]
    runs: dict[Outcome, tuple[int, ...]]

    @property
    def by_week(self) -> bool:
        """Whether a period is a week."""
        return any(period.first != period.last for period in self.periods)


def timeline(first: date, today: date, *, ledger: Sequence[LedgerFile], runs: Sequence[Run]) -> Timeline:
    """Sort ledger and runs into periods from ``first`` to ``today``.

    Changes count on the date of their extract, runs on the day they began, in UTC. A file that a resync read
    again counts only as it was first applied.
    """
    periods = _periods(first, today)
    where = {day: n for n, period in enumerate(periods) for day in _days(period)}
    first_time = {f.name: f for f in reversed(ledger)}.values()
    files = [(where[f.day], f) for f in first_time if f.day in where and not f.ground]
    lags = lag_by_day(first, today, ledger=ledger, runs=runs)
    return Timeline(
        periods=periods,
        new=_sum(len(periods), ((n, f.inserted) for n, f in files)),
        changed=_sum(len(periods), ((n, f.updated) for n, f in files)),
        withdrawn=_sum(len(periods), ((n, f.withdrawn) for n, f in files)),
        lag=tuple(max(lags[day] for day in _days(period)) for period in periods),
        runs={o: _sum(len(periods), _runs_in(where, runs, o)) for o in Outcome},
    )


def lag_by_day(
    first: date, today: date, *, ledger: Iterable[LedgerFile], runs: Iterable[Run]
) -> dict[date, int]:
    """Return, for each day, how many days the position was behind at its end; 0 before the first position."""
    reached = sorted(
        [(f.committed, f.day) for f in ledger]
        + [(datetime.fromisoformat(r.at), date.fromisoformat(r.position)) for r in runs if r.position]
    )
    lags, position, n = {}, None, 0
    for day in _days(Period(first=first, last=today)):
        ends = datetime.combine(day + _DAY, time(), UTC)
        while n < len(reached) and reached[n][0] < ends:
            position = max(reached[n][1], position or date.min)
            n += 1
        lags[day] = max((day - position).days, 0) if position else 0
    return lags


def _periods(first: date, today: date) -> tuple[Period, ...]:
    days = _days(Period(first=first, last=today))
    if len(days) <= MAX_DAYS_SHOWN:
        return tuple(Period(first=day, last=day) for day in days)
    weeks = [tuple(week) for _, week in groupby(days, key=lambda day: day - day.weekday() * _DAY)]
    return tuple(Period(first=week[0], last=week[-1]) for week in weeks)


def _days(period: Period) -> list[date]:
    return [period.first + n * _DAY for n in range((period.last - period.first).days + 1)]


def _sum(length: int, amounts: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    sums = [0] * length
    for n, amount in amounts:
        sums[n] += amount
    return tuple(sums)


def _runs_in(where: dict[date, int], runs: Iterable[Run], outcome: Outcome) -> Iterable[tuple[int, int]]:
    for run in runs:
        day = date.fromisoformat(run.at[:10])
        if run.outcome == outcome and day in where:
            yield where[day], 1


_STEP: Final = 10  # width of a period in the picture's own units; the page stretches it
_BAR: Final = 8
_HEIGHT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One colour of the bars. ``colour``: a CSS class. ``sum_up``: show the sum in the legend."""

    name: str
    colour: str
    values: Sequence[int]
    sum_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartMark:
    """A horizontal line."""

    value: int
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart. ``key``: makes its ids unique on the page. ``summary``: describes it in words."""

    key: str
    title: str
    summary: str
    periods: Sequence[Period]
    series: Sequence[Series]
    mark: ChartMark | None = None


def figure(chart: Chart) -> Element:
    """Return the chart with legend, axes and a table of its numbers."""
    top = _top(chart)
    legend = (element("li", element("span", class_=f"key {s.colour}"), _legend(s)) for s in chart.series)
    marked = [element("li", element("span", class_="key line"), chart.mark.label)] if chart.mark else []
    return element(
        "figure",
        element("figcaption", chart.summary),
        element("ul", *legend, *marked, class_="legend"),
        element(
            "div",
            element(
                "div", element("span", f"{top:,}"), element("span", "0"), class_="levels", aria_hidden="true"
            ),
            _picture(chart, top),
            class_="plot",
        ),
        element(
            "div",
            element("span", str(chart.periods[0].first)),
            element("span", str(chart.periods[-1].last)),
            class_="span",
            aria_hidden="true",
        ),
        _numbers(chart),
    )


def _legend(series: Series) -> str:
    return f"{series.name}: {sum(series.values):,}" if series.sum_up else series.name


def _top(chart: Chart) -> int:
    """Return the value at the upper edge: the highest bar or the line."""
    highest = max((sum(values) for values in zip(*(s.values for s in chart.series), strict=True)), default=0)
    return max(highest, chart.mark.value if chart.mark else 1, 1)


def _picture(chart: Chart, top: int) -> Element:
    width = _STEP * len(chart.periods)
    ids = f"{chart.key}-title", f"{chart.key}-words"
    return element(
        "svg",
        element("title", chart.title, id=ids[0]),
        element("desc", chart.summary, id=ids[1]),
        *_bars(chart, top),
        *_line(chart, top, width),
        *_tooltips(chart),
        viewBox=f"0 0 {width} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=" ".join(ids),
    )


def _bars(chart: Chart, top: int) -> list[Element]:
    """Return one path per series; the bars are stacked."""
    ground = [0] * len(chart.periods)
    drawn = []
    for series in chart.series:
        path = "".join(_bar(n, ground[n], value, top) for n, value in enumerate(series.values) if value)
        ground = [below + value for below, value in zip(ground, series.values, strict=True)]
        drawn.append(element("path", d=path, class_=series.colour))
    return drawn


def _bar(n: int, below: int, value: int, top: int) -> str:
    foot, height = _HEIGHT - _HEIGHT * below / top, _HEIGHT * value / top
    return f"M{n * _STEP + 1} {foot:.2f}v{-height:.2f}h{_BAR}v{height:.2f}z"


def _line(chart: Chart, top: int, width: int) -> list[Element]:
    if not chart.mark:
        return []
    level = _HEIGHT - _HEIGHT * chart.mark.value / top
    return [element("path", d=f"M0 {level:.2f}H{width}", class_="line")]


def _tooltips(chart: Chart) -> list[Element]:
    """Return the tooltip of each bar."""
    return [
        element(
            "rect",
            element(
                "title", f"{period.label}: {', '.join(f'{s.values[n]:,} {s.name}' for s in chart.series)}"
            ),
            x=str(n * _STEP),
            width=str(_STEP),
            height=str(_HEIGHT),
            class_="hint",
        )
        for n, period in enumerate(chart.periods)
    ]


def _numbers(chart: Chart) -> Element:
    rows = [
        (period.label, *(f"{s.values[n]:,}" for s in chart.series))
        for n, period in reversed(list(enumerate(chart.periods)))
    ]
    head = ("Period", *(s.name for s in chart.series))
    return element(
        "details",
        element("summary", "Numbers"),
        table(chart.title, head, rows, numbers=len(chart.series)),
    )


_OUTCOME_COLOURS: Final = {Outcome.CURRENT: "good", Outcome.BEHIND: "fair", Outcome.FAILED: "bad"}


def timeline_of(facts: PageFacts) -> Timeline:
    """Return the timeline of the period, from the first known event."""
    today = facts.made.date()
    known = [f.committed.date() for f in facts.contents.ledger] + [_day_of(run) for run in facts.runs]
    days = [f.day for f in facts.contents.ledger]
    earliest = min([*known, *days], default=today)
    first = max(earliest, today - timedelta(days=facts.days - 1))
    return timeline(min(first, today), today, ledger=facts.contents.ledger, runs=facts.runs)


def changes(shown: Timeline) -> Element:
    """Return the chart of changed certificates."""
    every = "week" if shown.by_week else "day"
    return figure(
        Chart(
            key="changes-chart",
            title=f"Certificates that changed, by {every}",
            summary=f"Certificates that extracts added, changed or no longer listed, by {every} of the "
            "extract. The first full extract is not counted.",
            periods=shown.periods,
            series=[
                Series(name="new", colour="one", values=shown.new),
                Series(name="changed", colour="two", values=shown.changed),
                Series(name="withdrawn", colour="three", values=shown.withdrawn),
            ],
        )
    )


def lag(shown: Timeline, window: int) -> Element:
    """Return the chart of days behind; ``window``: how many days deltas are available."""
    worst = max(shown.lag)
    most = "at the end of the day" if not shown.by_week else "at the end of its worst day"
    return figure(
        Chart(
            key="lag-chart",
            title="Days behind",
            summary=f"Days between the position and the calendar, by {_every(shown)}, {most}. "
            f"Maximum: {count(worst, 'day')}.",
            periods=shown.periods,
            series=[Series(name="days behind", colour="one", values=shown.lag, sum_up=False)],
            mark=ChartMark(value=window, label=f"{window} days: how long deltas are available"),
        )
    )


def _every(shown: Timeline) -> str:
    return "week" if shown.by_week else "day"


def runs(shown: Timeline) -> Element:
    """Return the chart of runs by outcome."""
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
    """Return the table of the last runs."""
    if not runs:
        return [element("p", "No run is recorded.")]
    rows = [
        (r.at, _pill(r.outcome), r.reason, str(r.position or "none"), str(r.exit), duration_text(r.seconds))
        for r in reversed(runs[-MAX_ROWS:])
    ]
    head = ("Started", "Outcome", "Reason", "Position", "Exit", "Duration")
    return [table(f"The last {count(len(rows), 'run')}", head, rows, numbers=2)]


def _pill(outcome: str) -> Element:
    known = {o.value: colour for o, colour in _OUTCOME_COLOURS.items()}
    return element("span", outcome, class_=f"pill {known.get(outcome, '')}".strip())


def _day_of(run: Run) -> date:
    return date.fromisoformat(run.at[:10])
