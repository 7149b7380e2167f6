# noqa: INP001 - sphinx reads this file by its place, it is no module
"""The documentation as a site: ``make docs`` writes it to build/docs, and a warning fails it.

The pages are plain Markdown that reads well without a site; what a site needs beyond that is added here.
"""

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

project = "smki-sync"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "smki-sync"
html_copy_source = False
html_show_copyright = False
exclude_patterns = ["datasette"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]
"""Console blocks with output. A link that leads nowhere is a warning, and a warning fails the build."""

SIDE = """

```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""
"""One part of the table of contents at the side: what a section of index.md links to, in its order."""

_SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.MULTILINE)
_PAGE = re.compile(r"\]\(([\w/-]+)\.md\)")


def setup(app: Sphinx) -> None:
    """Add the side to the index as it is read."""
    app.connect("source-read", _with_side)


def _with_side(_app: Sphinx, name: str, source: list[str]) -> None:
    if name == "index":
        source[0] += "".join(_parts(source[0]))


def _parts(index: str) -> Iterator[str]:
    seen: set[str] = set()
    for caption, text in _SECTION.findall(index):
        pages = [page for page in dict.fromkeys(_PAGE.findall(text)) if page not in seen]
        seen.update(pages)
        if pages:
            yield SIDE.format(caption=caption, pages="\n".join(pages))
