"""Strict streaming gunzip; limits on what a file may consume."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

from smki_sync.errors import BadExtract, Fault, bad_extract
from smki_sync.model.report import NearLimit

KIB = 1024
MIB = 1024 * KIB
TIB = 1024 * 1024 * MIB

NEAR_PERCENT: Final = 40
"""Percent of a limit from which a file comes near it. Extracts grow by some percent a year, so that
operators have years to ask whether the growth is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLimits:
    """Limits for one extract. A file at a limit is read. One beyond it raises ``BadExtract``.

    ``decompressed_bytes``: of XML. A full has at most 180 GB today; the limit is five times that.
    ``ratio``: decompressed by compressed bytes. Real extracts have 4 to 5, a gzip bomb 1,000.
    ``ratio_floor``: bytes of XML below which the ratio does not count: small files may repeat.
    ``records``: in one file. A full has at most 200 million today; the limit is five times that.
    ``record_bytes``: of XML without the end of a record, to within two steps of 64 KiB. A record has
    about 911 bytes. An unfinished record is held in memory, so that this limits the memory.
    ``field_length``: characters of one element with white space. A longer one rejects its record. A body
    has about 560.
    ``depth``: of nested elements. The root has 1, Annex B has 3, and libxml2 stops at 256.
    ``leading_bytes``: of XML, white space and comments before the end of the root's start tag.
    ``names``: distinct names of elements, attributes and namespaces, and runs of white space, estimated
    from samples (:class:`.xml_stream.ElementNames`). An extract has about twenty. The XML library keeps
    each in 30 to 130 bytes until the process ends.
    ``evidence_bytes``: of XML kept for a rejected record.
    ``quarantine_share``: share of records that may be rejected, from 0 to 1. With more, the format has
    changed, and a mirror of the rest would lack what its users need.
    ``quarantine_allowance``: rejected records that are always allowed, so that one bad record does not
    stop a small delta.
    """

    decompressed_bytes: int = TIB
    ratio: int = 50
    ratio_floor: int = 16 * MIB
    records: int = 1_000_000_000
    record_bytes: int = MIB
    field_length: int = 64 * KIB
    depth: int = 16
    leading_bytes: int = 64 * KIB
    names: int = 100_000
    evidence_bytes: int = 16 * KIB
    quarantine_share: float = 0.10
    quarantine_allowance: int = 5


KEYS: Final = {
    "decompressed_bytes": "bytes of XML",
    "ratio": "bytes of XML per byte of gzip",
    "records": "records",
    "record_bytes": "bytes of XML in one record",
    "field_length": "characters in one element",
    "depth": "levels of nested elements",
}
"""Limits that an honest file can grow towards, and what each one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitUsage:
    """How much one file used of the limits of :data:`KEYS`.

    A figure that is not near its limit may be 0 or too small: it is not measured exactly.
    """

    decompressed_bytes: int
    ratio: int
    records: int
    record_bytes: int
    field_length: int
    depth: int

    def near(self, limits: ReaderLimits) -> tuple[NearLimit, ...]:
        """Return the limits of which :data:`NEAR_PERCENT` or more was used."""
        figures = ((key, getattr(self, name), getattr(limits, name)) for name, key in KEYS.items())
        return tuple(
            NearLimit(key=key, figure=figure, limit=limit)
            for key, figure, limit in figures
            if figure >= near_of(limit)
        )


def near_of(limit: int) -> int:
    """Return the smallest whole figure that is near ``limit``."""
    return -(-limit * NEAR_PERCENT // 100)


STEP = 64 * 1024
"""Bytes processed at a time. More is not faster, fewer are slower."""


def rechunk(chunks: Iterable[bytes], size: int = STEP) -> Iterator[bytes]:
    """Split and join ``chunks`` so that each has ``size`` bytes, except the last one."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)


class PeekableStream:
    """A stream of bytes that can be inspected before it is consumed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        """Read from ``chunks``, of any size, as needed."""
        self._steps = rechunk(chunks)
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        """Return the next ``size`` bytes without consuming them, fewer only at the end of the stream."""
        while len(self._ahead) < size and (step := next(self._steps, b"")):
            self._ahead += step
        return self._ahead[:size]

    def take(self) -> bytes:
        """Consume and return the next bytes, none only at the end."""
        step = self._ahead or next(self._steps, b"")
        self._ahead = b""
        return step

    def give_back(self, rest: bytes) -> None:
        """Put back the end of what was just consumed."""
        self._ahead = rest


MAGIC = b"\x1f\x8b\x08"
"""Identification and the only compression method (RFC 1952 2.3.1)."""

HEADER = 128 * KIB
"""Bytes of the largest plausible header: 10 fixed, an extra field of up to 64 KiB, a name and a comment.

isal gets the header of a member in one piece: if it is split, isal 1.9 calls a right checksum (FHCRC)
wrong.
"""

_FIXED, _EXTRA, _NAME = 10, 4, 8
_GZIP_WINDOW = 31  # wbits of zlib for a gzip wrapper around a 32 KiB window
_Damaged: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub calls the class an instance


def inner_name(head: bytes) -> str | None:
    """Read the original file name (FNAME, Latin-1) from the start of a .gz. ``None``: it has none."""
    if len(head) < _FIXED or not head[3] & _NAME:
        return None
    start = _FIXED
    if head[3] & _EXTRA:
        start += 2 + int.from_bytes(head[start : start + 2], "little")
    end = head.find(b"\0", start)
    return head[start:end].decode("latin-1") if end >= 0 else None


class GzipStream:
    """Unpacks one .gz; iterate once over its content.

    ``compressed_bytes``, ``decompressed_bytes``: so far. ``ratio``: the largest one so far that counts, as
    a whole number. ``inner_name``: known from the first piece on, ``None`` if the file has none.
    """

    def __init__(self, chunks: Iterable[bytes], *, name: str, limits: ReaderLimits) -> None:
        """Prepare to unpack ``chunks``. Messages contain ``name``."""
        self._stream = PeekableStream(chunks)
        self._name = name
        self._limits = limits
        self.compressed_bytes = 0
        self.decompressed_bytes = 0
        self.ratio = 0
        self.inner_name: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield the content in pieces of at most 64 KiB. Raises ``BadExtract``."""
        head = self._stream.peek(HEADER)
        if not head:
            raise bad_extract(Fault.EMPTY_FILE, self._name, "the file has no bytes")
        if not MAGIC.startswith(head[: len(MAGIC)]):
            raise self._fault(Fault.NOT_GZIP, f"it starts with {head[:4].hex(' ')}, not 1f 8b 08")
        self.inner_name = inner_name(head)
        while head and MAGIC.startswith(head[: len(MAGIC)]):
            yield from self._member()
            head = self._stream.peek(HEADER)
        self._check_padding()

    def _member(self) -> Iterator[bytes]:
        """Unpack one member with its trailer."""
        engine = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
        while not engine.eof:
            portion = self._stream.take()
            if not portion:
                raise self._fault(Fault.TRUNCATED, "the file ends before its last gzip member does")
            yield from self._inflate(engine, portion)
        self._stream.give_back(engine.unused_data)

    def _inflate(self, engine: isal_zlib.Decompress, data: bytes) -> Iterator[bytes]:
        """Unpack ``data`` step by step."""
        while True:
            try:
                piece = engine.decompress(data, STEP)
            except _Damaged as exc:
                raise self._fault(Fault.GZIP_DAMAGED, f"the gzip data is damaged: {exc}") from exc
            left = engine.unused_data if engine.eof else engine.unconsumed_tail
            self._count(len(data) - len(left), len(piece))
            if piece:
                yield piece
            # After a full step, the engine may have more output although it has consumed all input.
            if engine.eof or not (left or len(piece) == STEP):
                return
            data = left

    def _count(self, taken: int, made: int) -> None:
        """Count, and refuse what exceeds the limits."""
        limits = self._limits
        self.compressed_bytes += taken
        self.decompressed_bytes += made
        size = self.decompressed_bytes
        if size > limits.decompressed_bytes:
            raise self._fault(Fault.TOO_LARGE, f"it holds more than {limits.decompressed_bytes} bytes of XML")
        if size <= limits.ratio_floor:
            return
        if size > limits.ratio * self.compressed_bytes:
            raise self._fault(
                Fault.RATIO_EXCEEDED, f"it unpacks to {size} bytes, more than {limits.ratio} times its size"
            )
        self.ratio = max(self.ratio, size // self.compressed_bytes)

    def _check_padding(self) -> None:
        """Read to the end of the file. Only zeros may follow the last member."""
        while rest := self._stream.take():
            clean = len(rest) - len(rest.lstrip(b"\0"))
            self.compressed_bytes += clean
            if clean < len(rest):
                raise self._fault(Fault.TRAILING_GARBAGE, "something other than zeros follows the gzip data")

    def _fault(self, fault: Fault, what: str) -> BadExtract:
        return bad_extract(fault, self._name, f"at byte {self.compressed_bytes} of the .gz: {what}")
