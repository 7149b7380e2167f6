"""What is wrong with a command line is said in this program's words, with the option and the value."""

import pytest
from support.cli import Shell

from smki_sync.simulator.repository import Repository


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("restore --to tomorrow", "--to: 'tomorrow' is not a date"),
        ("restore --to 2026-02-30", "--to: '2026-02-30' is not a date"),
        ("simulate create z --start soon", "--start: 'soon' is not a date"),
        ("changes --since tomorrow", "--since: 'tomorrow' is not a date"),
        (
            "sync --bandwidth fast",
            "Invalid value for '--bandwidth': Write bytes per second, for example 6000000, 600k or 6M.",
        ),
        ("find --changed-since soon", "--changed-since: 'soon' is not a date"),
        ("find --expiring-within soon", "--expiring-within: 'soon' is not a whole number"),
        ("find --expiring-within 1.5", "--expiring-within: '1.5' is not a whole number"),
        ("find --limit -1", "--limit: '-1' is less than 0"),
        ("find --kind x", "--kind: 'x' is not one of 'device', 'organisation', 'oca', 'dca'."),
        ("status --max-age old", "--max-age: 'old' is not a number"),
        ("status --max-age nan", "--max-age: 'nan' is less than 0.0"),
        ("simulate serve z --port 99999", "--port: '99999' is more than 65535"),
        ("find --limit", "Option '--limit' requires an argument."),
        ("nope", "No such command 'nope'."),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_option(smki: Shell, line: str, said: str) -> None:
    ran = smki(*line.split(), SMKI_SYNC_MIRROR="mirror", SMKI_SYNC_SOURCE="file:///nowhere")
    message, _, hint = " ".join(ran.err.split()).removeprefix("smki-sync: ").partition(said)
    assert (ran.code, message) == (2, "")
    assert hint


def test_a_number_without_end_is_too_large(smki: Shell) -> None:
    ran = smki("find", "--limit", "9" * 5000, "--json", SMKI_SYNC_MIRROR="mirror")
    assert ran.error["message"] == f"--limit: {'9' * 5000!r:.40} is too large."


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("find --kind x", "Run `smki-sync find --help`."),
        ("simulate create", "Run `smki-sync simulate create --help`."),
        ("snyc", "Run `smki-sync --help`."),
        ("--mirror m sync", "Write options after the command: `smki-sync COMMAND --mirror`."),
    ],
)
def test_the_hint_names_the_command_that_was_meant(smki: Shell, line: str, hint: str) -> None:
    ran = smki(*line.split())
    assert ran.code == 2
    assert " ".join(ran.err.split()).endswith(hint)


@pytest.mark.parametrize(
    "words",
    [
        ("show", "NAME"),
        ("manifest", "NAME", "--compare", "NAME"),
        ("backup", "NAME"),
        ("simulate", "create", "NAME"),
        ("simulate", "advance", "NAME"),
    ],
    ids=" ".join,
)
def test_a_name_that_the_disk_refuses_is_no_defect(
    smki: Shell, original: Repository, words: tuple[str, ...]
) -> None:
    assert smki("sync", "--mirror", "m", "--source", original.path.as_uri()).code == 0
    before = sorted(smki.place.rglob("*"))
    ran = smki(*(word.replace("NAME", 300 * "x") for word in words), SMKI_SYNC_MIRROR="m")
    assert (ran.code, ran.raw) == (2, b"")
    assert "File name too long" in " ".join(ran.err.split())
    assert sorted(smki.place.rglob("*")) == before
