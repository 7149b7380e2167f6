"""What the process that fetches the second half of a file is told, and its word for having done it.

For: :mod:`.beside` and :mod:`.second`, the two ends of a pipe. Refuses: to act.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smki_sync.fetch.journal import Stretch
from smki_sync.fetch.opening import Opening
from smki_sync.fetch.terms import Retry
from smki_sync.model.extract import Extract

WHOLE: Final = "whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What to fetch, where to, and on which terms."""

    opening: Opening
    extract: Extract
    part: Path
    journal: Path
    stretch: Stretch
    mark_bytes: int
    bandwidth: int
    retry: Retry
