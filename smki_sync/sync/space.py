"""Whether the disk holds what a plan will write, asked before the first byte is fetched.

For: a run that would fail after hours is refused in seconds, with the figure needed and the figure
free, for each file system that is really written to. Refuses: to promise; others write there too.
"""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Final

from smki_sync.download import room_left
from smki_sync.errors import MirrorNotWritable
from smki_sync.mirror.connection import named
from smki_sync.model.plan import Plan
from smki_sync.sync.job import Job

BUILD_FACTOR: Final = 4.5
"""Octets of a generation in the making for each octet of its full as .gz: a record takes about 200 there,
620 in the mirror with its indexes, and some 200 while they are sorted (docs/benchmarks.md)."""

DEVICE_INDEX_FACTOR: Final = 1.0
"""The same for the indexes of ``mirror.index_devices``: 104 octets a certificate, and as much while they are
sorted."""

DELTA_FACTOR: Final = 100
"""The same for a delta: its rows lie scattered, and each page that they touch stands in the write-ahead
log as a whole."""

RESERVE_BYTES: Final = 64 << 20
"""Left over on any file system that is written to: the ledger, the history and others' files."""

_UNITS: Final = 1_000_000


def check_space(job: Job, plan: Plan) -> None:
    """Raise :class:`MirrorNotWritable` (``no-space``) where a file system is too full for the plan."""
    needs: dict[int, int] = defaultdict(int)
    places: dict[int, Path] = {}
    for path, octets in _needs(job, plan):
        with named(path):
            device = path.stat().st_dev
        needs[device] += octets
        places.setdefault(device, path)
    for device, octets in needs.items():
        _check(places[device], octets)


def _needs(job: Job, plan: Plan) -> list[tuple[Path, int]]:
    held = job.directory.downloads
    fetched = sum(room_left(held / extract.name, extract) for extract in plan.extracts)
    factor = BUILD_FACTOR + DEVICE_INDEX_FACTOR * job.index_devices
    built = factor * plan.full.size if plan.full else 0
    applied = DELTA_FACTOR * max((x.size for x in (*plan.overlap, *plan.deltas)), default=0)
    return [(held, fetched), (job.directory.generations, int(max(built, applied)))]


def _check(path: Path, octets: int) -> None:
    with named(path):
        free = shutil.disk_usage(path).free
    needed = octets + RESERVE_BYTES
    if free < needed:
        raise MirrorNotWritable(
            f"{path} needs {needed / _UNITS:,.0f} MB for this run, and {free / _UNITS:,.0f} MB are free",
            hint="Free space there, or move the mirror to a larger disk. Nothing was fetched or changed.",
            code="no-space",
        )
