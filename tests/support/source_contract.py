"""What every source promises, asked of each of them alike.

For: one suite for the directory, for paramiko's server and for OpenSSH. A class of tests that is
collected once for each source: a module subclasses :class:`SourceContract` and gives an ``offer``.
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
from smki_sync.sources.base import Limits, Source

Offer = Callable[..., AbstractContextManager[Source]]
"""Opens the source over a folder: ``offer(limits=…, folder=…)``; leaving closes it."""

SOME_BYTES = random.Random(20_261_123).randbytes(3_000_001)
"""More than a few chunks or spans of every source, and a multiple of none."""

NAME = "SMKIKR_FULL_2026-11-15.xml.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository's directory with one full, two deltas, and things that are no extracts."""
    return fill(tmp_path / "repository with a blank")


def fill(place: Path) -> Path:
    """Make a directory with what :func:`folder` holds."""
    place.mkdir()
    (place / NAME).write_bytes(SOME_BYTES)
    (place / "SMKIKR_DELT_2026-11-17.xml.gz").write_bytes(b"b")
    (place / "SMKIKR_DELT_2026-11-16.xml.gz").write_bytes(b"")
    return place


def read(source: Source, name: str, *, offset: int = 0) -> bytes:
    with source.fetch(name, offset=offset) as chunks:
        return b"".join(chunks)


class SourceContract:
    """The promise. ``offer`` comes from the subclass."""

    @pytest.fixture
    def offer(self) -> Offer:
        raise NotImplementedError

    def test_a_listing_gives_names_in_order_with_size_and_time_in_utc(
        self, offer: Offer, folder: Path
    ) -> None:
        os.utime(folder / NAME, (1_763_000_000, 1_763_000_000))
        with offer() as source:
            files = source.fetch_listing()
        assert [(file.name, file.size) for file in files] == [
            ("SMKIKR_DELT_2026-11-16.xml.gz", 0),
            ("SMKIKR_DELT_2026-11-17.xml.gz", 1),
            (NAME, 3_000_001),
        ]
        assert files[2].modified == datetime.fromtimestamp(1_763_000_000, tz=UTC)

    def test_only_regular_files_with_plain_names_are_listed(self, offer: Offer, folder: Path) -> None:
        (folder / "a-directory").mkdir()
        os.mkfifo(folder / "a-pipe")
        (folder.parent / "outside.gz").write_bytes(b"outside")
        (folder / "a-link.gz").symlink_to(folder.parent / "outside.gz")
        (folder / ("n" * 41)).write_bytes(b"too long a name")
        Path(os.fsdecode(bytes(folder) + b"/not-utf-8-\xff.gz")).write_bytes(b"not text")
        (folder / "ünïcode.gz").write_bytes(b"text")
        with offer(limits=Limits(name_length=40)) as source:
            names = [file.name for file in source.fetch_listing()]
        assert names == [
            "SMKIKR_DELT_2026-11-16.xml.gz",
            "SMKIKR_DELT_2026-11-17.xml.gz",
            NAME,
            "ünïcode.gz",
        ]

    def test_an_empty_directory_is_an_empty_listing(self, offer: Offer, folder: Path) -> None:
        for file in folder.iterdir():
            file.unlink()
        with offer() as source:
            assert source.fetch_listing() == ()

    def test_a_listing_as_long_as_the_limit_passes_and_one_entry_more_is_refused(
        self, offer: Offer, folder: Path
    ) -> None:
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

    def test_a_missing_directory_is_missing(self, offer: Offer, folder: Path) -> None:
        with offer(folder=folder / "elsewhere") as source, pytest.raises(SourceMissing):
            source.fetch_listing()

    def test_a_file_comes_byte_for_byte_from_any_offset(self, offer: Offer) -> None:
        with offer() as source:
            for offset in (0, 1, 32_768, 1_048_576, 2_999_999, 3_000_000, 3_000_001):
                assert read(source, NAME, offset=offset) == SOME_BYTES[offset:]

    def test_no_chunk_is_empty_and_none_is_large(self, offer: Offer) -> None:
        with offer() as source, source.fetch(NAME) as chunks:
            sizes = [len(chunk) for chunk in chunks]
        assert min(sizes) > 0
        assert max(sizes) <= 1024 * 1024

    def test_an_empty_file_has_no_chunks(self, offer: Offer) -> None:
        with offer() as source, source.fetch("SMKIKR_DELT_2026-11-16.xml.gz") as chunks:
            assert list(chunks) == []

    def test_an_offset_beyond_the_end_says_that_the_file_is_shorter_and_the_source_goes_on(
        self, offer: Offer
    ) -> None:
        with offer() as source:
            with (
                pytest.raises(SourceUnreachable, match="3000001") as caught,
                source.fetch(NAME, offset=3_000_002),
            ):
                pytest.fail("a file was opened beyond its end")
            assert caught.value.reason == "ended-early"
            assert read(source, NAME) == SOME_BYTES

    def test_a_missing_file_is_missing_and_named_and_the_source_goes_on(self, offer: Offer) -> None:
        with offer() as source:
            with pytest.raises(SourceMissing, match="gone"), source.fetch("gone.gz"):
                pytest.fail("a missing file was opened")
            assert read(source, "SMKIKR_DELT_2026-11-17.xml.gz") == b"b"

    def test_a_name_that_is_not_plain_is_never_opened(self, offer: Offer, folder: Path) -> None:
        (folder.parent / "outside.gz").write_bytes(b"outside")
        with offer() as source:
            for name in ("", ".", "..", "../outside.gz", "/etc/hostname", "a\0b", "\udcff", "x" * 256):
                with pytest.raises(SourceMissing) as caught, source.fetch(name):
                    pytest.fail("a name led out of the directory")
                assert caught.value.reason == "not-a-plain-name"
            assert len(source.fetch_listing()) == 3

    def test_a_directory_cannot_be_fetched(self, offer: Offer, folder: Path) -> None:
        (folder / "sub").mkdir()
        with (
            offer() as source,
            pytest.raises((SourceMissing, SourceUnreachable)),
            source.fetch("sub") as chunks,
        ):
            list(chunks)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_without_permission_is_refused(self, offer: Offer, folder: Path) -> None:
        (folder / NAME).chmod(0)
        with offer() as source, pytest.raises(SourceRefused) as caught, source.fetch(NAME):
            pytest.fail("a file without permission was opened")
        assert caught.value.reason == "permission-denied"

    def test_a_file_left_in_the_middle_leaves_the_source_usable(self, offer: Offer) -> None:
        with offer() as source:
            with source.fetch(NAME) as chunks:
                first = next(chunks)
            assert SOME_BYTES.startswith(first)
            assert list(chunks) == []
            assert read(source, NAME) == SOME_BYTES
            assert len(source.fetch_listing()) == 3

    def test_an_error_of_the_reader_passes_through_untouched(self, offer: Offer) -> None:
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

    def test_a_file_that_grows_after_it_was_opened_ends_where_it_ended_then(
        self, offer: Offer, folder: Path
    ) -> None:
        with offer() as source, source.fetch(NAME) as chunks:
            got = [next(chunks)]
            with (folder / NAME).open("ab") as file:
                file.write(b"more")
            got.extend(chunks)
        assert b"".join(got) == SOME_BYTES

    def test_a_file_cut_after_it_was_opened_ended_early_and_the_source_goes_on(
        self, offer: Offer, folder: Path
    ) -> None:
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

    def test_the_title_is_a_url_and_fetching_is_possible_again_and_again(self, offer: Offer) -> None:
        with offer() as source:
            assert source.title.startswith(("file:///", "sftp://"))
            assert " " not in source.title
            assert [read(source, NAME) == SOME_BYTES for _ in range(3)] == [True] * 3
