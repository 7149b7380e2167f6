"""PlanExecutor: full into a new generation, deltas in order; archive afterwards."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

from smki_sync.download import DownloadedFile, leftover_files
from smki_sync.errors import BadExtract, MirrorDamaged, MirrorError
from smki_sync.events import Building, Committed, Detail, Reading
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.ledger import read_applied
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.rows import Batch
from smki_sync.mirror.store import MirrorStore
from smki_sync.model.certificate import Entry, Flag, Rejected
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile, MirrorState
from smki_sync.model.report import AppliedExtract, ChangeCounts, Notice, NoticeCode
from smki_sync.sync.decision import Decision
from smki_sync.sync.job import SyncJob
from smki_sync.sync.notices import ReadStatistics
from smki_sync.sync.reader_process import Noted, Told, check_inner_name, read_batches, read_records
from smki_sync.sync.signature_gate import SignatureGate, authorities_in_file
from smki_sync.sync.streaming_load import LoadedGeneration, StreamingLoad


@dataclass(slots=True)
class Archiver:
    """One run's. ``waiting``: files that the archive did not take. ``faults``: why, each said once."""

    job: SyncJob
    waiting: set[Path] = field(default_factory=set)
    faults: dict[str, MirrorError] = field(default_factory=dict)

    def put_away(self, fetched: DownloadedFile) -> None:
        """Archive a file that was applied, and remove it where it was."""
        if self.job.archive:
            try:
                self.job.archive.keep(fetched)
            except MirrorError as error:
                self.waiting.add(fetched.path)
                self._failed(error)
                return
        fetched.remove()

    def catch_up(self, generation: Path | None) -> None:
        """Put away what an earlier run has applied and could not put away, or was killed before it did."""
        if self.job.archive and generation:
            downloads = self.job.directory.downloads
            with disk_errors(downloads), open_mirror(generation) as db:
                for path in sorted({*downloads.iterdir()} - self.waiting):
                    found = leftover_files(path, read_applied(db, path.name))
                    if found:
                        self.put_away(found)

    def let_go(self, fetched: DownloadedFile, generation: Path) -> None:
        """Remove a file that was read without being applied, unless it waits here since it was applied."""
        self.catch_up(generation)
        if fetched.path not in self.waiting:
            fetched.remove()

    def prune(self) -> None:
        """Remove what the archive keeps beyond need."""
        try:
            for old in self.job.archive.prune() if self.job.archive else ():
                self.job.hear.hear(Detail(text=f"removed {old.name} from the archive"))
        except MirrorError as error:
            self._failed(error)

    def _failed(self, error: MirrorError) -> None:
        self.job.hear.hear(Detail(text=f"the archive: {error.message}"))
        self.faults.setdefault(error.message, error)

    def attention(self) -> Iterator[Notice]:
        """What an operator should know."""
        first = next(iter(self.faults.values()), None)
        if first is None:
            return
        names = ", ".join(sorted(path.name for path in self.waiting))
        yield Notice(
            code=NoticeCode.NOT_ARCHIVED,
            message=f"The archive is not as configured: {first.message}."
            + (f" Applied, and not in it yet: {names}." if names else ""),
            hint="What is not in it yet waits in `downloads`, and the next run tries again. Look at the space"
            " and the rights there.",
        )


@dataclass(slots=True)
class RecordReader:
    """One run's. ``keeper``: asked which new certificates may come in; told what authorities a delta brings.

    ``oddities``: what was odd about the files so far.
    """

    job: SyncJob
    keeper: SignatureGate | None = None
    oddities: ReadStatistics = field(default_factory=ReadStatistics)

    def records(self, fetched: DownloadedFile) -> Iterator[Entry | Rejected]:
        """The records of a delta, read here."""
        try:
            self.check_inner_name(fetched)
            if self.keeper:
                self.keeper.open_file(lambda: authorities_in_file(self.job, fetched))
            for record in read_records(fetched, self.job.limits, self._teller(fetched), self._noter(fetched)):
                if isinstance(record, Entry) and record.flags:
                    self.oddities.note(record.flags)
                yield record
        except BadExtract:
            fetched.set_aside()
            raise

    def batches(self, fetched: DownloadedFile) -> Iterator[Batch]:
        """The records of a full as rows, read beside this process where that pays."""
        try:
            for batch in read_batches(fetched, self.job.limits, self._teller(fetched), self._noter(fetched)):
                for row in batch.rows:
                    if row.flags:
                        self.oddities.note(Flag(row.flags))
                yield batch
        except BadExtract:
            fetched.set_aside()
            raise

    def check_inner_name(self, fetched: DownloadedFile) -> None:
        """Raise ``BadExtract`` where the .gz calls its content another extract, unless nobody is to look."""
        if self.job.check_inner_names:
            check_inner_name(fetched, self.job.names)

    def _teller(self, fetched: DownloadedFile) -> Told:
        name, size = fetched.file.extract.name, fetched.file.size

        def tell(records: int, done: int) -> None:
            self.job.hear.hear(Reading(file=name, records=records, done=done, size=size))

        return tell

    def _noter(self, fetched: DownloadedFile) -> Noted:
        return lambda near: self.oddities.note_limit(fetched.file.extract.name, near)


class GateFactory(Protocol):
    """Looks at a new generation before readers see it; what it raises keeps them from seeing it."""

    def __call__(self, generation: Path, *, first: bool) -> None:
        """``first``: it has taken nothing over from another; its journal begins with what it holds."""


def trust_everything(generation: Path, *, first: bool) -> None:
    """Look at nothing: every record was checked on its way in, and what was committed was counted."""


@dataclass(slots=True)
class PlanExecutor:
    """Applies the files of one plan, from their ``intake``. ``applied`` grows as files commit.

    ``archivist``: takes each then.

    ``history_lost``: there was a mirror, and its journal and ledger could not be taken over. ``all_aside``:
    whether readers see a new generation only with every delta on it. ``inspect``: called before they do.
    ``ahead``: has loaded the full while it came, as far as it could.
    """

    job: SyncJob
    files: Mapping[str, DownloadedFile]
    archivist: Archiver
    intake: RecordReader
    applied: list[AppliedExtract] = field(default_factory=list)
    history_lost: bool = False
    all_aside: bool = False
    inspect: GateFactory = trust_everything
    ahead: StreamingLoad | None = None

    @property
    def oddities(self) -> ReadStatistics:
        """What was odd about the files that were read."""
        return self.intake.oddities

    def carry_out(self, decision: Decision) -> Path | None:
        """Apply everything that the plan lists; the generation that is current afterwards."""
        plan, held = decision.plan, decision.held
        if plan.full is None:
            self._pay_overlap(held.generation, plan.overlap)
            return self._follow(held.generation, plan.deltas)
        # Readers never go back in time: a full older than the position catches up before they see it.
        reached = held.position.day if held.position else plan.full.day
        reached = max([reached, *(delta.day for delta in plan.deltas if self.all_aside)])
        replayed = (*plan.overlap, *(delta for delta in plan.deltas if delta.day <= reached))
        generation = self._rebuild(plan.full, replayed, decision)
        return self._follow(generation, tuple(delta for delta in plan.deltas if delta.day > reached))

    def _rebuild(self, full: Extract, replayed: tuple[Extract, ...], decision: Decision) -> Path:
        """Build a generation aside, with the memory of the old one as far as that can be read."""
        old = decision.held.generation
        if old:
            try:
                return self._build(full, replayed, old, vouched=_trusted_deltas(decision))
            except MirrorDamaged as error:  # the new one was empty a moment ago: it is the old one
                self.history_lost = True
                self.job.hear.hear(Detail(text=f"{error.message}; building without its memory"))
        self.history_lost |= decision.held.state is not MirrorState.ABSENT
        return self._build(full, replayed, None, vouched=())

    def _build(
        self, full: Extract, replayed: tuple[Extract, ...], old: Path | None, *, vouched: tuple[str, ...]
    ) -> Path:
        fetched = self.files[full.name]
        loaded = self._loaded(fetched, old, vouched)
        with loaded.builder as builder:
            builder.door = self.intake.keeper
            builder.settle(fetched.file)
            done = [self._replay(builder, delta) for delta in replayed]
            counts = builder.finish()
        self._publish(builder.path, first=old is None)
        self._commit(fetched, counts, loaded.began)
        for delta, delta_counts, delta_began in done:
            self._commit(delta, delta_counts, delta_began)
        return builder.path

    def _loaded(
        self, fetched: DownloadedFile, old: Path | None, vouched: tuple[str, ...]
    ) -> LoadedGeneration:
        """A generation with every row of the full: of one that was loaded while it came, or from its file."""
        self.intake.check_inner_name(fetched)
        loaded = self.ahead.take(fetched) if self.ahead else None
        if loaded:
            self.oddities.add(loaded.oddities)
            return loaded
        began = self.job.clock()
        builder = open_builder(self.job, fetched.file.extract, old, vouched)
        with ExitStack() as failing:
            failing.enter_context(builder)
            builder.take(fetched.file.extract, self.intake.batches(fetched))
            failing.pop_all()
        return LoadedGeneration(builder=builder, oddities=self.oddities, began=began)

    def _publish(self, generation: Path, *, first: bool) -> None:
        try:
            self.inspect(generation, first=first)
        except BaseException:
            self.job.directory.discard(generation)
            raise
        self.job.directory.publish(generation)

    def _pay_overlap(self, generation: Path | None, overlap: tuple[Extract, ...]) -> None:
        """Replay, together, what came too late to be replayed when the full was taken."""
        if not overlap:
            return
        assert generation is not None  # the planner knows of an overlap only where a mirror stands
        began = self.job.clock()
        files = [self.files[delta.name] for delta in overlap]
        with self._store(generation) as store:
            pairs = ((fetched.file, self.intake.records(fetched)) for fetched in files)
            for fetched, counts in zip(files, store.replay_overlap(pairs, clock=self.job.clock), strict=True):
                self._commit(fetched, counts, began)

    def _replay(
        self, builder: GenerationBuilder, delta: Extract
    ) -> tuple[DownloadedFile, ChangeCounts, datetime]:
        began = self.job.clock()
        fetched = self.files[delta.name]
        return fetched, builder.overlap(fetched.file, self.intake.records(fetched)), began

    def _follow(self, generation: Path | None, deltas: tuple[Extract, ...]) -> Path | None:
        if not deltas:
            return generation
        assert generation is not None  # the planner gives deltas alone only to a healthy mirror
        with self._store(generation) as store:
            for delta in deltas:
                began = self.job.clock()
                fetched = self.files[delta.name]
                counts = store.apply_delta(fetched.file, self.intake.records(fetched), clock=self.job.clock)
                self._commit(fetched, counts, began)
        return generation

    def _store(self, generation: Path) -> MirrorStore:
        return MirrorStore(
            generation,
            keep_changes_days=self.job.keep_changes_days,
            bounds=self.job.bounds,
            door=self.intake.keeper,
        )

    def _commit(self, fetched: DownloadedFile, counts: ChangeCounts, began: datetime) -> None:
        done = AppliedExtract(
            file=fetched.file.extract.name,
            kind=fetched.file.extract.kind,
            counts=counts,
            bytes=fetched.file.size,
            sha256=fetched.file.sha256,
            seconds=(self.job.clock() - began).total_seconds(),
        )
        self.applied.append(done)
        self.oddities.contradicted += counts.contradicted
        if self.intake.keeper:
            self.intake.keeper.close_file()
        self.job.hear.hear(Committed(applied=done))
        self.archivist.put_away(fetched)


def open_builder(
    job: SyncJob, full: Extract, old: Path | None, vouched: tuple[str, ...]
) -> GenerationBuilder:
    """A new generation for a full, with the memory of ``old``."""

    def step(words: str) -> None:
        job.hear.hear(Building(file=full.name, step=words))

    return GenerationBuilder(
        job.directory.next_generation(),
        old=old,
        vouched=vouched,
        clock=job.clock,
        step=step,
        keep_changes_days=job.keep_changes_days,
        index_devices=job.index_devices,
        bounds=job.bounds,
    )


def streaming_load(job: SyncJob, decision: Decision) -> StreamingLoad:
    """What loads the full of a plan while it is fetched, as :class:`PlanExecutor` would after."""
    old, vouched = decision.held.generation, _trusted_deltas(decision)
    return StreamingLoad(job, lambda full: open_builder(job, full, old, vouched if old else ()))


def _trusted_deltas(decision: Decision) -> tuple[str, ...]:
    """Deltas of the full's overlap that nobody can replay, and that the old generation has applied.

    It knows them only if it stands at the full's date or later; one that was seen with other bytes
    vouches for nothing.
    """
    plan, position = decision.plan, decision.held.position
    if plan.full is None or position is None or position.day < plan.full.day:
        return ()
    names = (file.extract.name for file in position.chain if _is_delta_of(file, plan.uncovered))
    return tuple(name for name in dict.fromkeys(names) if name not in decision.changed)


def _is_delta_of(file: AppliedFile, days: tuple[date, ...]) -> bool:
    return file.extract.kind is ExtractKind.DELTA and file.extract.day in days
