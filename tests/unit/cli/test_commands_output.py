"""Data on stdout, talk on stderr: for people, for pipes, for collectors, and on a terminal."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import Ran, Shell

from smki_sync.cli.commands import COMMANDS
from smki_sync.simulator.repository import Repository

STYLE = re.compile(rb"\x1b\[[0-9;]*m")
COLOUR = re.compile(rb"\x1b\[(?:[0-9]+;)*[349][0-9]")
YELLOW = b"\x1b[1;33m"

COMMAND_LINES = [(name,) for name in COMMANDS] + [
    ("simulate", "create"),
    ("simulate", "advance"),
    ("simulate", "serve"),
]


def sync_words(repository: Repository, *more: str) -> tuple[str, ...]:
    return "sync", "--mirror", "mirror", "--source", repository.path.as_uri(), *more


def test_a_sync_puts_its_report_on_stdout_and_its_talk_on_stderr(smki: Shell, original: Repository) -> None:
    ran = smki(*sync_words(original))
    assert ran.out.startswith("The mirror is up to date")
    assert original.path.as_uri() in ran.err
    assert "no-mirror" in ran.err
    assert original.path.as_uri() not in ran.out


def test_lines_for_people_fit_eighty_columns(smki: Shell, original: Repository) -> None:
    ran = smki(*sync_words(original))
    assert max(map(len, ran.out.splitlines())) <= 80


def test_quiet_says_nothing_when_all_is_well_and_what_is_wrong_when_not(
    smki: Shell, original: Repository
) -> None:
    well = smki(*sync_words(original, "--quiet"))
    assert (well.code, well.out, well.err) == (0, "", "")
    late = smki(*sync_words(original, "-q"), SMKI_SYNC_TODAY="2026-11-20")
    assert (late.code, late.out) == (3, "")
    assert "repository-late" in late.err
    assert len(late.err.splitlines()) == 1


def test_quiet_leaves_the_document_that_was_asked_for(smki: Shell, original: Repository) -> None:
    ran = smki(*sync_words(original, "--quiet", "--json"))
    assert ran.document["outcome"] == "current"
    assert ran.err == ""


def test_verbose_says_more_and_changes_no_data(smki: Shell, mirror: Path, original: Repository) -> None:
    words = ("sync", "--dry-run", "--mirror", mirror, "--source", original.path.as_uri(), "--json")
    plain, verbose = smki(*words), smki(*words, "-v")
    assert verbose.raw == plain.raw
    assert set(plain.err.splitlines()) <= set(verbose.err.splitlines())


def test_a_collector_gets_one_json_object_a_line_and_nothing_else(smki: Shell, original: Repository) -> None:
    ran = smki(*sync_words(original, "--log-format", "json", "--verbose"), SMKI_SYNC_TODAY="2026-11-20")
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert all({"time", "level", "event"} <= line.keys() for line in lines)
    events = [line["event"] for line in lines]
    assert events[:2] == ["listing", "planned"]
    assert "committed" in events
    assert [line["code"] for line in lines if line["event"] == "noted"] == ["repository-late"]


def test_a_failure_of_a_run_that_logs_json_is_a_json_line_too(smki: Shell) -> None:
    ran = smki("sync", "--mirror", "m", "--source", "file:///no/such/place", "--log-format", "json")
    assert ran.code == 4
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert lines[-1]["level"] == "error"
    assert "/no/such/place" in lines[-1]["message"]


def test_the_log_format_can_be_configured(smki: Shell, original: Repository) -> None:
    (smki.place / "smki-sync.toml").write_text('[log]\nformat = "json"\n')
    assert json.loads(smki(*sync_words(original)).err.splitlines()[0])["event"] == "listing"
    assert smki(*sync_words(original, "--log-format", "text")).err.startswith("Listing ")


FAILURES: list[tuple[int, str, tuple[str, ...]]] = [
    (2, "usage", ("bogus",)),
    (2, "usage", ("--mirror", "m", "status")),
    (2, "sync", ("sync", "--bogus")),
    (2, "sync", ("sync", "stray")),
    (2, "sync", ("sync", "--log-format", "xml")),
    (2, "status", ("status", "--max-age", "soon")),
    (2, "show", ("show",)),
    (2, "show", ("show", "00", "--mirror", "m")),
    (2, "quarantine", ("quarantine", "--bogus")),
    (2, "simulate", ("simulate", "bogus")),
    (2, "simulate", ("simulate", "create")),
    (2, "demo", ("demo", "--devices", "1")),
    (4, "sync", ("sync", "--mirror", "m", "--source", "file:///no/such/place")),
    (11, "sync", ("sync", "--mirror", "/dev/null/m", "--source", "file:///")),
    (7, "show", ("show", "00-DB-12-34-56-78-90-A4", "--mirror", "m")),
    (7, "quarantine", ("quarantine", "--mirror", "m")),
    (8, "sync", ("sync", "--mirror", "m", "--source", "gopher://x")),
    (8, "status", ("status",)),
    (8, "show", ("show", "00-DB-12-34-56-78-90-A4")),
]


@pytest.mark.parametrize(("code", "command", "words"), FAILURES)
def test_every_failure_is_one_document_with_its_schema_and_exit_code(
    smki: Shell, code: int, command: str, words: tuple[str, ...]
) -> None:
    ran = smki(*words, "--json")
    assert ran.code == code
    assert ran.document["schema"] == f"smki-sync/{command}/1"
    assert ran.document.keys() == {"schema", "outcome", "error"}
    assert ran.error.keys() == {"code", "exit", "message", "hint"}
    assert ran.error["message"]


@pytest.mark.parametrize(("code", "words"), [(code, words) for code, _, words in FAILURES])
def test_every_failure_is_told_to_people_on_stderr_alone(
    smki: Shell, code: int, words: tuple[str, ...]
) -> None:
    ran = smki(*words)
    assert ran.code == code
    assert ran.raw == b""
    assert "smki-sync: " in ran.err
    assert "Traceback" not in ran.err
    assert max(map(len, ran.err.splitlines())) <= 80


def test_a_damaged_file_and_a_refused_login_are_failures_like_any_other(
    smki: Shell, repository: Repository
) -> None:
    for full in repository.path.glob("SMKIKR_FULL_*"):
        full.write_bytes(b"no gzip")
    ran = smki(*sync_words(repository, "--json"))
    assert ran.code == 6
    assert ran.document["schema"] == "smki-sync/sync/1"
    assert "SMKIKR_FULL_2026-11-02.xml.gz" in ran.error["message"]


def test_colours_appear_on_a_terminal_and_not_with_no_color_and_not_in_a_pipe(
    smki: Shell, original: Repository
) -> None:
    late = {"SMKI_SYNC_TODAY": "2026-11-20"}
    sync = sync_words(original)
    assert YELLOW in smki.on_a_terminal(*sync, **late).raw
    assert not COLOUR.search(smki.on_a_terminal(*sync, **late, NO_COLOR="1").raw)
    piped = smki.cold(*sync, **late)
    assert b"\x1b" not in piped.raw + piped.err.encode()


def test_a_terminal_gets_the_same_words_as_a_pipe(smki: Shell, mirror: Path) -> None:
    words = ("status", "--mirror", mirror, "--max-age", "1e9")
    shown = STYLE.sub(b"", smki.on_a_terminal(*words).raw).replace(b"\r\n", b"\n").decode()
    # The age runs on between the two.
    assert [line.split("(")[0] for line in shown.splitlines()] == [
        line.split("(")[0] for line in smki(*words).out.splitlines()
    ]


def test_json_on_a_terminal_has_no_colour_in_it(smki: Shell, mirror: Path) -> None:
    shown = smki.on_a_terminal("status", "--mirror", mirror, "--json").raw
    assert json.loads(shown)["schema"] == "smki-sync/status/1"


def closed_pipe(shell: Shell, *words: object) -> Ran:
    """Run a command whose reader has gone before it says a word."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "smki_sync", *map(str, words)],
        cwd=shell.place,
        env=shell.environment({}),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    return Ran(code=done.returncode, raw=b"", err=done.stderr.decode())


def test_a_reader_that_has_gone_is_no_defect_of_ours(smki: Shell, mirror: Path) -> None:
    ran = closed_pipe(smki, "status", "--mirror", mirror, "--max-age", "1e9", "--json")
    assert ran.code != 1
    assert ran.err == ""


def test_a_reader_that_has_gone_does_not_make_a_late_mirror_current(smki: Shell, own_mirror: Path) -> None:
    ran = closed_pipe(smki, "status", "--mirror", own_mirror, "--max-age", "0")
    assert ran.code not in (0, 1)


@pytest.mark.parametrize(
    "words", [("find", "--format", "csv"), ("status", "--max-age", "1e9"), ("find", "--help")]
)
def test_command_exits_11_when_stdout_is_on_a_full_disk(
    smki: Shell, mirror: Path, words: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "smki_sync", *words, "--mirror", str(mirror)],
            cwd=smki.place,
            env=smki.environment({}),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 11
    assert b"Standard output cannot be written" in done.stderr
    assert b"bug" not in done.stderr


def test_a_run_whose_stderr_is_closed_ends_as_it_would(smki: Shell, own_mirror: Path) -> None:
    script = '"$0" -m smki_sync status --mirror "$1" --max-age 1e9 2>&-'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, str(own_mirror)],
        cwd=smki.place,
        env=smki.environment({}),
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"The mirror is up to date.")


def test_a_sync_whose_stderr_is_closed_ends_as_it_would(smki: Shell, original: Repository) -> None:
    script = '"$0" -m smki_sync sync --mirror mirror --source "$1" 2>&-'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, original.path.as_uri()],
        cwd=smki.place,
        env=smki.environment({}),
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"The mirror is up to date")


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_help_fits_eighty_columns_and_is_data(smki: Shell, words: tuple[str, ...]) -> None:
    ran = smki(*words, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "Usage: smki-sync " + words[0] in ran.out


def test_the_help_of_a_command_flows_and_a_flag_asks_for_no_value(smki: Shell) -> None:
    shown = smki("sync", "--help").out
    assert "Exit code 0 if the mirror is up to date" in " ".join(shown.split())
    assert "<bool>" not in shown
    assert re.search(r"--log-format +<text\|json> ", shown)


def test_the_help_names_every_command(smki: Shell) -> None:
    ran = smki.cold("--help")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    for name in COMMANDS:
        assert re.search(rf"^\W*{name} ", ran.out, re.MULTILINE)


def test_without_a_command_the_help_is_shown_and_no_empty_complaint(smki: Shell) -> None:
    for words in ((), ("simulate",)):
        ran = smki(*words)
        assert ran.code == 2
        assert "Usage: smki-sync" in ran.out + ran.err
        assert "smki-sync:\n" not in ran.err


def test_the_version_is_said_and_is_no_error(smki: Shell) -> None:
    ran = smki.cold("--version")
    assert (ran.code, ran.err) == (0, "")
    assert re.fullmatch(r"smki-sync \d+\.\d+\.\d+, schema \d+ of the mirror\n", ran.out)


@pytest.mark.parametrize("command", ["status", "show"])
def test_a_question_to_the_mirror_loads_neither_the_ssh_nor_the_xml_library(
    smki: Shell, command: str
) -> None:
    program = (
        "import sys; from smki_sync.cli import build; build([sys.argv[1]]);"
        "print(*sorted({'paramiko', 'lxml'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, command],
        env=smki.environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
