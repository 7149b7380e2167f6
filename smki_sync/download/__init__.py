"""Downloads: patient, polite, resumable, proven (docs/downloads.md).

For: the deeds, which open the repository as a :class:`PatientSource` and get each file with :func:`fetch`.
Refuses: to decide which files; a plan says that.
"""

from smki_sync.download.downloader import fetch
from smki_sync.download.local_file import Fetched, chunks_of, follow, left_behind
from smki_sync.download.partial_file import discard_other_parts, part_of, room_left
from smki_sync.download.retry import Opening, PatientSource, Retry, Terms, Transfer
from smki_sync.download.sources import BY_HAND, BY_ITSELF, CarefulSource, LoginMemory, Ring, Several

__all__ = [
    "BY_HAND",
    "BY_ITSELF",
    "CarefulSource",
    "Fetched",
    "LoginMemory",
    "Opening",
    "PatientSource",
    "Retry",
    "Ring",
    "Several",
    "Terms",
    "Transfer",
    "chunks_of",
    "discard_other_parts",
    "fetch",
    "follow",
    "left_behind",
    "part_of",
    "room_left",
]
