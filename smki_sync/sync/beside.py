"""The helper process from outside: started, listened to, ended.

For: whoever wants a full read beside this process, from a file that is here or from one that is still coming
in. Refuses: to go on when the helper ends without having said that the whole file was good.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from smki_sync.errors import OutOfMemory, SmkiSyncError
from smki_sync.mirror.rows import Batch
from smki_sync.model.report import NearLimit
from smki_sync.reader import ReaderLimits
from smki_sync.sync.reader_process import Failed, Finished, Some, read_frames

Told = Callable[[int, int], None]
"""Told how many records have been read, and from how many bytes of the file."""

Noted = Callable[[NearLimit], None]
"""Told of each limit that a good file came near."""

Helper = subprocess.Popen[bytes]


def start_helper(
    path: Path, name: str, limits: ReaderLimits, *, following: bool = False, handles: Collection[int] = ()
) -> Helper:
    """Start one that reads the file at ``path``, called ``name`` in messages.

    ``following``: it reads no further than it is told on its stdin, eight octets a word. ``handles``: files
    that it takes over. To be called within :func:`deaf`, until who has to end it knows of it.
    """
    errand = {"path": str(path), "name": name, "limits": asdict(limits), "following": following}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "smki_sync.sync.helper", json.dumps(errand)],
        stdin=subprocess.PIPE if following else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=handles,
    )


def batches_from(helper: Helper, name: str, told: Told, noted: Noted) -> Iterator[Batch]:
    """What a helper reads; ends only if the whole file is proven good."""
    assert helper.stdout is not None
    for frame in read_frames(helper.stdout):
        match frame:
            case Some(batch=batch, records=records, done=done):
                yield batch
                told(records, done)
            case Failed(error=error):
                raise error
            case Finished(near=near):
                for one in near:
                    noted(one)
                return
    raise _died(helper, name)


def _died(helper: Helper, name: str) -> SmkiSyncError:
    """What ended it: the kernel kills a process with SIGKILL where memory is short, and so does nobody else.

    Anything else is a defect of ours.
    """
    ended = helper.wait()
    if ended == -signal.SIGKILL:
        return OutOfMemory(
            f"the process that reads {name} was killed (SIGKILL), as happens where memory runs out; nothing"
            " of the file was applied"
        )
    return SmkiSyncError(
        f"the process that reads {name} ended with {ended} in the middle; nothing of the file was applied",
        hint="Run again; if it happens twice, please report it, with what it wrote on stderr.",
        code="helper-died",
    )


@contextmanager
def deaf() -> Iterator[None]:
    """What is started within stays deaf to Ctrl-C, SIGTERM and SIGHUP, from its first instruction on.

    A terminal sends them to the whole group, and a service manager to each process of a service. Who
    started the helper decides, and ends it; else a helper that died first would look like a fault. A thread
    leaves them to the main one, which may be waiting for a server and would not wake.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
