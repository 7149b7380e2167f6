"""Download files from the Repository: retries, rate limit, resume, checksums, archive."""

from smki_sync.download.downloader import Downloader, download
from smki_sync.download.local_file import DownloadedFile, find_leftover, read_chunks, read_growing_file
from smki_sync.download.partial_file import discard_other_partial_files, partial_path, space_needed
from smki_sync.download.retry import (
    DownloadOptions,
    ReconnectingSource,
    RetryAction,
    RetryPolicy,
    SourceConfig,
    TransferRecord,
    concerns_one_file,
    retry_action_of,
)
from smki_sync.download.sources import (
    AUTOMATIC_LOGIN_LIMIT,
    MANUAL_LOGIN_LIMIT,
    FallbackSource,
    FallbackSources,
    LoginGuard,
    LoginLockout,
    stored_request_limit,
)

__all__ = [
    "AUTOMATIC_LOGIN_LIMIT",
    "MANUAL_LOGIN_LIMIT",
    "DownloadOptions",
    "DownloadedFile",
    "Downloader",
    "FallbackSource",
    "FallbackSources",
    "LoginGuard",
    "LoginLockout",
    "ReconnectingSource",
    "RetryAction",
    "RetryPolicy",
    "SourceConfig",
    "TransferRecord",
    "concerns_one_file",
    "discard_other_partial_files",
    "download",
    "find_leftover",
    "partial_path",
    "read_chunks",
    "read_growing_file",
    "retry_action_of",
    "space_needed",
    "stored_request_limit",
]
