"""A drill: a restore that touches nothing, held against the live mirror, with a report that can be filed."""

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
from smki_sync.recovery.drill import MARK
from smki_sync.simulator.repository import Repository
from unit.recovery.conftest import START


def everything(root: Path) -> Iterator[tuple[str, bytes]]:
    """What stands in the generations, file by file."""
    for path in sorted(root.rglob("*.db")):
        yield str(path.relative_to(root)), path.read_bytes()


def test_a_drill_that_passes_leaves_the_mirror_alone_and_a_report(smki: Shell, place: Path) -> None:
    before = dict(everything(place / "mirror" / "generations"))
    ran = smki("drill", "--json")
    assert ran.code == 0
    made = ran.document
    assert made["agrees"]
    assert made["recovery_point"] == "2026-11-11"
    assert made["digest"] == made["live"]["digest"]
    assert [phase["phase"] for phase in made["phases"]] == ["list", "fetch", "build", "check"]
    assert made["files"][0]["file"] == "SMKIKR_FULL_2026-11-09.xml.gz"
    assert {"host", "cores", "python", "sqlite", "smki-sync"} <= set(made["machine"])
    assert dict(everything(place / "mirror" / "generations")) == before
    assert not (place / "mirror" / "drill").exists()


def test_the_report_is_the_document_and_a_page_that_carries_its_hash(smki: Shell, place: Path) -> None:
    ran = smki("drill", "--output", "evidence", "--json")
    (written,) = (place / "evidence").glob("*.json")
    (page,) = (place / "evidence").glob("*.html")
    assert json.loads(written.read_text()) == ran.document
    text = page.read_text()
    assert sha256(written.read_bytes()).hexdigest() in text
    assert "Recovery drill: passed" in text
    assert "Reviewed by" in text
    for file in ran.document["files"]:
        assert file["sha256"] in text
    assert "<script" not in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def report_of(place: Path) -> tuple[Json, str]:
    """The one report that was left: the document and the page."""
    (written,) = (place / "mirror" / "drills").glob("*.json")
    (page,) = (place / "mirror" / "drills").glob("*.html")
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
def test_a_drill_that_cannot_be_carried_out_is_a_finding_with_a_report(
    smki: Shell, place: Path, disaster: Callable[[Path], None], code: str, cause: int
) -> None:
    disaster(place)
    before = dict(everything(place / "mirror" / "generations"))
    ran = smki("drill", "--json")
    assert ran.code == 10
    made, page = report_of(place)
    assert made == ran.document
    assert not made["agrees"]
    assert (made["error"]["code"], made["error"]["exit"]) == (code, cause)
    assert (made["live"] is None) == (disaster is noise)
    assert "Not carried out" in page
    assert html.escape(made["error"]["message"], quote=False) in page
    assert not (place / "mirror" / "drill").exists()
    assert dict(everything(place / "mirror" / "generations")) == before


def test_people_are_told_what_kept_a_drill_from_being_carried_out(smki: Shell, place: Path) -> None:
    cut_delta(place)
    ran = smki("drill", "--scratch", "scratch")
    assert ran.code == 10
    assert "The drill FAILED: it could not be carried out." in ran.out
    assert "SMKIKR_DELT_2026-11-11.xml.gz" in ran.out
    assert not (place / "scratch").exists()


def test_where_the_scratch_place_cannot_be_made_the_report_says_so(smki: Shell, place: Path) -> None:
    (place / "file").touch()
    assert smki("drill", "--scratch", "file/scratch").code == 10
    made, _page = report_of(place)
    assert made["error"]["code"] == "mirror-not-writable"


def test_a_repository_that_would_not_lead_back_to_this_mirror_fails_the_drill(
    smki: Shell, place: Path
) -> None:
    other = Repository.create(place / "other", devices=20, days=10, start=START, seed=10)
    ran = smki("drill", "--source", other.path.as_uri(), "--json")
    assert ran.code == 10
    assert not ran.document["agrees"]
    assert ran.document["only_live"] > 0
    assert ran.document["only_restored"] > 0
    assert "Recovery drill: failed" in next((place / "mirror" / "drills").glob("*.html")).read_text()


def test_a_scratch_place_that_is_in_use_is_left_alone(smki: Shell, place: Path) -> None:
    (place / "scratch").mkdir()
    (place / "scratch" / "mine").write_text("mine")
    ran = smki("drill", "--scratch", "scratch")
    assert ran.code == 2
    assert "scratch is in use" in ran.err
    assert (place / "scratch" / "mine").read_text() == "mine"


def test_what_a_killed_drill_has_left_does_not_stand_in_the_way_of_the_next(smki: Shell, place: Path) -> None:
    scratch = place / "mirror" / "drill"
    scratch.mkdir()
    for name in (MARK, "lock", "half-a-generation"):
        (scratch / name).touch()
    assert smki("drill").code == 0
    assert not scratch.exists()


def test_a_drill_that_still_runs_is_left_alone_by_another(smki: Shell, place: Path) -> None:
    scratch = place / "mirror" / "drill"
    scratch.mkdir()
    (scratch / MARK).touch()
    with hold_lock(scratch / "lock", since=datetime.now(UTC)):
        assert smki("drill").code == 9
        assert (scratch / MARK).exists()
