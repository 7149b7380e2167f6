"""`show --as-of` and `check --as-of`: the state on a past day, with evidence."""

import json
from datetime import date
from pathlib import Path

import pytest
from support.cli import Ran, Shell
from support.list_builders import SINCE, arrival
from support.mirror_builders import (
    build,
    clock_on,
    delta,
    entry,
    eui_of,
    november,
    serial_of,
)
from support.party import shell

from smki_sync.lookup.as_of import PastMirror
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import SerialIs, find_certificates, open_mirror
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Entry, Kind, Usage

TODAY = date(2026, 11, 20)
ALWAYS, ENDED, RETURNED, LATE, NEW, LISTED, EARLY = range(1, 8)
"""1: no change. 2: In-Use until 11 November. 3: not In-Use from 10 to 11. 4: a late delta of 11, applied on
13, ends it. 5: added on 12. 6: a list of 15 revokes it. 7: valid from 2030."""
DAY = 86_400


def on(day: int, *records: Entry, applied: int | None = None) -> tuple[int, tuple[Entry, ...], int]:
    return day, records, applied or day


HISTORY = (
    on(10, entry(RETURNED, "N")),
    on(11, entry(LATE, "R"), applied=13),
    on(12, entry(ENDED, "N"), entry(RETURNED), entry(NEW), applied=13),
)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A mirror since 9 November, with the changes above; today is 20 November."""
    place = tmp_path_factory.mktemp("past")
    directory = MirrorDirectory(place / "mirror")
    directory.prepare()
    generation = directory.next_generation()
    first = entry(EARLY)
    later = first._replace(facts=first.facts._replace(not_before=1_900_000_000))
    supplier = entry(LISTED, kind=Kind.ORGANISATION, role=2)
    build(generation, [*(entry(n) for n in (ALWAYS, ENDED, RETURNED, LATE)), supplier, later])
    with MirrorStore(generation) as store:
        for day, records, applied in HISTORY:
            store.apply_delta(delta(november(day)), records, clock=clock_on(november(applied)))
        issued = SINCE + (november(15) - date(2025, 11, 21)).days * DAY
        store.apply_list(arrival(LISTED, since=issued, next_update=None), day=november(16))
    directory.publish(generation)
    return shell(place, TODAY.isoformat())


def show(ask: Shell, device: int, day: int, *words: str) -> Ran:
    return ask("show", f"serial:{serial_of(device)}", "--as-of", november(day).isoformat(), "--json", *words)


@pytest.mark.parametrize(
    ("device", "usable_days"),
    [
        (ALWAYS, (9, 10, 11, 12)),
        (ENDED, (9, 10, 11)),
        (RETURNED, (9, 12)),
        (LATE, (9, 10)),
        (NEW, (12,)),
        (EARLY, ()),
    ],
)
def test_certificate_was_usable_on_exactly_these_days(
    ask: Shell, device: int, usable_days: tuple[int, ...]
) -> None:
    for day in (9, 10, 11, 12):
        ran = show(ask, device, day)
        (found,) = ran.document["certificates"]
        assert (ran.code, found["usable"]) == ((0, True) if day in usable_days else (10, False)), day
        assert ran.document["outcome"] == ("usable" if day in usable_days else "not-usable")
        assert bool(found["why"]) != found["usable"]


def test_evidence_names_the_file_that_said_so(ask: Shell) -> None:
    document = show(ask, ENDED, 12).document
    (found,) = document["certificates"]
    assert (found["status"], found["in_use"], found["usable"]) == ("N", False, False)
    stated = found["stated_by"]
    assert stated["file"] == "SMKIKR_DELT_2026-11-12.xml.gz"
    assert len(stated["sha256"]) == 64
    assert stated["applied"] == "2026-11-13T07:30:00Z"
    assert (document["as_of"], document["until"]) == ("2026-11-12", "2026-11-12T23:59:59Z")
    assert (document["schema"], document["journal_from"]) == ("smki-sync/evidence/1", "2026-11-10")


def test_state_before_the_first_change_is_that_of_the_full(ask: Shell) -> None:
    (found,) = show(ask, ENDED, 11).document["certificates"]
    assert found["stated_by"]["file"] == "SMKIKR_FULL_2026-11-09.xml.gz"
    assert [(line["date"], line["from"], line["to"]) for line in found["since"]] == [("2026-11-12", "I", "N")]
    assert found["recorded"] is None


def test_late_file_counts_for_its_day_and_the_difference_is_named(ask: Shell) -> None:
    (found,) = show(ask, LATE, 12).document["certificates"]
    assert (found["status"], found["usable"]) == ("R", False)
    assert found["recorded"] == {"state": "In use (I)", "in_use": True}
    (found,) = show(ask, LATE, 10).document["certificates"]
    assert (found["usable"], found["recorded"]) == (True, None)


def test_certificate_that_was_not_listed_yet_says_so(ask: Shell) -> None:
    (found,) = show(ask, NEW, 11).document["certificates"]
    assert (found["status"], found["why"]) == (None, "No file up to that day lists it.")


def test_list_revokes_from_the_day_of_its_issue(ask: Shell) -> None:
    with open_mirror(ask.place / "mirror" / "mirror.db") as db:
        past = PastMirror(db, november(12))
        (c,) = find_certificates(db, SerialIs(serials=(serial_of(LISTED),)), past.rule, any_status=True)
        assert past.answer(c).usable
        answers = {day: PastMirror(db, november(day)).answer(c) for day in (14, 15, 16)}
    assert [one.usable for one in answers.values()] == [True, False, False]
    assert answers[15].state.revoked
    assert "CRL.gz number 1" in answers[15].why


@pytest.mark.parametrize(("day", "words"), [(8, "only to 2026-11-09"), (14, "position is 2026-11-12")])
def test_day_that_the_journal_does_not_cover_exits_10(ask: Shell, day: int, words: str) -> None:
    ran = show(ask, ALWAYS, day)
    assert (ran.code, ran.document["outcome"]) == (10, "not-covered")
    assert words in ran.document["gap"]
    assert ran.document["certificates"] == []
    assert words in ask("show", eui_of(ALWAYS), "--as-of", november(day).isoformat()).err


def test_text_shows_the_evidence(ask: Shell) -> None:
    ran = ask("show", eui_of(LATE), "--as-of", "2026-11-12")
    said = " ".join(ran.out.split())
    assert "NOT usable: Status Revoked (R) since 2026-11-11. (end of 2026-11-12, UTC)" in said
    assert "this mirror had recorded: In use (I)" in said
    assert "SMKIKR_DELT_2026-11-11.xml.gz" in said


@pytest.mark.parametrize(
    "words",
    [
        ("--as-of", TODAY.isoformat()),
        ("--as-of", "October"),
        ("--as-of", "2026-11-10", "--pem"),
        ("--as-of", "2026-11-10", "--explain"),
    ],
)
def test_day_that_cannot_be_answered_is_a_usage_error(ask: Shell, words: tuple[str, ...]) -> None:
    assert ask("show", eui_of(ALWAYS), *words).code == 2


def checked(ask: Shell, day: int) -> Ran:
    devices = "\n".join(eui_of(n) for n in (ALWAYS, ENDED, RETURNED, LATE, NEW))
    Path(ask.place, "devices.txt").write_text(devices)
    when = november(day).isoformat()
    return ask("check", "devices.txt", "--need", Usage.DIGITAL_SIGNING, "--as-of", when, "--format", "jsonl")


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (9, ["ready", "ready", "ready", "ready", "unknown"]),
        (11, ["ready", "ready", "not-in-use", "revoked", "unknown"]),
        (12, ["ready", "not-in-use", "ready", "revoked", "ready"]),
    ],
)
def test_check_answers_for_a_past_day(ask: Shell, day: int, expected: list[str]) -> None:
    ran = checked(ask, day)
    assert [json.loads(line)["verdict"] for line in ran.out.splitlines()] == expected
    assert ran.code == 10


def test_check_of_a_day_that_is_not_covered_exits_10(ask: Shell) -> None:
    ran = checked(ask, 1)
    assert (ran.code, ran.out) == (10, "")
    assert "only to 2026-11-09" in ran.err
    document = ask("check", "devices.txt", "--as-of", "2026-11-01", "--json").document
    assert (document["outcome"], document["answers"]) == ("not-covered", 0)
    assert ask("check", "devices.txt", "--as-of", "2026-11-10", "--at", "2026-11-10").code == 2
