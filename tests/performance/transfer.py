"""What a download costs: `make bench`, or `PYTHONPATH=tests python -m performance.transfer`.

One file over a real OpenSSH server on loopback, by OpenSSH's own `sftp`, by paramiko's `get` and by
:func:`smki_sync.download.download` in turn, each a process of its own; directly and through a proxy that adds
a round trip. Ours writes, hashes and makes durable; the others only write.
"""

import argparse
import getpass
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.openssh import OpenSsh, openssh_server

from performance.measure import Cost, cost_of
from performance.transfer_client import MODIFIED, NAME

MIB = 1 << 20
_PATHS = {"PYTHONPATH": os.pathsep.join(["tests", os.environ.get("PYTHONPATH", "")])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How to reach the server: directly, or through a proxy with a round trip of so many milliseconds."""

    server: OpenSsh
    port: int
    delay: int
    pins: Path

    @property
    def url(self) -> str:
        return self.server.url.replace(f":{self.server.port}/", f":{self.port}/")


def main() -> None:
    """Measure, and print Markdown."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="smki-sync-bench-", dir=options.place) as name:
        place = Path(name)
        (place / "published").mkdir()
        (place / "scratch").mkdir()
        with openssh_server(place / "published", place / "scratch") as server:
            print("\n| round trip | MiB | client | MiB/s, median (min-max) | of sftp | CPU s | peak MiB |")
            print("|---|---|---|---|---|---|---|", flush=True)
            for delay in options.delays:
                mib = options.mib if not delay else options.mib_delayed
                _noise(place / "published" / NAME, mib)
                with _line(server, delay, place) as line:
                    _compare(line, mib, options.runs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m performance.transfer")
    parser.add_argument("--mib", type=int, default=512, help="size of the file without a delay")
    parser.add_argument("--mib-delayed", type=int, default=128, help="size of the file with one")
    parser.add_argument(
        "--delays", type=int, nargs="+", default=[0, 20, 80], help="round trips in milliseconds"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--place", type=Path, default=None, help="where to put some gigabytes")
    return parser.parse_args()


def _noise(path: Path, mib: int) -> None:
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    os.utime(path, (MODIFIED.timestamp(), MODIFIED.timestamp()))


@contextmanager
def _line(server: OpenSsh, delay: int, place: Path) -> Iterator[Line]:
    if not delay:
        yield Line(server=server, port=server.port, delay=0, pins=server.known_hosts)
        return
    command = [sys.executable, "-m", "performance.delay", str(server.port), str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **_PATHS}) as proxy:
        assert proxy.stdout is not None
        port = int(proxy.stdout.readline())
        pins = place / "pins"
        pins.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{port} "))
        try:
            yield Line(server=server, port=port, delay=delay, pins=pins)
        finally:
            proxy.kill()


Client = Callable[[Line, Path], Cost]


def _compare(line: Line, mib: int, runs: int) -> None:
    """Let the clients run in turn, so that what else the machine does hits all of them."""
    clients: dict[str, Client] = {
        "OpenSSH sftp": _sftp,
        "paramiko get": partial(_ours, "get"),
        "smki-sync": partial(_ours, "fetch"),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in clients}
    for _ in range(runs):
        for name, client in clients.items():
            with tempfile.TemporaryDirectory(dir=line.server.directory.parent) as target:
                costs[name].append(client(line, Path(target)))
    for name in clients:
        print(_row(line, mib, name, costs[name], costs["OpenSSH sftp"]), flush=True)


def _sftp(line: Line, target: Path) -> Cost:
    batch = target / "batch"
    batch.write_text(f"get {line.server.directory}/{NAME} {target}/{NAME}\n")
    command: list[str | Path] = [
        *("sftp", "-q", "-P", str(line.port), "-i", line.server.identity_file, "-b", batch),
        *("-o", f"UserKnownHostsFile={line.pins}", "-o", "StrictHostKeyChecking=yes"),
        f"{getpass.getuser()}@127.0.0.1",
    ]
    return cost_of(command)


def _ours(how: str, line: Line, target: Path) -> Cost:
    words: list[str | Path] = [how, line.url, line.server.identity_file, line.pins, target]
    return cost_of([sys.executable, "-m", "performance.transfer_client", *words], environment=_PATHS)


def _row(line: Line, mib: int, name: str, costs: Sequence[Cost], theirs: Sequence[Cost]) -> str:
    rates = [mib / cost.wall for cost in costs]
    ratio = statistics.median(b.wall / a.wall for a, b in zip(costs, theirs, strict=True))
    spread = f"{statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})"
    cpu = statistics.median(cost.cpu for cost in costs)
    memory = max(cost.memory for cost in costs) / MIB
    return f"| {line.delay} ms | {mib} | {name} | {spread} | {ratio:.2f} | {cpu:.1f} | {memory:.0f} |"


if __name__ == "__main__":
    main()
