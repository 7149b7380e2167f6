"""``[mirror]`` and ``[archive]``: what is kept on this disk, and where.

For: the mirror directory and the archive. Refuses: to look at the disk.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from smki_sync.config.settings.about import About


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorPaths:
    """``[mirror]``: the directory that is the mirror."""

    path: Annotated[
        Path | None, About(meaning="Directory of the mirror; `mirror.db` stands in it.", example="mirror")
    ] = None
    keep_previous: Annotated[bool, About(meaning="Whether the generation before a full resync is kept.")] = (
        True
    )
    keep_changes_days: Annotated[
        int | None,
        About(
            meaning="How many days of the change journal are kept; without it, all.",
            unit="days",
            low=1,
            example=400,
        ),
    ] = None
    index_devices: Annotated[
        bool,
        About(meaning="Whether devices have an index by key identifier and hash too, from the next full on."),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """``[archive]``: extracts that were applied, kept for recovery."""

    path: Annotated[
        Path | None,
        About(meaning="Directory in which applied extracts are kept; none without it.", example="archive"),
    ] = None
    keep_fulls: Annotated[
        int, About(meaning="So many fulls are kept, with the deltas after them.", unit="fulls", low=1)
    ] = 2
