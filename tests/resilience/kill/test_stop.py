"""Ctrl-C and SIGTERM end a run with 130 at any moment; nothing is half done, nothing is left over."""

import base64
import gzip
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support.cli import PATIENCE_SECONDS, Shell, command_line, surroundings, wait_until
from support.lives import START

from resilience.kill.moments import PYTHON, Order
from resilience.kill.scenes import Scene
from smki_sync.simulator.repository import Repository

STOPS = (signal.SIGINT, signal.SIGTERM)
SHARE = 2  # moments of a scene for each signal, in every test run
COPIES = 6_000
"""A full of so many times the same records: larger than what is read without a helper, seconds of work."""

FOR_EVER = """
import signal, sys
from pathlib import Path
from smki_sync.mirror.connection import connect, connect_to_read
from smki_sync.mirror.connection import disk_errors
signal.signal(signal.SIGTERM, signal.default_int_handler)
path = Path(sys.argv[1])
db = connect(path, create=True)
db.execute("CREATE TABLE t (n)")
for_ever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
if sys.argv[2] == "reader":
    db = connect_to_read(path)
else:
    for_ever = "INSERT INTO t " + for_ever
said = []
def say_that_it_runs():
    if not said:
        said.append(print("it runs", flush=True))
    return False
db.set_progress_handler(say_that_it_runs, 1000, id="test")
try:
    with disk_errors(path), db:
        db.execute(for_ever).get
except KeyboardInterrupt:
    db.close()
    sys.exit(130)
"""


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_at_any_moment_it_ends_with_130_and_the_next_run_finishes(
    scene: Scene, tmp_path: Path, stop: signal.Signals
) -> None:
    moments = scene.moments(tmp_path / "mirror", Order(kinds=PYTHON))
    for at in scene.some(len(moments), SHARE, f"stop {stop}"):
        mirror = scene.restore(tmp_path / "mirror")
        ended = scene.sync(mirror, Order(at=at, act=partial(signal.raise_signal, stop), kinds=PYTHON))
        assert ended.code == 130, (moments[at - 1], ended.err)
        assert json.loads(ended.out)["error"]["code"] == "interrupted"
        assert "Traceback" not in ended.err
        assert not list(mirror.glob("generations/*.building*"))
        scene.settle(mirror)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose full takes seconds to read."""
    place = tmp_path_factory.mktemp("large")
    path = Repository.create(place / "repository", devices=12, days=1, start=START, seed=3).path
    enlarge(path / f"SMKIKR_FULL_{START}.xml.gz")
    return path


@contextmanager
def reading(large: Path, place: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A sync in a process group of its own, its helper at work."""
    mirror = place / "mirror"
    words = command_line("sync", "--json", "--mirror", mirror, "--source", large.as_uri())
    variables = surroundings(place, {"SMKI_SYNC_TODAY": START.isoformat()})
    with subprocess.Popen(
        words, env=variables, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            wait_until(lambda: bool(children(process.pid)))
            yield process, mirror
        finally:
            process.kill()


def enlarge(full: Path) -> None:
    """Repeat a full's records, as members of one gz, so that many copies are made at once."""
    head, records, tail = re.split(
        rb"(?s)(<CertificateResponse>.*</CertificateResponse>)", gzip.decompress(full.read_bytes())
    )
    full.write_bytes(gzip.compress(head) + gzip.compress(records) * COPIES + gzip.compress(tail))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("whom", "stop"),
    [
        ("the process", signal.SIGTERM),
        ("its group", signal.SIGINT),
        ("its helper first", signal.SIGINT),
        ("its helper first", signal.SIGTERM),
    ],
)
def test_stopped_while_the_helper_reads_both_end(
    large: Path, tmp_path: Path, whom: str, stop: signal.Signals
) -> None:
    """A terminal sends Ctrl-C to the group, a service manager SIGTERM to each process in any order."""
    with reading(large, tmp_path) as (process, mirror):
        (helper,) = children(process.pid)
        if whom == "its helper first":
            os.kill(helper, stop)
        if whom == "its group":
            os.killpg(process.pid, stop)
        else:
            process.send_signal(stop)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130, err
        assert json.loads(out)["error"]["code"] == "interrupted"
        assert b"Traceback" not in err
        assert not Path(f"/proc/{helper}").exists()
        assert list((mirror / "generations").iterdir()) == []


@pytest.mark.parametrize("who", ["writer", "reader"])
def test_a_statement_that_takes_for_ever_can_be_stopped(tmp_path: Path, who: str) -> None:
    """An index of 200 million rows is sorted in one statement, in which no Python runs by itself.

    SQLite ends the transaction with the statement; that is no damage, as it once looked.
    """
    words = [sys.executable, "-c", FOR_EVER, str(tmp_path / "some.db"), who]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"it runs\n"
            process.terminate()
            assert process.wait(PATIENCE_SECONDS) == 130
        finally:
            process.kill()


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_while_it_starts_it_says_nothing_and_ends_with_130(
    tmp_path: Path, stop: signal.Signals
) -> None:
    code = (
        "import os, sys, signal\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'smki_sync.cli.exit_codes': signal.raise_signal({int(stop)})\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from smki_sync.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "status"], capture_output=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def sync_from(port: int, smki: Shell) -> tuple[str, ...]:
    """A sync from a server on loopback whose key is pinned, as far as it comes to that."""
    key = base64.b64encode(struct.pack(">I11sI32s", 11, b"ssh-ed25519", 32, bytes(range(32)))).decode()
    (smki.place / "known_hosts").write_text(f"[127.0.0.1]:{port} ssh-ed25519 {key}\n")
    source = f"sftp://user@127.0.0.1:{port}/"
    return "sync", "--json", "--mirror", "mirror", "--source", source, "--known-hosts", "known_hosts"


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_while_a_server_says_nothing_it_ends(tmp_path: Path, stop: signal.Signals) -> None:
    smki = Shell(place=tmp_path, variables={"SMKI_SYNC_PASSWORD": "made up"})
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        smki.start(*sync_from(server.getsockname()[1], smki)) as running,
    ):
        line, _ = server.accept()
        with line:
            running.tell(stop)
            ended = running.ending()
    assert (ended.code, ended.error["code"]) == (130, "interrupted")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_while_it_waits_to_try_again_it_ends(tmp_path: Path, stop: signal.Signals) -> None:
    smki = Shell(place=tmp_path, variables={"SMKI_SYNC_PASSWORD": "made up"})
    (tmp_path / "smki-sync.toml").write_text("[retry]\nfirst_pause_seconds = 3600\n")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with smki.start(*sync_from(port, smki)) as running:
        while "Next attempt in" not in running.line():
            assert not running.ended, "it does not wait"
        running.tell(stop)
        ended = running.ending()
    assert (ended.code, ended.error["code"]) == (130, "interrupted")
    assert "Traceback" not in ended.err


def test_a_second_ctrl_c_changes_nothing_in_how_it_ends(scene: Scene, tmp_path: Path) -> None:
    mirror = scene.restore(tmp_path / "mirror")
    ended = scene.sync(mirror, Order(at=3, act=impatient, kinds=PYTHON))
    assert ended.code == 130
    assert json.loads(ended.out)["error"]["code"] == "interrupted"
    scene.settle(mirror)


def impatient() -> None:
    """Ctrl-C, and again for each line that is said."""
    write = sys.stdout.write

    def interrupted(text: str) -> int:
        signal.raise_signal(signal.SIGINT)
        return write(text)

    sys.stdout.write = interrupted  # type: ignore[method-assign]  # in the process that is disturbed
    signal.raise_signal(signal.SIGINT)
