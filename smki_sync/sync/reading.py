"""From a fetched file to understood records, in this process or with a helper beside it.

For: whoever applies an extract. A full is unpacked, parsed and understood in a process of its own
(:mod:`.helper`) while this one writes rows and moves the digest; the pipe between them bounds what is in
flight. One file, one helper, one pipe: order and counts are those of the file. A small file, or a
machine with one core, is read here. Refuses: to go on when the helper ends without having said that
the whole file was good.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Final

from smki_sync.catalogue import Names, named_inside
from smki_sync.errors import SmkiSyncError
from smki_sync.fetch import Fetched
from smki_sync.mirror.rows import Batch, batches_of
from smki_sync.model.certificate import Entry, Rejected
from smki_sync.model.faults import Fault, bad_extract
from smki_sync.model.report import NearLimit
from smki_sync.reader import ExtractReader, ReaderLimits, inner_name
from smki_sync.records import understand
from smki_sync.sync.frames import Failed, Finished, Some, read_frames

APART_BYTES: Final = 4 << 20
"""Size of a .gz from which a helper pays: some 20 000 records, read here in the time that it starts."""

_TELL: Final = 1_000  # records between two words on progress

Told = Callable[[int, int], None]
"""Told how many records have been read, and from how many bytes of the file."""

Noted = Callable[[NearLimit], None]
"""Told of each limit that a good file came near."""


def check_inner_name(fetched: Fetched, names: Names) -> None:
    """Raise ``BadExtract`` where the .gz calls its content another extract than the file is named as.

    Appendix O 2.3.3 names both alike. The name inside is optional (RFC 1952) and says nothing unless
    it is an extract's; but then somebody has packed another day, or another kind.
    """
    extract = fetched.file.extract
    inner = inner_name(next(fetched.chunks(), b""))
    meant = named_inside(inner, names) if inner else None
    if meant and meant != (extract.kind, extract.day):
        kind, day = meant
        raise bad_extract(
            Fault.INNER_NAME, extract.name, f"the .gz calls its content the {kind} of {day.isoformat()}"
        )


def read_records(
    fetched: Fetched, limits: ReaderLimits, told: Told, noted: Noted = lambda _near: None
) -> Iterator[Entry | Rejected]:
    """The records of a file, read here; ends only if the whole file is proven good."""
    name = fetched.file.extract.name
    reader = ExtractReader(fetched.chunks(), name=name, understand=understand, limits=limits)
    for number, record in enumerate(reader, 1):
        if number % _TELL == 0:
            told(number, reader.compressed_bytes)
        yield record
    told(reader.records, reader.compressed_bytes)
    for near in reader.near():
        noted(near)


def read_batches(
    fetched: Fetched,
    limits: ReaderLimits,
    told: Told,
    noted: Noted = lambda _near: None,
    *,
    cores: int | None = None,
) -> Iterator[Batch]:
    """The records of a file as rows, read beside this process where that pays.

    ``cores``: how many to count on; as many as this process may use, unless given.
    """
    if fetched.file.size < APART_BYTES or (cores or len(os.sched_getaffinity(0))) == 1:
        return batches_of(read_records(fetched, limits, told, noted))
    return _read_apart(fetched, limits, told, noted)


def _read_apart(fetched: Fetched, limits: ReaderLimits, told: Told, noted: Noted) -> Iterator[Batch]:
    name = fetched.file.extract.name
    errand = {"path": str(fetched.path), "name": name, "limits": asdict(limits)}
    command = [sys.executable, "-P", "-m", "smki_sync.sync.helper", json.dumps(errand)]
    with ExitStack() as stack:
        with _deaf():
            helper = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            )
            stack.callback(helper.kill)  # it has ended, or nobody reads it any more
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
    raise SmkiSyncError(
        f"the process that reads {name} ended with {helper.returncode} in the middle",
        hint="If the machine was short of memory, run again; otherwise please report it.",
        code="helper-died",
    )


@contextmanager
def _deaf() -> Iterator[None]:
    """What is started within stays deaf to Ctrl-C and SIGTERM, from its first instruction on.

    A terminal sends them to the whole group, and a service manager to each process of a service. Who
    started the helper decides, and ends it; else a helper that died first would look like a fault.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
