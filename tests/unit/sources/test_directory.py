"""The directory source: errors of the file system, links, pipes, and no import of paramiko."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from smki_sync.errors import SourceError, SourceMissing, SourceNotReadable, SourceReadFailed
from smki_sync.events import NullListener
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits, Source
from smki_sync.sources.ssh_settings import SftpLogin


def source_of(folder: Path) -> Source:
    return open_source(folder.as_uri(), login=SftpLogin(), limits=Limits(), events=NullListener())


@pytest.mark.parametrize(
    ("number", "kind", "reason"),
    [
        (errno.ENOENT, SourceMissing, "source-missing"),
        (errno.EACCES, SourceNotReadable, "permission-denied"),
        (errno.EIO, SourceReadFailed, "read-failed"),
        (errno.ESTALE, SourceReadFailed, "read-failed"),
    ],
)
def test_directory_error_has_class_and_code_of_its_errno(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[SourceError], reason: str
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    (folder / "a.gz").write_bytes(b"a")
    with source_of(folder) as source:
        with source.fetch("a.gz") as chunks, monkeypatch.context() as patch:
            patch.setattr(os, "pread", failing)
            with pytest.raises(kind) as reading:
                next(chunks)
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", failing)
            with pytest.raises(kind) as listing:
                source.fetch_listing()
    assert [reading.value.reason, listing.value.reason] == [reason] * 2
    assert str(folder) in reading.value.message


def test_directory_opens_neither_links_nor_pipes(folder: Path) -> None:
    (folder.parent / "outside.gz").write_bytes(b"outside")
    (folder / "link.gz").symlink_to(folder.parent / "outside.gz")
    os.mkfifo(folder / "pipe.gz")
    with source_of(folder) as source:
        for name in ("link.gz", "pipe.gz"):
            with pytest.raises(SourceMissing), source.fetch(name):
                pytest.fail("something else than a regular file was opened")


def test_modified_is_none_when_time_is_out_of_range(folder: Path) -> None:
    memory = Path("/dev", "shm")  # its time stamps have 64 bits; those of many disks end in 2446
    with TemporaryDirectory(dir=memory if memory.is_dir() else folder) as place:
        for name, seconds in (("early", -99_999_999_999), ("late", 253_402_300_900), ("now", 1_790_000_000)):
            Path(place, name).write_bytes(b"a")
            os.utime(Path(place, name), (seconds, seconds))
        with source_of(Path(place)) as source:
            assert {x.name: x.modified and x.modified.year for x in source.fetch_listing()} == {
                "early": None,
                "late": None,
                "now": 2026,
            }


def test_directory_may_itself_be_a_link(folder: Path) -> None:
    link = folder.parent / "current"
    link.symlink_to(folder)
    with source_of(link) as source:
        assert len(source.fetch_listing()) == 3


def test_directory_source_closes_every_file(folder: Path) -> None:
    (folder / "a.gz").write_bytes(bytes(3_000_000))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (the fashion of a path does not matter here)
    with source_of(folder) as source, source.fetch("a.gz") as chunks:
        next(chunks)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 (as above)


def test_directory_source_does_not_import_paramiko(folder: Path) -> None:
    program = (
        "import sys; from smki_sync.events import NullListener\n"
        "from smki_sync.sources import *\n"
        "s = open_source(sys.argv[1], login=SftpLogin(), limits=Limits(), events=NullListener())\n"
        "assert len(s.fetch_listing()) == 3\n"
        "assert 'paramiko' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, folder.as_uri()], check=True)
