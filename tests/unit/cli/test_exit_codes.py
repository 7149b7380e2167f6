"""The exit codes are a promise: to scripts, and to the page that documents them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smki_sync import errors
from smki_sync.cli.exit_codes import Exit, exit_of, exit_of_outcome, table
from smki_sync.model.report import Outcome

PAGE = Path(__file__).parents[3] / "docs" / "codes.md"

PROMISED = {
    "OK": 0,
    "UNEXPECTED": 1,
    "USAGE": 2,
    "ATTENTION": 3,
    "UNREACHABLE": 4,
    "REFUSED": 5,
    "BAD_EXTRACT": 6,
    "MIRROR": 7,
    "CONFIG": 8,
    "LOCKED": 9,
    "FINDING": 10,
    "INTERRUPTED": 130,
}


def named_errors(
    base: type[errors.SmkiSyncError] = errors.SmkiSyncError,
) -> Iterator[type[errors.SmkiSyncError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from named_errors(kind)


def test_the_codes_are_the_promised_ones() -> None:
    assert {code.name: code.value for code in Exit} == PROMISED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), Exit.USAGE),
        (errors.ConfigError("x"), Exit.CONFIG),
        (errors.SourceUnreachable("x"), Exit.UNREACHABLE),
        (errors.SourceMissing("x"), Exit.UNREACHABLE),
        (errors.SourceRefused("x"), Exit.REFUSED),
        (errors.BadExtract("x"), Exit.BAD_EXTRACT),
        (errors.MirrorDamaged("x"), Exit.MIRROR),
        (errors.MirrorNotWritable("x"), Exit.MIRROR),
        (errors.Locked("x"), Exit.LOCKED),
        (errors.Interrupted("x"), Exit.INTERRUPTED),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (ValueError("x"), Exit.UNEXPECTED),
        (MemoryError(), Exit.MIRROR),
        (errors.OutOfMemory("x"), Exit.MIRROR),
        (errors.SmkiSyncError("x"), Exit.UNEXPECTED),
    ],
)
def test_each_failure_has_its_code(error: BaseException, code: Exit) -> None:
    assert exit_of(error) is code


@pytest.mark.parametrize("kind", list(named_errors()))
def test_no_named_error_is_taken_for_a_defect_or_for_success(kind: type[errors.SmkiSyncError]) -> None:
    assert exit_of(kind("x")) not in (Exit.OK, Exit.UNEXPECTED)


def test_a_cause_does_not_change_the_code_of_its_failure() -> None:
    error = errors.BadExtract("x")
    error.__cause__ = errors.SourceUnreachable("y")
    assert exit_of(error) is Exit.BAD_EXTRACT


def test_only_a_current_mirror_ends_with_zero() -> None:
    assert [outcome for outcome in Outcome if exit_of_outcome(outcome) == 0] == [Outcome.CURRENT]
    assert exit_of_outcome(Outcome.BEHIND) is Exit.ATTENTION
    assert exit_of_outcome(Outcome.FAILED) is Exit.UNEXPECTED


def test_the_page_holds_the_table_of_the_code() -> None:
    made = (
        PAGE.read_text("utf-8")
        .partition("<!-- exits:")[2]
        .partition("-->\n")[2]
        .partition("\n<!-- end -->")[0]
    )
    assert made == table()


def test_the_table_has_one_row_a_code_and_no_stray_bar() -> None:
    rows = table().splitlines()
    assert len(rows) == 2 + len(PROMISED)
    assert {row.count("|") for row in rows} == {5}
