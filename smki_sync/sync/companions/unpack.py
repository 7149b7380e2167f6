"""The contents of a companion: unpacked within bounds, and as records where it is one of Annex B.

For: lists (DER or PEM in a .gz) and anchor slots (XML in a .gz). Refuses: to write.
"""

from dataclasses import replace

from smki_sync.mirror.companions import Kept
from smki_sync.model.certificate import Entry, Rejected
from smki_sync.reader import ExtractReader, ReaderLimits
from smki_sync.reader.gzip_stream import Gunzip
from smki_sync.records import understand
from smki_sync.sync.job import Job


def unpacked(job: Job, kept: Kept) -> bytes:
    """What the .gz holds; raises ``BadExtract``."""
    return b"".join(Gunzip(iter([kept.content]), name=kept.file.name, limits=_limits(job)))


def records_in(job: Job, kept: Kept) -> list[Entry | Rejected]:
    """The records of its XML; raises ``BadExtract``."""
    name = kept.file.name
    return list(ExtractReader(iter([kept.content]), name=name, understand=understand, limits=_limits(job)))


def _limits(job: Job) -> ReaderLimits:
    return replace(job.limits, decompressed_bytes=job.lists.largest_bytes)
