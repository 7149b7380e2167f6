"""``smki-sync report``: the page says what is so, whatever stands in the mirror, and is whole or absent."""

import re
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path

import pytest
from resilience.kill.disks import fill, small_disk
from support.cli import Ran, Shell
from support.report_year import HOSTILE, write_year

from smki_sync.mirror.connection import connect
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository
from unit.report.conftest import TODAY

_VOID = {"meta"}


class Page(HTMLParser):
    """A page as a browser reads it: the text in it, its elements, and what each stands in."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report(smki: Shell, mirror: Path, *words: str) -> tuple[Ran, Page]:
    ran = smki("report", "--mirror", mirror, "--output", "page.html", "--max-age", "1e9", *words)
    return ran, Page(smki.place / "page.html")


def test_the_page_says_what_status_says(smki: Shell, mirror: Path) -> None:
    ran, page = report(smki, mirror)
    status = smki("status", "--mirror", mirror, "--json").document
    assert ran.code == 0
    assert "Current" in page.texts
    for known in (status["position"], status["digest"], status["last_full"], status["last_run"]["at"]):
        assert known in page.text
    total, in_use = status["certificates"]["total"], status["certificates"]["in_use"]
    assert f"{total:,}, {in_use:,} In-Use" in page.text
    assert [p.name for p in smki.place.iterdir()] == ["page.html"]


def test_nothing_on_the_page_runs_or_is_loaded_from_anywhere(smki: Shell, own_mirror: Path) -> None:
    write_year(own_mirror, TODAY)
    _, page = report(smki, own_mirror)
    assert {"script", "img", "link", "iframe", "object"} & {tag for tag, _ in page.elements} == set()
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert (attributes.get("href") or "#").startswith("#")
    policy = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]


def test_what_a_record_says_stays_text_and_cannot_turn_the_page(smki: Shell, own_mirror: Path) -> None:
    write_year(own_mirror, TODAY)
    _, page = report(smki, own_mirror)
    shown = HOSTILE.replace("\u202e", r"\u202e").replace("\x1b", r"\x1b")
    assert shown in page.texts
    assert "\u202e" not in page.source
    assert "\x1b" not in page.source


def test_a_year_stays_small_and_is_shown_by_week(smki: Shell, own_mirror: Path) -> None:
    write_year(own_mirror, TODAY)
    _, page = report(smki, own_mirror)
    assert len(page.source) < 120_000
    bars = [rect for rect in page.all("rect") if rect.get("class") == "hint"]
    assert len(bars) == 3 * 53
    assert "by week" in page.text
    assert "Maximum: 9 days." in page.text


def test_days_bound_how_far_back_the_page_looks(smki: Shell, own_mirror: Path) -> None:
    write_year(own_mirror, TODAY)
    _, page = report(smki, own_mirror, "--days", "30")
    bars = [rect for rect in page.all("rect") if rect.get("class") == "hint"]
    assert len(bars) == 3 * 30
    assert "by day" in page.text


def test_whoever_cannot_see_the_pictures_is_told_what_they_show(smki: Shell, own_mirror: Path) -> None:
    write_year(own_mirror, TODAY)
    _, page = report(smki, own_mirror)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = page.all("svg")
    assert len(pictures) == 4
    for picture in pictures:
        assert picture["role"] == "img"
        assert set(str(picture["aria-labelledby"]).split()) <= set(map(str, ids))
    tables = [tag for tag, _ in page.elements if tag in ("table", "caption")]
    assert tables == ["table", "caption"] * (len(tables) // 2)
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert [tag for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)] == ["h1"] + ["h2"] * 9


def test_deltas_on_offer_are_shown_as_the_last_run_saw_them(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    repository.advance(days=2, faults=[Fault.CORRUPT])
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri())
    assert smki(*sync, SMKI_SYNC_TODAY="2026-11-13").code == 6
    ran = smki(
        "report",
        "--mirror",
        own_mirror,
        "--output",
        "page.html",
        "--max-age",
        "1e9",
        SMKI_SYNC_TODAY="2026-11-14",
    )
    assert ran.code == 0
    page = Page(smki.place / "page.html")
    cells = [text for text in page.texts if text.strip()]
    at = cells.index("2026-11-13")
    assert cells[at : at + 4] == ["2026-11-13", "no", "listed", "2026-11-20"]
    at = cells.index("2026-11-11", cells.index("Delta of"))
    assert cells[at : at + 3] == ["2026-11-11", "applied", "listed"]
    assert "5 days" in page.text


def test_beyond_the_cliff_the_page_says_that_the_delta_may_be_gone(smki: Shell, mirror: Path) -> None:
    smki("report", "--mirror", mirror, "--output", "page.html", SMKI_SYNC_TODAY="2026-11-25")
    page = Page(smki.place / "page.html")
    assert "may have been removed on" in page.text
    assert "0 days of 8 left" in page.text


def test_a_stale_mirror_has_its_page_and_the_exit_code_of_status(smki: Shell, mirror: Path) -> None:
    ran = smki("report", "--mirror", mirror, "--output", "page.html", "--max-age", "0")
    assert ran.code == 3
    assert "Stale" in Page(smki.place / "page.html").texts


def test_where_there_is_no_mirror_the_page_says_so(smki: Shell) -> None:
    ran, page = report(smki, smki.place / "nothing")
    assert ran.code == 3
    assert "Empty" in page.texts
    assert "No run is recorded." in page.text
    assert not (smki.place / "nothing").exists()


def test_a_damaged_mirror_still_has_a_page_with_its_runs(smki: Shell, own_mirror: Path) -> None:
    (own_mirror / "mirror.db").resolve().write_bytes(b"no database" * 1000)
    ran, page = report(smki, own_mirror)
    assert ran.code == 7
    assert "Damaged" in page.texts
    assert "The last 1 run" in page.text


def test_a_history_that_cannot_be_read_leaves_the_rest_of_the_page(smki: Shell, own_mirror: Path) -> None:
    (own_mirror / "history.db").write_bytes(b"no database" * 1000)
    ran, page = report(smki, own_mirror)
    assert ran.code == 0
    assert "No run is recorded." in page.text
    assert "the Repository was never listed" in page.text
    assert TODAY.isoformat() in page.text


def test_accepted_records_are_counted_apart(smki: Shell, own_mirror: Path) -> None:
    write_year(own_mirror, TODAY)
    with closing(connect((own_mirror / "mirror.db").resolve())) as db:
        db.execute("UPDATE quarantine SET accepted = '2026-11-11T09:00:00Z' WHERE number <= 50")
    _, page = report(smki, own_mirror)
    cells = [text for text in page.texts if text.strip()]
    at = cells.index("body-not-a-certificate")
    assert cells[at : at + 3] == ["body-not-a-certificate", "10", "60"]
    assert "The newest 14 of 60 records" in page.text


def test_what_a_list_revokes_is_counted_apart_and_an_old_list_stands_out(
    smki: Shell, own_mirror: Path
) -> None:
    with closing(connect((own_mirror / "mirror.db").resolve())) as db, db:
        db.execute("DELETE FROM revocation")
        db.execute("UPDATE revocation_list SET in_force = 0")
        db.execute("""
            INSERT INTO revocation_list VALUES
              (1000, 'SMKIKR_CRL.crl.gz', 'crl', 'CN=Issuing', '00', '7', 1793000000, 1793600000,
               1, '', '', 1, NULL, '', 1)
        """)
        db.execute(
            "UPDATE certificate SET revoked = 1793000000 WHERE id = (SELECT min(id) FROM certificate "
            "WHERE kind = 1 AND status = 'I' AND withdrawn IS NULL)"
        )
        db.execute(
            "INSERT INTO revocation SELECT serial, issuer, 1000, revoked, NULL FROM certificate "
            "WHERE revoked IS NOT NULL"
        )
    _, page = report(smki, own_mirror)
    cells = [text for text in page.texts if text.strip()]
    head = cells[cells.index("Kind") : cells.index("device")]
    organisations = cells[cells.index("organisation") :][: len(head)]
    row = dict(zip(head, organisations, strict=True))
    assert row["Revoked by a list"] == "1"
    assert sum(int(row[name]) for name in head[1:-1]) == int(row["All"])
    at = cells.index("SMKIKR_CRL.crl.gz")
    assert cells[at + 1 : at + 4] == ["CRL", "CN=Issuing", "7"]
    assert cells[at + 5] == "OVERDUE since 2026-11-02T06:13:20Z"


def test_the_page_says_what_is_anchored_and_how_the_last_verification_ended(
    smki: Shell, own_mirror: Path
) -> None:
    _, before = report(smki, own_mirror)
    assert "none configured" in before.texts
    assert "never; run smki-sync verify" in before.texts
    ran = smki("verify", "--mirror", own_mirror, "--json")
    _, after = report(smki, own_mirror)
    last = smki("status", "--mirror", own_mirror, "--max-age", "1e9", "--json").document["last_verified"]
    assert ran.document
    assert f"{last['at']}, position 2026-11-11" in after.texts
    assert any(text.startswith(f"{last['errors']:,} error") for text in after.texts)
    assert f"{last['certificates']}, without trust anchors" in after.texts


def test_the_page_replaces_the_one_before_and_leaves_nothing_beside_it(smki: Shell, mirror: Path) -> None:
    (smki.place / "page.html").write_text("yesterday's")
    _, page = report(smki, mirror)
    assert page.source.startswith("<!DOCTYPE html>")
    assert [path.name for path in smki.place.iterdir()] == ["page.html"]


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_the_page_goes_to_stdout_where_that_is_asked_for(smki: Shell, mirror: Path, output: str) -> None:
    ran = smki("report", "--mirror", mirror, "--output", output, "--max-age", "1e9")
    assert ran.code == 0
    assert ran.out.startswith("<!DOCTYPE html>")
    assert ran.out.endswith("</html>\n")
    assert list(smki.place.iterdir()) == []


@pytest.mark.parametrize("output", ["nowhere/page.html", ".", "/dev/null"])
def test_a_page_that_cannot_be_written_is_an_error_that_names_it(
    smki: Shell, mirror: Path, output: str
) -> None:
    ran = smki("report", "--mirror", mirror, "--output", output)
    assert ran.code == 2
    assert output in ran.err
    assert ran.out == ""
    assert list(smki.place.iterdir()) == []


def test_report_exits_11_and_keeps_the_old_page_when_the_disk_is_full(smki: Shell, mirror: Path) -> None:
    with small_disk(1) as disk:
        (disk / "page.html").write_text("yesterday's")
        fill(disk)
        before = sorted(path.name for path in disk.iterdir())
        ran = smki("report", "--mirror", mirror, "--output", disk / "page.html")
        assert ran.code == 11
        assert "No space left" in ran.err
        assert (disk / "page.html").read_text() == "yesterday's"
        assert sorted(path.name for path in disk.iterdir()) == before
