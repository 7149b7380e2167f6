"""One writer at a time, and no lock that outlives its holder."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from support.mirror_processes import child

from smki_sync.errors import Locked, MirrorNotWritable
from smki_sync.mirror.directory import hold_lock

SINCE = datetime(2026, 11, 20, 8, 30, tzinfo=timezone(timedelta(hours=1)))
HOLD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from smki_sync.mirror.directory import hold_lock
with hold_lock(Path(sys.argv[1]), since=datetime(2026, 11, 20, 7, 30, tzinfo=UTC)):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_says_who_holds_it_since_when_and_with_what_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/smki-sync", "sync", "--mirror", "a place"])
    lock = tmp_path / "lock"
    with hold_lock(lock, since=SINCE):
        card = json.loads(lock.read_text())
    assert card == {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "since": "2026-11-20T07:30:00Z",
        "command": "sync --mirror 'a place'",
    }


def test_a_long_command_is_cut_so_that_the_card_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["smki-sync", "\N{SNOWMAN}" * 100_000])
    lock, who = tmp_path / "lock", f"process {os.getpid()} "
    with hold_lock(lock, since=SINCE), pytest.raises(Locked, match=who), hold_lock(lock, since=SINCE):
        pytest.fail("the lock was taken twice")


def test_a_lock_that_was_given_back_names_nobody_and_can_be_taken(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    for _ in range(2):
        with hold_lock(lock, since=SINCE):
            pass
        assert lock.read_text() == ""


def test_a_second_run_is_told_process_host_and_time_of_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with child(HOLD, lock) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(Locked) as caught, hold_lock(lock, since=SINCE):
            pytest.fail("the lock was taken twice")
    who = f"process {process.pid} on {os.uname().nodename}, since 2026-11-20T07:30:00Z ({lock})"
    assert who in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_a_refused_run_leaves_the_holder_s_card_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with hold_lock(lock, since=SINCE):
        card = lock.read_text()
        with pytest.raises(Locked), hold_lock(lock, since=datetime(2027, 1, 1, tzinfo=UTC)):
            pytest.fail("the lock was taken twice")
        assert lock.read_text() == card


def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with child(HOLD, lock) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        process.wait()
        assert str(process.pid) in lock.read_text()
        with hold_lock(lock, since=SINCE):
            assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_a_run_that_fails_gives_the_lock_back(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(RuntimeError), hold_lock(lock, since=SINCE):
        raise RuntimeError
    with hold_lock(lock, since=SINCE):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


GONE = {
    "pid": 2**22 + 1,
    "host": os.uname().nodename,
    "since": "2026-11-20T07:30:00Z",
}  # above any pid there is


@pytest.mark.parametrize(
    "card", ["", "no JSON", "[]", '{"pid": 1}', "\udcff", '{"pid": "1", "host": "h"}', json.dumps(GONE)]
)
def test_a_holder_whose_card_cannot_be_read_or_is_that_of_a_dead_run_still_holds(
    tmp_path: Path, card: str
) -> None:
    lock = tmp_path / "lock"
    with hold_lock(lock, since=SINCE):
        lock.write_bytes(card.encode("utf-8", "surrogateescape"))
        with pytest.raises(Locked, match="it has just started"), hold_lock(lock, since=SINCE):
            pytest.fail("the lock was taken twice")


def test_a_lock_that_cannot_be_made_is_a_fault_of_the_mirror(tmp_path: Path) -> None:
    with pytest.raises(MirrorNotWritable), hold_lock(tmp_path / "gone" / "lock", since=SINCE):
        pytest.fail("there is no lock")
