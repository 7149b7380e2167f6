"""Decide what a run does: inspect the mirror, list the source, and plan."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from smki_sync.catalogue import read_catalogue
from smki_sync.download import (
    DownloadedFile,
    RetryAction,
    concerns_one_file,
    download,
    retry_action_of,
)
from smki_sync.errors import BadExtract, MirrorDamaged, SourceError
from smki_sync.events import Listing, Planned
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import check_schema, open_mirror, read_incidents, read_position
from smki_sync.mirror.store import check_schema_version
from smki_sync.model.extract import Catalogue, Extract, ExtractKind, FileKey
from smki_sync.model.plan import Action, MirrorState, Plan, Position
from smki_sync.planner import plan, resized_files, suspect_files
from smki_sync.policy import OutsideWindow, postponed_fulls
from smki_sync.sources.base import Source
from smki_sync.sync.job import SyncJob


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSnapshot:
    """State of the mirror directory. ``generation``: the current one, only if it is healthy.

    ``incidents``: applied files that an earlier run saw with other bytes.
    """

    state: MirrorState
    generation: Path | None = None
    position: Position | None = None
    incidents: frozenset[FileKey] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that a run needs to know before it acts.

    ``changed``: applied files that have other bytes now, and their SHA-256 if it is known. ``unchanged``:
    applied files with a new modification time and the same bytes. ``unusable``: listed files that could not
    be used. ``listing_empty``: whether the source lists nothing.
    """

    held: MirrorSnapshot
    catalogue: Catalogue
    plan: Plan
    changed: Mapping[FileKey, str | None] = field(default_factory=dict)
    unchanged: tuple[Extract, ...] = ()
    unusable: frozenset[FileKey] = frozenset()
    listing_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusableFile:
    """A file that could not be used. ``sha256``: of the file, if it was downloaded."""

    extract: Extract
    error: BadExtract | SourceError
    sha256: str | None = None

    @property
    def is_replaceable(self) -> bool:
        """Whether another file of the same listing may be used instead.

        A file that is changing is complete in the next run, and after a lost connection nothing can be
        downloaded.
        """
        if isinstance(self.error, BadExtract):
            return True
        return concerns_one_file(self.error) and retry_action_of(self.error) is not RetryAction.WAIT


def inspect_mirror(directory: MirrorDirectory) -> MirrorSnapshot:
    """Inspect the mirror directory. A damaged mirror is a result, not an error."""
    try:
        generation = directory.current()
    except MirrorDamaged:
        return MirrorSnapshot(state=MirrorState.DAMAGED)
    if generation is None:
        return MirrorSnapshot(state=MirrorState.ABSENT)
    state = check_schema_version(generation)
    if state is not MirrorState.HEALTHY:
        return MirrorSnapshot(state=state)
    with open_mirror(generation) as db:
        position, incidents = read_position(db), read_incidents(db)
    return MirrorSnapshot(state=state, generation=generation, position=position, incidents=incidents)


def decide(job: SyncJob, source: Source, *, full: bool, compare: bool) -> Decision:
    """List the source and plan. ``compare``: download and hash applied files with a new modification time."""
    held = inspect_mirror(job.directory)
    if held.state is MirrorState.DAMAGED and not (job.repair_damage or full):
        raise MirrorDamaged(
            f"The mirror in {job.directory.root} is damaged, and policy.repair_damage is off",
            hint="It was not changed. Check the health of the disk, then run `smki-sync sync --full` or"
            " `smki-sync restore`.",
        )
    if held.state is MirrorState.NEWER_SCHEMA and not full:
        check_schema(job.directory.link)
    job.events.emit(Listing(source=source.title))
    files = source.fetch_listing()
    catalogue = read_catalogue(files, job.names)
    decision = Decision(
        held=held,
        catalogue=catalogue,
        plan=_plan(job, held, catalogue, held.incidents, full=full),
        listing_empty=not files,
    )
    if held.position:
        decision = _compare(job, source, held.position, decision, full=full, download_suspects=compare)
    job.events.emit(Planned(plan=decision.plan))
    return decision


def plan_again(job: SyncJob, decision: Decision, unusable: Collection[FileKey]) -> Decision | None:
    """Plan without the files that could not be used; ``None`` if there is no alternative.

    A full replaces an unusable delta. An older full or the deltas may replace an unusable full.
    """
    held = inspect_mirror(job.directory)
    all_unusable = decision.unusable | frozenset(unusable)
    was_full = any(kind is ExtractKind.FULL for kind, _ in unusable)
    new_plan = _plan(job, held, decision.catalogue, held.incidents, full=False, unusable=all_unusable)
    if new_plan.action is not Action.FULL and not (was_full and new_plan.extracts):
        return None
    job.events.emit(Planned(plan=new_plan))
    return replace(decision, held=held, plan=new_plan, unusable=all_unusable)


def _compare(
    job: SyncJob,
    source: Source,
    position: Position,
    decision: Decision,
    *,
    full: bool,
    download_suspects: bool,
) -> Decision:
    """Find the applied files whose content has changed, and plan with them."""
    held, catalogue = decision.held, decision.catalogue
    suspects = suspect_files(position, catalogue) if download_suspects else ()
    if (
        job.download_window.outside is OutsideWindow.WAIT
        and not job.download_window.holds(job.now)
        and not full
    ):
        suspects = tuple(one for one in suspects if one.kind is ExtractKind.DELTA)
    changed: dict[FileKey, str | None] = dict.fromkeys(held.incidents | resized_files(position, catalogue))
    applied = {file.extract.key: file.sha256 for file in position.applied}
    unchanged = []
    for suspect in suspects:
        sha256 = _hash_now(job, source, suspect)
        if sha256 != applied[suspect.key]:
            changed[suspect.key] = sha256
        elif suspect.key not in changed:
            unchanged.append(suspect)
    new_plan = _plan(job, held, catalogue, changed, full=full)
    return replace(decision, plan=new_plan, changed=changed, unchanged=tuple(unchanged))


def with_hashes(decision: Decision, files: Mapping[str, DownloadedFile]) -> Decision:
    """Add the SHA-256 of changed files that were downloaded for the plan."""
    found = {fetched.file.extract.key: fetched.file.sha256 for fetched in files.values()}
    changed = {key: sha256 or found.get(key) for key, sha256 in decision.changed.items()}
    return replace(decision, changed=changed)


def _plan(
    job: SyncJob,
    held: MirrorSnapshot,
    catalogue: Catalogue,
    changed: Collection[FileKey],
    *,
    full: bool,
    unusable: Collection[FileKey] = (),
) -> Plan:
    """Plan, and postpone a full that is outside the download window."""

    def planned(offered: Catalogue, *, requested: bool) -> Plan:
        return plan(
            state=held.state,
            position=held.position,
            catalogue=offered,
            policy=job.policy,
            today=job.today,
            requested=requested,
            changed=changed,
            unusable=unusable,
        )

    without_full = planned(replace(catalogue, fulls=()), requested=False)
    wanted = planned(catalogue, requested=full)
    return postponed_fulls(wanted, without_full, job.download_window, job.now, requested=full)


def _hash_now(job: SyncJob, source: Source, extract: Extract) -> str:
    """Download an applied file again and return its SHA-256. The file is kept until the run ends."""
    return download(source, extract, job.directory.downloads, job.events, job.download_options).file.sha256
