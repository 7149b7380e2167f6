"""Cost of `show EUI` as a process, of starting, and of queries, each compared with a floor.

Pairs of whole processes in turn, medians; and the query alone, inside one process. Part of `make bench`, and
by itself: `PYTHONPATH=tests python -m performance.lookup MIRROR`.
"""

import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from smki_sync.mirror.queries import CertificateFilter, EuiIs, find, find_certificates, open_mirror
from smki_sync.mirror.schema import NEVER_ENDS
from smki_sync.model.certificate import parse_eui
from smki_sync.usability import rule_at

PAIRS = 15
RUNS = 5
QUERIES = 1000
CHECKED = 50_000
BARE = """
import sqlite3, sys
import rich, typer
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(*db.execute("SELECT * FROM certificates WHERE eui = ?", (sys.argv[2],)).fetchone())
"""
SMALLEST = "SELECT der FROM certificate WHERE eui IN (?)"


def report(mirror: Path) -> str:
    """Measure, and say it in words."""
    euis = _some_euis(mirror / "mirror.db")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "smki-sync.toml")
        file.write_text(f'[mirror]\npath = "{mirror}"\n')
        forms = (_bare, _show, partial(_show_configured, file))
        rounds = [[_took(form(mirror, eui)) for form in forms] for eui in euis[:PAIRS]]
    bare, shown, configured = zip(*rounds, strict=True)
    ratios = [statistics.median(one[form] / one[0] for one in rounds) for form in (1, 2)]
    rule = rule_at(datetime.now(UTC))
    with open_mirror(mirror / "mirror.db") as db:
        queries = [_seconds(partial(find_certificates, db, EuiIs(eui=parse_eui(eui)), rule)) for eui in euis]
        first = [_seconds(lambda: next(find(db, CertificateFilter(), rule))) for _ in range(PAIRS)]
    with tempfile.TemporaryDirectory() as place:
        rate = _check_rate(mirror, Path(place, "list.txt"), euis)
    per_show = 1 / statistics.median(shown)
    return (
        f"`check` answers {rate:,.0f} subjects a second (both usages, whole process), one `show` per subject"
        f" {per_show:,.1f}: {rate / per_show:,.0f} times;"
        f" `show EUI` as a whole process {_ms(shown)}, a bare one {_ms(bare)}: {ratios[0]:.2f} times; with a"
        f" configuration file {_ms(configured)}: {ratios[1]:.2f} times;"
        f" the query alone {_ms(queries)}; the first row of `find` {_ms(first)} (medians).\n"
        f"{_queries(mirror, euis)}\n{_starts(mirror, euis[0])}"
    )


def _queries(mirror: Path, euis: Sequence[str]) -> str:
    """CPU time of queries by EUI, each with another value, compared with the smallest statement."""
    identities = [EuiIs(eui=parse_eui(eui)) for eui in euis]
    rule = rule_at(datetime.now(UTC))
    events: list[dict[str, Any]] = []
    with open_mirror(mirror / "mirror.db") as db:
        ours = min(
            _cpu(lambda: [find_certificates(db, one, rule) for one in identities]) for _ in range(RUNS)
        )
        floor = min(
            _cpu(lambda: [db.execute(SMALLEST, (eui,)).fetchall() for eui in euis]) for _ in range(RUNS)
        )
        db.trace_v2(apsw.SQLITE_TRACE_PROFILE, events.append)
        for one in identities:
            find_certificates(db, one, rule)
        db.trace_v2(0)
        expiry = min(
            _cpu(lambda: list(find(db, CertificateFilter(ends_before=NEVER_ENDS), rule))) for _ in range(RUNS)
        )
    again = sum(event["stmt_status"]["SQLITE_STMTSTATUS_REPREPARE"] for event in events)
    return (
        f"CPU time of a query by EUI {ours / len(euis) * 1e6:.1f} us, of the smallest statement"
        f" {floor / len(euis) * 1e6:.1f} us: {ours / floor:.1f} times; compiled again {again} times in"
        f" {len(euis)} queries; an expiry query {expiry * 1000:.3g} ms (smallest of {RUNS})."
    )


def _starts(mirror: Path, eui: str) -> str:
    """CPU time of whole processes, the smallest of several, with Python alone as the floor."""
    script = str(Path(sys.executable).with_name("smki-sync"))
    forms = {
        "python": [sys.executable, "-c", ""],
        "`--version`": [script, "--version"],
        "`--help`": [script, "--help"],
        "`show EUI`": _show(mirror, eui),
    }
    rounds = [[_cpu_of(command) for command in forms.values()] for _ in range(PAIRS)]
    times = [
        f"{name} {min(took) * 1000:.0f} ms"
        for name, took in zip(forms, zip(*rounds, strict=True), strict=True)
    ]
    return f"CPU time of processes: {', '.join(times)} (smallest of {PAIRS})"


def _cpu(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def _cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _took(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _some_euis(link: Path) -> list[str]:
    """From all over the mirror."""
    with closing(sqlite3.connect(f"{link.as_uri()}?mode=ro", uri=True)) as db:
        (last,) = db.execute("SELECT max(id) FROM certificate").fetchone()
        step = max(last // QUERIES, 1)
        sql = "SELECT eui FROM certificate WHERE id % ? = 0 AND status = 'I' AND eui IS NOT NULL LIMIT ?"
        return [eui for (eui,) in db.execute(sql, (step, QUERIES))]


def _check_rate(mirror: Path, file: Path, euis: Sequence[str]) -> float:
    """Subjects per second of `check` with a list of :data:`CHECKED` lines and an output file."""
    lines = [euis[n % len(euis)] for n in range(CHECKED)]
    file.write_text("\n".join(lines))
    script = Path(sys.executable).with_name("smki-sync")
    words = [
        str(script),
        "check",
        str(file),
        "--mirror",
        str(mirror),
        "--output",
        str(file.with_suffix(".csv")),
    ]
    seconds = _seconds(lambda: subprocess.run(words, check=False, capture_output=True))
    assert len(file.with_suffix(".csv").read_text().splitlines()) > CHECKED
    return CHECKED / seconds


def _bare(mirror: Path, eui: str) -> list[str]:
    return [sys.executable, "-c", BARE, str(mirror / "mirror.db"), eui]


def _show(mirror: Path, eui: str) -> list[str]:
    script = Path(sys.executable).with_name("smki-sync")
    return [str(script), "show", eui, "--mirror", str(mirror)]


def _show_configured(file: Path, _mirror: Path, eui: str) -> list[str]:
    script = Path(sys.executable).with_name("smki-sync")
    return [str(script), "show", eui, "--config", str(file)]


def _took(command: list[str]) -> float:
    return _seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def _seconds(deed: Callable[[], object]) -> float:
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def _ms(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.3g} ms"


if __name__ == "__main__":
    print(report(Path(sys.argv[1]).absolute()))
