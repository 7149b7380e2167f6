"""A strict gunzip: chunks of a .gz in, chunks of what it holds out, and an end only if all is proven.

For: "all versions of .gz" (Appendix O 2.3.3): several members, every optional header field, any level,
zero padding. Refuses: to end normally unless every member's CRC and length were right and nothing
but zeros follows; to make more than :data:`~smki_sync.reader.tape.STEP` bytes at a time, whatever a
bomb promises. The CRC is known only at a member's end: publish nothing before this has finished.
"""

from collections.abc import Iterable, Iterator

from isal import isal_zlib

from smki_sync.errors import BadExtract
from smki_sync.model.faults import Fault, bad_extract
from smki_sync.reader.limits import KIB, ReaderLimits
from smki_sync.reader.tape import STEP, Tape

MAGIC = b"\x1f\x8b\x08"
"""Identification and the only compression method (RFC 1952 2.3.1)."""

HEADER = 128 * KIB
"""Bytes that hold any honest header: 10 fixed, an extra field up to 64 KiB, a name and a comment.

A member's header is given to isal in one piece: cut in two, isal 1.9 finds its checksum (FHCRC)
wrong when it is right.
"""

_FIXED, _EXTRA, _NAME = 10, 4, 8
_GZIP_WINDOW = 31  # zlib's wbits for a gzip wrapper around a 32 KiB window
_Damaged: type[Exception] = isal_zlib.error  # type: ignore[assignment]  # its stub calls the class an instance


def inner_name(head: bytes) -> str | None:
    """Read the original file name (FNAME, Latin-1) from the start of a .gz; ``None`` if it has none."""
    if len(head) < _FIXED or not head[3] & _NAME:
        return None
    start = _FIXED
    if head[3] & _EXTRA:
        start += 2 + int.from_bytes(head[start : start + 2], "little")
    end = head.find(b"\0", start)
    return head[start:end].decode("latin-1") if end >= 0 else None


class Gunzip:
    """One .gz being unpacked: iterate once over its contents.

    ``compressed_bytes``, ``decompressed_bytes``: so far. ``ratio``: the largest so far, in whole
    numbers, where it counts. ``inner_name``: known from the first piece on, ``None`` where the file
    does not say.
    """

    def __init__(self, chunks: Iterable[bytes], *, name: str, limits: ReaderLimits) -> None:
        """Prepare; ``name`` of the file is for messages."""
        self._tape = Tape(chunks)
        self._name = name
        self._limits = limits
        self.compressed_bytes = 0
        self.decompressed_bytes = 0
        self.ratio = 0
        self.inner_name: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Yield what the members hold, in pieces of at most 64 KiB; raises ``BadExtract``."""
        head = self._tape.peek(HEADER)
        if not head:
            raise bad_extract(Fault.EMPTY_FILE, self._name, "the file has no bytes")
        if not MAGIC.startswith(head[: len(MAGIC)]):
            raise self._fault(Fault.NOT_GZIP, f"it starts with {head[:4].hex(' ')}, not 1f 8b 08")
        self.inner_name = inner_name(head)
        while head and MAGIC.startswith(head[: len(MAGIC)]):
            yield from self._member()
            head = self._tape.peek(HEADER)
        self._check_padding()

    def _member(self) -> Iterator[bytes]:
        """Unpack one member, trailer included."""
        engine = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
        while not engine.eof:
            portion = self._tape.take()
            if not portion:
                raise self._fault(Fault.TRUNCATED, "the file ends before its last gzip member does")
            yield from self._inflate(engine, portion)
        self._tape.give_back(engine.unused_data)

    def _inflate(self, engine: isal_zlib.Decompress, data: bytes) -> Iterator[bytes]:
        """Give ``data`` to the engine, and take all that it makes of it, a step at a time."""
        while True:
            try:
                piece = engine.decompress(data, STEP)
            except _Damaged as exc:
                raise self._fault(Fault.GZIP_DAMAGED, f"the gzip data is damaged: {exc}") from exc
            left = engine.unused_data if engine.eof else engine.unconsumed_tail
            self._count(len(data) - len(left), len(piece))
            if piece:
                yield piece
            # The engine may hold output back though it has taken all input: a full step says so.
            if engine.eof or not (left or len(piece) == STEP):
                return
            data = left

    def _count(self, taken: int, made: int) -> None:
        """Keep count, and refuse what grows beyond the limits."""
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
        """Read to the end of the file, where only zeros may follow the last member."""
        while rest := self._tape.take():
            clean = len(rest) - len(rest.lstrip(b"\0"))
            self.compressed_bytes += clean
            if clean < len(rest):
                raise self._fault(Fault.TRAILING_GARBAGE, "something other than zeros follows the gzip data")

    def _fault(self, fault: Fault, what: str) -> BadExtract:
        return bad_extract(fault, self._name, f"at byte {self.compressed_bytes} of the .gz: {what}")
