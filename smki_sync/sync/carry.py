"""Carry a plan out: a full into a new generation, deltas onto the current one, in order.

For: turning fetched files into committed states, one at a time. Whatever raises leaves the last
committed state; files not applied stay in ``downloads`` for the next run. Refuses: to skip a file.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from smki_sync.events import Building, Committed, Reading
from smki_sync.fetch import Fetched
from smki_sync.mirror.build import Builder
from smki_sync.mirror.store import Store
from smki_sync.model.certificate import Entry, Flag, Rejected
from smki_sync.model.extract import Extract
from smki_sync.model.plan import Plan
from smki_sync.model.report import Applied, Counts
from smki_sync.reader import ExtractReader
from smki_sync.records import understand
from smki_sync.sync.job import Job

_PROGRESS_RECORDS: Final = 1_000  # a listener hears of every so many records


@dataclass(slots=True)
class Oddities:
    """How many of the records read were kept in spite of something odd."""

    strict_parser_refuses: int = 0
    claims_differ: int = 0

    def note(self, record: Entry | Rejected) -> None:
        """Count one record."""
        if isinstance(record, Entry) and record.flags:
            self.strict_parser_refuses += Flag.STRICT_PARSER_REFUSES in record.flags
            self.claims_differ += bool(record.flags & ~Flag.STRICT_PARSER_REFUSES)


@dataclass(slots=True)
class Carrier:
    """Applies the files of one plan. ``applied`` grows as files commit."""

    job: Job
    files: Mapping[str, Fetched]
    applied: list[Applied] = field(default_factory=list)
    oddities: Oddities = field(default_factory=Oddities)

    def carry_out(self, plan: Plan, generation: Path | None) -> Path | None:
        """Apply everything that the plan lists; the generation that is current afterwards."""
        if plan.full:
            generation = self._rebuild(plan.full, plan.overlap, generation)
            rest = plan.deltas
        else:
            rest = (*plan.overlap, *plan.deltas)
        if rest:
            assert generation is not None
            self._follow(generation, rest)
        return generation

    def _rebuild(self, full: Extract, overlap: tuple[Extract, ...], old: Path | None) -> Path:
        """Build a generation aside, overlap included, and let it take over in one step."""
        began = self.job.clock()
        fetched = self.files[full.name]
        self.job.directory.discard_superseded(keep=0)  # two generations need room, never three
        path = self.job.directory.next_generation()

        def step(words: str) -> None:
            self.job.hear.hear(Building(file=full.name, step=words))

        with Builder(path, old=old, clock=self.job.clock, step=step) as builder:
            builder.load(fetched.file, self._read(fetched))
            replayed = [self._replay(builder, delta) for delta in overlap]
            counts = builder.finish()
        self.job.directory.publish(path)
        self._commit(fetched, counts, began)
        for delta, delta_counts, delta_began in replayed:
            self._commit(delta, delta_counts, delta_began)
        return path

    def _replay(self, builder: Builder, delta: Extract) -> tuple[Fetched, Counts, datetime]:
        began = self.job.clock()
        fetched = self.files[delta.name]
        return fetched, builder.overlap(fetched.file, self._read(fetched)), began

    def _follow(self, generation: Path, deltas: tuple[Extract, ...]) -> None:
        with Store(generation) as store:
            for delta in deltas:
                began = self.job.clock()
                fetched = self.files[delta.name]
                counts = store.apply_delta(fetched.file, self._read(fetched), clock=self.job.clock)
                self._commit(fetched, counts, began)

    def _read(self, fetched: Fetched) -> Iterator[Entry | Rejected]:
        """The records of a file, counted on the way; ends only if the whole file is proven good."""
        extract = fetched.file.extract
        reader = ExtractReader(
            fetched.chunks(), name=extract.name, understand=understand, limits=self.job.limits
        )
        number = 0
        for number, record in enumerate(reader, 1):
            self.oddities.note(record)
            if number % _PROGRESS_RECORDS == 0:
                self._tell(extract, number, reader.compressed_bytes)
            yield record
        self._tell(extract, number, fetched.file.size)

    def _tell(self, extract: Extract, records: int, done: int) -> None:
        self.job.hear.hear(Reading(file=extract.name, records=records, done=done, size=extract.size))

    def _commit(self, fetched: Fetched, counts: Counts, began: datetime) -> None:
        done = Applied(
            file=fetched.file.extract.name,
            kind=fetched.file.extract.kind,
            counts=counts,
            bytes=fetched.file.size,
            sha256=fetched.file.sha256,
            seconds=(self.job.clock() - began).total_seconds(),
        )
        self.applied.append(done)
        self.job.hear.hear(Committed(applied=done))
        fetched.remove()
