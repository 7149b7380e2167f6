"""One extract, from the bytes of its .gz to entries and rejected records.

Iteration ends normally only if the whole file is proven good, so commit nothing before that::

    reader = ExtractReader(chunks, name=extract.name, understand=parse_record)
    for record in reader:
        ...
"""

from collections.abc import Callable, Iterable, Iterator
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
"""Result of a rule for a record that it does not reject."""

Understand = Callable[[int, Claims], Made | Rejected]
"""A rule: the number of a record in its file, from 1, and its claims → result or rejection."""

DEFAULT_LIMITS = ReaderLimits()


class ExtractReader(Generic[Made]):
    """Reads one extract; iterate once. ``rejected``: number of rejected records so far."""

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        name: str,
        understand: Understand[Made],
        limits: ReaderLimits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare to read ``chunks``, the bytes of the .gz in order. Messages contain ``name``."""
        self._gzip = GzipStream(chunks, name=name, limits=limits)
        self._xml = XmlRecordStream(name=name, limits=limits)
        self._name = name
        self._understand = understand
        self._limits = limits
        self._lengths = FieldLengths(limits.field_length)
        self.rejected = 0

    @property
    def records(self) -> int:
        """Number of records that were read."""
        return self._xml.records

    @property
    def compressed_bytes(self) -> int:
        """Bytes of the .gz that were unpacked: all of them after a normal end."""
        return self._gzip.compressed_bytes

    @property
    def xml_bytes(self) -> int:
        """Bytes of XML that were parsed."""
        return self._xml.xml_bytes

    @property
    def inner_name(self) -> str | None:
        """Name of the content according to the .gz, ``None`` if it has none."""
        return self._gzip.inner_name

    def near(self) -> tuple[NearLimit, ...]:
        """Return the limits that the file came near. Complete after a normal end."""
        usage = LimitUsage(
            decompressed_bytes=self._gzip.decompressed_bytes,
            ratio=self._gzip.ratio,
            records=self._xml.records,
            record_bytes=self._xml.longest_wait,
            field_length=self._lengths.longest,
            depth=self._xml.deepest if self._xml.deepest > FLAT else 0,
        )
        return usage.near(self._limits)

    def __iter__(self) -> Iterator[Made | Rejected]:
        """Yield each record in the order of the file. Raises ``BadExtract``."""
        for number, record in enumerate(self._xml.read(self._gzip), start=1):
            found = self._parse(number, record)
            if isinstance(found, Rejected):
                self.rejected += 1
                found = found._replace(xml=evidence(record, limit=self._limits.evidence_bytes))
            yield found
        self._check_share()

    def _parse(self, number: int, record: _Element) -> Made | Rejected:
        try:
            claims = read_claims(record, lengths=self._lengths, nested=self._xml.nested)
        except Repeated as exc:
            return Rejected(
                number=number,
                reason=RejectReason.ELEMENT_REPEATED,
                detail=f"{exc} occurs more than once in the record",
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
        """Refuse a file with too many rejected records."""
        limits = self._limits
        if self.rejected > max(limits.quarantine_allowance, limits.quarantine_share * self.records):
            what = f"{self.rejected} of its {self.records} records cannot be read"
            raise bad_extract(Fault.TOO_MANY_REJECTED, self._name, what)


def read_extract(
    chunks: Iterable[bytes],
    *,
    name: str,
    understand: Understand[Made],
    limits: ReaderLimits = DEFAULT_LIMITS,
) -> Iterator[Made | Rejected]:
    """Read one extract from the ``chunks`` of its .gz, in constant memory.

    Yields each record in the order of the file. Raises :class:`~smki_sync.errors.BadExtract` with a reason
    of :class:`~smki_sync.errors.Fault`. Nothing is proven until the iteration has ended normally.
    """
    return iter(ExtractReader(chunks, name=name, understand=understand, limits=limits))
