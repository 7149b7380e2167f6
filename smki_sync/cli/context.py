"""Configuration and the date, for every command: what is cheap to load.

For: ``configure`` and ``now_here``. Refuses: to import what only a sync needs.
"""

import os
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Final

from smki_sync.errors import ConfigError

if TYPE_CHECKING:
    from smki_sync.config.loader import Config


TODAY_VARIABLE: Final = "SMKI_SYNC_TODAY"
"""For rehearsals on a simulated repository: the date to judge age, lateness and the window by."""

LAST: Final = time(23, 59, 59)


def configure(**options: object) -> "Config":
    """The configuration for this process; an option that was not given is ``None``."""
    from smki_sync.config.loader import load_here  # noqa: PLC0415 - the table of settings; a look-up does without

    return load_here({name: value for name, value in options.items() if value is not None})


def now_here(environ: Mapping[str, str] = os.environ) -> datetime:
    """The time in UTC; the last second of the date that a rehearsal sets, if one does.

    What a simulated day brings is of that day, and some of it late in the evening.
    """
    given = environ.get(TODAY_VARIABLE)
    try:
        return datetime.combine(date.fromisoformat(given), LAST, UTC) if given else datetime.now(UTC)
    except ValueError as exc:
        raise ConfigError(f"{TODAY_VARIABLE} is no date: write YYYY-MM-DD") from exc
