"""All checks, in the order a sync would meet them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from smki_sync.catalogue import Names
from smki_sync.doctor import local, remote
from smki_sync.doctor.local import Finding, Verdict, skipped
from smki_sync.doctor.remote import (
    LISTING,
    Journey,
    OpenHeard,
    Places,
    judge_archive,
    judge_fallback,
    judge_hooks,
    judge_textfile,
)
from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import Policy
from smki_sync.sources.base import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A set-up. ``now``: UTC."""

    address: Address
    open_source: OpenHeard
    directory: MirrorDirectory
    names: Names
    policy: Policy
    now: datetime
    places: Places


def examine(patient: Patient) -> Iterator[Finding]:
    """Look at everything; each finding comes as soon as it is known."""
    journey = Journey(address=patient.address, open_source=patient.open_source)
    yield from journey.steps()
    fulls: tuple[Extract, ...] = ()
    if journey.files is None:
        yield from (skipped(check, f"not tried: {LISTING}") for check in ("names", "clock"))
    else:
        catalogue = remote.read_offer(journey.files, patient.names)
        fulls = catalogue.fulls
        yield remote.judge_names(catalogue, patient.names)
        yield remote.judge_clock(journey.files, catalogue, patient.now)
    yield from _beside(patient.places, patient.names)
    yield from _local(patient, fulls or _remembered(patient.directory))


def _beside(places: Places, names: Names) -> Iterator[Finding]:
    for number, open_source in enumerate(places.fallbacks, start=1):
        yield judge_fallback(number, open_source, names)
    if places.archive:
        yield judge_archive(places.archive)
    if places.textfile:
        yield judge_textfile(places.textfile)
    if any(places.hooks.values()):
        yield judge_hooks(places.hooks)


def _local(patient: Patient, fulls: tuple[Extract, ...]) -> Iterator[Finding]:
    directory = patient.directory
    yield local.judge_directory(directory)
    yield local.judge_space(directory, max((full.size for full in fulls), default=None))
    yield local.judge_lock(directory)
    finding, held = local.judge_mirror(directory)
    yield finding
    if finding.verdict is Verdict.FAIL:
        yield skipped("age", "not tried: mirror")
    else:
        yield local.judge_age(held, patient.policy, patient.now)
    yield local.judge_sqlite()


def _remembered(directory: MirrorDirectory) -> tuple[Extract, ...]:
    """The fulls that were on offer when a run last asked."""
    try:
        offered = History(directory.history).offer()
    except MirrorError:
        return ()
    return tuple(x for x in offered.extracts if x.kind is ExtractKind.FULL) if offered else ()


__all__ = ["Finding", "Patient", "Places", "Verdict", "examine"]
