"""Filters: each alone and all together, as a stream, in the order of the mirror."""

from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest
from support.mirror_builders import OTHER_ISSUER, apply, ask, build, entry, eui_of, november, serial_of

from smki_sync.mirror import identity_queries
from smki_sync.mirror.connection import connect
from smki_sync.mirror.queries import (
    Certificate,
    CertificateFilter,
    EuiIs,
    StatusFilter,
    find,
    find_certificates,
    open_mirror,
    read_issuers,
)
from smki_sync.mirror.schema import NEVER_ENDS
from smki_sync.model.certificate import Kind, Usage
from smki_sync.usability import StaleLists, UsabilityRule

RULE = UsabilityRule(at="2026-11-22T00:00:00Z")

ENDS = 1_900_000_000
"""When the OCA certificate ends; the others do not expire."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """1, 2 devices; 3, 4 suppliers; 5 an OCA; 6 withdrawn; 7 expired since the 17th; 8 pending."""
    first, found = tmp_path / "000001.db", tmp_path / "000002.db"
    listed = [
        entry(1),
        entry(2, usage=Usage.KEY_AGREEMENT, issuer=OTHER_ISSUER),
        entry(3, kind=Kind.ORGANISATION, role=2, subject="OU=02"),
        entry(4, kind=Kind.ORGANISATION, role=3, usage=Usage.KEY_AGREEMENT, subject="OU=03"),
        entry(5, kind=Kind.OCA, role=7, usage=None, subject="OU=07", not_after=ENDS),
    ]
    build(first, [*listed, entry(6), entry(7)])
    build(found, [*listed, entry(7)], day=november(16), old=first)
    apply(found, november(17), [entry(7, "E"), entry(8, "P")])
    return found


def found(path: Path, wanted: CertificateFilter, limit: int | None = None) -> list[int]:
    with open_mirror(path) as db:
        return [int(c.serial, 16) - 0x1A00 for c in find(db, wanted, RULE, limit=limit)]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (CertificateFilter(), [1, 2, 3, 4, 5]),
        (CertificateFilter(any_status=True), [1, 2, 3, 4, 5, 7, 6, 8]),
        (CertificateFilter(kinds=(Kind.DEVICE,)), [1, 2]),
        (CertificateFilter(kinds=(Kind.ORGANISATION,)), [3, 4]),
        (CertificateFilter(kinds=(Kind.OCA, Kind.DCA)), [5]),
        (CertificateFilter(kinds=(Kind.OCA, Kind.DEVICE)), [1, 2, 5]),
        (CertificateFilter(standings=(StatusFilter.IN_USE,)), [1, 2, 3, 4, 5]),
        (CertificateFilter(standings=(StatusFilter.EXPIRED, StatusFilter.PENDING)), [7, 8]),
        (CertificateFilter(standings=(StatusFilter.WITHDRAWN,)), [6]),
        (CertificateFilter(standings=(StatusFilter.REVOKED,)), []),
        (CertificateFilter(usage=Usage.KEY_AGREEMENT), [2, 4]),
        (CertificateFilter(role=2), [3]),
        (CertificateFilter(issuer=OTHER_ISSUER), [2]),
        (CertificateFilter(issuer="e358"), [2]),
        (CertificateFilter(issuer="E35"), [1, 2, 3, 4, 5]),
        (CertificateFilter(issuer="E359"), []),
        (CertificateFilter(changed_since=november(17), any_status=True), [7, 8]),
        (CertificateFilter(changed_since=november(16), any_status=True), [7, 6, 8]),
        (CertificateFilter(ends_before=NEVER_ENDS), [5]),
        (CertificateFilter(ends_before=ENDS), []),
        (CertificateFilter(ends_before=253_402_300_799), [5]),
        (CertificateFilter(ends_before=253_402_300_800, kinds=(Kind.ORGANISATION,), role=3), [4]),
        (
            CertificateFilter(kinds=(Kind.ORGANISATION,), usage=Usage.DIGITAL_SIGNING, role=2, issuer="E357"),
            [3],
        ),
        (CertificateFilter(kinds=(Kind.DEVICE,), role=2), []),
    ],
    ids=repr,
)
def test_what_passes_every_filter_is_found(path: Path, wanted: CertificateFilter, numbers: list[int]) -> None:
    assert found(path, wanted) == numbers


def test_a_name_that_an_issuer_has_whole_is_not_taken_for_a_part(tmp_path: Path) -> None:
    longer = tmp_path / "000001.db"
    build(longer, [entry(1), entry(2, issuer="CN=E3571")])
    assert found(longer, CertificateFilter(issuer="CN=E357")) == [1]
    assert found(longer, CertificateFilter(issuer="cn=e357")) == [1, 2]


@pytest.mark.parametrize("kinds", [(), (Kind.ORGANISATION, Kind.OCA, Kind.DCA)], ids=["scan", "index"])
@pytest.mark.parametrize("limit", [None, 3])
def test_find_newest_first_sorts_as_the_rule_does(
    path: Path, kinds: tuple[Kind, ...], limit: int | None
) -> None:
    with closing(connect(path)) as db:
        db.execute("UPDATE certificate SET not_before = not_before + (id * 7919 % 11) * 86400 * 40")
        db.execute("UPDATE certificate SET not_after = 1762000000 WHERE id % 3 = 0")
    wanted = CertificateFilter(any_status=True, kinds=kinds)
    for rule in (RULE, RULE._replace(stale_lists=StaleLists.REFUSE)):
        with open_mirror(path) as db:
            stored = list(find(db, wanted, rule))
            found = list(find(db, wanted, rule, limit=limit, newest_first=True))
        assert [order(c) for c in found] == sorted(map(order, stored))[:limit]
        assert len({c.usable for c in stored}) == 2 or rule.stale_lists is StaleLists.REFUSE


def order(c: Certificate) -> tuple[bool, bool, float]:
    return (not c.usable, not c.in_use, -datetime.fromisoformat(c.not_before).timestamp())


def test_a_limit_ends_the_stream(path: Path) -> None:
    assert found(path, CertificateFilter(), limit=2) == [1, 2]


def test_slices_leave_no_row_out_and_say_how_far_they_are(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_queries, "ROWS", 3)
    told: list[tuple[int, int]] = []
    with open_mirror(path) as db:
        serials = [
            c.serial
            for c in find(db, CertificateFilter(any_status=True), RULE, progress=lambda *at: told.append(at))
        ]
    assert len(serials) == len(set(serials)) == 8
    assert told == [(3, 8), (6, 8), (8, 8)]


def test_nothing_is_read_beyond_the_slice_in_which_the_limit_is_reached(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_queries, "ROWS", 3)
    told: list[tuple[int, int]] = []
    with open_mirror(path) as db:
        assert (
            len(list(find(db, CertificateFilter(), RULE, limit=2, progress=lambda *at: told.append(at)))) == 2
        )
    assert told == []


@pytest.mark.parametrize(
    "wanted",
    [
        CertificateFilter(kinds=(Kind.ORGANISATION,)),
        CertificateFilter(kinds=(Kind.OCA, Kind.DCA)),
        CertificateFilter(role=2),
        CertificateFilter(ends_before=NEVER_ENDS),
    ],
    ids=repr,
)
def test_organisations_authorities_and_roles_are_found_without_reading_devices(
    path: Path, wanted: CertificateFilter
) -> None:
    told: list[tuple[int, int]] = []
    with open_mirror(path) as db:
        asked: list[str] = []

        def trace(_cursor: object, sql: str, _values: object) -> bool:
            asked.append(sql)
            return True

        db.exec_trace = trace
        values = list(find(db, wanted, RULE, progress=lambda *at: told.append(at)))
        db.exec_trace = None
        given = {"role": wanted.role, "ends": wanted.ends_before}
        given = {name: value for name, value in given.items() if f":{name}" in asked[-1]}
        steps = [row[-1] for row in db.execute(f"EXPLAIN QUERY PLAN {asked[-1]}", given)]
    assert values
    assert told == []
    assert not any(step.startswith("SCAN c") for step in steps), steps


def test_expiry_filter_reads_every_row_when_the_index_is_missing(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("DROP INDEX certificate_ends")
    assert found(path, CertificateFilter(ends_before=NEVER_ENDS)) == [5]


def test_lookup_compiles_no_statement_again_when_values_change(path: Path) -> None:
    events: list[dict[str, Any]] = []
    with open_mirror(path) as db:
        db.trace_v2(apsw.SQLITE_TRACE_PROFILE, events.append)
        for number in range(1, 6):
            find_certificates(db, EuiIs(eui=eui_of(number)), RULE, any_status=True)
        db.trace_v2(0)
    counts = [event["stmt_status"]["SQLITE_STMTSTATUS_REPREPARE"] for event in events]
    assert len(counts) >= 5
    assert not any(counts)


def test_the_issuers_are_named(path: Path) -> None:
    with open_mirror(path) as db:
        assert read_issuers(db) == ["CN=E357", "CN=E358"]


def test_a_mirror_of_every_kind_counts_as_sql_does(path: Path) -> None:
    (counted,) = ask(path, "SELECT count(*) FROM certificates WHERE in_use AND last_changed >= '2026-11-09'")
    assert len(found(path, CertificateFilter(changed_since=date(2026, 11, 9)))) == counted[0]
    assert serial_of(1) == "1A01"
