"""``find``: every filter and format, what was cut, and what no terminal or spreadsheet may be handed."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from support.cli import Json, Ran, Shell

from smki_sync.cli.output import Column, table
from smki_sync.cli.query import FIND_COLUMNS, TABLE_ROWS
from smki_sync.export.formats import CSV_COLUMNS, csv_lines
from smki_sync.model.certificate import Kind
from smki_sync.simulator.repository import Repository


def serials(ran: Ran) -> list[str]:
    return [one["serial"] for one in json_lines(ran)]


def json_lines(ran: Ran) -> list[Json]:
    return [json.loads(line) for line in ran.out.splitlines()]


def expected(mirror: Path, where: str) -> set[str]:
    """What plain SQL on the view finds."""
    with closing(sqlite3.connect(f"{(mirror / 'mirror.db').as_uri()}?mode=ro", uri=True)) as db:
        return {serial for (serial,) in db.execute(f"SELECT serial FROM certificates WHERE {where}")}


COMMITTED_SINCE = "file IN (SELECT name FROM extract WHERE committed >= '2026-11-10')"
"""The date of ``--changed-since`` is that of the sync, not that of the file."""


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ("", "in_use"),
        ("--any-status", "TRUE"),
        ("--kind device", "in_use AND kind = 'device'"),
        ("--kind ORGANISATION --kind oca", "in_use AND kind IN ('organisation', 'oca')"),
        ("--status E --status revoked", "status IN ('E', 'R') AND withdrawn IS NULL"),
        ("--status not-in-use", "status = 'N' AND withdrawn IS NULL"),
        ("--status withdrawn", "withdrawn IS NOT NULL"),
        ("--usage ka", "in_use AND usage = 'KA'"),
        ("--role supplier", "in_use AND role = 2"),
        ("--role 2 --usage DS --kind organisation", "in_use AND role = 2 AND usage = 'DS'"),
        ("--issuer e357 --kind device", "in_use AND issuer = 'CN=E357' AND kind = 'device'"),
        ("--changed-since 2026-11-10 --any-status", COMMITTED_SINCE),
        ("--changed-since 2026-11-12 --any-status", "FALSE"),
        ("--expiring-within 3650", "in_use AND not_after < '2036-11-09T00:00:00Z'"),
    ],
)
def test_filters_find_what_sql_on_the_view_finds(ask: Shell, mirror: Path, words: str, where: str) -> None:
    wanted = expected(mirror, where)
    ran = ask("find", *words.split(), "--format", "jsonl")
    found = serials(ran)
    assert (len(found), set(found)) == (len(wanted), wanted)
    assert ran.code == (0 if wanted else 10)


def test_changed_since_finds_what_the_syncs_of_that_day_changed(
    smki: Shell, repository: Repository, own_mirror: Path
) -> None:
    repository.advance(days=2)
    source = ("--mirror", own_mirror, "--source", repository.path.as_uri())
    assert smki("sync", *source, SMKI_SYNC_TODAY=repository.today.isoformat()).code == 0
    changed = expected(
        own_mirror, "file IN ('SMKIKR_DELT_2026-11-12.xml.gz', 'SMKIKR_DELT_2026-11-13.xml.gz')"
    )
    every = expected(own_mirror, "TRUE")
    assert 0 < len(changed) < len(every)
    words = ("find", "--any-status", "--format", "jsonl", "--mirror", own_mirror, "--changed-since")
    for day, wanted in (("2026-11-11", every), ("2026-11-12", changed), ("2026-11-13", changed)):
        assert set(serials(smki(*words, day))) == wanted
    assert smki(*words, "2026-11-14").code == 10


def test_the_filters_of_these_tests_find_something_and_leave_something_out(mirror: Path) -> None:
    for where in ("in_use", "kind = 'device'", "role = 2", "status IN ('N', 'E', 'R')"):
        assert 0 < len(expected(mirror, where)) < len(expected(mirror, "TRUE"))


def test_every_format_has_the_same_certificates(ask: Shell, mirror: Path) -> None:
    wanted = sorted(expected(mirror, "in_use AND kind = 'organisation'"))
    organisations = ("find", "--kind", "organisation", "--format")
    document = ask(*organisations, "json").document
    assert sorted(one["serial"] for one in document["certificates"]) == wanted
    assert (document["count"], document["truncated"]) == (len(wanted), False)
    assert sorted(serials(ask(*organisations, "jsonl"))) == wanted
    rows = list(csv.DictReader(io.StringIO(ask(*organisations, "csv").out)))
    assert sorted(row["serial"] for row in rows) == wanted
    loaded = x509.load_pem_x509_certificates(ask(*organisations, "pem").raw)
    assert sorted(one.serial_number for one in loaded) == sorted(int(serial, 16) for serial in wanted)
    table = ask(*organisations, "table").out
    assert all(serial in table for serial in wanted)


def test_one_object_is_the_same_in_show_in_json_and_in_lines(ask: Shell, mirror: Path) -> None:
    serial = min(expected(mirror, "in_use AND role = 2 AND usage = 'DS'"))
    words = ("find", "--role", "2", "--usage", "DS")
    (shown,) = ask("show", f"serial:{serial}", "--json").document["certificates"]
    assert shown in ask(*words, "--json").document["certificates"]
    assert shown in json_lines(ask(*words, "--format", "jsonl"))


def test_csv_has_a_column_for_each_field_and_the_body(ask: Shell) -> None:
    lines = ask("find", "--kind", "oca", "--format", "csv").out.splitlines()
    assert lines[0] == ",".join(CSV_COLUMNS)
    assert set(CSV_COLUMNS) - {"der"} == set(
        json_lines(ask("find", "--kind", "oca", "--format", "jsonl"))[0].keys()
    ) - {"pem"}


def test_a_table_fits_the_terminal_and_shows_more_on_a_wide_one(ask: Shell) -> None:
    widths = {}
    for width in ("40", "80", "120", "200"):
        lines = ask.on_a_terminal("find", "--any-status", COLUMNS=width).raw.decode().splitlines()
        assert max(map(len, lines)) <= int(width)
        widths[width] = len(lines[0].split("  "))
    assert "serial" in ask("find").out
    assert widths["40"] < widths["80"] < widths["200"]


def test_what_was_cut_is_said_on_stderr_and_in_the_document(ask: Shell) -> None:
    cut = ask("find", "--limit", "2")
    assert (len(cut.out.splitlines()), cut.code) == (3, 0)
    assert "first 2" in cut.err
    document = ask("find", "--limit", "2", "--json")
    assert (document.document["count"], document.document["truncated"]) == (2, True)
    assert "first 2" in document.err
    whole = ask("find", "--limit", "0")
    assert whole.err == ""


def test_an_answer_that_just_fits_is_not_called_cut(ask: Shell, mirror: Path) -> None:
    number = len(expected(mirror, "in_use AND kind = 'oca'"))
    ran = ask("find", "--kind", "oca", "--limit", str(number))
    assert (len(ran.out.splitlines()), ran.err) == (number + 1, "")


def test_a_table_is_cut_at_what_somebody_reads_and_other_formats_are_not(ask: Shell, mirror: Path) -> None:
    everything = len(expected(mirror, "TRUE"))
    assert everything < TABLE_ROWS  # so this mirror's table is whole
    assert len(ask("find", "--any-status").out.splitlines()) == everything + 1
    assert len(ask("find", "--any-status", "--format", "jsonl").out.splitlines()) == everything


def test_a_no_is_ten_and_names_the_issuers_where_one_was_asked_for(ask: Shell) -> None:
    ran = ask("find", "--issuer", "nobody")
    assert (ran.code, ran.raw) == (10, b"")
    assert "CN=E357" in ran.err
    assert "2026-11-11" in ran.err
    empty = ask("find", "--issuer", "nobody", "--json")
    assert (empty.code, empty.document["certificates"]) == (10, [])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("--status zz", "'zz' is not a status"),
        ("--role king", "king"),
        ("--changed-since 20261110", "is not a date"),
        ("--changed-since 2026-02-30", "is not a date"),
        ("--any-status --status E", "Use only one of"),
        ("--kind tree", "tree"),
        ("--expiring-within -1", "--expiring-within"),
        ("--limit -1", "--limit"),
    ],
)
def test_a_wrong_filter_is_told_what_is_wrong_with_it(ask: Shell, words: str, fault: str) -> None:
    ran = ask("find", *words.split())
    assert (ran.code, ran.raw) == (2, b"")
    assert fault in ran.err


def test_a_failure_is_a_document_however_json_was_asked_for(ask: Shell) -> None:
    for words in (["--json"], ["--format", "json"], ["--format=json"]):
        ran = ask("find", "--status", "zz", *words)
        assert (ran.code, ran.error["code"]) == (2, "usage")
    assert ask("find", "--mirror", "nowhere", "--json").error["code"] == "no-mirror"
    assert "Use only one of" in ask("find", "--format", "csv", "--json").error["message"]


def test_a_reader_that_goes_away_ends_the_answer(ask: Shell) -> None:
    with ask.start("find", "--any-status", "--format", "pem") as running:
        assert running._process.stdout is not None
        assert running._process.stdout.readline() == b"-----BEGIN CERTIFICATE-----\n"
        running._process.stdout.close()
        assert running._process.wait(30) == 0


def test_a_mirror_that_fails_in_the_middle_still_gives_one_whole_document(ask: Shell, damaged: Path) -> None:
    ran = ask("find", "--any-status", "--json", "--mirror", damaged)
    assert ran.code == 7
    assert ran.document["certificates"] == []  # every row is read before the first one is printed
    assert (ran.document["truncated"], ran.document["outcome"]) == (True, "failed")
    assert ran.error["code"] == "mirror-damaged"
    assert ask("find", "--any-status", "--mirror", damaged).code == 7


# What stands in certificates is whatever somebody wrote there.


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", "  =1", "\x1b=1", "=cmd|' /C calc'!A0"]
)
def test_a_cell_that_a_spreadsheet_would_run_is_quoted(text: str) -> None:
    _, line = csv_lines(["name"], [{"name": text}])
    ((cell,),) = csv.reader(io.StringIO(line, newline=""))
    assert cell == f"'{text}"


@pytest.mark.parametrize("text", ["CN=E357", "a-b", "00-DB", "", "x@y", "'=1"])
def test_any_other_cell_is_left_as_it_is(text: str) -> None:
    _, line = csv_lines(["name", "more"], [{"name": text, "more": None}])
    ((cell, more),) = csv.reader(io.StringIO(line))
    assert (cell, more) == (text, "")


def test_numbers_and_truths_are_no_formulas() -> None:
    _, line = csv_lines(["a", "b", "c"], [{"a": -1, "b": True, "c": False}])
    assert line == "-1,true,false\n"


def test_no_escape_reaches_a_terminal_and_no_cell_breaks_its_line() -> None:
    columns = [Column[str](title="name", width=12, cell=str), Column[str](title="more", width=4, cell=str)]
    lines = list(table(columns, ["\x1b[31mred", "a\nb", "\u202egnp", "x" * 99], width=80))
    assert all(line[:-1].isprintable() for line in lines)
    assert [len(line.splitlines()) for line in lines] == [1] * 5
    assert lines[-1].split("  ")[0] == "x" * 11 + "…"


def test_every_kind_fits_its_column() -> None:
    widths = {column.title: column.width for column in FIND_COLUMNS}
    assert max(map(len, Kind)) <= widths["kind"]


def test_columns_of_the_table_are_chosen(ask: Shell) -> None:
    ran = ask("find", "--kind", "organisation", "--columns", "eui,ends,unusable", "--limit", "1")
    assert ran.out.splitlines()[0].split("  ")[0].strip() == "EUI-64 or name"
    assert [title for title in ("ends", "not usable", "serial") if title in ran.out.splitlines()[0]] == [
        "ends",
        "not usable",
    ]
    assert ask("find", "--columns", "eui,nonsense").code == 2
    assert ask("find", "--columns", "eui", "--format", "csv").code == 2


def test_table_of_an_expiry_query_shows_the_end(ask: Shell) -> None:
    ran = ask("find", "--expiring-within", "36500", "--limit", "1", COLUMNS="80")
    assert "ends" in ran.out.splitlines()[0]
    ran = ask("find", "--changed-since", "2026-11-02", "--any-status", "--limit", "1", COLUMNS="80")
    assert "changed" in ran.out.splitlines()[0]
