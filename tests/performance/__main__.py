"""`make bench`: fulls of several sizes, the script in turn, a delta and a resync with readers."""

import argparse
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import apsw

from performance import lookup
from performance.data import FULL_DAY, make_delta, make_full
from performance.measure import Cost, cost_of

BENCH = Path(__file__).parent
MIB = 1 << 20


def main() -> None:
    """Measure, and print Markdown."""
    options = _options()
    print(_machine())
    with tempfile.TemporaryDirectory(prefix="smki-sync-bench-", dir=options.place) as place:
        print(
            "\n| records | run | wall s, median (min-max) | records/s | CPU s | peak MiB | octets a record |"
        )
        print("|---|---|---|---|---|---|---|", flush=True)
        for number in options.records:
            _fulls(Path(place) / str(number), number, options)
        _delta(Path(place) / "delta", max(options.records), options.delta)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--records", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--compare-up-to", type=int, default=1_000_000, help="largest size for the script")
    parser.add_argument("--delta", type=int, default=100_000)
    parser.add_argument("--place", type=Path, default=None, help="where to put some gigabytes")
    return parser.parse_args()


def _machine() -> str:
    stamp = datetime.now(UTC).strftime("%Y-%m-%d")
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 30)
    return (
        f"{stamp}, {cores} cores, {memory} GiB, {platform.system()} {platform.release()}, CPython"
        f" {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}; for comparison"
        f" {sqlite3.sqlite_version}"
    )


def _fulls(place: Path, number: int, options: argparse.Namespace) -> None:
    full = make_full(place / "repository", number)
    ours: list[Cost] = []
    theirs: list[Cost] = []
    size = 0
    for _ in range(options.runs):
        mirror = place / "mirror"
        ours.append(cost_of(_sync(mirror, full.parent), environment=_today(0)))
        size = (mirror / "mirror.db").stat().st_size
        shutil.rmtree(mirror)
        if number <= options.compare_up_to:
            script: list[str | Path] = [
                sys.executable,
                BENCH / "straightforward.py",
                full,
                place / "script.db",
            ]
            theirs.append(cost_of(script))
            (place / "script.db").unlink()
    print(_row(number, "smki-sync", ours, f"{size / number:.0f}"), flush=True)
    if theirs:
        print(_row(number, "script", theirs, ""))
        ratios = [b.wall / a.wall for a, b in zip(ours, theirs, strict=True)]
        print(f"| {number:,} | ratio | {_spread(ratios)} | | | | |", flush=True)
    shutil.rmtree(place)


def _delta(place: Path, number: int, changes: int) -> None:
    """A delta onto the largest mirror, then a resync of it, while two readers ask without a pause."""
    full = make_full(place / "repository", number)
    mirror = place / "mirror"
    cost_of(_sync(mirror, full.parent), environment=_today(0))
    make_delta(full.parent, FULL_DAY + timedelta(days=1), changes)
    delta = _sync(mirror, full.parent)
    print(f"\nA delta of {changes:,} records onto {number:,}: {_while_asked(mirror, delta)}", flush=True)
    print(f"\nOn that mirror: {lookup.report(mirror)}", flush=True)
    print(f"\nA resync of it, the delta replayed: {_while_asked(mirror, [*delta, '--full'])}")


def _while_asked(mirror: Path, command: Sequence[str | Path]) -> str:
    """Run a sync on the day after the full while two readers ask; what it cost, in words."""
    stop = Event()
    with ThreadPoolExecutor() as pool:
        readers = [pool.submit(_read, mirror / "mirror.db", stop) for _ in range(2)]
        try:
            cost = cost_of(command, environment=_today(1))
        finally:
            stop.set()
        asked = sum(reader.result() for reader in readers)
    return (
        f"{cost.wall:.1f} s, {cost.cpu:.1f} s of processor time, {cost.memory / MIB:.0f} MiB;"
        f" {asked / cost.wall:,.0f} queries a second answered meanwhile, none failed"
    )


def _read(path: Path, stop: Event) -> int:
    """Ask until told to stop; the number of answers. An error ends the benchmark with a traceback."""
    asked = 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        euis = [eui for (eui,) in db.execute("SELECT eui FROM certificates LIMIT 1000")]
        while not stop.is_set():
            eui = euis[asked % len(euis)]
            assert db.execute("SELECT der FROM certificates WHERE eui = ?", (eui,)).fetchall()
            asked += 1
    return asked


def _sync(mirror: Path, repository: Path) -> list[str | Path]:
    source = f"file://{repository}"
    return [sys.executable, "-m", "smki_sync", "sync", "--quiet", "--mirror", mirror, "--source", source]


def _today(days: int) -> dict[str, str]:
    return {"SMKI_SYNC_TODAY": (FULL_DAY + timedelta(days=days)).isoformat()}


def _row(number: int, name: str, costs: Sequence[Cost], size: str) -> str:
    walls = [cost.wall for cost in costs]
    rate = number / statistics.median(walls)
    cpu = statistics.median(cost.cpu for cost in costs)
    memory = max(cost.memory for cost in costs) / MIB
    return f"| {number:,} | {name} | {_spread(walls)} | {rate:,.0f} | {cpu:.1f} | {memory:.0f} | {size} |"


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


if __name__ == "__main__":
    main()
