"""One writer at a time: a lock that its holder's death frees.

For: ``with hold(directory.lock, who=…)``. flock belongs to the open file, so a killed holder blocks
nobody; the text in the file only says who it was and since when. Refuses: to wait.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from smki_sync.errors import Locked
from smki_sync.mirror.faults import named


@contextmanager
def hold(path: Path, *, since: datetime) -> Iterator[None]:
    """Hold the lock at ``path``; :class:`Locked` says who holds it since when."""
    with named(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        _take(handle, path)
        with named(path):
            os.truncate(handle, 0)
            os.pwrite(handle, _card(since), 0)
        yield
        os.truncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise Locked(
            f"Another run holds the mirror {path.parent}: {_holder(os.pread(handle, 4096, 0))}",
            hint="Wait until it has ended; queries are served all the while.",
        ) from exc


def _card(since: datetime) -> bytes:
    stamp = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "since": stamp}).encode()


def _holder(card: bytes) -> str:
    try:
        known = json.loads(card)
        return f"process {known['pid']} on {known['host']}, since {known['since']}"
    except (ValueError, KeyError, TypeError):
        return "it has just started"
