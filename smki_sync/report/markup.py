"""Elements of the page.

For: HTML that cannot be broken by what stands in it. A child that is a text is text: the standard
library's serialiser escapes it, and what does not print (control characters, direction overrides) is
written out. Refuses: to take markup as text; there is no way to hand any in.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from xml.etree.ElementTree import Element, tostring

from smki_sync.text import visible

Node = Element | str
NUMERIC: Final = "number"
"""The class of cells whose text is a number: set to the right."""


def el(tag: str, /, *children: Node, **attributes: str) -> Element:
    """Make an element; ``class_`` and ``aria_label`` become ``class`` and ``aria-label``."""
    made = Element(tag, {key.rstrip("_").replace("_", "-"): visible(v) for key, v in attributes.items()})
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + visible(child)
        else:
            last.tail = (last.tail or "") + visible(child)
    return made


def style(sheet: str) -> Element:
    """Make the one style sheet; it is ours, so it stands as it is."""
    made = Element("style")
    made.text = sheet
    return made


def document(root: Element) -> str:
    """Write the whole page."""
    return "<!DOCTYPE html>\n" + tostring(root, encoding="unicode", method="html") + "\n"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Node]], *, numbers: int = 0) -> Element:
    """Make a table whose first column heads its rows; the last ``numbers`` columns are numbers.

    It scrolls by itself where it is wider than the page, and can then be reached by the keyboard.
    """
    first = len(head) - numbers
    body = [el("tr", *(_cell(n, cell, numeric=n >= first) for n, cell in enumerate(row))) for row in rows]
    headings = [
        el("th", text, scope="col", **({"class_": NUMERIC} if n >= first else {}))
        for n, text in enumerate(head)
    ]
    return el(
        "div",
        el("table", el("caption", caption), el("thead", el("tr", *headings)), el("tbody", *body)),
        class_="scroll",
        tabindex="0",
        role="group",
        aria_label=caption,
    )


def facts_list(known: Iterable[tuple[str, Node]]) -> Element:
    """Make a list of facts, each under its name."""
    return el("dl", *(el("div", el("dt", name), el("dd", value)) for name, value in known))


def _cell(column: int, content: Node, *, numeric: bool) -> Element:
    marks = {"class_": NUMERIC} if numeric else {}
    return el("th", content, scope="row", **marks) if column == 0 else el("td", content, **marks)


def count(number: int, noun: str) -> str:
    """Write so many of something."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
