"""A year of history, written into a small mirror: ledger, quarantine and runs, as a year leaves them."""

import random
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from smki_sync.mirror.connection import connect

HOSTILE = "</td><script>document.title='owned'</script><img src=http://192.0.2.1/x>\u202egnp.exe\x1b[31m"
"""What a record's name may hold: markup, an address to load, a turn of direction, an escape code."""

_EXTRACT = "INSERT INTO extract VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, 0)"
_RUN = "INSERT INTO run VALUES (:at, :command, :outcome, :exit, :reason, :position, :seconds)"


def write_year(mirror: Path, today: date, *, days: int = 365) -> None:
    """A full a week and a delta a day, some runs that failed, and nine days in which nobody ran it."""
    chance = random.Random(7)
    first = today - timedelta(days=days)
    files, runs = [], []
    for n in range(days):
        day = first + timedelta(days=n)
        if 200 <= n < 209:
            continue
        size, at = chance.randrange(2_000_000, 9_000_000), f"{day}T05:30:00Z"
        if n in (0, 209):
            brought = 400_000 if n == 0 else 900
            files.append(_file(f"SMKIKR_FULL_{day}.xml.gz", "full", day, size * 900, at, 400_000, brought))
        files.append(_file(f"SMKIKR_DELT_{day}.xml.gz", "delta", day, size, at, 1400, chance.randrange(900)))
        outcome, code, reason = chance.choices(
            [
                ("current", 0, "deltas-available"),
                ("behind", 3, "hole-in-deltas"),
                ("failed", 4, "banner-timeout"),
            ],
            [40, 3, 2],
        )[0]
        position = None if outcome == "failed" else day.isoformat()
        runs.append(
            {
                "at": at,
                "command": "sync",
                "outcome": outcome,
                "exit": code,
                "reason": reason,
                "position": position,
                "seconds": chance.uniform(3, 90),
            }
        )
    with closing(connect((mirror / "mirror.db").resolve())) as db, db:
        db.executemany(_EXTRACT, [(n - len(files), *values) for n, values in enumerate(files)])
        (last_full,) = db.execute("SELECT max(id) FROM extract WHERE kind = 'full'").fetchone() or (0,)
        for number in range(60):
            db.execute(
                "INSERT INTO quarantine (extract, number, reason, detail, xml) VALUES (?, ?, ?, ?, ?)",
                (last_full, number + 1, "body-not-a-certificate", HOSTILE, b"<x/>"),
            )
    with closing(sqlite3.connect(mirror / "history.db")) as history, history:
        last = history.execute("SELECT * FROM run").fetchall()
        history.execute("DELETE FROM run")
        history.executemany(_RUN, runs)
        history.executemany("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?)", last)


def _file(  # noqa: PLR0917 - the columns, in their order
    name: str, kind: str, day: date, size: int, at: str, records: int, new: int
) -> tuple[object, ...]:
    counts = (records, new, new // 3, 0, new // 20 if kind == "full" else 0, 0)
    return (name, kind, day.isoformat(), size, "0" * 64, *counts, at, size / 4e6)
