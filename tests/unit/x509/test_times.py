from datetime import UTC, datetime

import pytest
from support.x509_builders import tlv

from smki_sync.x509.der import MalformedDer, read_time

UTC_TIME = 0x17
GENERALIZED_TIME = 0x18


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("tag", "text", "meant"),
    [
        (UTC_TIME, "160406000000Z", "2016-04-06T00:00:00"),
        (UTC_TIME, "491231235959Z", "2049-12-31T23:59:59"),
        (UTC_TIME, "500101000000Z", "1950-01-01T00:00:00"),
        (UTC_TIME, "700101000000Z", "1970-01-01T00:00:00"),
        (UTC_TIME, "240229120000Z", "2024-02-29T12:00:00"),
        (GENERALIZED_TIME, "99991231235959Z", "9999-12-31T23:59:59"),
        (GENERALIZED_TIME, "20160406000001Z", "2016-04-06T00:00:01"),
        (GENERALIZED_TIME, "00010101000000Z", "0001-01-01T00:00:00"),
    ],
)
def test_a_time_of_the_profiles_is_read_in_seconds_since_1970(tag: int, text: str, meant: str) -> None:
    assert read_time(tlv(tag, text.encode())) == seconds(meant)


def test_the_time_that_stands_for_no_end_is_the_last_second_of_9999() -> None:
    assert read_time(tlv(GENERALIZED_TIME, b"99991231235959Z")) == 253402300799


@pytest.mark.parametrize(
    ("tag", "text", "meant"),
    [
        (UTC_TIME, "1604060000Z", "2016-04-06T00:00:00"),
        (UTC_TIME, "160406013000+0130", "2016-04-06T00:00:00"),
        (UTC_TIME, "160405223000-0130", "2016-04-06T00:00:00"),
        (GENERALIZED_TIME, "201604060000Z", "2016-04-06T00:00:00"),
        (GENERALIZED_TIME, "20160406000000.999Z", "2016-04-06T00:00:00"),
        (GENERALIZED_TIME, "20160406010000,5+0100", "2016-04-06T00:00:00"),
    ],
)
def test_a_time_as_older_software_wrote_it_is_read_all_the_same(tag: int, text: str, meant: str) -> None:
    assert read_time(tlv(tag, text.encode())) == seconds(meant)


def test_an_offset_may_lead_beyond_the_last_year_of_the_calendar() -> None:
    assert read_time(tlv(GENERALIZED_TIME, b"99991231235959-0001")) == 253402300799 + 60


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (UTC_TIME, ""),
        (UTC_TIME, "160406000000"),
        (UTC_TIME, "161306000000Z"),
        (UTC_TIME, "230229000000Z"),
        (UTC_TIME, "160406240000Z"),
        (UTC_TIME, "160406000060Z"),
        (UTC_TIME, "160406000000+2400"),
        (UTC_TIME, "160406000000+0060"),
        (UTC_TIME, "20160406000000Z"),
        (UTC_TIME, "160406000000Z "),
        (UTC_TIME, "160406000000.5Z"),
        (UTC_TIME, "16040600000\u0660Z"),
        (GENERALIZED_TIME, "160406000000Z"),
        (GENERALIZED_TIME, "00000101000000Z"),
        (GENERALIZED_TIME, "20160406000000"),
        (GENERALIZED_TIME, "20160406000000.Z"),
        (0x04, "160406000000Z"),
    ],
)
def test_a_time_that_no_calendar_has_or_that_lacks_its_zone_is_refused(tag: int, text: str) -> None:
    with pytest.raises(MalformedDer, match="no time"):
        read_time(tlv(tag, text.encode()))


def test_a_time_is_one_element_and_nothing_else() -> None:
    with pytest.raises(MalformedDer):
        read_time(b"")
    with pytest.raises(MalformedDer):
        read_time(tlv(UTC_TIME, b"160406000000Z") + b"\0")
