"""What a run is given: where, from whom, by which rules, and what day it is.

For: one frozen value instead of a dozen arguments; time comes in from outside. Refuses: defaults for
anything that an operator decides.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

from smki_sync.catalogue import FileNames
from smki_sync.download import DownloadOptions, FallbackSources
from smki_sync.download.archive import Archive
from smki_sync.events import EventListener, NullListener
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.model.extract import ListPolicy
from smki_sync.model.plan import Policy, VerifyPolicy
from smki_sync.policy import ChangeLimits, DownloadWindow
from smki_sync.reader import ReaderLimits
from smki_sync.sources.base import OpenSource


def _now() -> datetime:
    return datetime.now(UTC)


STREAMING_LOAD_BYTES: Final = 4 << 20
"""Size in bytes from which a full is loaded during its download. A smaller one is complete before the
process that loads it has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJob:
    """One mirror, one source, one set of rules.

    ``today``: the date that lateness and the window are judged by. ``clock``: the time, for ledger
    and durations. ``agreement``: when fulls may be taken. ``terms``: how files are fetched.
    ``overlap_bytes``: size of a full from which it is loaded while it comes in; 0: none is.
    ``check_inner_names``: whether a .gz that calls its content another extract is refused.
    ``repair_damage``: whether a damaged mirror is built anew without being asked for.
    ``keep_previous``: whether the generation before the current one stays on disk.
    ``keep_changes_days``: how many days of the journal are kept, ``None``: all. ``index_devices``: whether
    a new generation indexes devices by key identifier and hash. ``verify``: what new certificates are asked;
    ``anchors``: trust anchors as DER. ``archive``: where applied files are kept.
    ``ring``: the sources behind ``open_source``, where there are several.
    """

    directory: MirrorDirectory
    open_source: OpenSource
    today: date
    names: FileNames = field(default_factory=FileNames)
    policy: Policy = field(default_factory=Policy)
    agreement: DownloadWindow = field(default_factory=DownloadWindow)
    limits: ReaderLimits = field(default_factory=ReaderLimits)
    lists: ListPolicy = field(default_factory=ListPolicy)
    terms: DownloadOptions = field(default_factory=DownloadOptions)
    overlap_bytes: int = 0
    bounds: ChangeLimits = field(default_factory=ChangeLimits)
    check_inner_names: bool = True
    repair_damage: bool = True
    keep_previous: bool = True
    keep_changes_days: int | None = None
    index_devices: bool = False
    verify: VerifyPolicy = VerifyPolicy.OFF
    anchors: tuple[bytes, ...] = ()
    archive: Archive | None = None
    ring: FallbackSources | None = None
    hear: EventListener = field(default_factory=NullListener)
    clock: Callable[[], datetime] = _now

    @property
    def now(self) -> datetime:
        """The time by the clock, on the date that things are judged by."""
        return datetime.combine(self.today, self.clock().astimezone(UTC).timetz())
