"""Extracts that were applied are kept, and lead back to the present when the Repository cannot."""

import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Self

import pytest
from support.extract_directory import Party, Shelf, Unplugged, november

from smki_sync.catalogue import FileNames
from smki_sync.download import FallbackSource, FallbackSources
from smki_sync.download.archive import Archive
from smki_sync.errors import BadExtract, SourceMissing, SourceRefused, SourceUnreachable
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import open_mirror, read_position
from smki_sync.model.plan import Reason
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.recovery import restore
from smki_sync.recovery.reconcile import reconcile
from smki_sync.sources.base import Limits, OpenSource, Source
from smki_sync.sources.directory import DirectorySource
from smki_sync.sync import SyncJob, run

LISTED = dict.fromkeys(range(8), "I")
FULL = "SMKIKR_FULL_2026-11-09.xml.gz"


@pytest.fixture(autouse=True)
def first_morning(shelf: Shelf) -> None:
    shelf.deltas(7, 8)
    shelf.full(9, LISTED)
    shelf.deltas(9, 10)
    shelf.delta(11, {8: "I"})


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(path=tmp_path / "archive", keep_fulls=1, names=FileNames(), overlap_days=2)


def keeping(job: SyncJob, archive: Archive) -> SyncJob:
    return replace(job, archive=archive)


def names(archive: Archive) -> list[str]:
    return sorted(path.name for path in archive.path.iterdir() if path.suffix == ".gz")


def directory(path: Path) -> OpenSource:
    return lambda: DirectorySource(path, limits=Limits())


def from_ring(party: Party, today: int, *openers: OpenSource) -> SyncJob:
    ring = FallbackSources(openers=openers)
    return replace(party.job(today), open_source=ring.open, fallback_sources=ring)


def codes(report: SyncReport) -> list[NoticeCode]:
    return [attention.code for attention in report.attention]


def test_what_was_applied_is_kept_with_its_hash_as_sha256sum_writes_it(
    party: Party, archive: Archive
) -> None:
    run(keeping(party.job(11), archive))
    assert names(archive) == sorted(path.name for path in party.shelf.path.iterdir())
    for path in archive.path.glob("*.gz"):
        stated = (archive.path / f"{path.name}.sha256").read_text()
        assert stated == f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
    assert not list(party.directory.downloads.iterdir())


def test_a_file_that_was_refused_is_not_kept(party: Party, archive: Archive) -> None:
    path = party.shelf.path / "SMKIKR_DELT_2026-11-11.xml.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadExtract):
        run(keeping(party.job(11), archive))
    assert path.name not in names(archive)


def test_the_last_fulls_stay_with_every_delta_that_leads_on_from_them(
    party: Party, shelf: Shelf, archive: Archive
) -> None:
    run(keeping(party.job(11), archive))
    shelf.remove(*(path.name for path in shelf.path.iterdir()))
    shelf.full(23, LISTED)
    shelf.deltas(21, 22, 23, 24)
    (archive.path / "notes.txt").write_text("mine")
    run(keeping(party.job(24), archive))
    assert names(archive) == [
        *(f"SMKIKR_DELT_2026-11-{day}.xml.gz" for day in (21, 22, 23, 24)),
        "SMKIKR_FULL_2026-11-23.xml.gz",
    ]
    assert (archive.path / "notes.txt").exists()
    assert len(list(archive.path.glob("*.sha256"))) == 5


def test_beyond_the_window_the_archive_of_a_colleague_leads_back_without_a_full(
    party: Party, shelf: Shelf, tmp_path: Path
) -> None:
    run(party.job(11))
    colleague = tmp_path / "colleague"
    shelf.deltas(*range(12, 25))
    shelf.delta(14, {9: "I"})
    shutil.copytree(shelf.path, colleague)
    shelf.remove(*(path.name for path in shelf.path.iterdir() if path.name < "SMKIKR_DELT_2026-11-18"), FULL)
    report = run(from_ring(party, 24, directory(shelf.path), directory(colleague)))
    assert (report.outcome, report.position) == (Outcome.CURRENT, november(24))
    assert report.plan.reason is Reason.DELTAS_AVAILABLE
    origins = {extract.name: extract.origin for extract in report.plan.extracts}
    assert origins["SMKIKR_DELT_2026-11-14.xml.gz"] == colleague.as_uri()
    assert origins["SMKIKR_DELT_2026-11-20.xml.gz"] == shelf.path.as_uri()


def test_what_the_repository_offers_comes_from_there_and_not_from_the_archive(
    party: Party, shelf: Shelf, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(shelf.path, old)
    (old / FULL).write_bytes(b"damaged")
    report = run(from_ring(party, 11, directory(shelf.path), directory(old)))
    assert report.outcome is Outcome.CURRENT


def test_a_repository_that_cannot_be_asked_leaves_the_run_behind_whatever_the_archive_gave(
    party: Party, shelf: Shelf
) -> None:
    def unplugged() -> Source:
        return Unplugged(DirectorySource(shelf.path, limits=Limits()))

    report = run(from_ring(party, 11, unplugged, directory(shelf.path)))
    assert report.position == november(11)
    assert report.outcome is Outcome.BEHIND
    assert codes(report)[0] is NoticeCode.SOURCE_UNREACHED


class Refusing(Unplugged):
    """The same with a key that is another."""

    def __enter__(self) -> Self:
        raise SourceRefused("the host key has changed", code="host-key-changed")


def test_a_refusal_of_the_repository_stands_whatever_an_archive_offers(party: Party, shelf: Shelf) -> None:
    job = from_ring(
        party,
        11,
        lambda: Refusing(DirectorySource(shelf.path, limits=Limits())),
        directory(shelf.path),
    )
    with pytest.raises(SourceRefused):
        run(job)
    assert not party.directory.link.exists()


def test_an_archive_that_is_not_plugged_in_is_a_note(party: Party, shelf: Shelf, tmp_path: Path) -> None:
    report = run(from_ring(party, 11, directory(shelf.path), directory(tmp_path / "nowhere")))
    assert report.outcome is Outcome.CURRENT
    assert NoticeCode.FALLBACK_UNREACHED in codes(report)


def test_where_nothing_can_be_asked_the_run_fails_as_with_one_source(party: Party, tmp_path: Path) -> None:
    job = from_ring(party, 11, directory(tmp_path / "a"), directory(tmp_path / "b"))
    with pytest.raises(SourceMissing):
        run(job)


def test_a_file_of_the_archive_that_was_changed_is_found_by_its_hash_and_not_applied(
    party: Party, shelf: Shelf, archive: Archive, tmp_path: Path
) -> None:
    run(keeping(party.job(11), archive))
    delta = archive.path / "SMKIKR_DELT_2026-11-11.xml.gz"
    shelf.delta(11, {0: "N"})  # sound gz, sound XML, and not what was kept
    shutil.copy(shelf.path / delta.name, delta)
    other = Party(Shelf(archive.path, shelf.pool), MirrorDirectory(tmp_path / "other"))
    with pytest.raises(BadExtract, match=delta.name):
        run(other.job(11))
    with open_mirror(other.directory.link) as db:
        assert read_position(db).day == november(10)


def test_a_source_of_several_asks_only_the_one_that_was_listed_with_a_file(
    shelf: Shelf, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(shelf.path, old)
    shelf.remove(FULL)
    with FallbackSource(FallbackSources(openers=[directory(shelf.path), directory(old)])) as source:
        listed = {file.name: file.origin for file in source.fetch_listing()}
        assert listed[FULL] == old.as_uri()
        with source.fetch(FULL) as chunks:
            assert b"".join(chunks) == (old / FULL).read_bytes()
        with pytest.raises(SourceMissing), source.fetch("SMKIKR_FULL_2026-01-01.xml.gz"):
            pass


def test_a_line_that_comes_back_is_asked_again_by_the_next_connection(shelf: Shelf) -> None:
    answers: list[OpenSource] = [
        lambda: Unplugged(DirectorySource(shelf.path, limits=Limits())),
        directory(shelf.path),
    ]

    def next_answer() -> Source:
        return answers.pop(0)()

    ring = FallbackSources(openers=[next_answer])
    with pytest.raises(SourceUnreachable), ring.open() as source:
        source.fetch_listing()
    with ring.open() as source:
        assert source.fetch_listing()
    assert not ring.unreached


def test_what_a_killed_run_has_left_half_made_is_swept_and_what_is_not_ours_is_not(
    party: Party, archive: Archive
) -> None:
    run(keeping(party.job(11), archive))
    half = [archive.path / f".{FULL}.part", archive.path / f".{FULL}.sha256.part"]
    mine = [archive.path / ".notes.part", archive.path / f"{FULL}.part"]
    for path in (*half, *mine):
        path.touch()
    run(keeping(party.job(11), archive))
    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in mine)


def test_deltas_stay_where_the_archive_was_begun_between_two_fulls(
    party: Party, shelf: Shelf, archive: Archive
) -> None:
    run(party.job(11))
    shelf.delta(12)
    run(keeping(party.job(12), archive))
    assert names(archive) == ["SMKIKR_DELT_2026-11-12.xml.gz"]


def test_an_archive_that_cannot_be_written_leaves_the_mirror_current_and_the_run_behind(
    party: Party, archive: Archive
) -> None:
    archive.path.write_text("a file where a directory should be")
    report = run(keeping(party.job(11), archive))
    assert (report.outcome, report.position) == (Outcome.BEHIND, november(11))
    assert codes(report)[0] is NoticeCode.NOT_ARCHIVED
    assert FULL in report.attention[0].message
    archive.path.unlink()
    report = run(keeping(party.job(11), archive))
    assert report.outcome is Outcome.CURRENT
    assert FULL in names(archive)
    assert not list(party.directory.downloads.iterdir())


def test_a_restore_that_the_archive_cannot_follow_says_so_and_the_next_sync_makes_it_good(
    party: Party, archive: Archive
) -> None:
    archive.path.write_text("a file where a directory should be")
    report = restore(keeping(party.job(11), archive)).report
    assert NoticeCode.NOT_ARCHIVED in codes(report)
    archive.path.unlink()
    assert run(keeping(party.job(11), archive)).outcome is Outcome.CURRENT
    assert len(names(archive)) == len(list(party.shelf.path.iterdir()))


def test_a_comparison_takes_nothing_away_that_the_archive_has_yet_to_take(
    party: Party, archive: Archive
) -> None:
    archive.path.write_text("a file where a directory should be")
    job = keeping(party.job(11), archive)
    run(job)
    reconcile(job)
    archive.path.unlink()
    reconcile(job)
    assert run(job).outcome is Outcome.CURRENT
    assert names(archive) == sorted(path.name for path in party.shelf.path.iterdir())
    reconcile(job)
    assert not list(party.directory.downloads.iterdir())


def test_a_second_look_at_an_applied_delta_takes_nothing_away_that_the_archive_has_yet_to_take(
    party: Party, shelf: Shelf, archive: Archive
) -> None:
    archive.path.write_text("a file where a directory should be")
    run(keeping(party.job(11), archive))
    shelf.stamp(shelf.path / "SMKIKR_DELT_2026-11-11.xml.gz", 11, hour=5)  # published again, word for word
    archive.path.unlink()
    assert run(keeping(party.job(11), archive)).outcome is Outcome.CURRENT
    assert names(archive) == sorted(path.name for path in party.shelf.path.iterdir())
    assert not list(party.directory.downloads.iterdir())


def test_a_restore_to_an_earlier_day_takes_nothing_away_that_the_archive_has_yet_to_take(
    party: Party, archive: Archive
) -> None:
    archive.path.write_text("a file where a directory should be")
    run(keeping(party.job(11), archive))
    archive.path.unlink()
    restore(keeping(party.job(11), archive), until=november(9))
    run(keeping(party.job(11), archive))
    assert names(archive) == sorted(path.name for path in party.shelf.path.iterdir())
