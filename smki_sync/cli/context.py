"""The configuration and the date of a command. Imports nothing slow, because lookups use it."""

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final

from smki_sync.errors import ConfigError

if TYPE_CHECKING:
    from smki_sync.config.loader import Config


TODAY_VARIABLE: Final = "SMKI_SYNC_TODAY"
"""The current date in a rehearsal on a simulated repository, for age, lateness and the window."""

LAST: Final = time(23, 59, 59)
"""The time of a rehearsal: files of that day exist already, some of them published late in the evening."""


def configure(**options: object) -> "Config":
    """Load the configuration of this process. An option that is ``None`` was not given."""
    from smki_sync.config.loader import load_here  # noqa: PLC0415 - slow; a lookup does not need it

    return load_here({name: value for name, value in options.items() if value is not None})


def now_here(environ: Mapping[str, str] = os.environ) -> datetime:
    """Return the time in UTC, or the last second of the date that a rehearsal sets.

    Raises:
        ConfigError: The variable is not a date.
    """
    given = environ.get(TODAY_VARIABLE)
    try:
        return datetime.combine(date.fromisoformat(given), LAST, UTC) if given else datetime.now(UTC)
    except ValueError as exc:
        raise ConfigError(f"{TODAY_VARIABLE} is not a date.", hint="Write YYYY-MM-DD.") from exc
