"""Values of options: rates, dates and times."""

from datetime import UTC, date, datetime

import pytest
import typer

from smki_sync.cli.arguments import parse_date, parse_rate, parse_time
from smki_sync.errors import UsageError


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", 0),
        ("6000000", 6_000_000),
        ("6M", 6_000_000),
        ("1.5m", 1_500_000),
        ("600k", 600_000),
        ("600 kB/s", 600_000),
        ("2G", 2_000_000_000),
    ],
)
def test_parse_rate_uses_powers_of_1000(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "M", "-1", "6MiB", "6 Mbit", "0.5", "1e6", "6,000", "nan"])
def test_parse_rate_is_refused_when_text_is_not_a_rate(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="for example 6000000, 600k or 6M"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "day"), [("today", 1), ("Today", 1), ("yesterday", 0)])
def test_relative_date_is_counted_in_utc(monkeypatch: pytest.MonkeyPatch, text: str, day: int) -> None:
    monkeypatch.setenv("SMKI_SYNC_TODAY", "2026-03-01")
    expected = [date(2026, 2, 28), date(2026, 3, 1)][day]
    assert parse_date("--to", text) == expected
    assert parse_time(text) == datetime(expected.year, expected.month, expected.day, tzinfo=UTC)


def test_hint_names_relative_dates_when_text_is_not_a_date() -> None:
    with pytest.raises(UsageError) as refused:
        parse_date("--to", "tomorrow")
    assert refused.value.hint == "Write YYYY-MM-DD, today or yesterday."
