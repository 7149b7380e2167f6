"""What a full no longer lists: withdrawn, out of every In-Use answer, never forgotten; and its return."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from support.plain_reader import Key, Line, digest_hex, opened
from support.scenario_writer import publish, publish_overlap, record
from support.x509_builders import REAL

from scenarios.operator import Operator, call
from smki_sync.model.report import Outcome

DAY = timedelta(days=1)
FIRST = date(2026, 3, 2)
SECOND = FIRST + 14 * DAY
THIRD = SECOND + 14 * DAY

LISTED, LEAVING, NOT_IN_USE, EXPIRED, REVOKED, PENDING = REAL[:6]
OTHERS = {NOT_IN_USE: "N", EXPIRED: "E", REVOKED: "R", PENDING: "P"}


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """A full that lists six, a delta after it that ends three of them, and then a long gap."""
    operator = Operator(tmp_path / "mirror", tmp_path / "files")
    publish(operator.files, "FULL", FIRST, [record(der) for der in REAL[:5]])
    changed = [record(der, status) for der, status in OTHERS.items()]
    publish_overlap(operator.files, FIRST)
    publish(operator.files, "DELT", FIRST + DAY, changed)
    assert operator.sync(FIRST + DAY).outcome is Outcome.CURRENT
    return operator


def key_of(operator: Operator, der: bytes) -> Key:
    (key,) = (key for key, row in operator.held().rows.items() if row.der == der)
    return key


def lines_of(operator: Operator, der: bytes) -> list[Line]:
    key = key_of(operator, der)
    return [line for line in operator.held().journal if line.key == key]


def resync(operator: Operator, day: date, *listed: bytes) -> None:
    """A new full, and the run that takes it."""
    for path in operator.files.iterdir():
        path.unlink()
    publish(operator.files, "FULL", day, [record(der) for der in listed])
    publish_overlap(operator.files, day)
    assert operator.sync(day).outcome is Outcome.CURRENT


def test_a_certificate_that_a_newer_full_does_not_list_is_withdrawn_and_stays_queryable(
    operator: Operator,
) -> None:
    resync(operator, SECOND, LISTED)
    held = operator.held()
    row = held.rows[key_of(operator, LEAVING)]
    assert (row.in_use, row.withdrawn, row.status) == (False, SECOND.isoformat(), "I")
    assert row.first_seen == FIRST.isoformat()
    assert held.in_use() == {LISTED}
    with opened(operator.mirror) as db:
        sql = "SELECT last_changed, file FROM certificates WHERE der = ?"
        assert db.execute(sql, (LEAVING,)).fetchone() == (
            SECOND.isoformat(),
            f"SMKIKR_FULL_{SECOND}.xml.gz",
        )
    (line,) = lines_of(operator, LEAVING)
    assert (line.date, line.change, line.before, line.after) == (SECOND.isoformat(), "withdrawn", "I", None)


def test_a_withdrawn_certificate_is_shown_only_to_who_asks_for_any_status(operator: Operator) -> None:
    resync(operator, SECOND, LISTED)
    identity = f"serial:{key_of(operator, LEAVING)[1]}"
    code, said = call("show", identity, "--mirror", operator.mirror)
    assert (code, said["certificates"]) == (10, [])
    code, said = call("show", identity, "--any-status", "--mirror", operator.mirror)
    assert code == 0
    (shown,) = said["certificates"]
    assert (shown["in_use"], shown["withdrawn"], shown["status"]) == (False, SECOND.isoformat(), "I")


def test_what_was_not_in_use_is_not_withdrawn_by_a_full_that_does_not_list_it(operator: Operator) -> None:
    before = operator.held()
    resync(operator, SECOND, LISTED)
    after = operator.held()
    for der, status in OTHERS.items():
        key = key_of(operator, der)
        assert after.rows[key] == before.rows[key]
        assert (after.rows[key].status, after.rows[key].withdrawn) == (status, None)
    assert after.journal[len(before.journal) :] == tuple(lines_of(operator, LEAVING))


def test_a_withdrawn_certificate_that_a_full_lists_again_is_reinstated(operator: Operator) -> None:
    resync(operator, SECOND, LISTED)
    resync(operator, THIRD, LISTED, LEAVING)
    row = operator.held().rows[key_of(operator, LEAVING)]
    assert (row.in_use, row.withdrawn, row.first_seen) == (True, None, FIRST.isoformat())
    assert operator.held().in_use() == {LISTED, LEAVING}
    changes = [(line.date, line.change) for line in lines_of(operator, LEAVING)]
    assert changes == [(SECOND.isoformat(), "withdrawn"), (THIRD.isoformat(), "reinstated")]


def test_a_withdrawn_certificate_that_a_delta_lists_again_is_reinstated(operator: Operator) -> None:
    resync(operator, SECOND, LISTED)
    publish(operator.files, "DELT", SECOND + DAY, [record(LEAVING)])
    report = operator.sync(SECOND + DAY)
    assert report.counts.digest == digest_hex({LISTED, LEAVING})
    assert [line.change for line in lines_of(operator, LEAVING)] == ["withdrawn", "reinstated"]


def test_a_withdrawn_certificate_whose_end_a_delta_tells_is_no_longer_withdrawn(operator: Operator) -> None:
    resync(operator, SECOND, LISTED)
    publish(operator.files, "DELT", SECOND + DAY, [record(LEAVING, "N")])
    operator.sync(SECOND + DAY)
    row = operator.held().rows[key_of(operator, LEAVING)]
    assert (row.in_use, row.withdrawn, row.status) == (False, None, "N")
    assert operator.held().in_use() == {LISTED}


def test_withdrawn_stays_withdrawn_with_its_first_date_through_a_second_full(operator: Operator) -> None:
    resync(operator, SECOND, LISTED)
    before = operator.held().rows
    resync(operator, THIRD, LISTED)
    assert operator.held().rows == before
    assert len(lines_of(operator, LEAVING)) == 1
