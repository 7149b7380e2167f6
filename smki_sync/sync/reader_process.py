"""What the helper process says, and how it is written on a pipe.

For: records as plain values between two processes of this program, some at a time. Most are only sifted
when they are written; whoever reads them completes them, so that both processes have their share of
the work. Refuses: pickle, which would let octets decide what is run; and values that are not plain.
"""

import marshal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from smki_sync.errors import BadExtract, MirrorError, OutOfMemory, SmkiSyncError
from smki_sync.mirror.rows import Batch, Row, row_of
from smki_sync.model.certificate import Claims, Entry, Rejected, RejectReason
from smki_sync.model.report import NearLimit
from smki_sync.records import Sifted, complete

_LENGTH: Final = 8  # octets of a frame's length
_ERRORS: Final = {kind.__name__: kind for kind in (BadExtract, OutOfMemory, MirrorError)}

MARK_OCTETS: Final = 8
"""Octets of the one word that the helper is told: how far a file that is still coming in may be read."""

_Flat = tuple[Any, ...]
_ROW: Final = len(Row._fields)
_SIFTED: Final = 1 + len(Claims._fields)
_REJECTED: Final = 4
"""A record's number of values says which of the three it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    """A batch; ``records`` of the file so far, from ``done`` of its bytes."""

    batch: Batch
    records: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The file cannot be read, or is not good; nothing follows."""

    error: SmkiSyncError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The whole file was proven good; nothing follows. ``near``: limits that it came near."""

    near: tuple[NearLimit, ...] = ()


Frame = Some | Failed | Finished


def write_records(
    stream: IO[bytes], some: Sequence[Sifted | Entry | Rejected], *, records: int, done: int
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


def _flat(record: Sifted | Entry | Rejected) -> _Flat:
    if isinstance(record, Sifted):
        return (record.number, record.der, *record.claims[:-1])  # the body stands last, and is in der
    if isinstance(record, Rejected):
        return (record.number, record.reason.value, record.detail, record.xml)
    return tuple(row_of(record))


def _frame(values: _Flat) -> Frame:
    match values:
        case ("some", list(some), int(records), int(done)):
            return Some(batch=_batch(some), records=records, done=done)
        case ("failed", str(kind), str(message), str(hint), str(code)):
            return Failed(error=_ERRORS.get(kind, SmkiSyncError)(message, hint=hint, code=code))
        case ("finished", list(near)):
            return Finished(
                near=tuple(NearLimit(key=key, figure=figure, limit=limit) for key, figure, limit in near)
            )
        case _:
            raise AssertionError(f"no frame: {values!r:.80}")


def _batch(some: list[_Flat]) -> Batch:
    return Batch(
        rows=[_row(values) for values in some if len(values) != _REJECTED],
        rejected=[_rejected(*values) for values in some if len(values) == _REJECTED],
    )


def _row(values: _Flat) -> Row:
    if len(values) == _SIFTED:
        number, der, *claims = values
        return row_of(complete(Sifted(number, Claims(*claims), der)))
    assert len(values) == _ROW
    return Row._make(values)


def _rejected(number: int, reason: str, detail: str, xml: bytes) -> Rejected:
    return Rejected(number=number, reason=RejectReason(reason), detail=detail, xml=xml)
