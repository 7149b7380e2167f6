"""Recovery beside the pure transfer: `make bench`, or `PYTHONPATH=tests python -m performance.overlap`.

A full over a real OpenSSH server on loopback, fetched no faster than takes so many seconds: by
:func:`smki_sync.download.download` alone, by `sync` that loads while it fetches, and by `sync` that loads
after, in turn, each a process of its own.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from support.openssh import OpenSsh, openssh_server

from performance.data import FULL_DAY, make_full
from performance.measure import Cost, cost_of

MIB = 1 << 20
_LOADED_AFTER = "loaded after"
_PROGRAM_LOADED_AFTER = """
import sys
from smki_sync.cli import job, main
job.STREAMING_LOAD_BYTES = 0
main(sys.argv[1:])
"""
_PATHS = {"PYTHONPATH": os.pathsep.join(["tests", os.environ.get("PYTHONPATH", "")])}


def main() -> None:
    """Measure, and print Markdown."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="smki-sync-bench-", dir=options.place) as name:
        place = Path(name)
        (place / "scratch").mkdir()
        full = make_full(place / "published", options.records)
        rate = int(full.stat().st_size / options.seconds)
        print(f"\n{options.records:,} records, {full.stat().st_size / MIB:.0f} MiB, {rate / MIB:.1f} MiB/s\n")
        print("| run | wall s, median (min-max) | of the transfer | CPU s | peak MiB |")
        print("|---|---|---|---|---|", flush=True)
        with openssh_server(place / "published", place / "scratch") as server:
            _compare(server, place, rate, options.runs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m performance.overlap")
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=20, help="how long the transfer is made to take")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--place", type=Path, default=None, help="where to put some gigabytes")
    return parser.parse_args()


def _compare(server: OpenSsh, place: Path, rate: int, runs: int) -> None:
    """Let them run in turn, so that what else the machine does hits all of them."""
    ways = ("transfer alone", "loaded meanwhile", _LOADED_AFTER)
    costs: dict[str, list[Cost]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            with tempfile.TemporaryDirectory(dir=place) as target:
                costs[way].append(_run(way, server, Path(target), rate))
    for way in ways:
        print(_row(way, costs[way], costs[ways[0]]), flush=True)


def _run(way: str, server: OpenSsh, target: Path, rate: int) -> Cost:
    key, pins = server.identity_file, server.known_hosts
    if way == "transfer alone":
        words: list[str | Path] = ["fetch", server.url, key, pins, target, str(rate)]
        return cost_of([sys.executable, "-m", "performance.transfer_client", *words], environment=_PATHS)
    program = ["-c", _PROGRAM_LOADED_AFTER] if way == _LOADED_AFTER else ["-m", "smki_sync"]
    command: list[str | Path] = [
        *[sys.executable, *program, "sync", "--json", "--mirror"],
        target / "mirror",
        *("--source", server.url, "--identity-file", key, "--known-hosts", pins, "--bandwidth", str(rate)),
    ]
    today = {"SMKI_SYNC_TODAY": FULL_DAY.isoformat()}
    return cost_of(command, environment=today)


def _row(way: str, costs: Sequence[Cost], alone: Sequence[Cost]) -> str:
    walls = [cost.wall for cost in costs]
    ratio = statistics.median(a.wall / b.wall for a, b in zip(costs, alone, strict=True))
    spread = f"{statistics.median(walls):.1f} ({min(walls):.1f}-{max(walls):.1f})"
    cpu = statistics.median(cost.cpu for cost in costs)
    return f"| {way} | {spread} | {ratio:.2f} | {cpu:.1f} | {max(c.memory for c in costs) / MIB:.0f} |"


if __name__ == "__main__":
    main()
