"""Where files for others may go.

For: every command that writes a file where it is told to. Refuses: the mirror directory, where a report or
a copy would take the place of the mirror itself.
"""

from pathlib import Path

from smki_sync.config.whole import Config
from smki_sync.errors import UsageError


def outside_mirror(path: Path, config: Config) -> Path:
    """``path``, unless it lies in the mirror directory: :class:`UsageError`."""
    root = config.need_mirror().resolve()
    if any(place.is_relative_to(root) for place in (path.resolve(), path.parent.resolve() / path.name)):
        raise UsageError(
            f"{path} is in the mirror directory, which is this program's own",
            hint="Name a file or directory outside it.",
        )
    return path
