"""A mirror made anew from its files: whatever has become of the old one, checked before it is shown."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from support.extract_directory import Party, Shelf, Watched, november

from smki_sync.errors import BadExtract, MirrorDamaged, SourceMissing, UsageError
from smki_sync.events import Building, Event
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import open_mirror, read_stamp
from smki_sync.model.report import NoticeCode, Outcome
from smki_sync.policy import DownloadWindow, OutsideWindow, Weekday
from smki_sync.recovery import ExpectedDigest, RestoreResult, restore
from smki_sync.sources.base import Limits
from smki_sync.sources.directory import DirectorySource
from smki_sync.sync import SyncJob, run

LISTED = dict.fromkeys(range(8), "I")


@pytest.fixture(autouse=True)
def repository(shelf: Shelf) -> None:
    """A full of the 9th and deltas to the 12th: 8 comes on the 11th, 0 leaves on the 12th."""
    shelf.deltas(7, 8)
    shelf.full(9, LISTED)
    shelf.deltas(9, 10)
    shelf.delta(11, {8: "I"})
    shelf.delta(12, {0: "N"})


def in_use(directory: MirrorDirectory) -> set[bytes]:
    with closing(sqlite3.connect(f"file:{directory.link}?mode=ro", uri=True)) as db:
        return {der for (der,) in db.execute("SELECT der FROM certificates WHERE in_use")}


def codes(restored: RestoreResult) -> list[str]:
    return [attention.code.value for attention in restored.report.attention]


def passed(restored: RestoreResult) -> dict[str, bool | None]:
    return {check.name: check.passed for check in restored.checks}


def nothing(_directory: MirrorDirectory) -> None:
    """It is all there."""


def missing(directory: MirrorDirectory) -> None:
    shutil.rmtree(directory.root)


def noise(directory: MirrorDirectory) -> None:
    directory.link.resolve().write_bytes(b"\x5a" * 100_000)


def half(directory: MirrorDirectory) -> None:
    generation = directory.link.resolve()
    generation.write_bytes(generation.read_bytes()[: generation.stat().st_size // 2])


def unlinked(directory: MirrorDirectory) -> None:
    directory.link.unlink()


def dangling(directory: MirrorDirectory) -> None:
    directory.link.resolve().unlink()


@pytest.mark.parametrize("disaster", [nothing, missing, noise, half, unlinked, dangling])
def test_whatever_has_become_of_the_mirror_it_is_as_before(
    party: Party, pool: tuple[bytes, ...], disaster: Callable[[MirrorDirectory], None]
) -> None:
    run(party.job(12))
    with open_mirror(party.directory.link) as db:
        before = read_stamp(db).digest
    disaster(party.directory)
    restored = restore(party.job(12))
    assert restored.report.outcome is Outcome.CURRENT
    assert restored.report.position == november(12)
    assert restored.report.counts.digest == before
    assert in_use(party.directory) == set(pool[1:9])
    assert passed(restored)["file"]
    assert passed(restored)["queries"]


def test_a_restore_to_a_day_in_the_middle_is_that_day_and_sync_goes_forward_again(
    party: Party, pool: tuple[bytes, ...]
) -> None:
    run(party.job(12))
    restored = restore(party.job(12), until=november(11))
    assert restored.report.position == november(11)
    assert in_use(party.directory) == set(pool[:9])
    assert restored.report.outcome is Outcome.BEHIND
    assert codes(restored)[0] == NoticeCode.RESTORED_TO_DATE
    assert NoticeCode.REPOSITORY_LATE not in codes(restored)
    report = run(party.job(12))
    assert (report.outcome, report.position) == (Outcome.CURRENT, november(12))
    assert in_use(party.directory) == set(pool[1:9])


def test_restore_uses_the_older_full_when_the_newest_is_damaged(
    party: Party, shelf: Shelf, pool: tuple[bytes, ...]
) -> None:
    newest = shelf.full(12, dict.fromkeys(range(9), "I"))
    newest.write_bytes(newest.read_bytes()[:40])
    restored = restore(party.job(12))
    assert restored.report.applied[0].file == f"SMKIKR_FULL_{november(9)}.xml.gz"
    assert restored.report.position == november(12)
    assert in_use(party.directory) == set(pool[1:9])


def test_the_digest_of_that_day_is_known_to_the_mirror_before(party: Party) -> None:
    for day in (11, 12):
        run(party.job(day))
        if day == 11:  # the shelf offers the 12th already; go back to what a run of the 11th had seen
            restore(party.job(11), until=november(11))
    restored = restore(party.job(12), until=november(11))
    assert passed(restored)["digest"]


def test_readers_see_the_mirror_only_with_every_delta_on_it(party: Party, pool: tuple[bytes, ...]) -> None:
    seen: list[bool] = []

    def look(event: Event) -> None:
        if isinstance(event, Building):
            seen.append(party.directory.link.exists())

    party.ear.react = look
    restore(party.job(12))
    assert seen
    assert not any(seen)
    assert in_use(party.directory) == set(pool[1:9])


def test_the_old_generation_is_kept_until_somebody_removes_it(party: Party) -> None:
    run(party.job(12))
    old = party.directory.link.resolve()
    restore(party.job(12))
    assert party.directory.link.resolve() != old
    assert old.exists()


def test_each_phase_says_how_long_it_took(party: Party) -> None:
    restored = restore(party.job(12))
    assert [phase.name for phase in restored.phases] == ["list", "fetch", "build", "check"]


def test_a_source_that_leads_less_far_than_the_mirror_is_refused_unless_the_day_is_said(
    shelf: Shelf, party: Party
) -> None:
    run(party.job(12))
    shelf.remove("SMKIKR_DELT_2026-11-12.xml.gz")
    with pytest.raises(UsageError, match="leads to 2026-11-11 only") as caught:
        restore(party.job(12))
    assert "--to 2026-11-11" in caught.value.hint
    assert restore(party.job(12), until=november(11)).report.position == november(11)


def test_a_source_without_a_full_for_that_day_is_refused_and_nothing_is_fetched(party: Party) -> None:
    run(party.job(12))
    party.source.fetched.clear()
    with pytest.raises(SourceMissing, match="for 2026-11-07"):
        restore(party.job(12), until=november(7))
    assert not party.source.fetched
    assert in_use(party.directory)


def test_statements_of_the_mirror_survive_a_restore_without_a_damaged_delta(
    shelf: Shelf, party: Party
) -> None:
    run(party.job(12))
    before = in_use(party.directory)
    path = shelf.path / "SMKIKR_DELT_2026-11-11.xml.gz"
    path.write_bytes(path.read_bytes()[:-9])
    restored = restore(party.job(12))
    assert (restored.report.position, in_use(party.directory)) == (november(12), before)
    assert NoticeCode.DELTA_DAMAGED in codes(restored)


def test_restore_of_nothing_ends_before_a_damaged_delta(shelf: Shelf, party: Party) -> None:
    path = shelf.path / "SMKIKR_DELT_2026-11-11.xml.gz"
    path.write_bytes(path.read_bytes()[:-9])
    restored = restore(party.job(12))
    assert restored.report.position == november(10)
    assert {NoticeCode.DELTAS_MISSING, NoticeCode.DELTA_DAMAGED} <= set(codes(restored))
    assert restored.report.outcome is Outcome.BEHIND


def test_damaged_full_leaves_the_mirror_unchanged(shelf: Shelf, party: Party) -> None:
    run(party.job(12))
    before = in_use(party.directory)
    generations = sorted(party.directory.generations.glob("*.db"))
    path = shelf.path / "SMKIKR_FULL_2026-11-09.xml.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadExtract):
        restore(party.job(12))
    assert in_use(party.directory) == before
    assert sorted(party.directory.generations.glob("*.db*")) == sorted(
        [*generations, *party.directory.generations.glob("*-wal"), *party.directory.generations.glob("*-shm")]
    )


def test_a_generation_that_the_disk_has_changed_is_not_shown(party: Party, pool: tuple[bytes, ...]) -> None:
    run(party.job(12))
    old = party.directory.link.resolve()

    def spoil(event: Event) -> None:
        if isinstance(event, Building) and event.step == "checking pages, indexes and counts":
            with closing(apsw.Connection(str(party.directory.generations / event.file))) as db:
                db.execute("UPDATE certificate SET der = x'00' WHERE id = 3")

    party.ear.react = spoil
    with pytest.raises(MirrorDamaged, match="is damaged"):
        restore(party.job(12))
    assert party.directory.link.resolve() == old
    assert in_use(party.directory) == set(pool[1:9])
    assert [path.name for path in party.directory.generations.glob("*.db")] == [old.name]


def test_a_digest_that_is_known_to_be_another_asks_for_attention(party: Party) -> None:
    known = ExpectedDigest(position=november(12), digest="0" * 64, source="a statement of that day")
    restored = restore(party.job(12), known=known)
    assert passed(restored)["digest"] is False
    assert restored.report.outcome is Outcome.BEHIND
    assert codes(restored)[0] == NoticeCode.OTHER_DIGEST


def test_a_mirror_that_was_changed_by_hand_does_not_live_on_in_the_restored_one(
    party: Party, pool: tuple[bytes, ...]
) -> None:
    run(party.job(12))
    with closing(apsw.Connection(str(party.directory.link.resolve()))) as db:
        db.execute("DELETE FROM certificate WHERE der = ?", (pool[4],))
        db.execute("UPDATE certificate SET status = 'R' WHERE der = ?", (pool[5],))
    restore(party.job(12))
    assert in_use(party.directory) == set(pool[1:9])


def test_an_archive_on_this_disk_serves_as_the_repository_does(
    party: Party, shelf: Shelf, tmp_path: Path
) -> None:
    shutil.copytree(shelf.path, tmp_path / "archive")
    other = Party(Shelf(tmp_path / "archive", shelf.pool), MirrorDirectory(tmp_path / "other"))
    ours, theirs = restore(party.job(12)), restore(other.job(12))
    assert ours.report.counts.digest == theirs.report.counts.digest


AGREED = DownloadWindow(day=Weekday.SUNDAY, outside=OutsideWindow.WAIT)
"""The 12th is a Thursday, the 8th and the 15th are Sundays."""


def over_a_line(party: Party, today: int) -> SyncJob:
    """The same files from a source that is no directory of this machine."""
    return replace(
        party.job(today), open_source=lambda: Distant(DirectorySource(party.shelf.path, limits=Limits()))
    )


class Distant(Watched):
    @property
    def title(self) -> str:
        return "sftp://party@repository"


def test_a_restore_does_not_wait_for_the_agreed_day_and_says_that_the_dcc_is_to_be_told(party: Party) -> None:
    restored = restore(replace(over_a_line(party, 12), download_window=AGREED))
    assert restored.report.outcome is Outcome.CURRENT
    assert NoticeCode.FULL_OUTSIDE_AGREED in codes(restored)


def test_on_the_agreed_day_a_restore_to_another_weekday_has_nothing_to_tell_the_dcc(party: Party) -> None:
    restored = restore(replace(over_a_line(party, 15), download_window=AGREED), until=november(12))
    assert restored.report.position == november(12)
    assert NoticeCode.FULL_OUTSIDE_AGREED not in codes(restored)


def test_on_another_day_a_restore_to_the_agreed_weekday_is_told_all_the_same(
    party: Party, shelf: Shelf
) -> None:
    shelf.deltas(13, 14, 15)
    restored = restore(replace(over_a_line(party, 16), download_window=AGREED), until=november(15))
    assert restored.report.position == november(15)
    assert NoticeCode.FULL_OUTSIDE_AGREED in codes(restored)


def test_a_full_of_an_archive_on_this_machine_is_no_download(party: Party) -> None:
    restored = restore(replace(party.job(12), download_window=AGREED))
    assert NoticeCode.FULL_OUTSIDE_AGREED not in codes(restored)
