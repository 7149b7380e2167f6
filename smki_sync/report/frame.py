"""What every page has around it: the head, and the word to the browser to load and run nothing.

For: pages that need nothing else, and could not reach for it even by a mistake of ours. Refuses: content.
"""

from importlib.resources import files
from typing import Final
from xml.etree.ElementTree import Element

from smki_sync.report.markup import document, el, style

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def whole(title: str, body: Element) -> str:
    """Write a page as HTML."""
    return document(el("html", _head(title), body, lang="en-GB"))


def _head(title: str) -> Element:
    sheet = files("smki_sync.report").joinpath("style.css").read_text(encoding="utf-8")
    return el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        style(sheet),
    )
