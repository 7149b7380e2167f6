"""All checks, in the order a sync would meet them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from smki_sync.catalogue import FileNames
from smki_sync.doctor import local, remote
from smki_sync.doctor.local import CheckOutcome, CheckResult, skipped
from smki_sync.doctor.remote import (
    LISTING,
    ConfiguredPaths,
    OpenHeard,
    RemoteCheck,
    check_archive,
    check_fallback,
    check_hook,
    check_metrics_file,
)
from smki_sync.errors import MirrorError
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.history import History
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import Policy
from smki_sync.sources.base import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckContext:
    """A set-up. ``now``: UTC."""

    address: Address
    open_source: OpenHeard
    directory: MirrorDirectory
    names: FileNames
    policy: Policy
    now: datetime
    places: ConfiguredPaths


def examine(patient: CheckContext) -> Iterator[CheckResult]:
    """Look at everything; each finding comes as soon as it is known."""
    journey = RemoteCheck(address=patient.address, open_source=patient.open_source)
    yield from journey.steps()
    fulls: tuple[Extract, ...] = ()
    if journey.files is None:
        yield from (skipped(check, f"not tried: {LISTING}") for check in ("names", "clock"))
    else:
        catalogue = remote.read_offer(journey.files, patient.names)
        fulls = catalogue.fulls
        yield remote.check_names(catalogue, patient.names)
        yield remote.check_clock(journey.files, catalogue, patient.now)
    yield from _beside(patient.places, patient.names)
    yield from _local(patient, fulls or _remembered(patient.directory))


def _beside(places: ConfiguredPaths, names: FileNames) -> Iterator[CheckResult]:
    for number, open_source in enumerate(places.fallbacks, start=1):
        yield check_fallback(number, open_source, names)
    if places.archive:
        yield check_archive(places.archive)
    if places.textfile:
        yield check_metrics_file(places.textfile)
    if places.after_run:
        yield check_hook(places.after_run)


def _local(patient: CheckContext, fulls: tuple[Extract, ...]) -> Iterator[CheckResult]:
    directory = patient.directory
    yield local.check_directory(directory)
    yield local.check_disk_space(directory, max((full.size for full in fulls), default=None))
    yield local.check_lock(directory)
    finding, held = local.check_mirror(directory)
    yield finding
    if finding.verdict is CheckOutcome.FAIL:
        yield skipped("age", "not tried: mirror")
    else:
        yield local.check_age(held, patient.policy, patient.now)
    yield local.check_sqlite()


def _remembered(directory: MirrorDirectory) -> tuple[Extract, ...]:
    """The fulls that were on offer when a run last asked."""
    try:
        offered = History(directory.history).offer()
    except MirrorError:
        return ()
    return tuple(x for x in offered.extracts if x.kind is ExtractKind.FULL) if offered else ()


__all__ = ["CheckContext", "CheckOutcome", "CheckResult", "ConfiguredPaths", "examine"]
