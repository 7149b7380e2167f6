"""Compare output with a page: changing values pass, other meanings fail."""

import pytest

from documentation.comparison import matches

SHOWN = """\
The mirror is current, as of 2026-11-13.
  applied       6 files, 285.1 kB, 1,238 records: 1,133 new, 39 changed, 66 as
                before
  …
  digest        796017e19c0d20c2b600608c531cc45e393fd818612f8f7a5d8c1fd951816fe7
"""
SAID = """\
The mirror is current, as of 2026-11-13.
  applied       6 files, 1,285.0 kB, 1,238 records: 1,133 new, 39 changed, 66
                as before
  certificates  1,133, of them 1,060 In-Use
  digest        00000000000000000000000000000000000000000000000000000000000000ff
"""


def test_matches_ignores_sizes_digests_and_line_breaks() -> None:
    assert matches(SHOWN, SAID)


@pytest.mark.parametrize(
    ("this", "that"),
    [
        ("2026-11-13", "2026-11-14"),
        ("39 changed", "38 changed"),
        ("is current", "is NOT current"),
        ("00ff\n", "00ff\nATTENTION blocked: it is not\n"),
        ("00ff\n", "0ff\n"),
        ("The mirror", "note no-lists\nThe mirror"),
    ],
)
def test_matches_fails_when_a_word_figure_or_line_differs(this: str, that: str) -> None:
    assert this in SAID
    assert not matches(SHOWN, SAID.replace(this, that, 1))


def test_matches_finds_a_part_only_if_it_is_there() -> None:
    assert matches("1,133 new", SAID, somewhere=True)
    assert not matches("1,134 new", SAID, somewhere=True)
    assert not matches("1,133 new", SAID)
