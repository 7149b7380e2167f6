"""The contract of every source, as one class of tests.

A module subclasses :class:`SourceContract` once for each source and defines the fixture ``offer``.
"""

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smki_sync.errors import SourceMissing, SourceRefused, SourceUnreachable
from smki_sync.model.extract import UnrecognisedReason
from smki_sync.sources.base import Limits, Source

Offer = Callable[..., AbstractContextManager[Source]]
"""Opens the source for a directory: ``offer(limits=…, folder=…)``; leaving closes it."""

SOME_BYTES = random.Random(20_261_123).randbytes(3_000_001)
"""Longer than a few chunks or spans of every source, and a multiple of none."""

NAME = "SMKIKR_FULL_2026-11-15.xml.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with one full and two deltas."""
    return fill(tmp_path / "repository with a blank")


def fill(place: Path) -> Path:
    """Create a directory with one full and two deltas."""
    place.mkdir()
    (place / NAME).write_bytes(SOME_BYTES)
    (place / "SMKIKR_DELT_2026-11-17.xml.gz").write_bytes(b"b")
    (place / "SMKIKR_DELT_2026-11-16.xml.gz").write_bytes(b"")
    return place


def read(source: Source, name: str, *, offset: int = 0) -> bytes:
    with source.fetch(name, offset=offset) as chunks:
        return b"".join(chunks)


class SourceContract:
    """The contract. ``offer`` comes from the subclass."""

    @pytest.fixture
    def offer(self) -> Offer:
        raise NotImplementedError

    def test_listing_is_sorted_and_has_sizes_and_utc_times(self, offer: Offer, folder: Path) -> None:
        os.utime(folder / NAME, (1_763_000_000, 1_763_000_000))
        with offer() as source:
            files = source.fetch_listing()
        assert [(file.name, file.size) for file in files] == [
            ("SMKIKR_DELT_2026-11-16.xml.gz", 0),
            ("SMKIKR_DELT_2026-11-17.xml.gz", 1),
            (NAME, 3_000_001),
        ]
        assert files[2].modified == datetime.fromtimestamp(1_763_000_000, tz=UTC)

    def test_listing_marks_entries_that_are_not_usable(self, offer: Offer, folder: Path) -> None:
        (folder / "a-directory").mkdir()
        os.mkfifo(folder / "a-pipe")
        (folder.parent / "outside.gz").write_bytes(b"outside")
        (folder / "a-link.gz").symlink_to(folder.parent / "outside.gz")
        (folder / "broken-link.gz").symlink_to(folder.parent / "missing.gz")
        (folder / ("n" * 41)).write_bytes(b"too long a name")
        Path(os.fsdecode(bytes(folder) + b"/not-utf-8-\xff.gz")).write_bytes(b"not text")
        (folder / "ünïcode.gz").write_bytes(b"text")
        with offer(limits=Limits(name_length=40)) as source:
            listed = {file.name: file for file in source.fetch_listing()}
        link = listed.pop("a-link.gz")
        assert (link.size, link.unusable) in {(7, None), (0, UnrecognisedReason.SYMBOLIC_LINK)}
        assert {name: file.unusable for name, file in listed.items()} == {
            "SMKIKR_DELT_2026-11-16.xml.gz": None,
            "SMKIKR_DELT_2026-11-17.xml.gz": None,
            NAME: None,
            "a-directory": UnrecognisedReason.NOT_A_FILE,
            "a-pipe": UnrecognisedReason.NOT_A_FILE,
            "broken-link.gz": UnrecognisedReason.SYMBOLIC_LINK,
            "ünïcode.gz": None,
        }

    def test_listing_is_empty_when_directory_is_empty(self, offer: Offer, folder: Path) -> None:
        for file in folder.iterdir():
            file.unlink()
        with offer() as source:
            assert source.fetch_listing() == ()

    def test_listing_fails_when_it_exceeds_the_entry_limit(self, offer: Offer, folder: Path) -> None:
        for number in range(37):
            (folder / f"{number}.gz").write_bytes(b"")
        listed = Limits(entries=42)  # 40 files, and the . and .. that an SFTP server may count
        with offer(limits=listed) as source:
            assert len(source.fetch_listing()) == 40
        with (
            offer(limits=replace(listed, entries=39)) as source,
            pytest.raises(SourceUnreachable) as caught,
        ):
            source.fetch_listing()
        assert caught.value.reason == "listing-too-long"

    def test_listing_fails_when_directory_is_missing(self, offer: Offer, folder: Path) -> None:
        with offer(folder=folder / "elsewhere") as source, pytest.raises(SourceMissing):
            source.fetch_listing()

    def test_fetch_returns_exact_bytes_from_any_offset(self, offer: Offer) -> None:
        with offer() as source:
            for offset in (0, 1, 32_768, 1_048_576, 2_999_999, 3_000_000, 3_000_001):
                assert read(source, NAME, offset=offset) == SOME_BYTES[offset:]

    def test_fetch_returns_chunks_of_bounded_size(self, offer: Offer) -> None:
        with offer() as source, source.fetch(NAME) as chunks:
            sizes = [len(chunk) for chunk in chunks]
        assert min(sizes) > 0
        assert max(sizes) <= 1024 * 1024

    def test_fetch_returns_no_chunks_when_file_is_empty(self, offer: Offer) -> None:
        with offer() as source, source.fetch("SMKIKR_DELT_2026-11-16.xml.gz") as chunks:
            assert list(chunks) == []

    def test_fetch_fails_when_offset_is_beyond_the_end(self, offer: Offer) -> None:
        with offer() as source:
            with (
                pytest.raises(SourceUnreachable, match="3000001") as caught,
                source.fetch(NAME, offset=3_000_002),
            ):
                pytest.fail("a file was opened beyond its end")
            assert caught.value.reason == "ended-early"
            assert read(source, NAME) == SOME_BYTES

    def test_fetch_fails_when_file_is_missing(self, offer: Offer) -> None:
        with offer() as source:
            with pytest.raises(SourceMissing, match="gone"), source.fetch("gone.gz"):
                pytest.fail("a missing file was opened")
            assert read(source, "SMKIKR_DELT_2026-11-17.xml.gz") == b"b"

    def test_fetch_rejects_names_that_are_not_plain(self, offer: Offer, folder: Path) -> None:
        (folder.parent / "outside.gz").write_bytes(b"outside")
        with offer() as source:
            for name in ("", ".", "..", "../outside.gz", "/etc/hostname", "a\0b", "\udcff", "x" * 256):
                with pytest.raises(SourceMissing) as caught, source.fetch(name):
                    pytest.fail("a name led out of the directory")
                assert caught.value.reason == "not-a-plain-name"
            assert len(source.fetch_listing()) == 3

    def test_fetch_fails_when_name_is_a_directory(self, offer: Offer, folder: Path) -> None:
        (folder / "sub").mkdir()
        with (
            offer() as source,
            pytest.raises((SourceMissing, SourceUnreachable)),
            source.fetch("sub") as chunks,
        ):
            list(chunks)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_fetch_is_refused_when_permission_is_missing(self, offer: Offer, folder: Path) -> None:
        (folder / NAME).chmod(0)
        with offer() as source, pytest.raises(SourceRefused) as caught, source.fetch(NAME):
            pytest.fail("a file without permission was opened")
        assert caught.value.reason == "permission-denied"

    def test_source_is_usable_when_transfer_was_abandoned(self, offer: Offer) -> None:
        with offer() as source:
            with source.fetch(NAME) as chunks:
                first = next(chunks)
            assert SOME_BYTES.startswith(first)
            assert list(chunks) == []
            assert read(source, NAME) == SOME_BYTES
            assert len(source.fetch_listing()) == 3

    def test_fetch_passes_errors_of_the_reader_unchanged(self, offer: Offer) -> None:
        full = OSError(28, "No space left on device")

        def fill_the_disk() -> None:
            with source.fetch(NAME) as chunks:
                next(chunks)
                raise full

        with offer() as source:
            with pytest.raises(OSError, match="No space left") as caught:
                fill_the_disk()
            assert caught.value is full
            assert read(source, NAME) == SOME_BYTES

    def test_fetch_ends_at_original_size_when_file_grows(self, offer: Offer, folder: Path) -> None:
        with offer() as source, source.fetch(NAME) as chunks:
            got = [next(chunks)]
            with (folder / NAME).open("ab") as file:
                file.write(b"more")
            got.extend(chunks)
        assert b"".join(got) == SOME_BYTES

    def test_fetch_reports_ended_early_when_file_is_truncated(self, offer: Offer, folder: Path) -> None:
        big = folder / "big.gz"
        big.write_bytes(bytes(16 * 1024 * 1024))
        with offer() as source:
            with source.fetch("big.gz") as chunks:
                next(chunks)
                os.truncate(big, 8 * 1024 * 1024)
                with pytest.raises(SourceUnreachable) as caught:
                    list(chunks)
            assert caught.value.reason == "ended-early"
            assert read(source, NAME) == SOME_BYTES

    def test_title_is_a_url_and_fetch_can_be_repeated(self, offer: Offer) -> None:
        with offer() as source:
            assert source.title.startswith(("file:///", "sftp://"))
            assert " " not in source.title
            assert [read(source, NAME) == SOME_BYTES for _ in range(3)] == [True] * 3
