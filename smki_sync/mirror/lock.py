"""One writer at a time: a lock that its holder's death frees.

For: ``with hold(directory.lock, since=…)``. flock belongs to the open file, so a killed holder blocks
nobody; the text in the file only says who it is: process, host, time, command. Refuses: to wait.
"""

import fcntl
import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from smki_sync.errors import Locked
from smki_sync.mirror.connection import named

_CARD_BYTES: Final = 4_096  # of a card that is read: ours has a tenth of that
_WORDS: Final = 200  # characters of a command line that are kept: enough to tell a `--full` from a daily run


@contextmanager
def hold(path: Path, *, since: datetime) -> Iterator[None]:
    """Hold the lock at ``path``; :class:`Locked` says who holds it since when, and what it does."""
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


def find_holder(path: Path) -> str | None:
    """Say who holds the lock, ``None`` where nobody does; writes nothing."""
    with named(path):
        if not path.exists():
            return None
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(os.pread(handle, _CARD_BYTES, 0))
    finally:
        os.close(handle)
    return None


def _take(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise Locked(
            f"Another run holds the mirror {path.parent}: {_holder(os.pread(handle, _CARD_BYTES, 0))}",
            hint="Wait until it has ended; queries are served all the while.",
        ) from exc


def _card(since: datetime) -> bytes:
    """Who holds it. No option of this program is a secret, so the command line may stand here."""
    card = {
        "pid": os.getpid(),
        "host": os.uname().nodename,
        "since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "command": shlex.join(sys.argv[1:])[:_WORDS],
    }
    return json.dumps(card).encode()


def _holder(octets: bytes) -> str:
    try:
        card = json.loads(octets)
        who = f"process {card['pid']} on {card['host']}, since {card['since']}"
        doing = f" ({card['command']})" if card.get("command") else ""
        return "it has just started" if _is_gone(card) else who + doing
    except (ValueError, KeyError, TypeError):
        return "it has just started"


def _is_gone(card: dict[str, Any]) -> bool:
    """Whether this is the card of a killed run, and whoever holds the lock has not yet written its own."""
    return bool(card["host"] == os.uname().nodename) and not Path(f"/proc/{card['pid']:d}").exists()
