"""A year of mornings, with everything that a year brings; ten weeks of it in CI, the whole by ``make year``.

The whole: June 2027 to June 2028, with both changes of the clock, the end of a year and a leap day.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from tempfile import mkdtemp

import pytest

from scenarios.year.ends import ENDS
from scenarios.year.operator import DAY, Operator, moment_of
from smki_sync.cli.exit_codes import Exit
from smki_sync.simulator.faults import Fault

WHOLE = os.environ.get("SMKI_SYNC_YEAR") == "whole"
START, DAYS = (date(2027, 6, 7), 366) if WHOLE else (date(2028, 2, 7), 70)
LONG_DAYS = 30
OUTAGES = {40: 3, 70: 7, 120: 30, 200: 10} if WHOLE else {30: 3, 44: 9}
"""So many days without a run, from that day on."""

LONG = {begin + days - 1 for begin, days in OUTAGES.items() if days >= LONG_DAYS}
"""The last days of long outages."""

SFTP = range(220, 234) if WHOLE else range(14, 20)
"""In these days the repository is reached by SFTP, with new host and login keys on the way."""

FULLS = 28
"""So many days apart somebody asks for a full, and prunes afterwards."""

QUIET = 3
"""So many days apart something goes wrong at the repository."""

KEPT = os.environ.get("SMKI_SYNC_YEAR_KEPT")
"""Where the place is kept, to be looked at."""


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    fast = Path("/dev/shm")  # noqa: S108 - memory, where there is some: nothing here tests the disk
    place = Path(KEPT or mkdtemp(dir=fast if fast.is_dir() else None))
    place.mkdir(exist_ok=True)
    monkeypatch.chdir(place)
    operator = Operator.begin(place, start=START)
    yield operator
    operator.close()
    if not KEPT:
        shutil.rmtree(place)


def is_out(n: int) -> bool:
    return any(begin <= n < begin + days for begin, days in OUTAGES.items())


def faults(day: date) -> frozenset[Fault]:
    """What goes wrong on a day: each fault in turn, none while nobody looks or keys are new."""
    n = (day - START).days
    calm = n < QUIET or any(is_out(n + near) or n + near in SFTP for near in range(-2, 5))
    if calm:
        return frozenset()
    if n % 21 == 14:
        return frozenset({Fault.CORRUPT_FULL})
    cycle = [fault for fault in ENDS if fault is not Fault.CORRUPT_FULL]
    return frozenset() if n % QUIET else frozenset({cycle[n // QUIET % len(cycle)]})


def look_around(operator: Operator, n: int) -> None:
    """What people ask now and then."""
    operator.ask("status", "--json", code=Exit.OK)
    if n % 7 == 0:
        operator.ask("report", "--output", "page.html", code=Exit.OK)
        assert json.loads(operator.ask("doctor", "--json"))["outcome"] in {"ready", "attention"}
    if n % FULLS == 0:
        operator.ask("verify", "--json", code=Exit.OK)
        operator.ask("prune", "--json", code=Exit.OK)


def reach(operator: Operator, n: int) -> None:
    """The source of the day; on one the host's key is another, later the login's."""
    if n == SFTP.start:
        operator.configure_sftp()
    if n == SFTP.start + 2:
        operator.rotate("host_ed25519")
    if n == SFTP.start + 4:
        operator.rotate("client_ed25519")
    if n == SFTP.stop:
        operator.configure_directory()
    if n in {SFTP.start + 3, SFTP.start + 5}:
        operator.take_keys()


def expected(operator: Operator, n: int) -> Exit:
    grave = operator.expected()
    return Exit.REFUSED if n in {SFTP.start + 2, SFTP.start + 4} else grave


def test_a_year_of_mornings(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMKI_SYNC_CONFIG", str(operator.place / "smki-sync.toml"))
    for n in range(1, DAYS):
        day = START + n * DAY
        now = moment_of(day)
        monkeypatch.setenv("SMKI_SYNC_TODAY", now.date().isoformat())
        operator.publish_until(now.date() - DAY, faults)
        if is_out(n):
            continue
        reach(operator, n)
        operator.mend(now)
        due = expected(operator, n)
        code = operator.sync(now, full=n % FULLS == 0)
        if n - 1 in LONG and operator.reasons[-1] == "shrinks-mirror":
            operator.codes.append(code)
            code = operator.sync(now, accept_shrink=True)  # so small a mirror loses a large share in a month
        if operator.lacking():
            due = max(due, Exit.ATTENTION)
        assert code == due, (n, day, operator.reasons[-1], operator.troubles, operator.notices)
        operator.judge(code)
        if code is Exit.OK:
            look_around(operator, n)
    met = {str(fault) for fault, _ in operator.struck}
    assert met == set(map(str, ENDS)) or not WHOLE
    assert {"no-mirror", "deltas-available", "requested", "gap-beyond-window"} <= set(operator.reasons)
    assert {"up-to-date", "host-key-changed", "login-refused", "truncated"} <= set(operator.reasons)
    assert len(operator.runs_remembered()) == len(operator.codes)
    if KEPT:
        (operator.place / "year.txt").write_text(f"{Counter(operator.codes)}\n{Counter(operator.reasons)}\n")
