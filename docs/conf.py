# noqa: INP001 - sphinx reads this file by its place, it is no module
"""The documentation as a site: ``make docs`` writes it to build/docs, and a warning fails it.

The pages are plain Markdown that reads well without a site; what a site needs beyond that is added here.
"""

from sphinx.application import Sphinx

project = "smki-sync"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "smki-sync"
html_copy_source = False
html_show_copyright = False
exclude_patterns = ["datasette"]
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]
"""Links to files outside docs/, which tests/test_docs.py checks, and console blocks with output."""

SIDE = """

```{toctree}
:hidden:
:glob:

*
decisions/*
```
"""
"""The table of contents at the side; index.md itself has its own, in words."""


def setup(app: Sphinx) -> None:
    """Add the side to the index as it is read."""
    app.connect("source-read", _with_side)


def _with_side(_app: Sphinx, name: str, source: list[str]) -> None:
    if name == "index":
        source[0] += SIDE
