"""What is on offer beside the extracts, and its octets: fetched, or as they were fetched before.

For: politeness: a file of the same size and time is not fetched again, unless the list that it held is
overdue, for a list that was replaced within the second cannot be told from its listing. Refuses: to look
into a file, and to fetch what no mirror is there to keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smki_sync.download import PatientSource
from smki_sync.errors import SourceError, SourceRefused
from smki_sync.events import Detail
from smki_sync.mirror.companions import Kept, read_companions
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.revocation import read_lists
from smki_sync.model.extract import RemoteFile
from smki_sync.model.lists import HeldList
from smki_sync.model.report import Attention
from smki_sync.sources.base import Source
from smki_sync.sync.companions.words import not_fetched
from smki_sync.sync.decision import Decision
from smki_sync.sync.job import Job
from smki_sync.trust.lists.freshness import why_stale
from smki_sync.trust.offered import Offered, read_offered

LIMIT_KEY = "limits.companion_bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """``contents``: by name, of what could be had. ``missed``: what could not be, in words."""

    offered: tuple[Offered, ...] = ()
    contents: Mapping[str, Kept] = field(default_factory=dict)
    missed: tuple[Attention, ...] = ()


class _TooLargeError(Exception):
    """A companion beyond the limit; the message says so."""


def gather(job: Job, source: PatientSource, decision: Decision) -> Gathered:
    """Look at what is on offer, and fetch what has changed."""
    offered = read_offered(decision.catalogue.companions, job.names)
    generation = decision.held.generation
    if generation is None and decision.plan.full is None:
        return Gathered(offered=offered)
    known, held = _held(generation)
    overdue = {one.file for one in held if why_stale(one, today=job.today, max_age_days=None)}
    fresh = {name: kept for name, kept in known.items() if name not in overdue and kept.file.modified}
    contents: dict[str, Kept] = {}
    missed: list[Attention] = []
    for file in (one.file for one in offered):
        before = fresh.get(file.name)
        try:
            contents[file.name] = before if before and before.file == file else _fetch(job, source, file)
        except (SourceError, _TooLargeError) as error:
            if isinstance(error, SourceRefused) and error.reason != "permission-denied":
                raise
            missed.append(not_fetched(file.name, str(error)))
    return Gathered(offered=offered, contents=contents, missed=tuple(missed))


def _held(generation: Path | None) -> tuple[dict[str, Kept], tuple[HeldList, ...]]:
    if generation is None:
        return {}, ()
    with open_mirror(generation) as db:
        return read_companions(db), read_lists(db)


def _fetch(job: Job, source: PatientSource, file: RemoteFile) -> Kept:
    """All of a file, in memory: it is small, or not taken."""
    most = job.lists.largest_bytes
    if file.size > most:
        raise _TooLargeError(f"it has {file.size:,} bytes, more than {most:,} (`{LIMIT_KEY}`)")
    content = source.patiently(lambda one: _read(one, file.name, most))
    job.hear.hear(Detail(text=f"fetched {file.name}, {len(content):,} bytes"))
    return Kept(file=file, content=content)


def _read(source: Source, name: str, most: int) -> bytes:
    found = bytearray()
    with source.fetch(name) as chunks:
        for chunk in chunks:
            found += chunk
            if len(found) > most:
                raise _TooLargeError(f"it has more than {most:,} bytes (`{LIMIT_KEY}`)")
    return bytes(found)
