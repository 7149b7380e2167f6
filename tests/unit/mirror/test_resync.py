"""A new generation over an old one: what is carried on, what is withdrawn, what the journal says of it."""

from base64 import b64decode
from pathlib import Path

import pytest
from support.mirror_builders import (
    ISSUER,
    NOW,
    OTHER_ISSUER,
    apply,
    ask,
    build,
    clock,
    delta,
    der_of,
    digest_anew,
    dump,
    entry,
    failing_after,
    full,
    held_digest,
    journal,
    november,
    rejected,
    serial_of,
    statuses,
)

from smki_sync.errors import BadExtract, MirrorDamaged
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import RejectReason
from smki_sync.model.report import ChangeCounts

NEWER = november(16)
NEWER_DAY = "2026-11-16"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """1 to 3 in use since the 9th; on the 10th 3 leaves, 4 comes, a record is put aside."""
    path = tmp_path / "000001.db"
    build(path, [entry(1), entry(2), entry(3)])
    apply(path, november(10), [entry(3, "N"), entry(4, issuer=OTHER_ISSUER), rejected(3)])
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "000002.db"


def seen(path: Path, n: int) -> tuple[str, str, str]:
    """Since when certificate ``n`` is known, when it last changed, and in which file."""
    (row,) = ask(
        path, "SELECT first_seen, last_changed, file FROM certificates WHERE serial = ?", serial_of(n)
    )
    return row[0], row[1], row[2]


def test_what_a_newer_full_no_longer_lists_is_withdrawn_and_stays(old: Path, new: Path) -> None:
    counts = build(new, [entry(1), entry(4, issuer=OTHER_ISSUER)], day=NEWER, old=old)
    assert counts == ChangeCounts(records=2, unchanged=2, withdrawn=1)
    gone = ask(new, "SELECT status, in_use, withdrawn FROM certificates WHERE serial = ?", serial_of(2))
    assert gone == [("I", 0, NEWER_DAY)]
    assert journal(new)[-1] == (NEWER_DAY, "withdrawn", serial_of(2), "I", None)
    assert seen(new, 2) == ("2026-11-09", NEWER_DAY, "SMKIKR_FULL_2026-11-16.xml.gz")
    assert held_digest(new) == digest_anew(new)


def test_what_was_not_in_use_keeps_its_status_though_no_full_lists_it(old: Path, new: Path) -> None:
    build(new, [entry(1)], day=NEWER, old=old)
    assert statuses(new)[serial_of(3)] == "N"
    assert seen(new, 3) == ("2026-11-09", "2026-11-10", "SMKIKR_DELT_2026-11-10.xml.gz")


def test_what_did_not_change_keeps_its_dates_and_its_file(old: Path, new: Path) -> None:
    build(new, [entry(1), entry(2), entry(4, issuer=OTHER_ISSUER)], day=NEWER, old=old)
    assert seen(new, 1) == ("2026-11-09", "2026-11-09", "SMKIKR_FULL_2026-11-09.xml.gz")
    assert seen(new, 4) == ("2026-11-10", "2026-11-10", "SMKIKR_DELT_2026-11-10.xml.gz")


def test_other_claims_in_a_newer_full_are_a_change_of_its_date(old: Path, new: Path) -> None:
    counts = build(new, [entry(1, manufacturing=True), entry(2)], day=NEWER, old=old)
    assert (counts.updated, counts.unchanged) == (1, 1)
    assert seen(new, 1) == ("2026-11-09", NEWER_DAY, "SMKIKR_FULL_2026-11-16.xml.gz")


def test_a_changed_status_in_a_newer_full_is_journaled_once(old: Path, new: Path) -> None:
    before = journal(old)
    counts = build(new, [entry(1), entry(2), entry(3), entry(4, issuer=OTHER_ISSUER)], day=NEWER, old=old)
    assert counts == ChangeCounts(records=4, updated=1, unchanged=3)
    assert journal(new) == [*before, (NEWER_DAY, "status", serial_of(3), "N", "I")]
    assert seen(new, 3)[:2] == ("2026-11-09", NEWER_DAY)


def test_what_only_a_newer_full_brings_is_journaled_as_added(old: Path, new: Path) -> None:
    counts = build(new, [entry(1), entry(2), entry(5)], day=NEWER, old=old)
    assert counts == ChangeCounts(records=3, inserted=1, unchanged=2, withdrawn=1)
    added = [line for line in journal(new) if line[0] == NEWER_DAY and line[1] == "added"]
    assert added == [(NEWER_DAY, "added", serial_of(5), None, "I")]


def test_a_resync_that_finds_nothing_new_adds_nothing_to_the_journal(old: Path, new: Path) -> None:
    build(new, [entry(1), entry(2), entry(4, issuer=OTHER_ISSUER)], day=NEWER, old=old)
    assert journal(new) == journal(old)


def test_a_withdrawn_certificate_that_a_full_lists_again_is_reinstated(
    old: Path, new: Path, tmp_path: Path
) -> None:
    build(new, [entry(1)], day=NEWER, old=old)
    third = tmp_path / "000003.db"
    counts = build(third, [entry(1), entry(2)], day=november(23), old=new)
    assert (counts.updated, counts.withdrawn) == (1, 0)
    assert journal(third)[-1] == ("2026-11-23", "reinstated", serial_of(2), None, "I")
    assert statuses(third)[serial_of(2)] == "I"
    assert seen(third, 2)[:2] == ("2026-11-09", "2026-11-23")


def test_a_withdrawn_certificate_that_a_delta_names_again_is_reinstated(old: Path, new: Path) -> None:
    build(new, [entry(1)], day=NEWER, old=old)
    assert apply(new, november(17), [entry(2)]) == ChangeCounts(records=1, updated=1)
    assert journal(new)[-1] == ("2026-11-17", "reinstated", serial_of(2), None, "I")
    assert held_digest(new) == digest_anew(new)
    _check_census(new)


def test_a_withdrawn_certificate_that_gets_a_status_is_no_longer_withdrawn(old: Path, new: Path) -> None:
    build(new, [entry(1)], day=NEWER, old=old)
    assert apply(new, november(17), [entry(2, "E")]) == ChangeCounts(records=1, updated=1)
    assert statuses(new)[serial_of(2)] == "E"
    assert ask(new, "SELECT in_use, withdrawn FROM certificates WHERE status = 'E'") == [(0, None)]
    assert journal(new)[-1] == ("2026-11-17", "status", serial_of(2), None, "E")
    assert held_digest(new) == digest_anew(new)
    _check_census(new)


def test_a_certificate_stays_withdrawn_since_the_full_that_first_missed_it(
    old: Path, new: Path, tmp_path: Path
) -> None:
    build(new, [entry(1)], day=NEWER, old=old)
    third = tmp_path / "000003.db"
    assert build(third, [entry(1)], day=november(23), old=new).withdrawn == 0
    assert seen(third, 2) == ("2026-11-09", NEWER_DAY, "SMKIKR_FULL_2026-11-16.xml.gz")
    assert ask(third, "SELECT withdrawn FROM certificates WHERE serial = ?", serial_of(2)) == [(NEWER_DAY,)]
    assert journal(third) == journal(new)


def test_ledger_journal_and_quarantine_are_carried_on(old: Path, new: Path) -> None:
    build(new, [entry(1), entry(5)], day=NEWER, old=old)
    for table in ("extract", "quarantine", "change"):
        before = ask(old, f"SELECT * FROM {table} ORDER BY 1")
        assert before
        assert ask(new, f"SELECT * FROM {table} ORDER BY 1")[: len(before)] == before
    sequences = [n for (n,) in ask(new, "SELECT sequence FROM changes ORDER BY 1")]
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_journal_that_has_no_line_yet_is_begun_by_the_resync(tmp_path: Path, new: Path) -> None:
    first = tmp_path / "000001.db"
    build(first, [entry(1)])
    build(new, [entry(1), entry(2)], day=NEWER, old=first)
    assert ask(new, "SELECT sequence, change FROM changes") == [(1, "added")]


def test_issuers_keep_their_ids_whatever_the_order_in_the_full(old: Path, new: Path) -> None:
    build(new, [entry(9, issuer="CN=new"), entry(4, issuer=OTHER_ISSUER), entry(1)], day=NEWER, old=old)
    assert ask(new, "SELECT id, name FROM issuer ORDER BY id") == [
        (1, ISSUER),
        (2, OTHER_ISSUER),
        (3, "CN=new"),
    ]


def test_the_quarantine_of_before_the_full_no_longer_asks_for_attention(old: Path, new: Path) -> None:
    with MirrorStore(old) as store:
        assert store.counts().quarantined == 1
    build(new, [entry(1)], day=NEWER, old=old)
    with MirrorStore(new) as store:
        assert store.counts().quarantined == 0
    assert ask(new, "SELECT count(*) FROM quarantine") == [(1,)]


def test_a_full_settles_what_was_seen_of_changed_deltas(old: Path, new: Path) -> None:
    with MirrorStore(old) as store:
        store.note_incidents({delta(november(10)).extract.key: None}, NOW)
    build(new, [entry(1)], day=NEWER, old=old)
    assert ask(new, "SELECT * FROM incident") == []


def test_applied_files_begin_with_the_newest_full(old: Path, new: Path) -> None:
    build(new, [entry(1)], day=NEWER, old=old, overlap=[(NEWER, [])])
    with MirrorStore(new) as store:
        assert store.position().applied == (full(NEWER), *(delta(november(day)) for day in (14, 15, 16)))
        assert store.position().day == NEWER


def test_another_body_in_a_full_goes_to_the_quarantine_and_replaces_none(old: Path, new: Path) -> None:
    counts = build(new, [entry(1, body=b"another"), entry(2)], day=NEWER, old=old)
    assert counts == ChangeCounts(records=2, unchanged=1, quarantined=1, withdrawn=1)
    assert ask(new, "SELECT der, in_use FROM certificates WHERE serial = ?", serial_of(1)) == [(der_of(1), 1)]
    ((xml,),) = ask(new, "SELECT xml FROM quarantine WHERE reason = 'identity-conflict'")
    assert _body_of(xml) == b"another"
    assert seen(new, 1) == ("2026-11-09", "2026-11-09", "SMKIKR_FULL_2026-11-09.xml.gz")
    assert held_digest(new) == digest_anew(new)


@pytest.mark.parametrize("held_first", [True, False])
def test_held_body_stays_when_a_full_lists_another_one_too(old: Path, new: Path, held_first: bool) -> None:
    both = [entry(1), entry(1, body=b"another", number=2)]
    counts = build(new, both if held_first else both[::-1], day=NEWER, old=old)
    assert ask(new, "SELECT der FROM certificates WHERE serial = ?", serial_of(1)) == [(der_of(1),)]
    kept = {_body_of(x) for (x,) in ask(new, "SELECT xml FROM quarantine WHERE reason = 'identity-conflict'")}
    assert kept == {b"another"}
    assert counts.quarantined == 1
    assert held_digest(new) == digest_anew(new)


def test_unreadable_record_of_a_full_protects_its_certificate(old: Path, new: Path) -> None:
    unreadable = rejected(2, RejectReason.STATUS_UNKNOWN)._replace(serial=serial_of(2), issuer=ISSUER)
    counts = build(new, [entry(1), unreadable], day=NEWER, old=old)
    assert counts.withdrawn == 1
    assert statuses(new) == {
        serial_of(1): "I",
        serial_of(2): "I",
        serial_of(3): "N",
        serial_of(4): "withdrawn",
    }
    assert ask(new, "SELECT unproven_since, until_full FROM mirror") == [(None, 0)]


def test_full_with_an_unknown_record_withdraws_nothing(old: Path, new: Path) -> None:
    counts = build(new, [entry(1), rejected(2)], day=NEWER, old=old)
    assert counts.withdrawn == 0
    assert statuses(new)[serial_of(2)] == statuses(new)[serial_of(4)] == "I"
    assert ask(new, "SELECT unproven_since, missing, until_full FROM mirror") == [(NEWER_DAY, "", 1)]
    assert ask(new, "SELECT serial FROM certificates WHERE unproven ORDER BY 1") == [
        (serial_of(2),),
        (serial_of(4),),
    ]
    assert held_digest(new) == digest_anew(new)


def test_statement_of_the_overlap_survives_a_second_rebuild_without_its_delta(old: Path, new: Path) -> None:
    build(new, [entry(1), entry(2)], day=NEWER, old=old, overlap=[(NEWER, [entry(2, "R"), entry(5)])])
    third = new.with_name("000003.db")
    build(third, [entry(1), entry(2)], day=NEWER, old=new, bare=True)
    assert statuses(third) == statuses(new)
    assert ask(third, "SELECT position, unproven_since FROM mirror") == [(NEWER_DAY, None)]
    assert journal(third) == journal(new)
    assert held_digest(third) == digest_anew(third)


def test_confirmation_in_the_overlap_keeps_an_unlisted_certificate(old: Path, new: Path) -> None:
    apply(old, november(11), [])
    build(old.with_name("000002.db"), [entry(1), entry(2)], day=november(12), old=old, overlap=[])
    build(new.with_name("000003.db"), [entry(1)], day=NEWER, old=new, overlap=[(november(15), [entry(2)])])
    assert statuses(new.with_name("000003.db"))[serial_of(2)] == "I"


def test_a_known_certificate_twice_in_a_newer_full_stays_known(old: Path, new: Path) -> None:
    counts = build(new, [entry(1), entry(2), entry(1)], day=NEWER, old=old)
    assert counts == ChangeCounts(records=3, unchanged=3, withdrawn=1)
    assert seen(new, 1)[0] == "2026-11-09"
    assert held_digest(new) == digest_anew(new)
    _check_census(new)


def test_the_overlap_leaves_only_true_differences_in_the_journal(old: Path, new: Path) -> None:
    overlap = [
        (november(15), [entry(1, "N"), entry(2, "N"), entry(6), entry(3, "N")]),
        (NEWER, [entry(1, "I"), entry(6, "R")]),
    ]
    counts = build(
        new,
        [entry(1), entry(2), entry(4, issuer=OTHER_ISSUER), entry(3)],
        day=NEWER,
        old=old,
        overlap=overlap,
    )
    assert counts.withdrawn == 0
    assert journal(new)[len(journal(old)) :] == [
        ("2026-11-15", "status", serial_of(2), "I", "N"),
        (NEWER_DAY, "added", serial_of(6), None, "R"),
    ]
    assert statuses(new) == dict(zip(map(serial_of, (1, 2, 3, 4, 6)), "INNIR", strict=True))
    assert held_digest(new) == digest_anew(new)
    _check_census(new)


def test_what_only_the_overlap_names_keeps_since_when_it_is_known(old: Path, new: Path) -> None:
    known = [entry(1), entry(4, issuer=OTHER_ISSUER)]
    build(new, known, day=NEWER, old=old, overlap=[(NEWER, [entry(2, "R")])])
    assert journal(new)[-1] == (NEWER_DAY, "status", serial_of(2), "I", "R")
    assert seen(new, 2)[0] == "2026-11-09"


def test_an_overlap_that_repeats_what_is_held_changes_no_dates(old: Path, new: Path) -> None:
    build(new, [entry(1), entry(2)], day=NEWER, old=old, overlap=[(NEWER, [entry(3, "N")])])
    assert seen(new, 3)[:2] == ("2026-11-09", "2026-11-10")


def test_a_withdrawn_certificate_that_the_overlap_names_is_reinstated(
    old: Path, new: Path, tmp_path: Path
) -> None:
    build(new, [entry(1)], day=NEWER, old=old)
    third = tmp_path / "000003.db"
    build(third, [entry(1)], day=november(23), old=new, overlap=[(november(23), [entry(2)])])
    assert journal(third)[-1] == ("2026-11-23", "reinstated", serial_of(2), None, "I")


def test_another_body_in_the_overlap_than_the_one_held_goes_to_the_quarantine(old: Path, new: Path) -> None:
    build(new, [entry(1)], day=NEWER, old=old, overlap=[(NEWER, [entry(2, body=b"another")])])
    ((reasons,),) = ask(new, "SELECT count(*) FROM quarantine WHERE reason = 'identity-conflict'")
    assert reasons == 1


@pytest.mark.parametrize("k", range(4))
def test_a_bad_full_leaves_the_old_generation_as_it_was(old: Path, new: Path, k: int) -> None:
    before = dump(old)
    records = [entry(1), entry(5), entry(2, "N")]
    with pytest.raises(BadExtract):
        build(new, failing_after(records, k, BadExtract("gone bad")), day=NEWER, old=old)
    assert dump(old) == before
    assert not new.exists()


def test_a_resync_never_writes_to_the_old_generation(old: Path, new: Path) -> None:
    before = dump(old)
    build(new, [entry(1, "N"), entry(5)], day=NEWER, old=old, overlap=[(NEWER, [entry(2, "R")])])
    assert dump(old) == before


def test_an_old_generation_that_is_damaged_is_named_and_no_new_one_stays(tmp_path: Path, new: Path) -> None:
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"noise" * 1000)
    with pytest.raises(MirrorDamaged):
        GenerationBuilder(new, full=NEWER, old=noise, clock=clock, step=lambda _: None)
    assert [p.name for p in tmp_path.iterdir()] == ["noise.db"]


def _body_of(xml: bytes) -> bytes:
    return b64decode(xml.partition(b"<CertificateBody>")[2].partition(b"<")[0])


def _check_census(path: Path) -> None:
    with MirrorStore(path) as store:
        census = store.counts()
    word = "iif(withdrawn IS NULL, status, 'withdrawn')"
    assert dict(census.by_status) == dict(ask(path, f"SELECT {word}, count(*) FROM certificates GROUP BY 1"))
    assert census.in_use == ask(path, "SELECT count(*) FROM certificates WHERE in_use")[0][0]
