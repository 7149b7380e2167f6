"""A run that would not fit is refused before its first byte."""

from dataclasses import replace

import pytest
from support.extract_directory import Party, Shelf

from smki_sync.errors import MirrorNotWritable
from smki_sync.sync import dry_run, run, runner
from smki_sync.sync.runner import BUILD_FACTOR, RESERVE_BYTES, check_space


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the disk says is free; the last word counts."""
    said = [1 << 40]
    monkeypatch.setattr(runner, "free_bytes", lambda _path: said[-1])
    return said


def test_a_full_that_does_not_fit_is_refused_with_both_figures_and_nothing_is_fetched(
    shelf: Shelf, party: Party, free: list[int]
) -> None:
    shelf.full(9, {0: "I"})
    free.append(RESERVE_BYTES)
    with pytest.raises(MirrorNotWritable, match=r"needs 67 MB .* 67 MB are free") as caught:
        run(party.job(today=9))
    assert caught.value.reason == "no-space"
    assert party.source.fetched == []
    assert not party.directory.link.exists()


def test_a_delta_that_does_not_fit_leaves_the_mirror_as_it_was_and_is_taken_later(
    shelf: Shelf, party: Party, free: list[int]
) -> None:
    shelf.full(9, {0: "I"})
    shelf.deltas(7, 8, 9)
    run(party.job(today=9))
    shelf.delta(10, {1: "I"})
    free.append(RESERVE_BYTES)
    with pytest.raises(MirrorNotWritable):
        run(party.job(today=10))
    free.append(1 << 40)
    assert [applied.file for applied in run(party.job(today=10)).applied] == ["SMKIKR_DELT_2026-11-10.xml.gz"]


def test_a_run_with_nothing_to_do_needs_next_to_nothing(shelf: Shelf, party: Party, free: list[int]) -> None:
    shelf.full(9, {0: "I"})
    run(party.job(today=9))
    free.append(RESERVE_BYTES)
    assert run(party.job(today=9)).applied == ()


def test_a_full_whose_devices_are_indexed_needs_more(shelf: Shelf, party: Party, free: list[int]) -> None:
    shelf.full(9, {0: "I"})
    party.directory.prepare()
    job = party.job(today=9)
    plan = dry_run(job).plan
    assert plan.full is not None
    free.append(RESERVE_BYTES + int((BUILD_FACTOR + 1.5) * plan.full.size))  # half of the indexes fit
    check_space(job, plan)
    with pytest.raises(MirrorNotWritable):
        check_space(replace(job, index_devices=True), plan)
