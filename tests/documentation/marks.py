"""Blocks that are shown but not run: ``<!-- not run: REASON -->`` above a block, with a known reason."""

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
    """Return whether a block shows output of ``smki-sync demo``."""
    return fence.note == DEMO


def is_reason(reason: str) -> bool:
    """Return whether a reason is allowed: a known one, or the name of an existing test."""
    elsewhere = _ELSEWHERE.fullmatch(reason)
    return reason in REASONS or (elsewhere is not None and (ROOT / elsewhere[1]).is_file())


def unrun() -> Counter[tuple[str, str]]:
    """Count the blocks that are not run, by page and reason."""
    return Counter(
        (name_of(page), fence.note.removeprefix(NOT_RUN))
        for page in TOGETHER
        for fence in fences(page)
        if not is_run(fence)
    )
