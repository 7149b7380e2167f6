"""The comparison of output: what differs from run to run passes, what means something else does not."""

import pytest

from documentation.saying import says

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


def test_sizes_digests_and_line_breaks_may_be_others() -> None:
    assert says(SHOWN, SAID)


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
def test_another_word_figure_or_line_is_seen(this: str, that: str) -> None:
    assert this in SAID
    assert not says(SHOWN, SAID.replace(this, that, 1))


def test_a_part_may_stand_anywhere_in_what_was_said_but_has_to_stand_there() -> None:
    assert says("1,133 new", SAID, somewhere=True)
    assert not says("1,134 new", SAID, somewhere=True)
    assert not says("1,133 new", SAID)
