"""The options that commands share, each written once.

For: the annotations of command functions. Refuses: defaults; what is not given is decided by the
environment, the configuration file and the configuration's own defaults, in this order.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from smki_sync.config.place import path_of

_WHERE = "Where things are"
_TALK = "Output"


class LogFormatChoice(StrEnum):
    """How the talk on stderr is written."""

    TEXT = "text"
    JSON = "json"


def _path(text: str) -> Path:
    """Read a path. What may not be read or is not there is left to the command, which says it better."""
    try:
        return path_of(text)
    except ValueError:
        raise typer.BadParameter("a path is wanted, which is not empty and is UTF-8.") from None


Mirror = Annotated[
    Path | None,
    typer.Option(
        "--mirror", metavar="DIR", help="The mirror directory.", parser=_path, rich_help_panel=_WHERE
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The configuration file.", parser=_path, rich_help_panel=_WHERE
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="URL",
        help="Where extracts come from: sftp://user@host:port/path or file:///directory.",
        rich_help_panel=_WHERE,
    ),
]
IdentityFile = Annotated[
    Path | None,
    typer.Option(
        "--identity-file",
        metavar="FILE",
        help="Private key for the login.",
        parser=_path,
        rich_help_panel=_WHERE,
    ),
]
KnownHosts = Annotated[
    Path | None,
    typer.Option(
        "--known-hosts", metavar="FILE", help="Pinned host keys.", parser=_path, rich_help_panel=_WHERE
    ),
]
Bandwidth = Annotated[
    int | None,
    typer.Option(
        "--bandwidth",
        metavar="BYTES",
        min=0,
        help="Most bytes fetched in a second; 0 is without limit.",
        rich_help_panel=_WHERE,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, also on failure.", rich_help_panel=_TALK)
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Say only what keeps the mirror from being current.", rich_help_panel=_TALK
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say every detail.", rich_help_panel=_TALK)]
LogFormat = Annotated[
    LogFormatChoice | None,
    typer.Option("--log-format", help="How the talk on stderr is written.", rich_help_panel=_TALK),
]
MaxAge = Annotated[
    float | None,
    typer.Option(
        "--max-age",
        metavar="HOURS",
        min=0,
        help="Stale when the position's date began more than so long ago.",
        show_default="a day more than policy.late_after_days",
    ),
]
