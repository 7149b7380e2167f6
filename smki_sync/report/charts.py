"""Bars over time.

For: a picture that can be read without seeing it (title, description, its numbers in a table), without
colour (the legend says the sums), on any width and on paper. Refuses: scripts; what a bar stands for is
shown by its ``<title>``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from smki_sync.report.markup import el, table
from smki_sync.report.periods import Period

_STEP: Final = 10  # width of a period in the picture's own units; the page stretches it
_BAR: Final = 8
_HEIGHT: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One colour of the bars. ``colour``: a class of the style sheet. ``sum_up``: the legend says the sum."""

    name: str
    colour: str
    values: Sequence[int]
    sum_up: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A level line across the picture, shown where the picture reaches it."""

    value: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is drawn. ``key``: makes ids unique on the page. ``summary``: says in words what one sees."""

    key: str
    title: str
    summary: str
    periods: Sequence[Period]
    series: Sequence[Series]
    mark: Mark | None = None


def figure(chart: Chart) -> Element:
    """Draw it, with legend, axes and the numbers behind it."""
    top = _top(chart)
    legend = (el("li", el("span", class_=f"key {s.colour}"), _legend(s)) for s in chart.series)
    marked = [el("li", el("span", class_="key line"), chart.mark.words)] if chart.mark else []
    return el(
        "figure",
        el("figcaption", chart.summary),
        el("ul", *legend, *marked, class_="legend"),
        el(
            "div",
            el("div", el("span", f"{top:,}"), el("span", "0"), class_="levels", aria_hidden="true"),
            _picture(chart, top),
            class_="plot",
        ),
        el(
            "div",
            el("span", str(chart.periods[0].first)),
            el("span", str(chart.periods[-1].last)),
            class_="span",
            aria_hidden="true",
        ),
        _numbers(chart),
    )


def _legend(series: Series) -> str:
    return f"{series.name}: {sum(series.values):,}" if series.sum_up else series.name


def _top(chart: Chart) -> int:
    """The level of the upper edge: the highest bar, or the mark where that is near."""
    highest = max((sum(values) for values in zip(*(s.values for s in chart.series), strict=True)), default=0)
    return max(highest, chart.mark.value if chart.mark else 1, 1)


def _picture(chart: Chart, top: int) -> Element:
    width = _STEP * len(chart.periods)
    ids = f"{chart.key}-title", f"{chart.key}-words"
    return el(
        "svg",
        el("title", chart.title, id=ids[0]),
        el("desc", chart.summary, id=ids[1]),
        *_bars(chart, top),
        *_line(chart, top, width),
        *_hints(chart),
        viewBox=f"0 0 {width} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=" ".join(ids),
    )


def _bars(chart: Chart, top: int) -> list[Element]:
    """One path a series, each bar standing on those before it."""
    ground = [0] * len(chart.periods)
    drawn = []
    for series in chart.series:
        path = "".join(_bar(n, ground[n], value, top) for n, value in enumerate(series.values) if value)
        ground = [below + value for below, value in zip(ground, series.values, strict=True)]
        drawn.append(el("path", d=path, class_=series.colour))
    return drawn


def _bar(n: int, below: int, value: int, top: int) -> str:
    foot, height = _HEIGHT - _HEIGHT * below / top, _HEIGHT * value / top
    return f"M{n * _STEP + 1} {foot:.2f}v{-height:.2f}h{_BAR}v{height:.2f}z"


def _line(chart: Chart, top: int, width: int) -> list[Element]:
    if not chart.mark:
        return []
    level = _HEIGHT - _HEIGHT * chart.mark.value / top
    return [el("path", d=f"M0 {level:.2f}H{width}", class_="line")]


def _hints(chart: Chart) -> list[Element]:
    """What a pointer that rests on a bar is told."""
    return [
        el(
            "rect",
            el("title", f"{period.words}: {', '.join(f'{s.values[n]:,} {s.name}' for s in chart.series)}"),
            x=str(n * _STEP),
            width=str(_STEP),
            height=str(_HEIGHT),
            class_="hint",
        )
        for n, period in enumerate(chart.periods)
    ]


def _numbers(chart: Chart) -> Element:
    rows = [
        (period.words, *(f"{s.values[n]:,}" for s in chart.series))
        for n, period in reversed(list(enumerate(chart.periods)))
    ]
    head = ("When", *(s.name for s in chart.series))
    return el(
        "details",
        el("summary", "The numbers"),
        table(chart.title, head, rows, numbers=len(chart.series)),
    )
