"""Single hostile days, each written out: what a run must not do to a mirror that was good."""

from datetime import date, timedelta
from pathlib import Path

import pytest
from support.plain_reader import Key, by_extracts, in_use, opened, standings
from support.scenario_writer import publish, publish_overlap, record
from support.x509_builders import REAL

from scenarios.operator import Operator
from smki_sync.errors import BadExtract
from smki_sync.model.plan import Reason
from smki_sync.model.report import NoticeCode, Outcome
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository

START = date(2026, 3, 2)
DAY = timedelta(days=1)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Four days old: a full of the first day, and four deltas."""
    return Repository.create(tmp_path / "repository", devices=30, days=4, start=START, seed=5)


@pytest.fixture
def operator(tmp_path: Path, repository: Repository) -> Operator:
    return Operator(tmp_path / "mirror", repository.path)


def delta(repository: Repository, day: date) -> Path:
    return repository.path / f"SMKIKR_DELT_{day}.xml.gz"


def test_a_changed_delta_that_is_damaged_too_leaves_the_mirror_where_it_was(
    repository: Repository, operator: Operator
) -> None:
    """The full is older than the position: what starts from it must not be shown before it is back."""
    operator.sync(repository.today)
    before = operator.held()
    changed = delta(repository, START + 2 * DAY)
    changed.write_bytes(changed.read_bytes()[:-9])
    with pytest.raises(BadExtract):
        operator.sync(repository.today)
    assert operator.held() == before


def test_a_full_that_was_asked_for_never_shows_an_older_state(
    repository: Repository, operator: Operator
) -> None:
    operator.sync(repository.today)
    before, committed = operator.held(), len(operator.witness.seen)
    report = operator.sync(repository.today, full=True)
    assert report.plan.reason is Reason.REQUESTED
    shown = [mirror for _, mirror in operator.witness.seen[committed:]]
    assert [mirror.position for mirror in shown if mirror.position < before.position] == []
    assert all(mirror.in_use() == before.in_use() for mirror in shown)


def test_a_full_that_was_asked_for_writes_no_change_into_the_journal_where_none_was(
    repository: Repository, operator: Operator
) -> None:
    operator.sync(repository.today)
    before = operator.held()
    operator.sync(repository.today, full=True)
    after = operator.held()
    assert standings(after) == standings(before)
    assert after.journal == before.journal


def test_a_resync_keeps_since_when_a_certificate_is_known(repository: Repository, operator: Operator) -> None:
    operator.sync(repository.today)
    before = operator.held()
    repository.advance(9)
    operator.sync(repository.today)
    after = operator.held()
    first_seen = {key: row.first_seen for key, row in after.rows.items()}
    assert {key: first_seen[key] for key in before.rows} == {k: r.first_seen for k, r in before.rows.items()}


def test_a_delta_published_anew_in_sound_form_is_taken_although_size_and_time_are_the_same(
    repository: Repository, operator: Operator
) -> None:
    operator.sync(repository.today)
    repository.advance(faults=[Fault.CORRUPT])
    bad = delta(repository, repository.today).stat()
    with pytest.raises(BadExtract):
        operator.sync(repository.today)
    repository.publish_delta(repository.today)
    good = delta(repository, repository.today).stat()
    assert (good.st_size, good.st_mtime) == (bad.st_size, bad.st_mtime)
    assert operator.sync(repository.today).outcome is Outcome.CURRENT
    assert operator.held().in_use() == repository.in_use()


def test_what_was_fetched_and_never_applied_does_not_stay_on_the_disk(
    repository: Repository, operator: Operator
) -> None:
    operator.sync(repository.today)
    repository.advance(faults=[Fault.TRUNCATE])
    with pytest.raises(BadExtract):
        operator.sync(repository.today)
    repository.advance(12)
    assert operator.sync(repository.today).outcome is Outcome.CURRENT
    assert list((operator.mirror / "downloads").iterdir()) == []


def test_days_without_deltas_are_not_hidden_by_a_full_that_is_not_taken(
    repository: Repository, operator: Operator
) -> None:
    """A newer full proves that the Repository went on: the mirror is behind, and must say so."""
    operator.sync(repository.today)
    repository.advance(4, faults=[Fault.WITHHOLD_DELTA])
    assert (repository.path / f"SMKIKR_FULL_{repository.today}.xml.gz").exists()
    report = operator.sync(repository.today)
    held = operator.held()
    assert held.in_use() == repository.in_use() or report.outcome is not Outcome.CURRENT
    assert held.position == report.position


def test_a_late_overlap_delta_does_not_undo_a_later_one_that_was_replayed_before_it(
    tmp_path: Path,
) -> None:
    """The overlap counts only whole and in order: what is replayed again must include the last of it."""
    truth = Repository.create(tmp_path / "life", devices=10, days=1, start=START, seed=1).in_use()
    first, second, third = sorted(truth)[:3]
    files, operator = tmp_path / "files", Operator(tmp_path / "mirror", tmp_path / "files")
    full = START + 7 * DAY
    publish(files, "FULL", full, [record(first), record(second), record(third)])
    publish(files, "DELT", full, [record(first, "I"), record(second, "N")])
    operator.sync(full)
    assert operator.held().in_use() == {first, third}
    publish(files, "DELT", full - DAY, [record(first, "N"), record(second, "I"), record(third, "E")])
    operator.sync(full)
    assert operator.held().in_use() == {first}
    again = operator.sync(full)
    assert not again.applied


def test_damaged_overlap_delta_is_missing_and_later_statement_wins(tmp_path: Path) -> None:
    """The delta before the damaged one takes the certificate out of use, and the one after it back."""
    der = min(Repository.create(tmp_path / "life", devices=1, days=1, start=START, seed=1).in_use())
    files, operator = tmp_path / "files", Operator(tmp_path / "mirror", tmp_path / "files")
    full = START + 7 * DAY
    publish(files, "FULL", full, [record(der)])
    operator.sync(full)
    assert operator.held().in_use() == {der}
    publish(files, "DELT", full - 2 * DAY, [record(der, "N")])
    publish(files, "DELT", full - DAY, b"not a gzip file")
    publish(files, "DELT", full, [record(der, "I")])
    report = operator.sync(full)
    assert (report.position, report.outcome) == (full, Outcome.BEHIND)
    assert report.counts.unproven is not None
    assert report.counts.unproven.missing == (full - DAY,)
    assert {a.code for a in report.attention} >= {NoticeCode.UNPROVEN, NoticeCode.DELTA_DAMAGED}
    assert operator.held().in_use() == {der}


def test_a_full_older_than_the_mirror_does_not_undo_what_deltas_that_are_gone_had_said(
    tmp_path: Path,
) -> None:
    """The full was written while the certificate ended; the delta that said so was applied long ago."""
    ended, other = sorted(
        Repository.create(tmp_path / "life", devices=3, days=1, start=START, seed=1).in_use()
    )[:2]
    files, operator = tmp_path / "files", Operator(tmp_path / "mirror", tmp_path / "files")
    full = START + 7 * DAY
    publish(files, "FULL", START, [record(ended), record(other)])
    for day in (START + n * DAY for n in range(8)):
        publish(files, "DELT", day, [record(ended, "N")] if day == full - DAY else [])
    operator.sync(full)
    assert operator.held().in_use() == {other}
    publish(files, "FULL", full, [record(ended), record(other)])
    for day in (START + n * DAY for n in range(7)):
        (files / f"SMKIKR_DELT_{day}.xml.gz").unlink()
    report = operator.sync(full, full=True)
    assert NoticeCode.UNPROVEN not in {a.code for a in report.attention}
    assert operator.held().in_use() == {other}


def test_a_record_in_quarantine_keeps_the_run_from_being_current_until_a_full_settles_it(
    repository: Repository, operator: Operator
) -> None:
    operator.sync(repository.today)
    repository.advance(faults=[Fault.POISON_RECORD])
    report = operator.sync(repository.today)
    assert report.outcome is Outcome.BEHIND
    assert NoticeCode.RECORDS_QUARANTINED in {a.code for a in report.attention}
    assert operator.held().in_use() == repository.in_use()
    repository.advance()
    assert operator.sync(repository.today).outcome is Outcome.BEHIND
    repository.advance(12)
    report = operator.sync(repository.today)
    assert report.plan.reason is Reason.GAP_BEYOND_WINDOW
    assert report.outcome is Outcome.CURRENT


def test_claims_of_another_certificate_move_no_other_certificate(
    repository: Repository, operator: Operator
) -> None:
    operator.sync(repository.today)
    repository.advance(faults=[Fault.CLAIMS_OF_ANOTHER])
    report = operator.sync(repository.today)
    assert NoticeCode.CLAIMS_DIFFER in {a.code for a in report.attention}
    assert report.outcome is Outcome.CURRENT
    held, truth = operator.held(), repository.truth()
    assert held.in_use() == repository.in_use()
    assert {key: row.der for key, row in held.rows.items()}.items() <= {
        key: der for key, (_, der) in truth.items()
    }.items()
    odd: list[Key] = [key for key, row in held.rows.items() if row.flags]
    assert len(odd) == 1


def test_a_damaged_full_leaves_the_old_mirror_and_the_next_full_mends_it(
    repository: Repository, operator: Operator
) -> None:
    operator.sync(repository.today)
    before = operator.held()
    repository.advance(3)
    repository.advance(6, faults=[Fault.CORRUPT_FULL])
    for _ in range(2):
        with pytest.raises(BadExtract):
            operator.sync(repository.today)
        assert by_extracts(operator.held()) == by_extracts(before)
    assert [path.name for path in (operator.mirror / "generations").glob("*.db")] == ["000001.db"]
    repository.advance(6)
    assert operator.sync(repository.today).outcome is Outcome.CURRENT
    assert operator.held().in_use() == repository.in_use()


def test_a_damaged_first_full_leaves_no_mirror_at_all(tmp_path: Path, repository: Repository) -> None:
    full = repository.path / f"SMKIKR_FULL_{START}.xml.gz"
    full.write_bytes(full.read_bytes()[:-9])
    operator = Operator(tmp_path / "mirror", repository.path)
    with pytest.raises(BadExtract):
        operator.sync(repository.today)
    assert not (operator.mirror / "mirror.db").is_symlink()
    repository.publish_full(START)
    assert operator.sync(repository.today).outcome is Outcome.CURRENT


def test_an_overlap_delta_may_bring_an_issuer_that_the_full_does_not_have(tmp_path: Path) -> None:
    files, operator = tmp_path / "files", Operator(tmp_path / "mirror", tmp_path / "files")
    device, organisation = REAL[0], REAL[9]
    publish(files, "FULL", START, [record(device)])
    publish(files, "DELT", START, [record(organisation)])
    publish_overlap(files, START)
    report = operator.sync(START)
    assert report.outcome is Outcome.CURRENT
    assert operator.held().in_use() == {device, organisation}


def test_a_full_with_one_certificate_twice_and_one_identity_with_two_bodies_keeps_one_row_each(
    tmp_path: Path,
) -> None:
    life = Repository.create(tmp_path / "life", devices=10, days=1, start=START, seed=1)
    first, second, third = sorted(life.in_use())[:3]
    forged = first[:-1] + bytes((first[-1] ^ 1,))
    files, operator = tmp_path / "files", Operator(tmp_path / "mirror", tmp_path / "files")
    publish(files, "FULL", START, [record(first), record(second), record(second), record(forged)])
    publish(files, "DELT", START, [record(third), record(third)])
    report = operator.sync(START)
    assert report.outcome is Outcome.BEHIND
    assert report.counts.quarantined == 1
    held = operator.held()
    assert held.in_use() == {first, second, third}
    with opened(operator.mirror) as db:
        assert in_use(db) == held.in_use()
        assert db.execute("SELECT reason FROM quarantine").fetchall() == [("identity-conflict",)]
