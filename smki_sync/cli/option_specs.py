"""The options of `show`, defined once for its fast parser and for typer; imports neither typer nor rich."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from smki_sync.config.file import parse_path
from smki_sync.model.certificate import Usage

LOCATION_PANEL: Final = "Mirror and Repository"
OUTPUT_PANEL: Final = "Output"
FILTER_PANEL: Final = "Filters"


class OptionSpec(NamedTuple):
    """``parameter``: its name in Python. ``read``: converts a value; ``None`` if the option is a flag."""

    name: str
    parameter: str
    help: str
    panel: str | None = None
    metavar: str | None = None
    read: Callable[[str], object] | None = None


def _usage(text: str) -> Usage:
    return Usage(text.upper())


MIRROR: Final = OptionSpec("--mirror", "mirror", "Mirror directory.", LOCATION_PANEL, "DIR", parse_path)
CONFIG: Final = OptionSpec("--config", "config", "Configuration file.", LOCATION_PANEL, "FILE", parse_path)
JSON: Final = OptionSpec("--json", "as_json", "Print one JSON document, also on failure.", OUTPUT_PANEL)
USAGE: Final = OptionSpec("--usage", "usage", "Only this key usage.", FILTER_PANEL, None, _usage)
ROLE: Final = OptionSpec(
    "--role", "role", "Only this Remote Party Role, by number or name.", FILTER_PANEL, "R", str
)
ANY_STATUS: Final = OptionSpec(
    "--any-status", "any_status", "Include certificates that are not In-Use or are withdrawn.", FILTER_PANEL
)
PEM: Final = OptionSpec("--pem", "pem", "Print the certificates in PEM.", OUTPUT_PANEL)
DER: Final = OptionSpec("--der", "der", "Print the bytes of the only match.", OUTPUT_PANEL)
BASE64: Final = OptionSpec(
    "--base64", "base64", "Print Base64 without PEM lines, one certificate per line.", OUTPUT_PANEL
)
EXPLAIN: Final = OptionSpec(
    "--explain", "explain", "Explain step by step why each certificate is usable or not.", OUTPUT_PANEL
)
AS_OF: Final = OptionSpec(
    "--as-of",
    "as_of",
    "Show the state at the end of this past day, UTC, with evidence.",
    FILTER_PANEL,
    "DATE",
    str,
)

SHOW_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    spec.name: spec
    for spec in (USAGE, ROLE, ANY_STATUS, PEM, DER, BASE64, EXPLAIN, AS_OF, MIRROR, CONFIG, JSON)
}
"""Every option of `show`, by its spelling."""
