"""100 000 chains, as a whole process: `PYTHONPATH=tests python -m performance.chains [NUMBER]`.

Device certificates with keys and signatures of their own under one issuing authority and one root. Each run
is `smki-sync verify`, from its start to its end: pages, indexes, counts, digest, rows, profiles, signatures
and chains. First with every signature to be proven, then with every signature remembered.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from support.defects import DS, PKI, SINCE
from support.trust_mirrors import mirror_of

from performance.measure import Cost, cost_of
from smki_sync.model.certificate import eui_of
from smki_sync.simulator import pki
from smki_sync.x509.der import to_pem

RUNS = 5
MIB = 1 << 20


def main(number: int = 100_000) -> None:
    """Measure, and print Markdown."""
    with tempfile.TemporaryDirectory(prefix="smki-sync-chains-") as place:
        mirror = Path(place) / "mirror"
        mirror_of(mirror, [*PKI.authorities, *_devices(number)])
        config = Path(place) / "smki-sync.toml"
        (Path(place) / "roots.pem").write_text("".join(map(to_pem, PKI.roots)))
        config.write_text('[trust]\nanchors = ["roots.pem"]\n')
        print(f"\n| {number:,} chains | certificates/s, median (min-max) | CPU s | peak MiB |")
        print("|---|---|---|---|")
        for words, options in (("proven", ["--afresh"]), ("remembered", [])):
            command: list[str | Path] = [sys.executable, "-m", "smki_sync", "verify", "--quiet"]
            command += ["--mirror", mirror, "--config", config, "--at", "2026-11-22", *options]
            print(_row(words, number, [cost_of(command) for _ in range(RUNS)]), flush=True)


def _devices(number: int) -> Iterator[bytes]:
    """Certificates as the simulator's authority issues them, some 10 000 a second."""
    chance = Random(1)
    for _ in range(number):
        profile = pki.device(eui_of(b"\x00\xdb\x12" + chance.randbytes(5)), DS, SINCE)
        yield pki.issue(profile, pki.new_key().public_key(), PKI.dca, pki.new_serial(chance))


def _row(words: str, number: int, costs: list[Cost]) -> str:
    rates = [number / cost.wall for cost in costs]
    spread = f"{statistics.median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})"
    cpu, peak = statistics.median(c.cpu for c in costs), max(c.memory for c in costs) / MIB
    return f"| {words} | {spread} | {cpu:.1f} | {peak:.0f} |"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
