"""A file system that lacks something: the error names it before anything is downloaded, and never exit 1."""

from pathlib import Path

import pytest
from support.cli import Shell
from support.failing_calls import build_library, failing

from smki_sync.cli.exit_codes import Exit, exit_of
from smki_sync.errors import MirrorNotWritable

PROBLEM_OF_THE_MACHINE = exit_of(MirrorNotWritable(""))


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("library"))


def sync(repository: Path) -> tuple[str, ...]:
    return ("sync", "--mirror", "mirror", "--source", repository.as_uri(), "--json")


MISSING = [
    ("flock", "ENOLCK", "file locks"),
    ("flock", "ENOSYS", "file locks"),
    ("flock", "EOPNOTSUPP", "file locks"),
    ("flock", "EIO", "file locks"),
    ("fcntl", "ENOLCK", "byte-range locks"),
    ("symlink", "EPERM", "symbolic links"),
    ("symlink", "EOPNOTSUPP", "symbolic links"),
    ("rename", "EIO", "rename"),
    ("rename", "EXDEV", "rename"),
    ("mmap", "ENODEV", "shared memory"),
    ("fsync", "EIO", "fsync"),
    ("fsync-directory", "EIO", "fsync"),
]


@pytest.mark.parametrize("case", MISSING)
def test_first_sync_names_what_is_missing_and_downloads_nothing(
    smki: Shell, repository: Path, library: Path, case: tuple[str, str, str]
) -> None:
    call, error, operation = case
    ran = smki.cold(*sync(repository), **failing(library, call, error, below="mirror"))
    assert ran.code == PROBLEM_OF_THE_MACHINE, ran.err
    assert ran.error["code"] == "file-system"
    assert operation in ran.error["message"]
    assert "local file system" in ran.error["hint"]
    assert list((smki.place / "mirror" / "downloads").iterdir()) == []
    names = {path.name for path in (smki.place / "mirror").iterdir()}
    assert names == {"downloads", "generations", "history.db"}


@pytest.mark.parametrize("case", MISSING[::4])
def test_doctor_names_what_is_missing(
    smki: Shell, repository: Path, library: Path, case: tuple[str, str, str]
) -> None:
    call, error, operation = case
    (smki.place / "mirror").mkdir()
    words = ("doctor", "--mirror", "mirror", "--source", repository.as_uri(), "--json")
    ran = smki.cold(*words, **failing(library, call, error, below="mirror"))
    checks = {check["check"]: check for check in ran.document["checks"]}
    assert checks["file system"]["verdict"] == "fail"
    assert operation in checks["file system"]["seen"]
    assert ran.code == PROBLEM_OF_THE_MACHINE
    assert list((smki.place / "mirror").iterdir()) == []


@pytest.mark.parametrize(
    ("call", "error"),
    [("fsync-directory", "EINVAL"), ("statvfs-zero", ""), ("link", "EPERM")],
)
def test_sync_succeeds_without_what_it_does_not_need(
    smki: Shell, repository: Path, library: Path, call: str, error: str
) -> None:
    ran = smki.cold(*sync(repository), **failing(library, call, error))
    assert ran.code == Exit.OK, ran.err


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("flock", "ENOLCK"),
        ("flock", "EIO"),
        ("rename", "EIO"),
        ("symlink", "EPERM"),
        ("mkdir", "EROFS"),
        ("unlink", "EIO"),
        ("ftruncate", "EIO"),
        ("fsync", "EIO"),
        ("fsync-directory", "EIO"),
        ("mmap", "ENODEV"),
        ("fcntl", "EIO"),
        ("statvfs", "EIO"),
    ],
)
def test_sync_of_an_existing_mirror_never_ends_with_a_bug(
    smki: Shell, repository: Path, library: Path, call: str, error: str
) -> None:
    assert smki(*sync(repository)).code == Exit.OK
    before = (smki.place / "mirror" / "mirror.db").resolve()
    ran = smki.cold(*sync(repository), "--full", **failing(library, call, error, below="mirror"))
    assert ran.code in {Exit.OK, Exit.ATTENTION, Exit.MIRROR, PROBLEM_OF_THE_MACHINE}, ran.err
    assert "Traceback" not in ran.err
    assert before.exists()
    assert smki("status", "--mirror", "mirror").code in {Exit.OK, Exit.ATTENTION}


@pytest.mark.parametrize("words", ["status", "find", "verify", "doctor", "schedule --print"])
@pytest.mark.parametrize("case", [("flock", "ENOLCK"), ("statvfs", "EIO"), ("mmap", "EIO")])
def test_no_command_ends_with_a_bug(
    smki: Shell, repository: Path, library: Path, words: str, case: tuple[str, str]
) -> None:
    call, error = case
    (smki.place / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{repository.as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    smki("sync")
    ran = smki.cold(*words.split(), **failing(library, call, error, below="mirror"))
    assert ran.code != Exit.UNEXPECTED, ran.err
