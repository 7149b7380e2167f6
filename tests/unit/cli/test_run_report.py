"""What a sync says: the JSON that scripts read, and the text that people read."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smki_sync.cli.exit_codes import Exit, failure, failure_text
from smki_sync.cli.run_report import document, sync_text
from smki_sync.errors import ConfigError, SourceRefused, SourceUnreachable
from smki_sync.model.extract import Extract, ExtractKind, ListKind, ListOutcome, ListState
from smki_sync.model.plan import Action, Plan, Reason
from smki_sync.model.report import (
    AppliedExtract,
    CertificateCounts,
    ChangeCounts,
    Notice,
    NoticeCode,
    SyncReport,
)
from smki_sync.text import COLUMNS, bytes_text, duration_text, visible

FULL_DAY = date(2026, 11, 15)
DIGEST = "3f" * 32
LATE = Notice(code=NoticeCode.REPOSITORY_LATE, message="nothing new since 2026-11-15", hint="ask the DCC")
ODD = Notice(code=NoticeCode.STRANGE_NAMES, message="1 file was left alone: READ\x1b[31mME")


def extract(kind: ExtractKind, day: date) -> Extract:
    word = "FULL" if kind is ExtractKind.FULL else "DELT"
    return Extract(kind=kind, day=day, name=f"SMKIKR_{word}_{day}.xml.gz", size=26_400_000_000)


def delta(days: int) -> Extract:
    return extract(ExtractKind.DELTA, FULL_DAY + timedelta(days=days))


PLAN = Plan(
    action=Action.FULL,
    reason=Reason.HOLE_IN_DELTAS,
    full=extract(ExtractKind.FULL, FULL_DAY),
    overlap=(delta(-1), delta(0)),
    deltas=(delta(1),),
    missing=(FULL_DAY + timedelta(days=2),),
    unproven=(FULL_DAY - timedelta(days=2),),
)

APPLIED = AppliedExtract(
    file=PLAN.extracts[0].name,
    kind=ExtractKind.FULL,
    counts=ChangeCounts(records=60, inserted=50, updated=3, unchanged=4, withdrawn=2, quarantined=1),
    bytes=12_345,
    sha256="ab" * 32,
    seconds=1.23456,
)


LIST = ListOutcome(
    file="CRL.gz",
    kind=ListKind.CRL,
    state=ListState.APPLIED,
    issuer="CN=OCA,OU=07",
    number=2**159,
    this_update=1_794_700_800,
    entries=3,
    revoked=2,
)


def report(*attention: Notice, dry_run: bool = False, plan: Plan = PLAN) -> SyncReport:
    return SyncReport(
        plan=plan,
        position=FULL_DAY + timedelta(days=1),
        applied=() if dry_run else (APPLIED,),
        counts=CertificateCounts(total=1_234_567, in_use=1_000_000, quarantined=1, digest=DIGEST),
        lists=() if dry_run else (LIST,),
        attention=attention,
        dry_run=dry_run,
    )


def test_the_document_is_the_promised_one() -> None:
    assert json.loads(json.dumps(document(report(LATE, ODD)))) == {
        "schema": "smki-sync/sync/1",
        "outcome": "behind",
        "dry_run": False,
        "plan": {
            "action": "full",
            "reason": "hole-in-deltas",
            "full": "SMKIKR_FULL_2026-11-15.xml.gz",
            "deltas": [f"SMKIKR_DELT_2026-11-{day}.xml.gz" for day in (14, 15, 16)],
            "overlap": [f"SMKIKR_DELT_2026-11-{day}.xml.gz" for day in (14, 15)],
            "missing": ["2026-11-17"],
            "uncovered": ["2026-11-13"],
            "sources": {},
        },
        "position": "2026-11-16",
        "applied": [
            {
                "file": "SMKIKR_FULL_2026-11-15.xml.gz",
                "kind": "full",
                "records": 60,
                "inserted": 50,
                "updated": 3,
                "unchanged": 4,
                "withdrawn": 2,
                "quarantined": 1,
                "bytes": 12345,
                "seconds": 1.235,
                "sha256": "ab" * 32,
            }
        ],
        "certificates": {"total": 1234567, "in_use": 1000000},
        "quarantined": 1,
        "unproven": None,
        "digest": DIGEST,
        "attention": [
            {
                "code": "repository-late",
                "level": "attention",
                "message": "nothing new since 2026-11-15",
                "hint": "ask the DCC",
            },
            {
                "code": "strange-names",
                "level": "note",
                "message": "1 file was left alone: READ\x1b[31mME",
                "hint": "",
            },
        ],
        "lists": [
            {
                "file": "CRL.gz",
                "kind": "crl",
                "state": "applied",
                "code": None,
                "issuer": "CN=OCA,OU=07",
                "number": str(2**159),
                "this_update": "2026-11-15T00:00:00Z",
                "next_update": None,
                "entries": 3,
                "revoked": 2,
                "unrevoked": 0,
            }
        ],
    }


def test_a_mirror_that_never_was_has_null_for_position_and_full() -> None:
    empty = SyncReport(plan=Plan(action=Action.BLOCKED, reason=Reason.NO_FULL_AVAILABLE), position=None)
    made = document(empty)
    assert made["position"] is None
    assert made["applied"] == []
    assert made["plan"] == {
        "action": "blocked",
        "reason": "no-full-available",
        "full": None,
        "deltas": [],
        "overlap": [],
        "missing": [],
        "uncovered": [],
        "sources": {},
    }


def test_a_note_leaves_the_outcome_current_and_an_attention_does_not() -> None:
    assert document(report(ODD))["outcome"] == "current"
    assert document(report(ODD, LATE))["outcome"] == "behind"


def test_a_dry_run_with_something_to_do_is_behind() -> None:
    idle = Plan(action=Action.NONE, reason=Reason.UP_TO_DATE)
    assert document(report(dry_run=True))["outcome"] == "behind"
    assert document(report(dry_run=True, plan=idle))["outcome"] == "current"


def test_restore_gives_the_same_document_under_its_own_schema() -> None:
    restored = document(report(), command="restore")
    assert restored == document(report()) | {"schema": "smki-sync/restore/1"}


def test_a_failure_carries_the_errors_own_word_its_exit_code_and_its_hint() -> None:
    error = SourceRefused("the host key has changed", hint="ask the DCC", code="host-key-changed")
    assert failure("sync", error, Exit.REFUSED) == {
        "schema": "smki-sync/sync/1",
        "outcome": "failed",
        "error": {
            "code": "host-key-changed",
            "exit": 5,
            "message": "the host key has changed",
            "hint": "ask the DCC",
        },
    }


def test_a_defect_and_an_interruption_are_documents_too() -> None:
    defect = failure("status", ZeroDivisionError("oops"), Exit.UNEXPECTED)
    assert defect["schema"] == "smki-sync/status/1"
    assert defect["error"] == {
        "code": "unexpected",
        "exit": 1,
        "message": "Internal error (bug): ZeroDivisionError: oops",
        "hint": "Report this error, with the output of the same command with --verbose.",
    }
    stopped = failure("sync", KeyboardInterrupt(), Exit.INTERRUPTED)["error"]
    assert isinstance(stopped, dict)
    assert (stopped["code"], stopped["exit"]) == ("interrupted", 130)


def test_people_are_told_what_happened_to_what_and_what_to_do() -> None:
    text = sync_text(report(LATE, ODD))
    assert text.splitlines()[0] == (
        "There is nothing new to apply: the Repository is late (position 2026-11-16)."
    )
    for part in (
        "50 new",
        "2 withdrawn",
        "2026-11-17",
        DIGEST,
        "ask the DCC",
    ):
        assert part in " ".join(text.split())
    assert "ATTENTION repository-late" in text
    assert "note strange-names" in text
    assert "note repository-late" not in text


def test_people_read_that_a_current_mirror_needs_nothing() -> None:
    text = sync_text(report())
    assert text.startswith("The mirror is up to date (position 2026-11-16).")
    assert "ATTENTION" not in text


@pytest.mark.parametrize("action", Action)
def test_a_dry_run_never_claims_to_have_done_anything(action: Action) -> None:
    text = sync_text(
        report(dry_run=True, plan=Plan(action=action, reason=Reason.REQUESTED, deltas=(delta(1),)))
    )
    assert text.startswith("Dry run: nothing was changed.")
    assert "would read    the delta of 2026-11-16; 26.4 GB in total" in text
    assert "applied" not in text


@given(st.text(max_size=300), st.text(max_size=300))
def test_text_for_people_fits_and_shows_nothing_that_a_terminal_would_obey(name: str, message: str) -> None:
    applied = AppliedExtract(
        file=name, kind=ExtractKind.DELTA, counts=ChangeCounts(), bytes=1, sha256="", seconds=0
    )
    note = Notice(code=NoticeCode.BLOCKED, message=message, hint=name)
    said = SyncReport(plan=PLAN, position=None, applied=(applied,), attention=(note,))
    texts = [
        sync_text(said),
        failure_text(SourceUnreachable(message, hint=name)),
        failure_text(ConfigError(message)),
    ]
    for line in "\n".join(texts).split("\n"):
        assert len(line) <= COLUMNS
        assert line.isprintable()


def test_a_line_end_from_outside_cannot_forge_a_line() -> None:
    text = failure_text(SourceUnreachable("no such file: a\nsmki-sync: all is well"))
    assert text == r"smki-sync: no such file: a\nsmki-sync: all is well"


def test_the_findings_of_a_configuration_stand_one_a_line() -> None:
    text = failure_text(ConfigError("two faults:\nfirst\nsecond", hint="mend them"))
    assert text.splitlines() == ["smki-sync: two faults:", "  first", "  second", "  mend them"]


def test_control_characters_are_made_visible_and_letters_are_left() -> None:
    assert visible("\x1b[2Jmü\u202e\udcff\r\n") == r"\x1b[2Jmü\u202e\udcff\r\n"


@given(st.text())
def test_visible_text_is_printable_and_visible_again_is_the_same(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (16_200_000_000, "16.2 GB"), (5e15, "5000.0 TB")],
)
def test_sizes_are_in_powers_of_a_thousand(count: float, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.41, "0.4 s"), (59.96, "1 min"), (60, "1 min"), (3599, "1 h 00 min"), (11_100, "3 h 05 min")],
)
def test_durations_are_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text
