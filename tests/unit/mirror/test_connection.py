"""Full disks, directories without rights, directories that are gone: named, and the mirror as before."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from support.mirror_builders import Record, ask, build, clock, delta, dump, entry, november
from support.mirror_processes import BECOME_NOBODY, let_everybody_read, needs_root, run

from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.errors import (
    InternalError,
    MirrorDamaged,
    MirrorError,
    MirrorNotWritable,
    OutOfMemory,
    ResourceError,
)
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.directory import MirrorDirectory, hold_lock
from smki_sync.mirror.store import MirrorStore
from unit.mirror.conftest import publish

TESTS = Path(__file__).parents[2]
PRELUDE = f"""
import ctypes, sys  # before the rights to read them are given away
sys.path.insert(0, {str(TESTS)!r})
from pathlib import Path
from resource import RLIMIT_FSIZE, setrlimit
from support.mirror_builders import apply, build, entry, november
from smki_sync.cli.exit_codes import exit_of
from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import MirrorDirectory
path = Path(sys.argv[1])
"""
TELL = """
except MirrorError as error:
    print(int(exit_of(error)), type(error).__name__, "|", error.hint)
"""
LIMIT = "setrlimit(RLIMIT_FSIZE, (300_000, 300_000))\ntry:\n    "
BIG = "[entry(n, body=bytes(500) + str(n).encode()) for n in range(1, 3000)]"


def test_a_delta_on_a_full_disk_is_named_and_leaves_the_mirror_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "000001.db"
    build(path, [entry(1)])
    before = dump(path)
    said = run(f"{PRELUDE}{LIMIT}apply(path, november(10), {BIG}){TELL}", path)
    assert said.startswith(("11 Mirror", "11 Resource"))
    assert dump(path) == before


def test_a_build_on_a_full_disk_is_named_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "000001.db"
    said = run(f"{PRELUDE}{LIMIT}build(path, {BIG}){TELL}", path)
    assert said.startswith(("11 Mirror", "11 Resource"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_may_not_grow_is_told_as_want_of_space(tmp_path: Path) -> None:
    said = run(f"{PRELUDE}{LIMIT}build(path, {BIG}){TELL}", tmp_path / "000001.db")
    assert "Free space" in said


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MiB; only root may mount one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    with tempfile.TemporaryDirectory() as path:
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let root mount a tmpfs")
        try:
            yield Path(path)
        finally:
            subprocess.run(["umount", path], check=True)


def big(first: int) -> Iterator[Record]:
    return (entry(n, body=bytes(500) + str(n).encode()) for n in range(first, first + 20_000))


def test_a_delta_beyond_the_disk_s_space_changes_nothing(small_disk: Path) -> None:
    path = small_disk / "000001.db"
    build(path, [entry(1)])
    before = dump(path)
    with pytest.raises(MirrorNotWritable) as caught, MirrorStore(path) as store:
        store.apply_delta(delta(november(10)), big(2), clock=clock)
    assert "Free space" in caught.value.hint
    assert dump(path) == before


def test_a_resync_beyond_the_disk_s_space_leaves_the_old_generation_in_place(small_disk: Path) -> None:
    directory = MirrorDirectory(small_disk / "mirror")
    directory.prepare()
    old = publish(directory, [entry(1)])
    before = dump(old)
    with pytest.raises(MirrorNotWritable) as caught:
        build(directory.next_generation(), big(2), old=old, day=november(16))
    assert "Free space" in caught.value.hint
    assert directory.current() == old
    assert dump(directory.link) == before
    directory.discard_unfinished()
    assert [path.name[:6] for path in directory.generations.iterdir()] == ["000001"] * 3
    build(directory.next_generation(), [entry(1)], old=old, day=november(16))


def test_the_lock_on_a_full_disk_is_a_fault_of_the_mirror(small_disk: Path) -> None:
    _fill(small_disk)
    with pytest.raises(MirrorError), hold_lock(small_disk / "lock", since=clock()):
        pytest.fail("the lock's card cannot be written")


@needs_root
@pytest.mark.parametrize(
    "deed",
    [
        "apply(path / 'generations' / '000001.db', november(10), [entry(2)])",
        "build(path / 'generations' / '000002.db', [entry(2)])",
        "MirrorDirectory(path).publish(path / 'generations' / '000001.db')",
        "MirrorDirectory(path).discard(path / 'generations' / '000002.db')",
        "MirrorDirectory(path / 'more').prepare()",
        "hold_lock(path / 'lock', since=clock()).__enter__()",
    ],
)
def test_a_directory_that_may_not_be_written_is_named(public: MirrorDirectory, deed: str) -> None:
    path = publish(public, [entry(1)])
    (public.generations / "000002.db").write_bytes(b"")
    let_everybody_read(public.root)
    before = dump(path)
    more = "from support.mirror_builders import clock\nfrom smki_sync.mirror.directory import hold_lock\n"
    said = run(f"{PRELUDE}{more}{BECOME_NOBODY}try:\n    {deed}{TELL}", public.root)
    assert said.startswith(("11 Mirror", "11 Resource"))
    assert dump(path) == before


def test_a_directory_that_has_vanished_is_named(directory: MirrorDirectory) -> None:
    path = publish(directory, [entry(1)])
    directory.root.rename(directory.root.with_name("elsewhere"))
    with pytest.raises(MirrorNotWritable):
        MirrorStore(path)
    with pytest.raises(MirrorNotWritable):
        build(directory.next_generation(), [entry(1)])
    with pytest.raises(MirrorNotWritable):
        directory.publish(path)
    assert ask(directory.root.with_name("elsewhere") / "mirror.db", "SELECT count(*) FROM certificates")


def test_a_directory_that_vanishes_during_a_build_is_named(directory: MirrorDirectory) -> None:
    def vanish(step: str) -> None:
        if step == "writing to disk":
            directory.root.rename(directory.root.with_name("elsewhere"))

    with pytest.raises(MirrorError) as caught:
        build(
            directory.next_generation(),
            [entry(1)],
            step=vanish,
        )
    assert exit_of(caught.value) is Exit.RESOURCES


@pytest.mark.parametrize(
    ("fault", "kind", "advice"),
    [
        (apsw.CorruptError("x"), MirrorDamaged, "rebuilds"),
        (apsw.NotADBError("x"), MirrorDamaged, "rebuilds"),
        (apsw.FormatError("x"), MirrorDamaged, "rebuilds"),
        (apsw.FullError("x"), MirrorNotWritable, "Free space"),
        (apsw.ReadOnlyError("x"), MirrorNotWritable, "Check that"),
        (apsw.PermissionsError("x"), MirrorNotWritable, "Check that"),
        (apsw.CantOpenError("x"), MirrorNotWritable, "Check that"),
        (apsw.IOError("x"), ResourceError, "disk's health"),
        (apsw.BusyError("x"), ResourceError, "Close the program"),
        (apsw.LockedError("x"), ResourceError, "Close the program"),
        (apsw.ProtocolError("x"), ResourceError, "local file system"),
        (apsw.NoLFSError("x"), ResourceError, "local file system"),
        (apsw.NoMemError("x"), OutOfMemory, "memory"),
        (apsw.SQLError("no such table: certificate"), MirrorDamaged, "rebuilds"),
        (apsw.SQLError("no such column: c.eui"), MirrorDamaged, "rebuilds"),
        (apsw.SQLError("unsupported file format"), MirrorDamaged, "rebuilds"),
        (apsw.SQLError("not a writable directory"), MirrorNotWritable, "Check that"),
        (OSError(28, "No space left on device", "f"), MirrorNotWritable, "Free space"),
        (OSError(122, "Quota exceeded"), MirrorNotWritable, "Free space"),
        (OSError(13, "Permission denied", "f"), MirrorNotWritable, "Check that"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_every_fault_of_the_disk_gets_a_name_and_an_advice(
    fault: Exception, kind: type[MirrorError], advice: str
) -> None:
    with pytest.raises(MirrorError) as caught, disk_errors(Path("here")):
        raise fault
    assert type(caught.value) is kind
    assert caught.value.__cause__ is fault
    assert advice in caught.value.hint
    assert ("f: " if getattr(fault, "filename", None) else "here") in caught.value.message
    expected = Exit.MIRROR if kind is MirrorDamaged else Exit.RESOURCES
    assert exit_of(caught.value) is expected


@pytest.mark.parametrize(
    "error",
    [
        apsw.ThreadingViolationError("Connection is busy in another thread"),
        apsw.MisuseError("x"),
        apsw.ConstraintError("x"),
        apsw.SQLError('near "SELEC": syntax error'),
    ],
    ids=lambda error: type(error).__name__,
)
def test_disk_errors_reports_a_bug_when_the_sqlite_error_is_unexpected(error: apsw.Error) -> None:
    with pytest.raises(InternalError) as caught, disk_errors(Path("here")):
        raise error
    assert exit_of(caught.value) is Exit.UNEXPECTED
    assert "permission" not in caught.value.message + caught.value.hint
    assert "user" not in caught.value.hint


def test_what_is_no_fault_of_the_disk_passes_through() -> None:
    with pytest.raises(ValueError, match="mine"), disk_errors(Path("here")):
        raise ValueError("mine")


def _fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_full_disk_is_named_as_one_where_sqlite_has_rolled_back_by_itself() -> None:
    """The library's own rollback then fails too, which is no damage."""
    rollback = apsw.SQLError("cannot rollback - no transaction is active")
    rollback.__context__ = apsw.FullError("database or disk is full")
    with pytest.raises(MirrorNotWritable, match="database or disk is full"), disk_errors(Path("here")):
        raise rollback


def test_a_link_that_cannot_be_made_is_named_by_its_own_whole_path() -> None:
    refused = PermissionError(
        13, "Permission denied", "generations/000002.db", None, "/mirror/.mirror.db.next"
    )
    with pytest.raises(MirrorNotWritable, match=r"^/mirror/\.mirror\.db\.next: "), disk_errors(Path("here")):
        raise refused
