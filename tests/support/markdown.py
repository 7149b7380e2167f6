"""The documents as a test reads them: fenced blocks, the commands in them, and what stands below each.

For: tests that run what a page shows. A comment on the line above a block belongs to it. Refuses: to be a
parser of Markdown; it knows as much as these documents use.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOGETHER = [*PAGES, ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "sample_data" / "README.md"]

_FENCE = re.compile(
    r"^(?: *<!-- (?P<note>[^\n]*) -->\n)?"
    r"(?P<indent> *)```(?P<language>[a-z]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_CODE = re.compile(r"# exit code (\d+)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A fenced block. ``line``: of its first line of text. ``note``: the comment above it, or nothing."""

    page: Path
    line: int
    language: str
    text: str
    note: str

    @property
    def where(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What stands behind a ``$``, how it is said to end, and the output below it, if any is shown."""

    where: str
    line: str
    code: int
    output: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def fences(page: Path) -> list[Fence]:
    text = page.read_text(encoding="utf-8")
    return [
        Fence(
            page=page,
            line=text[: found.start("text")].count("\n") + 1,
            language=found["language"],
            text=dedent(found["text"]),
            note=found["note"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(fence: Fence) -> Iterator[Command]:
    """The commands of a console block, in order; a quotation mark or ``\\`` takes one over lines."""
    at = fence.line
    for part in re.split(r"^(?=\$ )", fence.text, flags=re.MULTILINE):
        if part.startswith("$ "):
            lines = part.removeprefix("$ ").splitlines()
            length = next(n for n in range(1, len(lines) + 1) if _is_whole("\n".join(lines[:n])))
            command, output = "\n".join(lines[:length]), "\n".join(lines[length:])
            code = _CODE.search(command)
            yield Command(
                where=f"{name_of(fence.page)}:{at}",
                line=command,
                code=int(code[1]) if code else 0,
                output=output,
            )
        at += part.count("\n")


def _is_whole(command: str) -> bool:
    """Whether every quotation mark has its other one, and no line is to follow."""
    if command.endswith("\\"):
        return False
    try:
        return bool(shlex.split(command, comments=True))
    except ValueError:
        return False
