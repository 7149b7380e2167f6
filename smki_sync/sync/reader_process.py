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

_LENGTH: Final = 8  # octets of a frame's length
_KINDS: Final = (BadExtract, OutOfMemory, ResourceError, MirrorError, InternalError)
_ERRORS: Final = {kind.__name__: kind for kind in _KINDS}

MARK_BYTES: Final = 8
"""Octets of the one word that the helper is told: how far a file that is still coming in may be read."""

_Flat = tuple[Any, ...]
_ROW: Final = len(Row._fields)
_SIFTED: Final = 1 + len(Claims._fields)
_REJECTED: Final = 6
"""A record's number of values says which of the three it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsFrame:
    """A batch; ``records`` of the file so far, from ``done`` of its bytes."""

    batch: Batch
    records: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFrame:
    """The file cannot be read, or is not good; nothing follows."""

    error: SmkiSyncError


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFrame:
    """The whole file was proven good; nothing follows. ``near``: limits that it came near."""

    near: tuple[NearLimit, ...] = ()


Frame = RecordsFrame | ErrorFrame | EndFrame


def write_records(
    stream: IO[bytes], some: Sequence[PreParsed | Entry | Rejected], *, records: int, done: int
) -> None:
    """Write some records of a file, of which ``records`` are read so far, from ``done`` of its bytes."""
    _write(stream, ("some", [_flat(record) for record in some], records, done))


def write_error(stream: IO[bytes], error: SmkiSyncError) -> None:
    """Write that the file cannot be read or is not good."""
    kind = next((name for name, kind in _ERRORS.items() if isinstance(error, kind)), "")
    _write(stream, ("failed", kind, error.message, error.hint, error.reason))


def write_end(stream: IO[bytes], near: Iterable[NearLimit] = ()) -> None:
    """Write that the whole file was proven good, and which limits it came near."""
    _write(stream, ("finished", [(one.key, one.figure, one.limit) for one in near]))


def read_frames(stream: IO[bytes]) -> Iterator[Frame]:
    """Every frame until the stream ends, wherever that is."""
    while len(head := stream.read(_LENGTH)) == _LENGTH:
        size = int.from_bytes(head)
        octets = stream.read(size)
        if len(octets) < size:
            return
        yield _frame(marshal.loads(octets))  # noqa: S302 - written by our own process, on our own pipe


def _write(stream: IO[bytes], values: _Flat) -> None:
    octets = marshal.dumps(values)
    stream.write(len(octets).to_bytes(_LENGTH))
    stream.write(octets)
    stream.flush()


def _flat(record: PreParsed | Entry | Rejected) -> _Flat:
    if isinstance(record, PreParsed):
        return (record.number, record.der, *record.claims[:-1])  # the body stands last, and is in der
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
    if len(values) == _SIFTED:
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


Told = Callable[[int, int], None]
"""Told how many records have been read, and from how many bytes of the file."""

Noted = Callable[[NearLimit], None]
"""Told of each limit that a good file came near."""

Helper = subprocess.Popen[bytes]


def start_reader(
    path: Path, name: str, limits: ReaderLimits, *, following: bool = False, handles: Collection[int] = ()
) -> Helper:
    """Start one that reads the file at ``path``, called ``name`` in messages.

    ``following``: it reads no further than it is told on its stdin, eight octets a word. ``handles``: files
    that it takes over. To be called within :func:`signals_blocked`, until who has to end it knows of it.
    """
    errand = {"path": str(path), "name": name, "limits": asdict(limits), "following": following}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "smki_sync.sync.reader_process", json.dumps(errand)],
        stdin=subprocess.PIPE if following else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        pass_fds=handles,
    )


def batches_from(helper: Helper, name: str, told: Told, noted: Noted) -> Iterator[Batch]:
    """What a helper reads; ends only if the whole file is proven good."""
    assert helper.stdout is not None
    for frame in read_frames(helper.stdout):
        match frame:
            case RecordsFrame(batch=batch, records=records, done=done):
                yield batch
                told(records, done)
            case ErrorFrame(error=error):
                raise error
            case EndFrame(near=near):
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
def signals_blocked() -> Iterator[None]:
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


def read_in_process(arguments: Sequence[str], out: BinaryIO) -> None:
    """Read the file of the errand, a JSON object with ``path``, ``name`` and ``limits``.

    ``following``: the file is still coming in, and words on stdin say how far it may be read.
    """
    errand = json.loads(arguments[0])
    path = Path(errand["path"])
    reader: ExtractReader[PreParsed | Entry] = ExtractReader(
        read_growing_file(path, read_marks(sys.stdin.buffer))
        if errand.get("following")
        else read_chunks(path),
        name=errand["name"],
        understand=pre_parse,
        limits=ReaderLimits(**errand["limits"]),
    )
    try:
        found = iter(reader)
        while some := list(islice(found, BATCH)):
            write_records(out, some, records=reader.records, done=reader.compressed_bytes)
    except SmkiSyncError as error:
        write_error(out, error)
    except MemoryError:
        write_error(out, OutOfMemory(f"the process that reads {errand['name']} was given no more memory"))
    else:
        write_end(out, reader.near())


def read_marks(stream: BinaryIO) -> Iterator[int]:
    """How far the file has come, word by word; ends when who says so closes the pipe, or dies."""
    while len(word := stream.read(MARK_BYTES)) == MARK_BYTES:
        yield int.from_bytes(word)


if __name__ == "__main__":
    with suppress(BrokenPipeError), os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe:
        read_in_process(sys.argv[1:], pipe)


APART_BYTES: Final = 4 << 20
"""Size of a .gz from which a helper pays: some 20 000 records, read here in the time that it starts."""

_TELL: Final = 1_000  # records between two words on progress


def check_inner_name(fetched: DownloadedFile, names: FileNames) -> None:
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
    fetched: DownloadedFile, limits: ReaderLimits, told: Told, noted: Noted = lambda _near: None
) -> Iterator[Entry | Rejected]:
    """The records of a file, read here; ends only if the whole file is proven good."""
    name = fetched.file.extract.name
    reader = ExtractReader(fetched.chunks(), name=name, understand=parse_record, limits=limits)
    for number, record in enumerate(reader, 1):
        if number % _TELL == 0:
            told(number, reader.compressed_bytes)
        yield record
    told(reader.records, reader.compressed_bytes)
    for near in reader.near():
        noted(near)


def read_batches(
    fetched: DownloadedFile,
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


def _read_apart(fetched: DownloadedFile, limits: ReaderLimits, told: Told, noted: Noted) -> Iterator[Batch]:
    name = fetched.file.extract.name
    with ExitStack() as stack:
        with signals_blocked():
            helper = stack.enter_context(start_reader(fetched.path, name, limits))
            stack.callback(helper.kill)  # it has ended, or nobody reads it any more
        yield from batches_from(helper, name, told, noted)
