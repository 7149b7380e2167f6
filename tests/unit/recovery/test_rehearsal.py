"""`restore --rehearse`: restores to a temporary directory, compares and writes a report."""

import html
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import apsw
import pytest
from support.cli import Json, Shell

from smki_sync.mirror.directory import hold_lock
from smki_sync.recovery.rehearsal import MARK
from smki_sync.simulator.repository import Repository
from unit.recovery.conftest import START


def everything(root: Path) -> Iterator[tuple[str, bytes]]:
    """What stands in the generations, file by file."""
    for path in sorted(root.rglob("*.db")):
        yield str(path.relative_to(root)), path.read_bytes()


def test_rehearsal_writes_a_report_and_leaves_the_mirror_unchanged(smki: Shell, place: Path) -> None:
    before = dict(everything(place / "mirror" / "generations"))
    ran = smki("restore", "--rehearse", "--json")
    assert ran.code == 0
    made = ran.document
    assert made["schema"] == "smki-sync/restore/1"
    assert made["agrees"]
    assert made["outcome"] == "current"
    assert made["position"] == "2026-11-11"
    assert made["recovery_point"] == "2026-11-11"
    assert made["digest"] == made["live"]["digest"]
    assert [phase["phase"] for phase in made["phases"]] == ["list", "fetch", "build", "check"]
    assert made["files"][0]["file"] == "SMKIKR_FULL_2026-11-09.xml.gz"
    assert {"host", "cores", "python", "sqlite", "smki-sync"} <= set(made["machine"])
    assert dict(everything(place / "mirror" / "generations")) == before
    assert not (place / "mirror" / "rehearsal").exists()


def test_rehearsal_report_is_the_document_and_a_page_with_its_hash(smki: Shell, place: Path) -> None:
    ran = smki("restore", "--rehearse", "--output", "evidence", "--json")
    (written,) = (place / "evidence").glob("*.json")
    (page,) = (place / "evidence").glob("*.html")
    assert json.loads(written.read_text()) == ran.document
    text = page.read_text()
    assert sha256(written.read_bytes()).hexdigest() in text
    assert "Restore rehearsal: passed" in text
    assert "Reviewed by" in text
    for file in ran.document["files"]:
        assert file["sha256"] in text
    assert "<script" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def report_of(place: Path) -> tuple[Json, str]:
    """The one report that was left: the document and the page."""
    (written,) = (place / "mirror" / "rehearsals").glob("*.json")
    (page,) = (place / "mirror" / "rehearsals").glob("*.html")
    assert sha256(written.read_bytes()).hexdigest() in page.read_text()
    return json.loads(written.read_text()), page.read_text()


def other_digest(place: Path) -> None:
    with closing(apsw.Connection(str((place / "mirror" / "mirror.db").resolve()))) as db:
        db.execute("UPDATE mirror SET digest = (SELECT zeroblob(264))")


def noise(place: Path) -> None:
    (place / "mirror" / "mirror.db").resolve().write_bytes(b"\x5a" * 100_000)


def cut_delta(place: Path) -> None:
    path = place / "repository" / "SMKIKR_DELT_2026-11-11.xml.gz"
    path.write_bytes(path.read_bytes()[:-9])


def gone(place: Path) -> None:
    (place / "repository").rename(place / "elsewhere")


DISASTERS: list[tuple[Callable[[Path], None], str, int]] = [
    (other_digest, "digest-differs", 7),  # what it carries is not what its rows make
    (noise, "mirror-damaged", 7),
    (cut_delta, "truncated", 6),
    (gone, "source-missing", 4),
]


@pytest.mark.parametrize(("disaster", "code", "cause"), DISASTERS)
def test_rehearsal_exits_10_with_a_report_when_it_cannot_be_completed(
    smki: Shell, place: Path, disaster: Callable[[Path], None], code: str, cause: int
) -> None:
    disaster(place)
    before = dict(everything(place / "mirror" / "generations"))
    ran = smki("restore", "--rehearse", "--json")
    assert ran.code == 10
    made, page = report_of(place)
    assert made == ran.document
    assert not made["agrees"]
    assert (made["error"]["code"], made["error"]["exit"]) == (code, cause)
    assert (made["live"] is None) == (disaster is noise)
    assert "Not completed" in page
    assert html.escape(made["error"]["message"], quote=False) in page
    assert not (place / "mirror" / "rehearsal").exists()
    assert dict(everything(place / "mirror" / "generations")) == before


def test_rehearsal_prints_the_cause_when_it_cannot_be_completed(smki: Shell, place: Path) -> None:
    cut_delta(place)
    ran = smki("restore", "--rehearse", "--scratch", "scratch")
    assert ran.code == 10
    assert "The rehearsal FAILED: it could not be completed." in ran.out
    assert "SMKIKR_DELT_2026-11-11.xml.gz" in ran.out
    assert not (place / "scratch").exists()


def test_rehearsal_reports_a_directory_that_cannot_be_created(smki: Shell, place: Path) -> None:
    (place / "file").touch()
    assert smki("restore", "--rehearse", "--scratch", "file/scratch").code == 10
    made, _page = report_of(place)
    assert made["error"]["code"] == "mirror-not-writable"


def test_rehearsal_fails_when_the_source_restores_another_mirror(smki: Shell, place: Path) -> None:
    other = Repository.create(place / "other", devices=20, days=10, start=START, seed=10)
    ran = smki("restore", "--rehearse", "--source", other.path.as_uri(), "--json")
    assert ran.code == 10
    assert not ran.document["agrees"]
    assert ran.document["only_live"] > 0
    assert ran.document["only_restored"] > 0
    assert "Restore rehearsal: failed" in next((place / "mirror" / "rehearsals").glob("*.html")).read_text()


def test_rehearsal_exits_2_when_the_scratch_directory_is_in_use(smki: Shell, place: Path) -> None:
    (place / "scratch").mkdir()
    (place / "scratch" / "mine").write_text("mine")
    ran = smki("restore", "--rehearse", "--scratch", "scratch")
    assert ran.code == 2
    assert "scratch is in use" in ran.err
    assert (place / "scratch" / "mine").read_text() == "mine"


def test_rehearsal_removes_what_a_killed_rehearsal_left(smki: Shell, place: Path) -> None:
    scratch = place / "mirror" / "rehearsal"
    scratch.mkdir()
    for name in (MARK, "lock", "half-a-generation"):
        (scratch / name).touch()
    assert smki("restore", "--rehearse").code == 0
    assert not scratch.exists()


def test_rehearsal_exits_9_when_another_rehearsal_runs(smki: Shell, place: Path) -> None:
    scratch = place / "mirror" / "rehearsal"
    scratch.mkdir()
    (scratch / MARK).touch()
    with hold_lock(scratch / "lock", since=datetime.now(UTC)):
        assert smki("restore", "--rehearse").code == 9
        assert (scratch / MARK).exists()


@pytest.mark.parametrize(("today", "passed"), [("2026-11-11", True), ("2100-01-01", False)])
def test_rehearsal_checks_chains_at_the_time_that_verify_uses(
    smki: Shell, place: Path, today: str, passed: bool
) -> None:
    link = place / "mirror" / "mirror.db"
    with closing(apsw.Connection(str(link.resolve()), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        roots = [der for (der,) in db.execute("SELECT der FROM certificates WHERE subject = issuer")]
    anchors = [place / f"root-{n}.der" for n in range(len(roots))]
    for path, der in zip(anchors, roots, strict=True):
        path.write_bytes(der)
    config = place / "anchors.toml"
    config.write_text(f"[trust]\nanchors = {[str(path) for path in anchors]}\n".replace("'", '"'))
    ran = smki("restore", "--rehearse", "--config", config, "--json", SMKI_SYNC_TODAY=today)
    (chains,) = (check for check in ran.document["checks"] if check["check"] == "chains")
    assert chains["passed"] is passed
    assert (smki("verify", "--config", config, SMKI_SYNC_TODAY=today).code == 0) is passed
    assert ("First error: serial " in chains["detail"]) is not passed
