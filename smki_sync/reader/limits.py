"""How much a file may ask of this machine before it is refused, and when to say that it comes near.

For: one place for every bound of the reader, each with its unit, its default and its reason. Refuses:
to enforce them; each is enforced where it can first be known.
"""

from dataclasses import dataclass
from typing import Final

from smki_sync.model.report import NearLimit

KIB = 1024
MIB = 1024 * KIB
TIB = 1024 * 1024 * MIB

NEAR_PERCENT: Final = 40
"""Percent of a limit from which a file is said to come near it. Early enough: extracts grow by some percent
a year, and whoever is told at two fifths has years to ask whether it is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderLimits:
    """Bounds on one extract. A file at a bound is read; one beyond it raises ``BadExtract``.

    ``decompressed_bytes``: of XML in all. Today's full is put at 180 GB at most; five times that.
    ``ratio``: decompressed over compressed bytes. Real extracts have 4 to 5, a gzip bomb 1 000.
    ``ratio_floor``: bytes of XML below which the ratio does not count: small files may repeat.
    ``records``: in one file. Today's full is put at 200 million at most; five times that.
    ``record_bytes``: of XML without the end of a record, known to within two steps of 64 KiB. A
    record has about 911 bytes. What is not yet ended is held in memory: this keeps it flat.
    ``field_length``: of one claim, in characters, white space included. A body has about 560.
    ``depth``: of nested elements, the root being 1. Annex B has 3; libxml2 itself stops at 256.
    ``leading_bytes``: of XML, white space and comments before the root's start tag has ended.
    ``names``: distinct ones of elements, attributes and namespaces, and runs of white space, put at a
    multiple of those that looks at a few steps see (:mod:`.names`). An extract has some twenty; the XML
    library keeps each in 30 to 130 octets for the life of the process.
    ``evidence_bytes``: of XML kept for a rejected record.
    ``quarantine_share``: of all records that may be rejected, from 0 to 1. Beyond it the format has
    changed, and a mirror made from the rest would lack what its users need.
    ``quarantine_allowance``: of rejected records whatever their share, so that one poison record
    does not stop a small delta.
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
    "decompressed_bytes": "limits.decompressed_bytes",
    "ratio": "limits.ratio",
    "records": "limits.records",
    "record_bytes": "limits.record_bytes",
    "field_length": "limits.field_bytes",
    "depth": "limits.depth",
}
"""Limits that an honest file can grow towards, and the keys of the configuration that raise them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one file took of the limits of :data:`KEYS`, each the most of it.

    A figure may be 0 or too small as long as it is not near: what is far from its limit is not measured.
    """

    decompressed_bytes: int
    ratio: int
    records: int
    record_bytes: int
    field_length: int
    depth: int

    def near(self, limits: ReaderLimits) -> tuple[NearLimit, ...]:
        """Name the limits of which a share of :data:`NEAR_PERCENT` or more was taken."""
        figures = ((key, getattr(self, name), getattr(limits, name)) for name, key in KEYS.items())
        return tuple(
            NearLimit(key=key, figure=figure, limit=limit)
            for key, figure, limit in figures
            if figure >= near_of(limit)
        )


def near_of(limit: int) -> int:
    """Give the smallest whole figure that is near ``limit``."""
    return -(-limit * NEAR_PERCENT // 100)
