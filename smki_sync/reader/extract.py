"""One extract, from the bytes of its .gz to understood and rejected records.

For: the stream that a mirror is fed from, with counts to show progress by. Refuses: to end normally
unless the whole file was proven good, so commit nothing before it has::

    reader = ExtractReader(chunks, name=extract.name, understand=understand)
    for record in reader:
        ...
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from lxml.etree import _Element

from smki_sync.errors import Fault, bad_extract
from smki_sync.model.certificate import Claims, Rejected, RejectReason
from smki_sync.model.report import NearLimit
from smki_sync.reader.gzip_stream import GzipStream, LimitUsage, ReaderLimits
from smki_sync.reader.xml_stream import (
    FLAT,
    FieldLengths,
    FieldTooLong,
    Repeated,
    XmlRecordStream,
    evidence,
    read_claims,
    read_serial,
)

Made = TypeVar("Made")
"""What a rule makes of a record that it does not reject."""

Understand = Callable[[int, Claims], Made | Rejected]
"""A rule: a record's number in its file, from 1, and its claims → what is to be made of it."""

DEFAULT_LIMITS = ReaderLimits()


class ExtractReader(Generic[Made]):
    """One extract being read: iterate once. ``rejected``: records that were not understood so far."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        name: str,
        understand: Understand[Made],
        limits: ReaderLimits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare to read ``chunks``, the bytes of the .gz in order; ``name`` it in every message."""
        self._gunzip = GzipStream(chunks, name=name, limits=limits)
        self._annexb = XmlRecordStream(name=name, limits=limits)
        self._name = name
        self._understand = understand
        self._limits = limits
        self._lengths = FieldLengths(limits.field_length)
        self.rejected = 0

    @property
    def records(self) -> int:
        """How many records have been read."""
        return self._annexb.records

    @property
    def compressed_bytes(self) -> int:
        """How many bytes of the .gz have been unpacked; all of them after a normal end."""
        return self._gunzip.compressed_bytes

    @property
    def xml_bytes(self) -> int:
        """How many bytes of XML have been parsed."""
        return self._annexb.xml_bytes

    @property
    def inner_name(self) -> str | None:
        """The name that the .gz gives its content, as it stands there; ``None`` if it gives none."""
        return self._gunzip.inner_name

    def near(self) -> tuple[NearLimit, ...]:
        """Name the limits that the file came near; complete after a normal end."""
        taken = LimitUsage(
            decompressed_bytes=self._gunzip.decompressed_bytes,
            ratio=self._gunzip.ratio,
            records=self._annexb.records,
            record_bytes=self._annexb.longest_wait,
            field_length=self._lengths.longest,
            depth=self._annexb.deepest if self._annexb.deepest > FLAT else 0,
        )
        return taken.near(self._limits)

    def __iter__(self) -> Iterator[Made | Rejected]:
        """Yield every record in the file's order; raises ``BadExtract``."""
        for number, record in enumerate(self._annexb.read(self._gunzip), start=1):
            found = self._judge(number, record)
            if isinstance(found, Rejected):
                self.rejected += 1
                found = replace(found, xml=evidence(record, limit=self._limits.evidence_bytes))
            yield found
        self._check_share()

    def _judge(self, number: int, record: _Element) -> Made | Rejected:
        try:
            claims = read_claims(record, lengths=self._lengths, nested=self._annexb.nested)
        except Repeated as exc:
            return Rejected(
                number=number,
                reason=RejectReason.ELEMENT_REPEATED,
                detail=f"{exc} stands more than once in the record",
            )
        except FieldTooLong as exc:
            return Rejected(
                number=number,
                reason=RejectReason.FIELD_TOO_LONG,
                detail=f"{exc} has more than {self._limits.field_length} characters",
                serial=read_serial(record),
            )
        return self._understand(number, claims)

    def _check_share(self) -> None:
        """Refuse a file of which too much was not understood."""
        limits = self._limits
        few = self.rejected <= max(limits.quarantine_allowance, limits.quarantine_share * self.records)
        if not few:
            what = f"{self.rejected} of its {self.records} records could not be understood"
            raise bad_extract(Fault.TOO_MANY_REJECTED, self._name, what)


def read_extract(
    chunks: Iterable[bytes],
    *,
    name: str,
    understand: Understand[Made],
    limits: ReaderLimits = DEFAULT_LIMITS,
) -> Iterator[Made | Rejected]:
    """Read one extract from the ``chunks`` of its .gz, in constant memory.

    Yields every record in the file's order. Raises :class:`~smki_sync.errors.BadExtract`, its reason
    one of :class:`~smki_sync.errors.Fault`; until it has ended normally nothing is proven.
    """
    return iter(ExtractReader(chunks, name=name, understand=understand, limits=limits))
