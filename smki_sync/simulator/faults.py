"""What can go wrong at a repository, each by name.

For: one closed vocabulary for tests and for ``simulate advance --fault``, and the damage itself, done
to records or to the octets of a file. Refuses: to publish; the repository does that.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum

from smki_sync.errors import UsageError
from smki_sync.simulator.file_format import Record


class Fault(StrEnum):
    """What goes wrong on a day. Those named for a full concern the full of that day, others its delta."""

    WITHHOLD_DELTA = "withhold-delta"
    """The delta is never published."""
    LATE_DELTA = "late-delta"
    """The delta is published a day late."""
    WITHHOLD_FULL = "withhold-full"
    """The full is never published."""
    TRUNCATE = "truncate"
    """The delta ends too early."""
    CORRUPT = "corrupt"
    """One octet of the delta is wrong."""
    TRUNCATE_FULL = "truncate-full"
    """The full ends too early."""
    CORRUPT_FULL = "corrupt-full"
    """One octet of the full is wrong."""
    SHRINK_FULL = "shrink-full"
    """The full is sound and lists every fourth certificate only."""
    EMPTY_FILE = "empty-file"
    """The delta has no octets at all."""
    MISMATCHED_TAG = "mismatched-tag"
    """The closing tag of the last record is another element's."""
    POISON_RECORD = "poison-record"
    """One more record, whose body is no certificate."""
    CLAIMS_OF_ANOTHER = "claims-of-another"
    """One record claims serial and usage of another certificate than its body."""
    CHANGE_AFTER_PUBLICATION = "change-after-publication"
    """The delta before is replaced by other valid octets of another size, to the same effect."""
    SAME_SIZE_CHANGE = "same-size-change"
    """The delta before is replaced by other valid octets of the same size."""
    HALF_WRITTEN = "half-written"
    """Tomorrow's delta stands there half, under a temporary name, until tomorrow."""
    STRANGE_NAME = "strange-name"
    """A copy of the delta stands beside it under a name that no rule knows."""
    IMPOSSIBLE_DATE = "impossible-date"
    """A copy of the delta is dated 30 February."""
    FUTURE_FULL = "future-full"
    """A sound full is dated 2099."""
    OLDER_CRL = "older-crl"
    """The CRL of two days before is published again."""
    FORGED_CRL = "forged-crl"
    """The CRL is signed by another key than the one that it names."""
    STRANGER_CRL = "stranger-crl"
    """The CRL is signed by an authority that no extract has."""
    CORRUPT_CRL = "corrupt-crl"
    """One octet of the CRL's file is wrong."""
    WITHHOLD_LISTS = "withhold-lists"
    """Neither ARL nor CRL is on offer."""
    LISTED_ALONE = "listed-alone"
    """The CRL names a supplier's certificate that every extract has as In-Use."""
    SLOTS_DIFFER = "slots-differ"
    """The anchor slots of the north have a supplier's certificate that the others have not."""


ON_FULLS = frozenset({Fault.WITHHOLD_FULL, Fault.TRUNCATE_FULL, Fault.CORRUPT_FULL, Fault.SHRINK_FULL})
"""Faults that need a day with a full."""

POISON = b"this is not a certificate"
POISON_EUI = "00-DB-12-00-00-00-00-00"
POISON_SERIAL = "0BAD0BAD0BAD0BAD0BAD0BAD0BAD0BAD"
SHRUNKEN_TO = 4
"""One certificate in so many stays in a shrunken full."""


def _poison(records: Iterable[Record]) -> list[Record]:
    """Add a record whose body is no certificate, in the middle."""
    found = list(records)
    bad = Record(alt_name=POISON_EUI, serial=POISON_SERIAL, status="I", body=POISON, usage="DS")
    return [*found[: len(found) // 2], bad, *found[len(found) // 2 :]]


def _confuse(records: Iterable[Record]) -> list[Record]:
    """Let the first end entity's record claim serial and usage of one of the other usage."""
    found = list(records)
    ends = [place for place, record in enumerate(found) if record.usage and not record.authority]
    others = [place for place in ends if found[place].usage != found[ends[0]].usage]
    if not others:
        raise UsageError("claims-of-another needs two certificates of different usage in the delta")
    victim, other = ends[0], found[others[0]]
    found[victim] = replace(found[victim], serial=other.serial, usage=other.usage)
    return found


def _shrink(records: Iterable[Record]) -> list[Record]:
    return list(records)[::SHRUNKEN_TO]


def _mismatch(xml: bytes) -> bytes:
    """Close the last record, or the document where there is none, with another element's tag."""
    before, tag, after = xml.rpartition(b"CertificateResponse>")
    if not tag:
        before, tag, after = xml.rpartition(b"CertificateDataResponse>")
    return before + b"CertificateStatus>" + after


def _truncate(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _corrupt(data: bytes) -> bytes:
    """Flip one octet from the middle on: the first that the container's own checks notice."""
    flipped = (
        data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 :] for at in range(len(data) // 2, len(data))
    )
    return next(bad for bad in flipped if not _is_sound(bad))


def _is_sound(data: bytes) -> bool:
    try:
        gzip.decompress(data)
    except (EOFError, OSError, zlib.error):
        return False
    return True


ON_RECORDS: Mapping[Fault, Callable[[Iterable[Record]], Iterable[Record]]] = {
    Fault.SHRINK_FULL: _shrink,
    Fault.CLAIMS_OF_ANOTHER: _confuse,
    Fault.POISON_RECORD: _poison,
}
"""What is done to the records before they are written, in this order."""

ON_XML: Mapping[Fault, Callable[[bytes], bytes]] = {Fault.MISMATCHED_TAG: _mismatch}
"""What is done to the XML."""

ON_FILES: Mapping[Fault, Callable[[bytes], bytes]] = {
    Fault.CORRUPT: _corrupt,
    Fault.CORRUPT_FULL: _corrupt,
    Fault.TRUNCATE: _truncate,
    Fault.TRUNCATE_FULL: _truncate,
    Fault.EMPTY_FILE: lambda _: b"",
}
"""What is done to the file as it would be served, in this order."""
