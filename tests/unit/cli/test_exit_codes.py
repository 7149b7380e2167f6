"""Exit codes: the promised table, the code of each error, and the generated page."""

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
    "RESOURCES": 11,
    "INTERRUPTED": 130,
}


def named_errors(
    base: type[errors.SmkiSyncError] = errors.SmkiSyncError,
) -> Iterator[type[errors.SmkiSyncError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from named_errors(kind)


def test_exit_codes_are_the_promised_ones() -> None:
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
        (errors.MirrorError("x"), Exit.MIRROR),
        (errors.OtherSchema("x"), Exit.MIRROR),
        (errors.ResourceError("x"), Exit.RESOURCES),
        (errors.MirrorNotWritable("x"), Exit.RESOURCES),
        (errors.OutputError("x"), Exit.RESOURCES),
        (errors.SourceNotReadable("x"), Exit.RESOURCES),
        (errors.Locked("x"), Exit.LOCKED),
        (errors.Interrupted("x"), Exit.INTERRUPTED),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (ValueError("x"), Exit.UNEXPECTED),
        (MemoryError(), Exit.RESOURCES),
        (OSError(28, "No space left on device"), Exit.RESOURCES),
        (errors.OutOfMemory("x"), Exit.RESOURCES),
        (errors.InternalError("x"), Exit.UNEXPECTED),
        (errors.SmkiSyncError("x"), Exit.UNEXPECTED),
    ],
)
def test_exit_of_returns_the_code_of_the_error(error: BaseException, code: Exit) -> None:
    assert exit_of(error) is code


@pytest.mark.parametrize("kind", sorted({*named_errors()} - {errors.InternalError}, key=str))
def test_exit_of_is_neither_0_nor_1_when_the_error_is_named(kind: type[errors.SmkiSyncError]) -> None:
    assert exit_of(kind("x")) not in (Exit.OK, Exit.UNEXPECTED)


def test_exit_of_ignores_the_cause_of_an_error() -> None:
    error = errors.BadExtract("x")
    error.__cause__ = errors.SourceUnreachable("y")
    assert exit_of(error) is Exit.BAD_EXTRACT


def test_exit_of_outcome_is_0_only_when_the_mirror_is_current() -> None:
    assert [outcome for outcome in Outcome if exit_of_outcome(outcome) == 0] == [Outcome.CURRENT]
    assert exit_of_outcome(Outcome.BEHIND) is Exit.ATTENTION
    assert exit_of_outcome(Outcome.FAILED) is Exit.UNEXPECTED


def test_page_contains_the_generated_table() -> None:
    made = (
        PAGE.read_text("utf-8")
        .partition("<!-- exits:")[2]
        .partition("-->\n")[2]
        .partition("\n<!-- end -->")[0]
    )
    assert made == table()


def test_table_has_one_row_per_code() -> None:
    rows = table().splitlines()
    assert len(rows) == 2 + len(PROMISED)
    assert {row.count("|") for row in rows} == {5}
