"""What is held, what is on offer, and the plan that follows from both.

For: gathering the planner's inputs, the only step that needs the source besides fetching. Refuses: to
change anything.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from smki_sync.catalogue import read_catalogue
from smki_sync.download import download
from smki_sync.errors import MirrorDamaged
from smki_sync.events import Listing, Planned
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import check_schema, open_mirror, read_incidents, read_position
from smki_sync.mirror.store import check_schema_version
from smki_sync.model.extract import Catalogue, Extract
from smki_sync.model.plan import MirrorState, Plan, Position
from smki_sync.planner import plan, resized_files, suspect_deltas
from smki_sync.policy import postponed_fulls
from smki_sync.sources.base import Source
from smki_sync.sync.job import SyncJob


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorSnapshot:
    """What the mirror directory holds. ``generation``: the current one, only if it is healthy.

    ``incidents``: applied deltas that an earlier run saw with other bytes.
    """

    state: MirrorState
    generation: Path | None = None
    position: Position | None = None
    incidents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that a run needs to know before it acts.

    ``changed``: names of applied deltas that have other bytes now. ``unchanged``: applied deltas
    whose time on offer is new and whose bytes are not.
    """

    held: MirrorSnapshot
    catalogue: Catalogue
    plan: Plan
    changed: frozenset[str] = frozenset()
    unchanged: tuple[Extract, ...] = ()


def inspect_mirror(directory: MirrorDirectory) -> MirrorSnapshot:
    """Find out what is held; a damaged mirror is a finding, not a failure."""
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
    """List once and plan. ``compare``: fetch and hash applied deltas whose time on offer is another."""
    held = inspect_mirror(job.directory)
    if held.state is MirrorState.DAMAGED and not (job.repair_damage or full):
        raise MirrorDamaged(
            f"the mirror in {job.directory.root} is damaged, and policy.repair_damage is off",
            hint="It is left as it is. Look at the disk's health, then run `smki-sync sync --full`"
            " or `smki-sync restore`.",
        )
    if held.state is MirrorState.NEWER_SCHEMA and not full:
        check_schema(job.directory.link)
    job.hear.hear(Listing(source=source.title))
    catalogue = read_catalogue(source.fetch_listing(), job.names)
    doubted = suspect_deltas(held.position, catalogue) if held.position and compare else ()
    changed = held.incidents | {x.name for x in doubted if _has_other_bytes(job, source, x, held)}
    if held.position:
        changed |= resized_files(held.position, catalogue)
    made = _agreed(job, held, catalogue, changed, full=full)
    job.hear.hear(Planned(plan=made))
    unchanged = tuple(x for x in doubted if x.name not in changed)
    return Decision(held=held, catalogue=catalogue, plan=made, changed=changed, unchanged=unchanged)


def _agreed(
    job: SyncJob, held: MirrorSnapshot, catalogue: Catalogue, changed: frozenset[str], *, full: bool
) -> Plan:
    """What is to be done, within what was agreed on fulls."""

    def planned(offer: Catalogue, *, requested: bool) -> Plan:
        return plan(
            state=held.state,
            position=held.position,
            catalogue=offer,
            policy=job.policy,
            today=job.today,
            requested=requested,
            changed=changed,
        )

    without_full = planned(replace(catalogue, fulls=()), requested=False)
    wanted = planned(catalogue, requested=full)
    return postponed_fulls(wanted, without_full, job.agreement, job.now, requested=full)


def _has_other_bytes(job: SyncJob, source: Source, extract: Extract, held: MirrorSnapshot) -> bool:
    """Fetch an applied delta again; it stays until the run ends, for the resync to read or the archive."""
    assert held.position is not None
    fetched = download(source, extract, job.directory.downloads, job.hear, job.terms)
    known = {file.sha256 for file in held.position.chain if file.extract.name == extract.name}
    return fetched.file.sha256 not in known
