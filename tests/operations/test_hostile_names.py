"""A certificate whose names hold escape codes: no way out of the program hands them to a terminal.

The names of organisations and of the authority that issues to them hold a window title, a link, a colour that
nobody here uses, a clearing of the screen, a line end, a turn of direction and a formula. Mirrors hold what
certificates hold; so every command is asked, on a terminal, in a pipe and into a file.
"""

import csv
import io
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from typing import Any

import pytest
from cryptography import x509
from support.cli import Shell

from smki_sync.simulator import pki, population
from smki_sync.simulator.faults import Fault
from smki_sync.simulator.repository import Repository

PLAIN = "\x9b2J\x1b[2J\x1b[41m\u202e\u2066\n=cmd|x"
HOSTILE = f"\x1b]0;t\x07\x1b]8;;http://192.0.2.1\x07{PLAIN}"
"""At most 64 characters fit into a common name (RFC 5280, ub-common-name);
what is PLAIN needs no escape in the text of a name (RFC 4514)."""

LEAKS = {
    "a window title": b"\x1b]0",
    "a link": b"\x1b]8",
    "a bell": b"\x07",
    "an eight-bit control": b"\xc2\x9b",
    "a cleared screen": b"\x1b[2J",
    "a colour": b"\x1b[41m",
    "a turn of direction": "\u202e".encode(),
    "an isolate": "\u2066".encode(),
    "a NUL": b"\0",
}
"""What must not reach a terminal, as octets."""

START, TODAY = date(2026, 11, 2), date(2026, 11, 11)


@pytest.fixture(scope="module")
def smki(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Somebody at a prompt beside a mirror of such certificates, and one that has drifted from it."""
    place = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(population, "ORGANISATIONS", [(role, HOSTILE) for role, _ in population.ORGANISATIONS])
        patch.setattr(pki, "oca_name", hostile_oca)
        repository = Repository.create(place / "repository", devices=4, days=9, start=START, seed=5)
        repository.advance(faults=[Fault.POISON_RECORD, Fault.SLOTS_DIFFER, Fault.FORGED_CRL])
    (place / "smki-sync.toml").write_text(
        f'[repository]\nurl = "{repository.path.as_uri()}"\n[mirror]\npath = "mirror"\n'
    )
    shell = Shell(place=place, today=TODAY)
    assert shell("sync", "--json").document["certificates"]["in_use"]
    assert shell("sync", "--mirror", "drifted").code == 3
    with closing(sqlite3.connect(place / "drifted" / "mirror.db")) as db, db:
        db.execute("UPDATE certificate SET status = 'N' WHERE kind = 1")
    return shell


def hostile_oca(name: str, role: int) -> x509.Name:
    unit = x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, f"{role:02X}")
    return x509.Name([unit, x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name[-2:]}{HOSTILE}"[:64])])


@pytest.fixture(scope="module")
def organisation(smki: Shell) -> dict[str, Any]:
    found = smki("find", "--kind", "organisation", "--json").document["certificates"]
    one: dict[str, Any] = found[0]
    assert PLAIN in one["subject"], "the name arrived as it was"
    assert PLAIN in one["issuer"]
    return one


def commands(organisation: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Everything that may name a certificate, an issuer, a list or a record."""
    eui = organisation["eui"]
    yield from (("show", eui), ("show", eui, "--explain"), ("show", eui, "--json"), ("show", HOSTILE))
    yield from (("find", "--any-status", "--format", form) for form in ("table", "json", "jsonl", "csv"))
    yield from (("changes", "--since", "0", "--format", form) for form in ("table", "jsonl", "csv"))
    yield from (("verify",), ("verify", "--json"), ("quarantine",), ("anchors",), ("anchors", "--json"))
    yield from (
        ("reconcile", "--mirror", "drifted"),
        ("manifest", "mirror", "--compare", "drifted", "--json"),
    )
    yield from (("manifest", "mirror", "--compare", "drifted"), ("manifest", "--members", "all"))
    yield from (("sync", "--mirror", "again", "--verbose"), ("sync", "--mirror", "more", "--json"))
    yield from (("restore", "--mirror", "again"), ("find", "--issuer", HOSTILE))


def leaks(octets: bytes) -> set[str]:
    return {name for name, code in LEAKS.items() if code in octets}


def test_no_command_hands_a_terminal_what_a_name_holds(smki: Shell, organisation: dict[str, Any]) -> None:
    spoken = [words for words in commands(organisation) if not {"--json", "json", "jsonl", "pem"} & {*words}]
    for words in spoken:
        ran = smki.on_a_terminal(*words)
        assert ran.raw, words
        assert leaks(ran.raw) == set(), words
        assert b"\n=cmd" not in ran.raw or "csv" in words, words


def test_no_line_for_people_holds_it_in_a_pipe_either(smki: Shell, organisation: dict[str, Any]) -> None:
    for words in commands(organisation):
        ran = smki(*words)
        lines = ran.err.split("\n")
        lines += [] if "csv" in words else ran.out.split("\n")
        assert [line for line in lines if not line.isprintable()] == [], words


def test_the_names_are_there_in_a_form_that_can_be_read(smki: Shell, organisation: dict[str, Any]) -> None:
    assert r"\x1b[41m\u202e" in "".join(smki("show", organisation["eui"], "--any-status").out.split())
    assert r"\x1b]0" in smki("find", "--kind", "organisation", COLUMNS="400").out


def test_a_csv_file_holds_the_name_itself_and_no_cell_is_a_formula(
    smki: Shell, organisation: dict[str, Any]
) -> None:
    said = smki("find", "--kind", "organisation", "--format", "csv").raw.decode()
    rows = list(csv.DictReader(io.StringIO(said, newline="")))
    assert organisation["subject"] in {row["subject"] for row in rows}
    assert not [cell for row in rows for cell in row.values() if cell[:1] in {"=", "+", "@"}]


def test_json_and_json_lines_are_ascii_and_give_the_name_back(smki: Shell) -> None:
    for form in ("json", "jsonl"):
        raw = smki("find", "--kind", "organisation", "--format", form).raw
        assert raw.isascii()
        assert leaks(raw) == set()
    (first, *_) = raw.splitlines()
    assert PLAIN in json.loads(first)["subject"]


def test_the_page_the_metrics_and_the_logs_hold_none_of_it(smki: Shell) -> None:
    (smki.place / "watched.toml").write_text(
        (smki.place / "smki-sync.toml").read_text() + '[metrics]\ntextfile = "smki.prom"\n'
    )
    ran = smki("sync", "--config", "watched.toml", "--mirror", "watched", "--log-format", "json", "--verbose")
    assert ran.err
    for line in ran.err.splitlines():
        assert line.isprintable()
        json.loads(line)
    smki("report", "--output", "page.html", "--mirror", "watched")
    page, metrics = ((smki.place / name).read_bytes() for name in ("page.html", "smki.prom"))
    assert leaks(page) == leaks(metrics) == set()
    assert re.fullmatch(r"[\x20-\x7e\n]*", metrics.decode())


def test_a_drill_s_report_holds_none_of_it(smki: Shell) -> None:
    smki("restore", "--rehearse", "--output", "drilled")
    files = list((smki.place / "drilled").iterdir())
    assert len(files) == 2
    assert [leaks(path.read_bytes()) for path in files] == [set(), set()]
