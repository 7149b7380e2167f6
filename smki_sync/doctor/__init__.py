"""All checks of `doctor`, in the order in which a sync depends on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from smki_sync.catalogue import FileNames, read_catalogue
from smki_sync.doctor import local, remote
from smki_sync.doctor.local import CheckOutcome, CheckResult, skipped
from smki_sync.doctor.remote import (
    LISTING,
    ConfiguredPaths,
    OpenWithEvents,
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
    """What is checked. ``now`` is in UTC."""

    address: Address
    open_source: OpenWithEvents
    directory: MirrorDirectory
    names: FileNames
    policy: Policy
    now: datetime
    paths: ConfiguredPaths


def examine(context: CheckContext) -> Iterator[CheckResult]:
    """Run all checks. Each result is available as soon as its check ends."""
    source = RemoteCheck(address=context.address, open_source=context.open_source)
    yield from source.steps()
    fulls: tuple[Extract, ...] = ()
    if source.files is None:
        yield from (skipped(check, f"not checked: {LISTING} failed") for check in ("names", "clock"))
    else:
        catalogue = read_catalogue(source.files, context.names)
        fulls = catalogue.fulls
        yield remote.check_names(catalogue, context.names)
        yield remote.check_clock(source.files, catalogue, context.now)
    yield from _check_configured_paths(context.paths, context.names)
    yield from _check_mirror(context, fulls or _last_listed_fulls(context.directory))


def _check_configured_paths(paths: ConfiguredPaths, names: FileNames) -> Iterator[CheckResult]:
    for number, open_source in enumerate(paths.fallbacks, start=1):
        yield check_fallback(number, open_source, names)
    if paths.archive:
        yield check_archive(paths.archive)
    if paths.textfile:
        yield check_metrics_file(paths.textfile)
    if paths.after_run:
        yield check_hook(paths.after_run)


def _check_mirror(context: CheckContext, fulls: tuple[Extract, ...]) -> Iterator[CheckResult]:
    directory = context.directory
    writable = local.check_directory(directory)
    yield writable
    if writable.outcome is CheckOutcome.FAIL:
        yield skipped("file system", "not checked: mirror directory failed")
    else:
        yield local.check_file_system(directory)
    yield local.check_disk_space(directory, max((full.size for full in fulls), default=None))
    yield local.check_lock(directory)
    result, snapshot = local.check_mirror(directory)
    yield result
    if result.outcome is CheckOutcome.FAIL:
        yield skipped("age", "not checked: mirror failed")
    else:
        yield local.check_age(snapshot, context.policy, context.now)
    yield local.check_sqlite()


def _last_listed_fulls(directory: MirrorDirectory) -> tuple[Extract, ...]:
    """Return the fulls in the last listing that a run has stored."""
    try:
        listing = History(directory.history).offer()
    except MirrorError:
        return ()
    return tuple(x for x in listing.extracts if x.kind is ExtractKind.FULL) if listing else ()


__all__ = ["CheckContext", "CheckOutcome", "CheckResult", "ConfiguredPaths", "examine"]
