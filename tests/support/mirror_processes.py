"""Other processes that look at a mirror, one that holds its lock, and one that may not write.

For: what two processes see of each other cannot be shown within one. Each is plain Python on plain
sqlite3, driven line by line over its pipes, so that nothing depends on time.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NOBODY = 65534
BECOME_NOBODY = f"import ctypes, os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"

_READER = """
import sqlite3, sys
{become}
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True, isolation_level=None)
print("open", flush=True)
for line in sys.stdin:
    try:
        print(db.execute(line.strip()).fetchall(), flush=True)
    except sqlite3.Error as error:
        print("ERROR", error, flush=True)
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


class Reader:
    """A process that has a mirror open and answers SQL."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, sql: str) -> str:
        """The rows as Python writes them."""
        assert self._process.stdin is not None
        self._process.stdin.write(sql + "\n")
        self._process.stdin.flush()
        return self.emit()

    def emit(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def reader(path: Path, *, nobody: bool = False) -> Iterator[Reader]:
    """A reader that has opened ``path``; as a user without any right to write, if ``nobody``."""
    code = _READER.format(become=BECOME_NOBODY if nobody else "")
    with child(code, path) as process:
        found = Reader(process)
        assert found.emit() == "open"
        yield found


@contextmanager
def child(code: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    """Python code in a process of its own, ended with the block."""
    command = [sys.executable, "-c", code, *map(str, args)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def run(code: str, *args: object) -> str:
    """What Python code prints, in a process of its own; it must end well."""
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def let_everybody_read(root: Path) -> None:
    """Give others the right to read a mirror directory, and none to write."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
