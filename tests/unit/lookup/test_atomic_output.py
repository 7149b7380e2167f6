"""Whole or absent: what stands at the place, and beside it, whatever happens meanwhile."""

import os
import signal
from pathlib import Path

import pytest
from support.cli import Shell, wait_until
from support.exports import bodies, held
from support.mirror_builders import build, entry

from smki_sync.errors import OutputError, UsageError
from smki_sync.export.export import ExportFormat, ExportRequest, export_certificates
from smki_sync.files import MANIFEST, atomic_file, atomic_tree
from smki_sync.mirror.queries import CertificateFilter
from smki_sync.simulator.repository import Repository
from smki_sync.usability import UsabilityRule

FORMATS = [form.value for form in ExportFormat]


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


@pytest.mark.parametrize("form", FORMATS)
def test_what_exists_is_left_as_it_is_unless_told(ask: Shell, mirror: Path, form: str) -> None:
    words = ("export", "--format", form, "--output", "made")
    assert ask(*words).code == 0
    before = bodies(ask.place / "made", form)
    again = ask(*words, "--kind", "oca", "--json")
    assert (again.code, again.error["code"]) == (2, "output-exists")
    assert bodies(ask.place / "made", form) == before
    assert ask(*words, "--kind", "oca", "--force").code == 0
    assert bodies(ask.place / "made", form) == held(mirror, "in_use AND kind = 'oca'")
    assert names(ask.place) == ["made"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_directory_that_is_not_an_export_is_never_replaced(ask: Shell, form: str) -> None:
    (ask.place / "home").mkdir()
    (ask.place / "home" / "thesis.txt").write_text("years of work")
    for output in ("home", ".", "/"):
        ran = ask("export", "--format", form, "--output", output, "--force", "--json")
        assert ran.code == 2
    assert (ask.place / "home" / "thesis.txt").read_text() == "years of work"
    assert names(ask.place) == ["home"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_place_that_is_not_there_is_said_and_nothing_is_made(ask: Shell, form: str) -> None:
    ran = ask("export", "--format", form, "--output", "no/such/place", "--json")
    assert (ran.code, ran.error["code"]) == (2, "output-not-writable")
    assert names(ask.place) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_mirror_that_fails_in_the_middle_leaves_nothing(ask: Shell, damaged: Path, form: str) -> None:
    words = ("export", "--format", form, "--output", "made", "--any-status", "--mirror", damaged, "--json")
    (ask.place / "before").write_text("unchanged")
    ran = ask(*words)
    assert (ran.code, ran.error["code"]) == (7, "mirror-damaged")
    assert "made" not in " ".join(names(ask.place))


def test_atomic_file_raises_and_leaves_nothing_when_the_disk_is_full(tmp_path: Path) -> None:
    def fill() -> None:
        with atomic_file(tmp_path / "made", force=False) as file, Path("/dev/full").open("w") as full:
            file.write("half")
            full.write("x")
            full.flush()  # as a flush of the file itself would here

    with pytest.raises(OutputError, match="No space left"):
        fill()
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_whatever_is_raised_meanwhile_the_old_one_stands(tmp_path: Path, error: type[BaseException]) -> None:
    def write_a_file() -> None:
        with atomic_file(tmp_path / "file", force=True) as file:
            file.write("new")
            raise error

    def fill_a_tree() -> None:
        with atomic_tree(tmp_path / "tree", force=True) as tree:
            (tree / "new").write_text("new")
            raise error

    (tmp_path / "file").write_text("old")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / MANIFEST).write_text("{}")
    for fail in (write_a_file, fill_a_tree):
        with pytest.raises(error):
            fail()
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path / "tree") == [MANIFEST]
    assert names(tmp_path) == ["file", "tree"]


def test_a_new_file_belongs_to_whom_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "made", force=False) as file:
            file.write("x")
    finally:
        os.umask(before)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o640


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / MANIFEST).write_text("{}")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "nowhere").symlink_to("no/such/place")
    for name in ("link", "nowhere"):
        with pytest.raises(UsageError, match="exists"), atomic_tree(tmp_path / name, force=True):
            raise AssertionError


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror whose export takes long enough to be disturbed."""
    place = tmp_path_factory.mktemp("larger")
    (place / "generations").mkdir()
    build(place / "generations" / "000001.db", [entry(n) for n in range(1, 60_000)])
    (place / "mirror.db").symlink_to("generations/000001.db")
    return place


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_export_that_is_stopped_leaves_nothing_at_its_place(
    smki: Shell, larger: Path, how: signal.Signals
) -> None:
    output = smki.place / "made"
    words = ("export", "--format", "der-tree", "--output", output, "--mirror", larger)
    with smki.start(*words) as running:
        wait_until(lambda: running.ended or any(smki.place.glob(".smki-sync-*.partial/*/*/*.der")))
        assert not running.ended
        running.tell(how)
        ran = running.ending()
    assert not output.exists()
    if how is signal.SIGKILL:
        assert all(name.startswith(".smki-sync-") and name.endswith(".partial") for name in names(smki.place))
    else:
        assert ran.code == 130
        assert names(smki.place) == []


def test_a_sync_meanwhile_changes_nothing_in_an_export(
    smki: Shell, repository: Repository, own_mirror: Path
) -> None:
    """The rows are read while a resync and a delta go in: all of them are of the state before."""
    before = held(own_mirror, "TRUE")
    repository.advance(days=9)
    told: list[int] = []

    def meanwhile(done: int, _total: int) -> None:
        told.append(done)
        ran = smki(
            *("sync", "--mirror", own_mirror, "--source", repository.path.as_uri()),
            SMKI_SYNC_TODAY=repository.today.isoformat(),
        )
        assert ran.code == 0, ran.err

    output = smki.place / "made"
    rule = UsabilityRule(at="2026-11-22T00:00:00Z")
    wanted = CertificateFilter(any_status=True)
    job = ExportRequest(form=ExportFormat.PEM, output=output, wanted=wanted, rule=rule)
    done = export_certificates(own_mirror / "mirror.db", job, progress=meanwhile)
    assert len(told) == 1
    assert bodies(output, "pem") == before != held(own_mirror, "TRUE")
    assert done.stamp.position < repository.today
