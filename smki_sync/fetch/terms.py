"""On which terms files are fetched: how often again, how long, how fast, in how many ranges.

For: the values between configuration and deeds. Every default asks for nothing: no second attempt, no
waiting, no limit; what an operator gets unless told otherwise stands in :mod:`smki_sync.config.settings`.
Time and chance are arguments. Refuses: to act.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from smki_sync.fetch.opening import Opening

MIB: Final = 1 << 20

MARK_BYTES: Final = 32 * MIB
"""Bytes between two durable marks. With what is in flight and the seam, less than 64 MiB is fetched twice."""


SPLIT_BYTES: Final = 64 * MIB
"""Size from which a file is fetched in two ranges where that is asked for; below, a login costs more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, and after which pauses, what may pass is tried again.

    ``attempts``: in a row without progress, the first included. Pauses in seconds: the first, each next
    ``factor`` times longer, none over ``longest_pause``; ``jitter`` is the share by which each is drawn
    longer or shorter, so that all Parties do not come back in the same second.
    """

    attempts: int = 1
    first_pause: float = 0.0
    factor: float = 1.0
    longest_pause: float = 0.0
    jitter: float = 0.0

    def pause(self, failed: int, chance: float) -> float:
        """Seconds to wait after ``failed`` (from 1) failures; ``chance`` from 0 to 1 draws the jitter."""
        plain = min(self.first_pause * self.factor ** (failed - 1), self.longest_pause)
        return plain * (1 + self.jitter * (2 * chance - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One attempt at a file, for the ledger of downloads.

    ``begin``, ``end``: offsets in bytes of what was fetched in this attempt. ``outcome``: ``whole``, or the
    code of the error that ended it.
    """

    file: str
    size: int
    started: datetime
    ended: datetime
    begin: int
    end: int
    outcome: str


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _unheard(_came: int) -> None:
    """Nobody follows the download."""


def _unwritten(_transfer: Transfer) -> None:
    """Nobody keeps a ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Everything that a download goes by.

    ``young``: seconds; a file changed less long ago is looked at once more. ``changing``: seconds that a
    file which changes is waited for. ``bandwidth``: bytes a second, 0 is without limit. ``second``: says
    how another process opens the repository, to fetch the second half of a large file beside the first;
    ``None``: one range is fetched. ``split_bytes``: size of a large file. ``mark_bytes``: bytes between two
    durable marks. ``came``: told how many bytes of the part, from the first on, are there
    in order (:func:`~smki_sync.fetch.follow.follow`), and 0 as often as it is begun or taken up. ``ledger``:
    told of every attempt.
    """

    retry: Retry = Retry()
    young: float = 0.0
    changing: float = 0.0
    bandwidth: int = 0
    second: Callable[[], Opening] | None = None
    split_bytes: int = SPLIT_BYTES
    mark_bytes: int = MARK_BYTES
    came: Callable[[int], None] = _unheard
    ledger: Callable[[Transfer], None] = _unwritten
    clock: Callable[[], datetime] = _utc_now
    seconds: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random
