"""Rewrite the tables in docs/ that follow from the code: ``python packaging/tables.py``.

A table stands between ``<!-- NAME: … -->`` and ``<!-- end -->``. The tests compare each with the code again.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from resilience.damage import cases  # noqa: E402 - tests/ must be on the path first

from smki_sync.cli import exit_codes  # noqa: E402
from smki_sync.config import schema  # noqa: E402
from smki_sync.download.retry import RETRY_RULES, RetryAction  # noqa: E402
from smki_sync.trust.profiles import CheckStep, FindingCode  # noqa: E402

RETRIED: Final[Mapping[RetryAction, str]] = {
    RetryAction.RETRY: "yes",
    RetryAction.WAIT: "after a wait",
    RetryAction.NEVER: "no",
}


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Render a Markdown table without a newline at its end."""
    lines = [" | ".join(head), *(" | ".join(map(str, row)) for row in rows)]
    first, *rest = (f"| {line} |" for line in lines)
    return "\n".join((first, "|" + "---|" * len(head), *rest))


def retries() -> str:
    """Render the causes of a failed transfer."""
    return markdown(
        ["cause", "exit code", "retried", "reason"],
        (
            [f"`{r.code}`", int(exit_codes.exit_of(r.error(""))), RETRIED[r.action], r.reason]
            for r in RETRY_RULES
        ),
    )


def steps() -> str:
    """Render the steps of a verification."""
    return markdown(["step", "question", "rule"], ([int(s), s.words, s.rule] for s in CheckStep))


def findings() -> str:
    """Render the findings of a verification."""
    return markdown(
        ["code", "step", "severity", "meaning"],
        ([f"`{c.value}`", int(c.step), c.severity.value, c.words] for c in FindingCode),
    )


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "cases": cases.table,
    "exits": exit_codes.table,
    "findings": findings,
    "keys": schema.table,
    "retries": retries,
    "steps": steps,
}
_BLOCK: Final = re.compile(r"(<!-- (\w+): made by [^\n]*-->\n).*?(\n<!-- end -->)", re.DOTALL)


def refreshed(text: str) -> str:
    """Return a page with its tables as the code gives them now."""
    return _BLOCK.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def main() -> None:
    """Rewrite every table in place."""
    for page in sorted((ROOT / "docs").rglob("*.md")):
        page.write_text(refreshed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
