"""What the helper process says, and how it is written on a pipe.

For: batches of plain values between two processes of this program. Refuses: pickle, which would let
octets decide what is run; and values that are not plain.
"""

import marshal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from smki_sync.errors import BadExtract, MirrorError, SmkiSyncError
from smki_sync.mirror.rows import Batch, Row
from smki_sync.model.certificate import Rejected, RejectReason

_LENGTH: Final = 8  # octets of a frame's length
_ERRORS: Final = {kind.__name__: kind for kind in (BadExtract, MirrorError)}


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
    """The whole file was proven good; nothing follows."""


Frame = Some | Failed | Finished


def write_frame(stream: IO[bytes], frame: Frame) -> None:
    """Write one frame and hand it over."""
    octets = marshal.dumps(_flat(frame))
    stream.write(len(octets).to_bytes(_LENGTH))
    stream.write(octets)
    stream.flush()


def read_frames(stream: IO[bytes]) -> Iterator[Frame]:
    """Every frame until the stream ends, wherever that is."""
    while len(head := stream.read(_LENGTH)) == _LENGTH:
        size = int.from_bytes(head)
        octets = stream.read(size)
        if len(octets) < size:
            return
        yield _full(marshal.loads(octets))  # noqa: S302 - written by our own process, on our own pipe


def _flat(frame: Frame) -> tuple[Any, ...]:
    match frame:
        case Some(batch=batch, records=records, done=done):
            rejected = [(r.number, r.reason.value, r.detail, r.xml) for r in batch.rejected]
            return ("some", [tuple(row) for row in batch.rows], rejected, records, done)
        case Failed(error=error):
            kind = next((name for name, kind in _ERRORS.items() if isinstance(error, kind)), "")
            return ("failed", kind, error.message, error.hint, error.reason)
        case Finished():
            return ("finished",)


def _full(values: tuple[object, ...]) -> Frame:
    match values:
        case ("some", list(rows), list(rejected), int(records), int(done)):
            batch = Batch(
                rows=list(map(Row._make, rows)),
                rejected=[
                    Rejected(number=number, reason=RejectReason(reason), detail=detail, xml=xml)
                    for number, reason, detail, xml in rejected
                ],
            )
            return Some(batch=batch, records=records, done=done)
        case ("failed", str(kind), str(message), str(hint), str(code)):
            return Failed(error=_ERRORS.get(kind, SmkiSyncError)(message, hint=hint, code=code))
        case ("finished",):
            return Finished()
        case _:
            raise AssertionError(f"no frame: {values!r:.80}")
