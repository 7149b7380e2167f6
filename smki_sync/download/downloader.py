"""Bring one file from a source onto this disk, whole, hashed and durable, or not at all.

For: :func:`fetch`, the one way in. A file is written as ``NAME.part`` with a journal of what is durable, and
takes its name when as many bytes have come as the listing stated and it has stopped changing; what was cut
goes on where it stopped, in this run or in a later one (docs/downloads.md). Refuses: to hand on a file that
may be put together of two without the reader knowing (:attr:`~smki_sync.fetch.fetched.Fetched.pieces`).
"""

from pathlib import Path
from typing import Final

from smki_sync.download.local_file import Fetched, held, write_card
from smki_sync.download.retry import PatientSource
from smki_sync.download.transfer import OtherFileError
from smki_sync.errors import SourceUnreachable
from smki_sync.events import Detail, Listener, Restarted
from smki_sync.fetch.causes import Treatment, treatment_of
from smki_sync.fetch.crew import Crew
from smki_sync.fetch.part import Part, discard_part
from smki_sync.fetch.settle import Settling, changed, check_settled
from smki_sync.fetch.terms import Terms
from smki_sync.mirror.connection import named
from smki_sync.mirror.directory import sync_directory
from smki_sync.model.extract import Extract
from smki_sync.model.faults import Fault, bad_extract
from smki_sync.model.plan import AppliedFile
from smki_sync.sources.base import Source

_RESTARTS: Final = 3
"""How often one download may turn out to belong to another file before that is a fault of the source."""

_PLAIN = Terms()


def fetch(
    source: Source, extract: Extract, directory: Path, hear: Listener, terms: Terms = _PLAIN
) -> Fetched:
    """Fetch one extract into ``directory``, unless an earlier run left it there intact.

    ``source``: where it is a :class:`PatientSource`, faults that may pass are tried again. The file may turn
    out to be a newer one than was listed: then :attr:`Fetched.file` says so. Raises what the source raises,
    and ``SourceUnreachable`` (``changed-while-fetched``) where the file does not stop changing.
    """
    path = directory / extract.name
    here = held(path, extract)
    if here:
        hear.hear(Detail(text=f"{extract.name} is here already, SHA-256 {here.file.sha256}"))
        return here
    patient = source if isinstance(source, PatientSource) else PatientSource.around(source, hear=hear)
    settling = Settling(terms=terms, hear=hear)
    while True:
        try:
            return _as_stated(_download(patient, extract, path, hear, terms))
        except SourceUnreachable as error:
            if treatment_of(error) is not Treatment.WAIT:
                raise
            extract = settling.wait(patient, extract, error)


def _as_stated(fetched: Fetched) -> Fetched:
    """Hold a file against the hash that its source states, where it does (an archive has sidecars)."""
    stated = fetched.file.extract.sha256
    if stated and stated != fetched.file.sha256:
        fetched.remove()
        raise bad_extract(
            Fault.OTHER_SHA256,
            fetched.file.extract.name,
            f"its SHA-256 is {fetched.file.sha256}, beside it is stated {stated}",
        )
    return fetched


def _download(source: PatientSource, extract: Extract, path: Path, hear: Listener, terms: Terms) -> Fetched:
    for _ in range(_RESTARTS):
        try:
            return _bring(source, extract, path, hear, terms)
        except OtherFileError:
            with named(path):
                discard_part(path)
            why = "what came before is not the beginning of the file on offer"
            hear.hear(Restarted(file=extract.name, why=why))
    raise changed(extract, "was another file each time it was gone on with,")


def _bring(source: PatientSource, extract: Extract, path: Path, hear: Listener, terms: Terms) -> Fetched:
    split = terms.second is not None and extract.size >= terms.split_bytes
    with named(path), Part(path, extract, every=terms.mark_bytes, split=split) as part:
        if part.foreign:
            hear.hear(Restarted(file=extract.name, why="it is on offer with another size or time"))
        terms.came(0)
        Crew(extract=extract, part=part, terms=terms, hear=hear).fetch(source)
        check_settled(source, extract, part.path, terms)
        file = AppliedFile(extract=extract, size=extract.size, sha256=part.hexdigest())
        fetched = Fetched(file=file, path=path, pieces=part.pieces)
        write_card(fetched)
        part.become_whole()
        sync_directory(path.parent)
        terms.came(extract.size)
    return fetched
