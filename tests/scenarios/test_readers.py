"""Who reads ``mirror.db`` while it changes: never an error, never an empty mirror, never a mix."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from support.lives import Life
from support.plain_reader import digest_hex, in_use, opened

from scenarios.operator import Operator, call

PATIENCE_SECONDS = 30.0

ANEW = """
import hashlib, json, os, sqlite3, sys
from contextlib import closing
parent = os.getppid()
while os.getppid() == parent:
    with closing(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)) as db:
        db.execute("BEGIN")
        (position,) = db.execute("SELECT position FROM mirror").fetchone()
        ders = sorted(der for (der,) in db.execute("SELECT der FROM certificates WHERE in_use"))
        found = hashlib.sha256(b"".join(ders)).hexdigest()
    print(json.dumps([position, found]), flush=True)
"""
"""A reader that opens the mirror for each answer; it ends with the test that started it."""

STAYING = """
import hashlib, json, os, sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
parent = os.getppid()
while os.getppid() == parent:
    with db:
        db.execute("BEGIN")
        (position,) = db.execute("SELECT position FROM mirror").fetchone()
        ders = sorted(der for (der,) in db.execute("SELECT der FROM certificates WHERE in_use"))
    print(json.dumps([position, hashlib.sha256(b"".join(ders)).hexdigest()]), flush=True)
"""
"""A reader that opened the mirror once, and so stays with the generation of that moment."""


@dataclass(slots=True)
class Reader:
    """A process that reads in a loop and writes each answer into a file."""

    process: subprocess.Popen[bytes]
    said: Path
    errors: Path
    answers: list[tuple[date, str]] = field(default_factory=list)

    def wait_for_more(self, number: int = 3) -> None:
        """Until it has answered so many times more; a reader that has died never will."""
        wanted = len(self.read()) + number
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.read()) < wanted:
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < deadline, "the reader waits for somebody"
            time.sleep(0.005)

    def read(self) -> list[tuple[date, str]]:
        whole = self.said.read_text().rpartition("\n")[0].splitlines()
        answers = (json.loads(line) for line in whole)
        return [(date.fromisoformat(position), found) for position, found in answers]


@contextmanager
def reading(script: str, mirror: Path, place: Path) -> Iterator[Reader]:
    place.mkdir()
    reader = Reader(None, place / "said", place / "errors")  # type: ignore[arg-type]  # set below
    with reader.said.open("wb") as out, reader.errors.open("wb") as err:
        words = [sys.executable, "-c", script, str(mirror / "mirror.db")]
        reader.process = subprocess.Popen(words, stdout=out, stderr=err)
    try:
        reader.wait_for_more(1)
        yield reader
        assert reader.process.poll() is None, reader.errors.read_text()
    finally:
        reader.process.kill()
        reader.process.wait()


@pytest.fixture
def operator(life: Life, tmp_path: Path) -> Operator:
    """A mirror of the first morning."""
    operator = Operator(tmp_path / "mirror", life.offers[life.days[0]])
    operator.sync(life.days[0])
    return operator


def come(operator: Operator, life: Life, day: date) -> None:
    operator.files = life.offers[day]
    operator.sync(day)


def fingerprint(ders: set[bytes]) -> str:
    return hashlib.sha256(b"".join(sorted(ders))).hexdigest()


def test_readers_see_committed_states_alone_through_deltas_and_resyncs(
    operator: Operator, life: Life, tmp_path: Path
) -> None:
    first, second, third = life.days
    with ExitStack() as stack:
        anew = stack.enter_context(reading(ANEW, operator.mirror, tmp_path / "anew"))
        staying = stack.enter_context(reading(STAYING, operator.mirror, tmp_path / "staying"))
        for day in (second, third):
            come(operator, life, day)
            anew.wait_for_more()
            staying.wait_for_more()
        seen, stayed = anew.read(), staying.read()
    truth = {day: fingerprint(ders) for day, ders in life.in_use.items()}
    assert all(truth[position] == found for position, found in {*seen, *stayed})
    committed = {first} | {mirror.position for _, mirror in operator.witness.seen}
    assert {position for position, _ in seen} <= committed
    assert [position for position, _ in seen] == sorted(position for position, _ in seen)
    assert seen[0][0] == stayed[0][0] == first
    assert seen[-1][0] == third, "a reader that opens the mirror anew sees the new generation"
    assert stayed[-1][0] == second, "one that keeps it open stays with the old generation"


def run_elsewhere(operator: Operator, life: Life, day: date, *words: str) -> None:
    """The run in a process of its own: the reader of these tests is in this one."""
    source = life.offers[day].as_uri()
    code, said = call("sync", *words, "--mirror", operator.mirror, "--source", source, today=day)
    assert (code, said["position"]) == (0, day.isoformat())


def test_a_reader_in_a_transaction_keeps_its_snapshot_through_everything(
    operator: Operator, life: Life
) -> None:
    first, second, third = life.days
    with opened(operator.mirror) as db:
        assert in_use(db) == life.in_use[first]
        run_elsewhere(operator, life, second)
        assert in_use(db) == life.in_use[first]
        run_elsewhere(operator, life, third)
        run_elsewhere(operator, life, third, "--full")
        assert not (operator.mirror / "generations" / "000001.db").exists()
        assert in_use(db) == life.in_use[first], "its generation is gone from the directory, not from it"
    assert operator.held().in_use() == life.in_use[third]


def test_a_reader_in_a_transaction_does_not_hold_up_a_delta(operator: Operator, life: Life) -> None:
    first, second, _ = life.days
    with opened(operator.mirror) as db:
        assert in_use(db) == life.in_use[first]
        run_elsewhere(operator, life, second)
        with opened(operator.mirror) as other:
            assert in_use(other) == life.in_use[second]
        assert in_use(db) == life.in_use[first]


def test_a_reader_of_a_copy_of_the_closed_mirror_sees_all_of_it(
    operator: Operator, life: Life, tmp_path: Path
) -> None:
    """What people do: copy ``mirror.db`` to elsewhere. After a run nothing waits in the log beside it."""
    come(operator, life, life.days[1])
    shutil.copyfile(operator.mirror / "mirror.db", tmp_path / "mirror.db")
    with opened(tmp_path) as db:
        assert digest_hex(in_use(db)) == digest_hex(life.in_use[life.days[1]])
