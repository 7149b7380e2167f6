"""The ten questions in three tools, and Datasette on a mirror: what the document shows is what they say."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from documentation.worlds import sample as make_sample
from support.cli import Shell, surroundings
from support.markdown import DOCS, commands, fences, prose
from support.mirror_copies import copy_mirror

from smki_sync.simulator.repository import Repository
from smki_sync.x509.der import read_pem_or_der

PAGE = DOCS / "querying.md"
ASSETS = DOCS / "datasette"
QUESTIONS = [
    (c.line, c.output) for fence in fences(PAGE) for c in commands(fence) if c.line.startswith("sqlite3")
]
PAGES = [f"/{page}" for page in re.findall(r"^Datasette: `(mirror/[^`]+)`$", prose(PAGE), re.MULTILINE)]
SERIAL = "5B2AE084D99682218937EB5A55D99919"

Rows = list[list[str]]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("other") / "world"
    make_sample(root)
    return root / "home" / "mirror"


class Site:
    """Datasette, running."""

    def __init__(self, address: str) -> None:
        self._address = address

    def html(self, path: str) -> str:
        with urlopen(self._address + path) as answer:  # noqa: S310 - our own server on loopback
            assert answer.headers["content-type"].startswith("text/html")
            text: str = answer.read().decode()
            return text

    def json(self, path: str) -> Any:  # noqa: ANN401 - whatever it answers
        page, question, query = path.partition("?")
        with urlopen(f"{self._address}{page}.json{question}{query}") as answer:  # noqa: S310 - as above
            return json.load(answer)


@contextmanager
def datasette(mirror: Path, *words: str) -> Iterator[Site]:
    """Datasette as the document starts it, on a port that it finds itself."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "datasette", "serve", str(mirror / "mirror.db"), "--port", "0"),
            *("--metadata", str(ASSETS / "metadata.json")),
            *("--template-dir", str(ASSETS / "templates"), "--plugins-dir", str(ASSETS / "plugins")),
            *("--setting", "suggest_facets", "off", "--setting", "allow_download", "off", *words),
        ],
        env=surroundings(mirror.parent, {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = next(line for line in process.stdout if "running on" in line)
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found
        yield Site(found[0])
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def site(sample: Path) -> Iterator[Site]:
    with datasette(sample) as site:
        yield site


def sql_of(command: str) -> str:
    return command.partition('"')[2].removesuffix('"')


def rows_of(output: str) -> Rows:
    """The rows that sqlite3 prints below its header."""
    return [line.split("|") for line in output.splitlines()[1:]]


def test_there_are_ten_questions_and_each_has_its_page_and_an_answer() -> None:
    assert len(QUESTIONS) == len(PAGES) == 10
    assert all(rows_of(output) for _, output in QUESTIONS)


@pytest.mark.parametrize("number", range(10))
def test_sqlite_utils_gives_the_same_rows(sample: Path, tmp_path: Path, number: int) -> None:
    command, output = QUESTIONS[number]
    mirror = copy_mirror(sample, tmp_path / "mirror")
    words = ("query", "mirror.db", "--csv", "--no-headers", sql_of(command))
    done = subprocess.run(
        [sys.executable, "-m", "sqlite_utils", *words],
        cwd=mirror,
        env=surroundings(mirror),
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(csv.reader(io.StringIO(done.stdout))) == rows_of(output)


@pytest.mark.parametrize("number", range(10))
def test_datasette_gives_the_same_rows(site: Site, number: int) -> None:
    _, output = QUESTIONS[number]
    query = "&" if "?" in PAGES[number] else "?"
    answer = site.json(f"{PAGES[number]}{query}_shape=arrays")
    rows = [["" if value is None else str(value) for value in row] for row in answer["rows"]]
    assert rows == rows_of(output)
    assert not answer["truncated"]


@pytest.mark.parametrize("number", range(10))
def test_each_question_is_a_page_with_its_title(site: Site, number: int) -> None:
    name = PAGES[number].removeprefix("/mirror/").partition("?")[0]
    metadata = json.loads((ASSETS / "metadata.json").read_text(encoding="utf-8"))
    page = site.html(PAGES[number])
    assert metadata["databases"]["mirror"]["queries"][name]["title"] in page
    assert rows_of(QUESTIONS[number][1])[0][0] in page


def test_a_certificate_has_a_page_with_its_pem(site: Site, sample: Path) -> None:
    page = site.html(f"/mirror/certificate?serial={SERIAL.lower()}")
    pem = re.search(r"<pre>(-----BEGIN CERTIFICATE-----.*?)</pre>", page, re.DOTALL)
    assert pem
    shown = Shell(place=sample)("show", f"serial:{SERIAL}", "--mirror", sample, "--der").raw
    assert read_pem_or_der(pem[1].encode()) == shown
    assert "<strong>In-Use</strong>" in page
    assert str(int(SERIAL, 16)) in page
    assert "Ash &amp; Elm Energy" in page


def test_a_certificate_that_may_not_be_used_says_why(site: Site) -> None:
    gone = "select serial from certificates where withdrawn is not null limit 1".replace(" ", "+")
    (serial,) = site.json(f"/mirror?sql={gone}&_shape=arrayfirst")
    page = site.html(f"/mirror/certificate?serial={serial}")
    assert "NOT In-Use: no longer listed by the full of 2026-11-09" in page


def test_every_column_of_the_view_has_its_words_and_stands_on_the_certificates_page(site: Site) -> None:
    columns = site.json("/mirror/certificates?_size=1&_shape=arrays")["columns"]
    metadata = json.loads((ASSETS / "metadata.json").read_text(encoding="utf-8"))["databases"]["mirror"]
    assert set(metadata["tables"]["certificates"]["columns"]) == set(columns)
    page = site.html(f"/mirror/certificate?serial={SERIAL}")
    assert set(re.findall(r'<th scope="row">(\w+)</th>', page)) >= set(columns) - {"der"}


def test_a_certificate_that_is_not_there_says_so(site: Site) -> None:
    page = site.html("/mirror/certificate?serial=00")
    assert "holds no certificate with this serial number" in page
    assert "BEGIN CERTIFICATE" not in page


def test_the_view_can_be_browsed_and_leads_to_certificates(site: Site) -> None:
    page = site.html("/mirror/certificates?kind=organisation&_facet=role")
    assert re.search(r'href="/mirror/certificate\?serial=[0-9A-F]+"', page)
    assert re.search(r'href="/mirror/usable\?eui=90-B3-D5', page)
    assert re.search(r"\d+ octets", page)
    assert "facet-info" in page
    assert "EUI-64 of the subject" in page


def test_facets_stand_on_the_small_tables_and_not_on_the_large_view(site: Site) -> None:
    assert "facet-info" in site.html("/mirror/census")
    assert "facet-info" in site.html("/mirror/extract")
    assert "facet-info" not in site.html("/mirror/certificates")


def test_the_front_page_shows_what_people_read_and_hides_what_it_is_made_from(site: Site) -> None:
    shown = {table["name"]: table["hidden"] for table in site.json("/mirror")["tables"]}
    assert not any(shown[name] for name in ("extract", "census", "quarantine"))
    assert all(shown[name] for name in ("certificate", "change", "issuer", "mirror"))


def test_after_a_resync_datasette_shows_the_new_generation(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    position = "/mirror.json?sql=select+position+from+mirror&_shape=arrayfirst"

    def shown(site: Site) -> str:
        (day,) = site.json(position.replace(".json", ""))
        return str(day)

    with datasette(own_mirror) as site:
        assert {shown(site) for _ in range(6)} == {"2026-11-11"}  # every thread has the file open
        repository.advance(days=9)
        sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri())
        ran = smki(*sync, "--full", "--json", SMKI_SYNC_TODAY=repository.today.isoformat())
        assert ran.document["plan"]["action"] == "full"
        assert {shown(site) for _ in range(6)} == {repository.today.isoformat()}


def test_datasette_opens_the_new_file_when_a_mirror_of_the_same_name_replaces_it(
    own_mirror: Path, sample: Path
) -> None:
    count = "/mirror?sql=select+count(*)+from+certificates&_shape=arrayfirst"
    generation = (own_mirror / "mirror.db").resolve()
    other = copy_mirror(sample, own_mirror.parent / "other")
    with datasette(own_mirror) as site:
        before = {site.json(count)[0] for _ in range(6)}
        generation.unlink()  # as `rm -r` does before a new mirror is built there
        generation.with_name(f"{generation.name}-wal").unlink(missing_ok=True)
        with pytest.raises(HTTPError) as refused:
            site.json(count)
        refused.value.close()
        (other / "mirror.db").resolve().rename(generation)
        after = {site.json(count)[0] for _ in range(6)}
    assert len(before) == len(after) == 1
    assert before != after


@pytest.mark.parametrize("between", ["-", "", ":"])
def test_datasette_finds_an_eui_in_each_spelling(site: Site, between: str) -> None:
    sql = "select+eui+from+certificates+where+unusable+is+null+and+eui+is+not+null+limit+1"
    (eui,) = site.json(f"/mirror?sql={sql}&_shape=arrayfirst")
    spelled = eui.replace("-", between).lower()
    assert site.json(f"/mirror/usable?_shape=array&eui={spelled}")


def test_datasette_cannot_write_to_the_mirror(site: Site) -> None:
    with pytest.raises(HTTPError) as refused:
        site.json("/mirror?sql=delete+from+mirror")
    assert refused.value.code == 400
    refused.value.close()
