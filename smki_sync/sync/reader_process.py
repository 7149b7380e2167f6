"""Read a full in a helper process; pipe protocol."""

import json
import marshal
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from smki_sync.catalogue import FileNames, named_inside
from smki_sync.download import DownloadedFile, read_chunks, read_growing_file
from smki_sync.errors import (
    BadExtract,
    Fault,
    InternalError,
    MirrorError,
    OutOfMemory,
    ResourceError,
    SmkiSyncError,
    bad_extract,
)
from smki_sync.mirror.rows import BATCH, Batch, Row, batches_of, row_of
from smki_sync.model.certificate import Claims, Entry, Rejected, RejectReason
from smki_sync.model.report import NearLimit
from smki_sync.reader import ExtractReader, ReaderLimits, inner_name
from smki_sync.records import PreParsed, finish_parse, parse_record, pre_parse

_LENGTH: Final = 8  # bytes of the length field of a frame
_KINDS: Final = (BadExtract, OutOfMemory, ResourceError, MirrorError, InternalError)
_ERRORS: Final = {kind.__name__: kind for kind in _KINDS}

MARK_BYTES: Final = 8
"""Bytes of a mark: the number of bytes of a file still downloading that the helper process may read."""

_Flat = tuple[Any, ...]
_ROW: Final = len(Row._fields)
_PRE_PARSED: Final = 1 + len(Claims._fields)
_REJECTED: Final = 6
"""The number of values in a flat record identifies its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsFrame:
    """A batch of records. ``records``, ``done``: records and bytes of the file read so far."""

    batch: Batch
    records: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFrame:
    """The file cannot be read or is not valid. This is the last frame."""

    error: SmkiSyncError


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFrame:
    """The whole file is valid. This is the last frame. ``near``: limits that the file nearly reached."""

    near: tuple[NearLimit, ...] = ()


Frame = RecordsFrame | ErrorFrame | EndFrame


def write_records(
    stream: IO[bytes], some: Sequence[PreParsed | Entry | Rejected], *, records: int, done: int
) -> None:
    """Write a frame of records. ``records``, ``done``: records and bytes of the file read so far."""
    _write(stream, ("some", [_flat(record) for record in some], records, done))


def write_error(stream: IO[bytes], error: SmkiSyncError) -> None:
    """Write a frame with the error that makes the file unreadable or invalid."""
    kind = next((name for name, kind in _ERRORS.items() if isinstance(error, kind)), "")
    _write(stream, ("failed", kind, error.message, error.hint, error.reason))


def write_end(stream: IO[bytes], near: Iterable[NearLimit] = ()) -> None:
    """Write the last frame: the whole file is valid. ``near``: limits that the file nearly reached."""
    _write(stream, ("finished", [(one.key, one.figure, one.limit) for one in near]))


def read_frames(stream: IO[bytes]) -> Iterator[Frame]:
    """Yield frames until the stream ends; ignore an incomplete last frame."""
    while len(head := stream.read(_LENGTH)) == _LENGTH:
        size = int.from_bytes(head)
        data = stream.read(size)
        if len(data) < size:
            return
        yield _frame(marshal.loads(data))  # noqa: S302 - written by our own process, on our own pipe


def _write(stream: IO[bytes], values: _Flat) -> None:
    data = marshal.dumps(values)
    stream.write(len(data).to_bytes(_LENGTH))
    stream.write(data)
    stream.flush()


def _flat(record: PreParsed | Entry | Rejected) -> _Flat:
    if isinstance(record, PreParsed):
        return (record.number, record.der, *record.claims[:-1])  # the last claim is the body, which is in der
    if isinstance(record, Rejected):
        known = (record.serial, record.issuer)
        return (record.number, record.reason.value, record.detail, record.xml, *known)
    return tuple(row_of(record))


def _frame(values: _Flat) -> Frame:
    match values:
        case ("some", list(some), int(records), int(done)):
            return RecordsFrame(batch=_batch(some), records=records, done=done)
        case ("failed", str(kind), str(message), str(hint), str(code)):
            return ErrorFrame(error=_ERRORS.get(kind, SmkiSyncError)(message, hint=hint, code=code))
        case ("finished", list(near)):
            return EndFrame(
                near=tuple(NearLimit(key=key, figure=figure, limit=limit) for key, figure, limit in near)
            )
        case _:
            raise AssertionError(f"no frame: {values!r:.80}")


def _batch(some: list[_Flat]) -> Batch:
    found = [_unflatten(values) for values in some]
    return Batch(
        rows=[record for record in found if isinstance(record, Row)],
        rejected=[record for record in found if isinstance(record, Rejected)],
    )


def _unflatten(values: _Flat) -> Row | Rejected:
    if len(values) == _PRE_PARSED:
        number, der, *claims = values
        record = finish_parse(PreParsed(number, Claims(*claims), der))
        return record if isinstance(record, Rejected) else row_of(record)
    if len(values) == _REJECTED:
        number, reason, detail, xml, serial, issuer = values
        return Rejected(
            number=number,
            reason=RejectReason(reason),
            detail=detail,
            xml=xml,
            serial=serial,
            issuer=issuer,
        )
    assert len(values) == _ROW
    return Row._make(values)


ProgressCallback = Callable[[int, int], None]
"""Progress callback: called with the records and the bytes of the file read so far."""

LimitCallback = Callable[[NearLimit], None]
"""Called with each limit that a valid file nearly reached."""

Helper = subprocess.Popen[bytes]


def start_reader(
    path: Path, name: str, limits: ReaderLimits, *, following: bool = False, handles: Collection[int] = ()
) -> Helper:
    """Start a helper process that reads the file at ``path``.

    Call it within :func:`signals_blocked`, and leave that only when the process is registered for cleanup.

    Args:
        path: the file.
        name: name of the file in messages.
        limits: limits of the reader.
        following: whether the file is still downloading; marks of :data:`MARK_BYTES` on the stdin of the
            process limit how far it reads.
        handles: file descriptors that the process inherits.
    """
    task = {"path": str(path), "name": name, "limits": asdict(limits), "following": following}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "smki_sync.sync.reader_process", json.dumps(task)],
        stdin=subprocess.PIPE if following else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=handles,
    )


def batches_from(
    helper: Helper, name: str, progress: ProgressCallback, noted: LimitCallback
) -> Iterator[Batch]:
    """Yield the batches that a helper process reads; raise unless the whole file is valid."""
    assert helper.stdout is not None
    for frame in read_frames(helper.stdout):
        match frame:
            case RecordsFrame(batch=batch, records=records, done=done):
                yield batch
                progress(records, done)
            case ErrorFrame(error=error):
                raise error
            case EndFrame(near=near):
                for one in near:
                    noted(one)
                return
    raise _exit_error(helper, name)


def _exit_error(helper: Helper, name: str) -> SmkiSyncError:
    """Return the error for a helper process that ended early.

    SIGKILL is taken to come from the kernel, because memory ran out. Any other exit is a bug.
    """
    status = helper.wait()
    if status == -signal.SIGKILL:
        return OutOfMemory(
            f"the process that reads {name} was killed (SIGKILL), as happens where memory runs out; nothing"
            " of the file was applied"
        )
    return SmkiSyncError(
        f"the process that reads {name} ended with {status} in the middle; nothing of the file was applied",
        hint="Run again; if it happens twice, please report it, with what it wrote on stderr.",
        code="helper-died",
    )


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block SIGINT, SIGTERM and SIGHUP, also in threads and processes that are started meanwhile.

    A terminal sends these signals to the whole process group, a service manager to every process of the
    service. Only the main process may handle them, and then end the helper process. Otherwise a helper
    process that ended first would be reported as an error. A thread must not receive them either, because
    the main thread would not wake while it waits for a server.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def read_in_process(arguments: Sequence[str], out: BinaryIO) -> None:
    """Read a file in the helper process, and write frames to ``out``.

    ``arguments``: one JSON object with ``path``, ``name``, ``limits`` and ``following``; see
    :func:`start_reader`.
    """
    task = json.loads(arguments[0])
    path = Path(task["path"])
    reader: ExtractReader[PreParsed | Entry] = ExtractReader(
        read_growing_file(path, read_marks(sys.stdin.buffer)) if task.get("following") else read_chunks(path),
        name=task["name"],
        understand=pre_parse,
        limits=ReaderLimits(**task["limits"]),
    )
    try:
        found = iter(reader)
        while some := list(islice(found, BATCH)):
            write_records(out, some, records=reader.records, done=reader.compressed_bytes)
    except SmkiSyncError as error:
        write_error(out, error)
    except MemoryError:
        write_error(out, OutOfMemory(f"the process that reads {task['name']} was given no more memory"))
    else:
        write_end(out, reader.near())


def read_marks(stream: BinaryIO) -> Iterator[int]:
    """Yield the marks: how far the file may be read. Ends when the pipe is closed."""
    while len(mark := stream.read(MARK_BYTES)) == MARK_BYTES:
        yield int.from_bytes(mark)


if __name__ == "__main__":
    with suppress(BrokenPipeError), os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe:
        read_in_process(sys.argv[1:], pipe)


APART_BYTES: Final = 4 << 20
"""Size of a .gz from which a helper process is faster: it starts while 20 000 records are read here."""

_PROGRESS_RECORDS: Final = 1_000  # records between two progress reports


def check_inner_name(fetched: DownloadedFile, names: FileNames) -> None:
    """Raise ``BadExtract`` if the name inside the .gz is that of another extract.

    Both names must be the same (Appendix O 2.3.3). The name inside is optional (RFC 1952), and is ignored
    unless it is the name of an extract.
    """
    extract = fetched.file.extract
    inner = inner_name(next(fetched.chunks(), b""))
    named = named_inside(inner, names) if inner else None
    if named and named != (extract.kind, extract.day):
        kind, day = named
        raise bad_extract(
            Fault.INNER_NAME, extract.name, f"the .gz calls its content the {kind} of {day.isoformat()}"
        )


def read_records(
    fetched: DownloadedFile,
    limits: ReaderLimits,
    progress: ProgressCallback,
    noted: LimitCallback = lambda _near: None,
) -> Iterator[Entry | Rejected]:
    """Read the records of a file in this process; raise unless the whole file is valid."""
    name = fetched.file.extract.name
    reader = ExtractReader(fetched.chunks(), name=name, understand=parse_record, limits=limits)
    for number, record in enumerate(reader, 1):
        if number % _PROGRESS_RECORDS == 0:
            progress(number, reader.compressed_bytes)
        yield record
    progress(reader.records, reader.compressed_bytes)
    for near in reader.near():
        noted(near)


def read_batches(
    fetched: DownloadedFile,
    limits: ReaderLimits,
    progress: ProgressCallback,
    noted: LimitCallback = lambda _near: None,
    *,
    cores: int | None = None,
) -> Iterator[Batch]:
    """Read the records of a file as rows; in a helper process if that is faster.

    ``cores``: number of cores (default: those that this process may use).
    """
    if fetched.file.size < APART_BYTES or (cores or len(os.sched_getaffinity(0))) == 1:
        return batches_of(read_records(fetched, limits, progress, noted))
    return _read_in_helper(fetched, limits, progress, noted)


def _read_in_helper(
    fetched: DownloadedFile, limits: ReaderLimits, progress: ProgressCallback, noted: LimitCallback
) -> Iterator[Batch]:
    name = fetched.file.extract.name
    with ExitStack() as stack:
        with signals_blocked():
            helper = stack.enter_context(start_reader(fetched.path, name, limits))
            stack.callback(helper.kill)  # the process has ended, or its output is not needed
        yield from batches_from(helper, name, progress, noted)
