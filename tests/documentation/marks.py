"""What the pages show and no test runs: each block says why, in one of few ways.

For: ``<!-- not run: REASON -->`` on the line above a block, and the list of them in docs/contributing.md.
Refuses: a reason of somebody's own.
"""

import re
from collections import Counter

from support.markdown import ROOT, TOGETHER, Fence, fences, name_of

NOT_RUN = "not run: "
DEMO = "a part of smki-sync demo"

REASONS = (
    "it asks on a terminal",
    "it runs until it is stopped",
    "it needs root",
    "it installs packages",
    "it takes minutes",
    "it is an outline",
)
_ELSEWHERE = re.compile(r"(tests/[\w/]+\.py) does")


def is_run(fence: Fence) -> bool:
    return not fence.note.startswith(NOT_RUN)


def is_of_demo(fence: Fence) -> bool:
    """Whether it shows what ``smki-sync demo`` says."""
    return fence.note == DEMO


def is_reason(reason: str) -> bool:
    """Whether it is one of the few, or names a test that is there."""
    elsewhere = _ELSEWHERE.fullmatch(reason)
    return reason in REASONS or (elsewhere is not None and (ROOT / elsewhere[1]).is_file())


def unrun() -> Counter[tuple[str, str]]:
    """How many blocks are not run, by page and reason."""
    return Counter(
        (name_of(page), fence.note.removeprefix(NOT_RUN))
        for page in TOGETHER
        for fence in fences(page)
        if not is_run(fence)
    )
