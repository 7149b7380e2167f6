"""Downloads: patient, polite, resumable, proven (docs/how-sync-works.md).

For: the use cases, which open the repository as a :class:`ReconnectingSource` and get each file with
:func:`download`.
Refuses: to decide which files; a plan says that.
"""

from smki_sync.download.downloader import download
from smki_sync.download.local_file import DownloadedFile, leftover_files, read_chunks, read_growing_file
from smki_sync.download.partial_file import discard_other_partial_files, open_partial_file, room_left
from smki_sync.download.retry import (
    DownloadOptions,
    ReconnectingSource,
    RetryPolicy,
    SourceConfig,
    TransferRecord,
)
from smki_sync.download.sources import (
    BY_HAND,
    BY_ITSELF,
    FallbackSource,
    FallbackSources,
    LoginGuard,
    LoginLockout,
)

__all__ = [
    "BY_HAND",
    "BY_ITSELF",
    "DownloadOptions",
    "DownloadedFile",
    "FallbackSource",
    "FallbackSources",
    "LoginGuard",
    "LoginLockout",
    "ReconnectingSource",
    "RetryPolicy",
    "SourceConfig",
    "TransferRecord",
    "discard_other_partial_files",
    "download",
    "leftover_files",
    "open_partial_file",
    "read_chunks",
    "read_growing_file",
    "room_left",
]
