"""Each thing that an operator is told, when, and whether the mirror is current in spite of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from smki_sync.errors import BadExtract
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.integrity import CheckedPart, Damage
from smki_sync.model.extract import (
    Catalogue,
    Extract,
    ExtractKind,
    FileKey,
    UnrecognisedFile,
    UnrecognisedReason,
)
from smki_sync.model.plan import Action, AppliedFile, MirrorState, Plan, Policy, Position, Reason, Unproven
from smki_sync.model.report import CertificateCounts, NearLimit, Notice, NoticeCode, Outcome, SyncReport
from smki_sync.sources.base import Source
from smki_sync.sync import SyncJob
from smki_sync.sync.decision import Decision, MirrorSnapshot, UnusableFile
from smki_sync.sync.notices import ReadStatistics, RunFacts, collect_notices
from smki_sync.verify.inspector import Tally, Verification

TODAY = date(2026, 11, 20)
UP_TO_DATE = Plan(action=Action.NONE, reason=Reason.UP_TO_DATE)


def extract(day: date, kind: ExtractKind = ExtractKind.DELTA, size: int = 9) -> Extract:
    return Extract(kind=kind, day=day, name=f"{kind}-{day}.xml.gz", size=size)


def november(day: int) -> date:
    return date(2026, 11, day)


def standing_at(day: date, *applied: Extract) -> Position:
    files = tuple(AppliedFile(extract=x, size=x.size, sha256="0" * 64) for x in applied)
    return Position(day=day, full=day, applied=files)


CURRENT = standing_at(TODAY)


def test_listing_empty_is_reported_when_source_lists_nothing() -> None:
    (said,) = told(listing_empty=True)
    assert said.code is NoticeCode.LISTING_EMPTY
    assert said.message == "The listing is empty."
    assert "mounted" in said.hint


def told(
    *,
    plan: Plan = UP_TO_DATE,
    position: Position | None = CURRENT,
    catalogue: Catalogue = Catalogue(),  # noqa: B008  an immutable value
    census: CertificateCounts = CertificateCounts(),  # noqa: B008  an immutable value
    oddities: ReadStatistics | None = None,
    policy: Policy = Policy(),  # noqa: B008  an immutable value
    history_lost: bool = False,
    beside: tuple[Notice, ...] = (),
    listing_empty: bool = False,
    changed: Mapping[FileKey, str | None] = MappingProxyType({}),
    unusable: tuple[UnusableFile, ...] = (),
) -> tuple[Notice, ...]:
    """What is said at the end of a run that had these facts."""
    job = SyncJob(
        directory=MirrorDirectory(Path("/nowhere")),
        open_source=_no_source,
        today=TODAY,
        policy=policy,
    )
    held = MirrorSnapshot(state=MirrorState.HEALTHY, position=position)
    decision = Decision(
        held=held, catalogue=catalogue, plan=plan, listing_empty=listing_empty, changed=changed
    )
    facts = RunFacts(
        plan=plan,
        position=position,
        counts=census,
        statistics=oddities or ReadStatistics(),
        unusable=unusable,
        history_lost=history_lost,
        companions=beside,
    )
    return collect_notices(job, decision, facts)


def codes(found: tuple[Notice, ...]) -> list[NoticeCode]:
    return [attention.code for attention in found]


def stranger(name: str, why: UnrecognisedReason, day: date | None = None) -> Catalogue:
    return Catalogue(strangers=(UnrecognisedFile(name=name, why=why, day=day),))


def test_a_mirror_at_today_has_nothing_to_say() -> None:
    assert told() == ()


BEHIND = {
    NoticeCode.BLOCKED,
    NoticeCode.LISTING_EMPTY,
    NoticeCode.SOURCE_UNREACHED,
    NoticeCode.DELTAS_MISSING,
    NoticeCode.REPOSITORY_LATE,
    NoticeCode.RECORDS_QUARANTINED,
    NoticeCode.EMPTY_FILE,
    NoticeCode.UNPROVEN,
    NoticeCode.POSITION_AHEAD,
    NoticeCode.DRIFT,
    NoticeCode.RECONCILIATION_UNKNOWN,
    NoticeCode.NOT_ARCHIVED,
    NoticeCode.RESTORED_TO_DATE,
    NoticeCode.OTHER_DIGEST,
    NoticeCode.CHAINS_BROKEN,
    NoticeCode.VERIFICATION_FAILED,
    NoticeCode.COMPANION_NOT_FETCHED,
    NoticeCode.LIST_UNREADABLE,
    NoticeCode.LIST_SIGNER_UNKNOWN,
    NoticeCode.LIST_SIGNER_UNFIT,
    NoticeCode.LIST_NOT_ANCHORED,
    NoticeCode.LIST_SIGNATURE_FALSE,
    NoticeCode.LIST_OLDER,
    NoticeCode.LIST_STALE,
    NoticeCode.LIST_DATED_IN_FUTURE,
    NoticeCode.AUTHORITY_REVOKED,
    NoticeCode.ANCHOR_DIFFERS,
    NoticeCode.LIST_MISSING,
    NoticeCode.SLOTS_UNREADABLE,
    NoticeCode.SLOTS_DIFFER,
    NoticeCode.PARTY,
}
"""Codes of runs after which the mirror is behind."""

UNSOUND = Verification(
    at=datetime(2026, 11, 20, tzinfo=UTC),
    position=TODAY,
    anchors=0,
    sample=None,
    any_status=False,
    tally=Tally(),
    damages=(Damage(aspect=CheckedPart.DIGEST, detail="another"),),
)

OF_SEVERAL_SOURCES = {NoticeCode.SOURCE_UNREACHED, NoticeCode.FALLBACK_UNREACHED}
OF_A_WEEK = {
    NoticeCode.DRIFT,
    NoticeCode.DRIFT_REPAIRED,
    NoticeCode.NOT_RECONCILED,
    NoticeCode.RECONCILIATION_UNKNOWN,
}
OF_A_PARTY = {NoticeCode.PARTY}
OF_A_RESTORE = {NoticeCode.RESTORED_TO_DATE, NoticeCode.OTHER_DIGEST, NoticeCode.CHAINS_BROKEN}

BESIDE = [
    NoticeCode.NOT_ARCHIVED,
    *(
        code
        for code in NoticeCode
        if code.startswith(("list-", "no-lists", "authority-", "anchor-"))
        or "slots" in code
        or "companion" in code
    ),
]
"""Notices of the archive, lists and anchor slots; ``unit/recovery`` and ``unit/trust`` show when."""


@pytest.mark.parametrize("code", NoticeCode)
def test_only_what_touches_completeness_keeps_a_run_from_being_current(code: NoticeCode) -> None:
    report = SyncReport(plan=UP_TO_DATE, position=TODAY, attention=(Notice(code=code, message="m"),))
    assert report.outcome is (Outcome.BEHIND if code in BEHIND else Outcome.CURRENT)
    assert code.is_note == (code not in BEHIND)


@pytest.mark.parametrize(
    "reason", [Reason.NO_FULL_AVAILABLE, Reason.FULL_TOO_OLD, Reason.WAITING_FOR_AGREED_DAY]
)
def test_a_blocked_plan_is_told_with_its_reason(reason: Reason) -> None:
    (said,) = told(plan=Plan(action=Action.BLOCKED, reason=reason))
    assert said.code is NoticeCode.BLOCKED
    assert reason.words in said.message


def test_a_hole_is_told_by_the_dates_that_are_missing_and_not_twice() -> None:
    plan = Plan(action=Action.BLOCKED, reason=Reason.HOLE_IN_DELTAS, missing=(november(17), november(19)))
    (said,) = told(plan=plan)
    assert said.code is NoticeCode.DELTAS_MISSING
    assert "2026-11-17, 2026-11-19." in said.message


def test_of_many_missing_dates_a_few_are_named_and_the_rest_counted() -> None:
    missing = tuple(november(day) for day in range(10, 17))
    (said,) = told(plan=Plan(action=Action.BLOCKED, reason=Reason.HOLE_IN_DELTAS, missing=missing))
    assert "2026-11-14 and 2 more" in said.message
    assert "2026-11-15" not in said.message


def test_a_full_after_which_deltas_are_missing_says_so() -> None:
    plan = Plan(
        action=Action.FULL, reason=Reason.HOLE_IN_DELTAS, full=extract(TODAY), missing=(november(19),)
    )
    assert codes(told(plan=plan)) == [NoticeCode.DELTAS_MISSING]


@pytest.mark.parametrize(("ago", "late"), [(0, 0), (1, 0), (2, 1), (3, 2)])
def test_a_repository_is_late_after_the_days_that_the_policy_grants(ago: int, late: int) -> None:
    found = told(position=standing_at(TODAY - timedelta(days=ago)))
    assert codes(found) == [NoticeCode.REPOSITORY_LATE] * bool(late)
    if late:
        assert f"{late} day{'s' if late > 1 else ''} late" in found[0].message
        assert f"{TODAY - timedelta(days=ago)}" in found[0].message


def test_a_policy_that_grants_more_days_is_followed() -> None:
    assert told(position=standing_at(november(15)), policy=Policy(late_after_days=5)) == ()


def test_a_repository_without_any_extract_is_not_called_late() -> None:
    plan = Plan(action=Action.BLOCKED, reason=Reason.NO_FULL_AVAILABLE)
    assert codes(told(plan=plan, position=None)) == [NoticeCode.BLOCKED]


def test_an_extract_of_the_far_future_does_not_hide_that_the_repository_is_late() -> None:
    catalogue = Catalogue(fulls=(extract(date(2099, 1, 1), ExtractKind.FULL),))
    found = told(position=standing_at(november(10)), catalogue=catalogue)
    assert codes(found) == [NoticeCode.REPOSITORY_LATE, NoticeCode.DATED_IN_FUTURE]


def test_a_mirror_that_stays_behind_what_is_on_offer_is_not_called_current() -> None:
    """A full that no delta leads to is newer than the mirror, which the plan leaves where it is."""
    catalogue = Catalogue(fulls=(extract(TODAY, ExtractKind.FULL),))
    found = told(position=standing_at(november(14)), catalogue=catalogue)
    assert any(not attention.code.is_note for attention in found)


@pytest.mark.parametrize(("number", "words"), [(1, "1 record could"), (2, "2 records could")])
def test_what_stands_in_quarantine_is_counted(number: int, words: str) -> None:
    (said,) = told(census=CertificateCounts(quarantined=number))
    assert said.code is NoticeCode.RECORDS_QUARANTINED
    assert words in said.message


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (TODAY, [NoticeCode.STRANGE_NAMES]),
        (TODAY + timedelta(days=1), [NoticeCode.EMPTY_FILE, NoticeCode.STRANGE_NAMES]),
        (None, [NoticeCode.STRANGE_NAMES]),
    ],
    ids=["of a day that is held", "of a day that is not", "of no day"],
)
def test_an_empty_file_matters_if_the_mirror_lacks_its_day(
    day: date | None, expected: list[NoticeCode]
) -> None:
    assert codes(told(catalogue=stranger("delta.xml.gz", UnrecognisedReason.EMPTY, day))) == expected


def test_an_empty_file_matters_where_there_is_no_mirror() -> None:
    plan = Plan(action=Action.BLOCKED, reason=Reason.NO_FULL_AVAILABLE)
    found = told(
        plan=plan, position=None, catalogue=stranger("full.xml.gz", UnrecognisedReason.EMPTY, november(2))
    )
    assert codes(found) == [NoticeCode.BLOCKED, NoticeCode.EMPTY_FILE, NoticeCode.STRANGE_NAMES]


def test_unproven_mirror_is_reported_with_the_missing_dates() -> None:
    unproven = Unproven(since=november(15), missing=(november(14), november(15)))
    (said,) = told(census=CertificateCounts(unproven=unproven))
    assert (said.code, said.code.is_note) == (NoticeCode.UNPROVEN, False)
    assert "since 2026-11-15" in said.message
    assert "2026-11-14, 2026-11-15" in said.message


def test_unproven_mirror_without_missing_dates_waits_for_a_full() -> None:
    (said,) = told(census=CertificateCounts(unproven=Unproven(since=november(15))))
    assert "before the next full" in said.message


def test_changed_file_is_reported_with_both_hashes() -> None:
    held = extract(TODAY, ExtractKind.FULL)
    delta = extract(november(19))
    for file, code in ((held, NoticeCode.FULL_CHANGED), (delta, NoticeCode.DELTA_CHANGED)):
        (said,) = told(position=standing_at(TODAY, held, delta), changed={file.key: "ab" * 32})
        assert said.code is code
        assert file.name in said.message
        assert "0" * 64 in said.message
        assert "ab" * 32 in said.message
    (resized,) = told(position=standing_at(TODAY, held), changed={held.key: None})
    assert "of another size" in resized.message
    assert told(position=standing_at(TODAY, held), changed={delta.key: None}) == ()


def test_other_source_is_reported_as_one_thing_with_its_files() -> None:
    held, delta = extract(TODAY, ExtractKind.FULL), extract(november(19))
    plan = Plan(action=Action.FULL, reason=Reason.SOURCE_CHANGED, full=held)
    changed = {held.key: None, delta.key: None}
    found = told(plan=plan, position=standing_at(TODAY, held, delta), changed=changed)
    assert codes(found) == [NoticeCode.SOURCE_CHANGED, NoticeCode.DELTA_CHANGED, NoticeCode.FULL_CHANGED]


def test_unusable_delta_is_reported_with_its_hash_and_whom_to_contact() -> None:
    file = UnusableFile(extract=extract(TODAY), error=BadExtract("it is cut"), sha256="cd" * 32)
    (said,) = told(unusable=(file,))
    assert said.code is NoticeCode.DELTA_DAMAGED
    assert all(word in said.message for word in (file.extract.name, "cd" * 32, "it is cut"))
    assert "DCC" in said.hint


def test_odd_certificates_are_counted_in_notes() -> None:
    claims, strict = told(oddities=ReadStatistics(claims_differ=3, strict_parser_refuses=4))
    assert (claims.code, strict.code) == (NoticeCode.CLAIMS_DIFFER, NoticeCode.STRICT_PARSER_REFUSES)
    assert claims.message.startswith("3 ")
    assert "refuse 4 of" in strict.message


def test_of_files_that_came_near_a_limit_the_one_that_came_nearest_is_named() -> None:
    odd = ReadStatistics()
    for file, figure in (("one", 400), ("two", 455), ("three", 454)):
        odd.note_limit(file, NearLimit(key="records", figure=figure, limit=1000))
    odd.note_limit("one", NearLimit(key="levels of nested elements", figure=8, limit=16))
    records, depth = told(oddities=odd)
    assert records.code is NoticeCode.LIMIT_NEAR
    assert records.message == "two has 455 records. That is 46% of the limit of 1,000."
    assert "8 levels of nested elements" in depth.message


def test_extracts_ahead_of_the_clock_are_named_beside_what_the_clock_says() -> None:
    ahead = extract(TODAY + timedelta(days=2))
    (said,) = told(catalogue=Catalogue(deltas=(ahead,)))
    assert said.code is NoticeCode.DATED_IN_FUTURE
    assert ahead.name in said.message
    assert "2026-11-20" in said.hint


@pytest.mark.parametrize(("days", "is_reported"), [(1, False), (2, True), (26_000, True)])
def test_position_ahead_of_the_clock_is_reported_by_every_run(days: int, is_reported: bool) -> None:
    found = told(position=standing_at(TODAY + timedelta(days=days)))
    assert (NoticeCode.POSITION_AHEAD in codes(found)) == is_reported


def test_strangers_are_named_with_the_reason_why_each_is_left_alone() -> None:
    (said,) = told(catalogue=stranger("notes.txt", UnrecognisedReason.UNKNOWN))
    assert said.code is NoticeCode.STRANGE_NAMES
    assert "notes.txt (unknown-name)" in said.message


def test_what_keeps_the_mirror_from_being_current_stands_first() -> None:
    found = told(
        catalogue=stranger("notes.txt", UnrecognisedReason.UNKNOWN),
        oddities=ReadStatistics(claims_differ=1),
        census=CertificateCounts(quarantined=1),
        position=standing_at(november(10)),
    )
    assert [attention.code.is_note for attention in found] == [False, False, True, True]


ON_THE_COMMAND_LINE = {
    NoticeCode.FULL_OUTSIDE_AGREED,
    NoticeCode.METRICS_NOT_WRITTEN,
    NoticeCode.HOOK_FAILED,
}
"""Told of whole runs: tests/operations/test_aftermath.py."""


def test_every_code_of_the_vocabulary_can_be_told() -> None:
    held = extract(november(10), ExtractKind.FULL)
    catalogue = Catalogue(
        fulls=(extract(november(10), ExtractKind.FULL, 1),),
        deltas=(extract(date(2030, 1, 1)),),
        strangers=(UnrecognisedFile(name="e", why=UnrecognisedReason.EMPTY, day=november(19)),),
    )
    blocked = Plan(
        action=Action.BLOCKED,
        reason=Reason.FULL_TOO_OLD,
        missing=(november(11),),
        full=held,
    )
    odd = ReadStatistics(
        claims_differ=1, strict_parser_refuses=1, contradicted=1, unproven=1, verification=UNSOUND
    )
    odd.note_limit("f.xml.gz", NearLimit(key="records", figure=4, limit=10))
    found = told(
        history_lost=True,
        plan=blocked,
        position=standing_at(november(10), held, extract(november(9))),
        catalogue=catalogue,
        census=CertificateCounts(quarantined=1, unproven=Unproven(since=november(10))),
        oddities=odd,
        changed={held.key: None, extract(november(9)).key: None},
        unusable=(UnusableFile(extract=extract(TODAY), error=BadExtract("damaged")),),
        beside=tuple(Notice(code=code, message="m") for code in BESIDE),
        listing_empty=True,
    )
    assert (
        set(codes(found)) | {NoticeCode.SOURCE_CHANGED, NoticeCode.LINK_RESTORED, NoticeCode.POSITION_AHEAD}
        == {*NoticeCode} - OF_A_WEEK - OF_A_PARTY - OF_A_RESTORE - OF_SEVERAL_SOURCES - ON_THE_COMMAND_LINE
    )


def _no_source() -> Source:
    pytest.fail("nobody asks the source here")
