"""UTC timestamps of any stored number of seconds."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.timestamps import text_of


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (253_402_300_800, "9999-12-31T23:59:59Z"),
        (10**18, "9999-12-31T23:59:59Z"),
        (-62_135_596_800, "0001-01-01T00:00:00Z"),
        (-62_135_596_801, "0000-12-31T23:59:59Z"),
        (-62_162_035_200, "0000-03-01T00:00:00Z"),
        (-62_167_219_200, "0000-01-01T00:00:00Z"),
        (-(10**18), "0000-01-01T00:00:00Z"),
    ],
)
def test_text_of_writes_each_number_of_seconds(seconds: int, text: str) -> None:
    assert text_of(seconds) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_text_of_agrees_with_datetime(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    assert text_of(int(moment.timestamp())) == moment.isoformat().replace("+00:00", "Z")
