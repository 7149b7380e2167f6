"""Carry out a plan: a full into a new generation, deltas in order; archive the files afterwards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from smki_sync.download import DownloadedFile, find_leftover
from smki_sync.errors import BadExtract, MirrorDamaged, MirrorError
from smki_sync.events import Building, Committed, Detail, Reading
from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.connection import disk_errors
from smki_sync.mirror.ledger import read_applied
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.rows import Batch
from smki_sync.mirror.store import MirrorStore, mark_published
from smki_sync.model.certificate import Entry, Flag, Rejected
from smki_sync.model.extract import Extract
from smki_sync.model.plan import MirrorState, Plan
from smki_sync.model.report import AppliedExtract, ChangeCounts, Notice, NoticeCode
from smki_sync.planner import DAY
from smki_sync.sync.decision import Decision, UnusableFile
from smki_sync.sync.job import SyncJob
from smki_sync.sync.notices import ReadStatistics
from smki_sync.sync.reader_process import (
    LimitCallback,
    ProgressCallback,
    check_inner_name,
    read_batches,
    read_records,
)
from smki_sync.sync.signature_gate import SignatureGate, authorities_in_file, body_verifier
from smki_sync.sync.streaming_load import LoadedGeneration, StreamingLoad


@dataclass(slots=True)
class Archiver:
    """Archives the files of one run.

    ``waiting``: files that could not be archived. ``faults``: why, by message.
    """

    job: SyncJob
    waiting: set[Path] = field(default_factory=set)
    faults: dict[str, MirrorError] = field(default_factory=dict)

    def store(self, fetched: DownloadedFile) -> None:
        """Archive a file that was applied, and remove the download."""
        if self.job.archive:
            try:
                self.job.archive.keep(fetched)
            except MirrorError as error:
                self.waiting.add(fetched.path)
                self._failed(error)
                return
        fetched.remove()

    def catch_up(self, generation: Path | None) -> None:
        """Archive files that an earlier run applied and could not archive, or was killed before it did."""
        if self.job.archive and generation:
            downloads = self.job.directory.downloads
            with disk_errors(downloads), open_mirror(generation) as db:
                for path in sorted({*downloads.iterdir()} - self.waiting):
                    found = find_leftover(path, read_applied(db, path.name))
                    if found:
                        self.store(found)

    def release(self, fetched: DownloadedFile, generation: Path) -> None:
        """Remove a file that was read and not applied, unless it waits to be archived."""
        self.catch_up(generation)
        if fetched.path not in self.waiting:
            fetched.remove()

    def prune(self) -> None:
        """Remove files that the archive need not keep any longer."""
        try:
            for old in self.job.archive.prune() if self.job.archive else ():
                self.job.events.emit(Detail(text=f"removed {old.name} from the archive"))
        except MirrorError as error:
            self._failed(error)

    def _failed(self, error: MirrorError) -> None:
        self.job.events.emit(Detail(text=f"the archive: {error.message}"))
        self.faults.setdefault(error.message, error)

    def notices(self) -> Iterator[Notice]:
        """Return what the operator must know."""
        first = next(iter(self.faults.values()), None)
        if first is None:
            return
        names = ", ".join(sorted(path.name for path in self.waiting))
        yield Notice(
            code=NoticeCode.NOT_ARCHIVED,
            message=f"The archive could not be written: {first.message}."
            + (f" These applied files are not archived yet: {names}." if names else ""),
            hint="The files wait in `downloads`, and the next run tries again. Check free space and"
            " permissions"
            " of the archive.",
        )


@dataclass(slots=True)
class RecordReader:
    """Reads the files of one run. ``gate``: learns which authorities a delta brings."""

    job: SyncJob
    gate: SignatureGate | None = None
    statistics: ReadStatistics = field(default_factory=ReadStatistics)

    def records(self, fetched: DownloadedFile) -> Iterator[Entry | Rejected]:
        """Read the records of a delta in this process."""
        try:
            self.check_inner_name(fetched)
            if self.gate:
                self.gate.open_file(lambda: authorities_in_file(self.job, fetched))
            for record in read_records(
                fetched, self.job.limits, self._progress(fetched), self._noter(fetched)
            ):
                if isinstance(record, Entry) and record.flags:
                    self.statistics.note(record.flags)
                yield record
        except BadExtract:
            fetched.quarantine()
            raise

    def batches(self, fetched: DownloadedFile) -> Iterator[Batch]:
        """Read the records of a full as rows, in a second process if that is faster."""
        try:
            for batch in read_batches(
                fetched, self.job.limits, self._progress(fetched), self._noter(fetched)
            ):
                for row in batch.rows:
                    if row.flags:
                        self.statistics.note(Flag(row.flags))
                yield batch
        except BadExtract:
            fetched.quarantine()
            raise

    def check_inner_name(self, fetched: DownloadedFile) -> None:
        """Raise ``BadExtract`` if the .gz names its content as another extract, and the check is enabled."""
        if self.job.check_inner_names:
            check_inner_name(fetched, self.job.names)

    def _progress(self, fetched: DownloadedFile) -> ProgressCallback:
        name, size = fetched.file.extract.name, fetched.file.size

        def report(records: int, done: int) -> None:
            self.job.events.emit(Reading(file=name, records=records, done=done, size=size))

        return report

    def _noter(self, fetched: DownloadedFile) -> LimitCallback:
        return lambda near: self.statistics.note_limit(fetched.file.extract.name, near)


Checked = TypeVar("Checked")
Checked_co = TypeVar("Checked_co", covariant=True)


class GenerationCheck(Protocol[Checked_co]):
    """Checks a new generation before readers see it; an error prevents that."""

    def __call__(self, generation: Path, *, is_first: bool) -> Checked_co:
        """``is_first``: it takes nothing over from another one; its journal begins with its content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult(Generic[Checked]):
    """What the execution of a plan has done.

    ``generation``: the current one afterwards. ``history_lost``: there was a mirror, and its journal and
    ledger could not be copied. ``checked``: the result of the check of a new generation.
    """

    generation: Path | None
    applied: tuple[AppliedExtract, ...] = ()
    unusable: tuple[UnusableFile, ...] = ()
    history_lost: bool = False
    checked: Checked | None = None


@dataclass(slots=True)
class PlanExecutor(Generic[Checked]):
    """Applies the files of one plan.

    Args:
        job: the run.
        files: the downloaded files by name; one that is not there cannot be used.
        archiver: stores each file after its commit.
        reader: reads the files.
        check: called with a new generation before readers see it.
        damaged: files that cannot be used, as their download has shown.
        all_inside: whether readers see a new generation only with every delta applied.
        streaming: has loaded the full during its download, as far as possible.
    """

    job: SyncJob
    files: Mapping[str, DownloadedFile]
    archiver: Archiver
    reader: RecordReader
    check: GenerationCheck[Checked]
    damaged: Sequence[UnusableFile] = ()
    all_inside: bool = False
    streaming: StreamingLoad | None = None
    _applied: list[AppliedExtract] = field(default_factory=list, init=False)
    _unusable: list[UnusableFile] = field(default_factory=list, init=False)

    def execute(self, decision: Decision) -> ExecutionResult[Checked]:
        """Apply the files of the plan, as far as they can be used."""
        plan = decision.plan
        if plan.full is None:
            generation = decision.held.generation
            self._apply_to_store(generation, plan.overlap, is_ordered=False)
            self._apply_to_store(generation, plan.deltas, is_ordered=True)
            return self._result(generation)
        if plan.full.name not in self.files:
            return self._result(decision.held.generation)
        try:
            built = self._rebuild(decision)
        except _FullUnusable:
            return self._result(decision.held.generation)
        for commit in built.commits:
            self._commit(commit)
        self._apply_to_store(built.path, built.remaining, is_ordered=True)
        return self._result(built.path, built)

    def _result(
        self, generation: Path | None, built: "_Built[Checked] | None" = None
    ) -> ExecutionResult[Checked]:
        return ExecutionResult(
            generation=generation,
            applied=tuple(self._applied),
            unusable=self._all_unusable,
            history_lost=built.history_lost if built else False,
            checked=built.checked if built else None,
        )

    def _rebuild(self, decision: Decision) -> "_Built[Checked]":
        """Build a generation with the statements of the previous one, if that can be read."""
        plan, old = decision.plan, decision.held.generation
        if old:
            inside, remaining = self._split(plan.full, plan.overlap, plan.deltas)
            try:
                return self._build(decision, old, inside, remaining)
            except MirrorDamaged as error:  # the new one was empty a moment ago: it is the old one
                self.job.events.emit(Detail(text=f"{error.message}; building without its history"))
                self._unusable.clear()
        is_lost = decision.held.state is not MirrorState.ABSENT
        inside, remaining = self._split(plan.full, *_without_gap(plan))
        return self._build(decision, None, inside, remaining, history_lost=is_lost)

    def _split(
        self, full: Extract | None, overlap: Sequence[Extract], deltas: Sequence[Extract]
    ) -> tuple[tuple[Extract, ...], tuple[Extract, ...]]:
        """Return the deltas to apply before readers see the generation, and those to apply afterwards.

        The delta of the full's own date is one of the first, because it may correct the full.
        """
        assert full is not None
        inside = [delta for delta in deltas if self.all_inside or delta.day <= full.day]
        return (*overlap, *inside), tuple(deltas[len(inside) :])

    def _build(
        self,
        decision: Decision,
        old: Path | None,
        inside: Sequence[Extract],
        remaining: Sequence[Extract],
        *,
        history_lost: bool = False,
    ) -> "_Built[Checked]":
        """Build and publish a generation.

        ``inside``: deltas to apply before it is published. ``remaining``: those to apply afterwards.

        A delta of the overlap that cannot be used is missing. After any other one, none is applied, unless
        its statements are in the previous generation.
        """
        plan = decision.plan
        assert plan.full is not None
        fetched = self.files[plan.full.name]
        loaded = self._loaded(fetched, decision, old)
        done: list[_Commit] = []
        with loaded.builder as builder:
            with self._noting_full(fetched):
                builder.finalise_full(fetched.file, gate=self.reader.gate)
            for delta in inside:
                commit = self._apply_inside(builder, delta)
                if commit:
                    done.append(commit)
                elif delta.day > plan.full.day and delta.day in plan.superseded:
                    raise next(one.error for one in self._all_unusable if one.extract == delta)
                elif delta.day >= plan.full.day and (old is None or delta in plan.deltas):
                    remaining = ()
                    break
            counts = builder.finish()
        checked = self._publish(builder.path, is_first=old is None)
        return _Built(
            path=builder.path,
            commits=(_Commit(fetched, counts, loaded.began), *done),
            remaining=remaining,
            checked=checked,
            history_lost=history_lost,
        )

    def _apply_inside(self, builder: GenerationBuilder, delta: Extract) -> "_Commit | None":
        """Apply a delta to a generation that readers do not see yet; ``None`` if it cannot be used."""
        fetched = self.files.get(delta.name)
        if fetched is None:
            return None
        began = self.job.clock()
        try:
            counts = builder.apply_delta(fetched.file, self.reader.records(fetched))
        except BadExtract as error:
            self._skip(fetched, error)
            return None
        return _Commit(fetched, counts, began)

    def _loaded(self, fetched: DownloadedFile, decision: Decision, old: Path | None) -> LoadedGeneration:
        """A generation with every row of the full, loaded during the download or from the file."""
        with self._noting_full(fetched):
            self.reader.check_inner_name(fetched)
        loaded = self.streaming.take(fetched) if self.streaming else None
        if loaded:
            self.reader.statistics.add(loaded.statistics)
            return loaded
        began = self.job.clock()
        builder = open_builder(self.job, decision, old)
        with ExitStack() as failing:
            failing.enter_context(builder)
            with self._noting_full(fetched):
                builder.load_batches(fetched.file.extract, self.reader.batches(fetched))
            failing.pop_all()
        return LoadedGeneration(builder=builder, statistics=self.reader.statistics, began=began)

    def _publish(self, generation: Path, *, is_first: bool) -> Checked:
        try:
            checked = self.check(generation, is_first=is_first)
            mark_published(generation)
        except BaseException:
            self.job.directory.discard(generation)
            raise
        self.job.directory.publish(generation)
        return checked

    def _apply_to_store(
        self, generation: Path | None, deltas: Iterable[Extract], *, is_ordered: bool
    ) -> None:
        """Apply deltas to the current generation, one transaction each.

        ``is_ordered``: each needs the one before; after one that cannot be used, none is applied.
        """
        if not deltas:
            return
        assert generation is not None  # the planner gives deltas alone only to a healthy mirror
        with open_store(self.job, generation, self.reader.gate) as store:
            for delta in deltas:
                if not self._apply_one(store, delta) and is_ordered:
                    return

    def _apply_one(self, store: MirrorStore, delta: Extract) -> bool:
        fetched = self.files.get(delta.name)
        if fetched is None:
            return False
        began = self.job.clock()
        try:
            counts = store.apply_delta(fetched.file, self.reader.records(fetched), clock=self.job.clock)
        except BadExtract as error:
            self._skip(fetched, error)
            return False
        self._commit(_Commit(fetched, counts, began))
        return True

    @contextmanager
    def _noting_full(self, fetched: DownloadedFile) -> Iterator[None]:
        """Note that the full cannot be used."""
        try:
            yield
        except BadExtract as error:
            self._skip(fetched, error)
            raise _FullUnusable from error

    @property
    def _all_unusable(self) -> tuple[UnusableFile, ...]:
        return (*self.damaged, *self._unusable)

    def _skip(self, fetched: DownloadedFile, error: BadExtract) -> None:
        extract = fetched.file.extract
        self.job.events.emit(Detail(text=f"{extract.name} cannot be used: {error.message}"))
        self._unusable.append(UnusableFile(extract=extract, error=error, sha256=fetched.file.sha256))

    def _commit(self, commit: "_Commit") -> None:
        fetched = commit.fetched
        done = AppliedExtract(
            file=fetched.file.extract.name,
            kind=fetched.file.extract.kind,
            counts=commit.counts,
            bytes=fetched.file.size,
            sha256=fetched.file.sha256,
            seconds=(self.job.clock() - commit.began).total_seconds(),
        )
        self._applied.append(done)
        self.reader.statistics.contradicted += commit.counts.contradicted
        if self.reader.gate:
            self.reader.gate.close_file()
        self.job.events.emit(Committed(applied=done))
        self.archiver.store(fetched)


class _FullUnusable(Exception):
    """The full of the plan cannot be used."""


@dataclass(frozen=True, slots=True)
class _Commit:
    """A file that was applied."""

    fetched: DownloadedFile
    counts: ChangeCounts
    began: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Built(Generic[Checked]):
    """A generation that was built and published."""

    path: Path
    commits: tuple[_Commit, ...]
    remaining: Sequence[Extract]
    checked: Checked
    history_lost: bool


def _without_gap(plan: Plan) -> tuple[tuple[Extract, ...], tuple[Extract, ...]]:
    """Deltas before the full, and those that follow it without a gap."""
    assert plan.full is not None
    day = plan.full.day
    every = {delta.day: delta for delta in (*plan.overlap, *plan.deltas)}
    day = min((known for known in every if known >= day), default=day)  # those before have left the window
    run: list[Extract] = []
    while day in every:
        run.append(every[day])
        day += DAY
    return tuple(delta for delta in plan.overlap if delta.day < plan.full.day), tuple(run)


def open_store(job: SyncJob, generation: Path, gate: SignatureGate | None) -> MirrorStore:
    """Open a generation for writing, with the rules of the job."""
    return MirrorStore(
        generation,
        keep_changes_days=job.keep_changes_days,
        limits=job.change_limits,
        gate=gate,
        verify_body=body_verifier(job.anchors),
    )


def open_builder(job: SyncJob, decision: Decision, old: Path | None) -> GenerationBuilder:
    """Create a new generation for the full of a plan. ``old``: the generation to take over from."""
    plan = decision.plan
    assert plan.full is not None
    name = plan.full.name

    def step(words: str) -> None:
        job.events.emit(Building(file=name, step=words))

    return GenerationBuilder(
        job.directory.next_generation(),
        full=plan.full.day,
        old=old,
        overlap_days=job.policy.full_overlap_days,
        superseded=plan.superseded,
        clock=job.clock,
        step=step,
        keep_changes_days=job.keep_changes_days,
        index_devices=job.index_devices,
        limits=job.change_limits,
        verify_body=body_verifier(job.anchors),
    )


def streaming_load(job: SyncJob, decision: Decision) -> StreamingLoad:
    """Return what loads the full of a plan during its download, as :class:`PlanExecutor` would afterwards."""
    return StreamingLoad(job, lambda _full: open_builder(job, decision, decision.held.generation))
