"""Everything that a sync run needs: mirror, source, rules and time."""

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
"""Size in bytes from which a full is loaded during its download. The download of a smaller one ends before
the helper process has started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncJob:
    """One mirror, one source, one set of rules.

    ``today``: the date for lateness and the download window. ``clock``: the time, for the ledger and
    durations. ``download_window``: when fulls may be downloaded. ``download_options``: options of downloads.
    ``overlap_bytes``: size in bytes from which a full is loaded during its download (0: never).
    ``change_limits``: how much one file may change.
    ``check_inner_names``: whether a .gz is rejected if the name inside is that of another extract.
    ``repair_damage``: whether a damaged mirror is rebuilt automatically.
    ``keep_previous``: whether the generation before the current one is kept on disk.
    ``keep_changes_days``: days of the journal to keep; ``None``: all. ``index_devices``: whether
    a new generation indexes devices by key identifier and hash. ``verify``: how new certificates are
    checked. ``anchors``: trust anchors as DER. ``archive``: storage for applied files.
    ``fallback_sources``: the sources behind ``open_source``, if there are several.
    ``events``: receives progress events.
    """

    directory: MirrorDirectory
    open_source: OpenSource
    today: date
    names: FileNames = field(default_factory=FileNames)
    policy: Policy = field(default_factory=Policy)
    download_window: DownloadWindow = field(default_factory=DownloadWindow)
    limits: ReaderLimits = field(default_factory=ReaderLimits)
    lists: ListPolicy = field(default_factory=ListPolicy)
    download_options: DownloadOptions = field(default_factory=DownloadOptions)
    overlap_bytes: int = 0
    change_limits: ChangeLimits = field(default_factory=ChangeLimits)
    check_inner_names: bool = True
    repair_damage: bool = True
    keep_previous: bool = True
    keep_changes_days: int | None = None
    index_devices: bool = False
    verify: VerifyPolicy = VerifyPolicy.OFF
    anchors: tuple[bytes, ...] = ()
    archive: Archive | None = None
    fallback_sources: FallbackSources | None = None
    events: EventListener = field(default_factory=NullListener)
    clock: Callable[[], datetime] = _now

    @property
    def now(self) -> datetime:
        """The time of ``clock`` on the date ``today``."""
        return datetime.combine(self.today, self.clock().astimezone(UTC).timetz())
