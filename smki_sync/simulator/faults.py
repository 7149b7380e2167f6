"""Faults of a repository by name, for tests and ``simulate advance --fault``, and how to cause them."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum

from smki_sync.errors import UsageError
from smki_sync.simulator.file_format import Record


class Fault(StrEnum):
    """A fault on a day. It concerns the full of that day if its name says so, otherwise the delta."""

    WITHHOLD_DELTA = "withhold-delta"
    """The delta is never published."""
    LATE_DELTA = "late-delta"
    """The delta is published a day late."""
    WITHHOLD_FULL = "withhold-full"
    """The full is never published."""
    TRUNCATE = "truncate"
    """The delta ends too early."""
    CORRUPT = "corrupt"
    """One byte of the delta is wrong."""
    TRUNCATE_FULL = "truncate-full"
    """The full ends too early."""
    CORRUPT_FULL = "corrupt-full"
    """One byte of the full is wrong."""
    SHRINK_FULL = "shrink-full"
    """The full is valid but lists only every fourth certificate."""
    EMPTY_FILE = "empty-file"
    """The delta is an empty file."""
    MISMATCHED_TAG = "mismatched-tag"
    """The closing tag of the last record belongs to another element."""
    POISON_RECORD = "poison-record"
    """An additional record has a body that is not a certificate."""
    CLAIMS_OF_ANOTHER = "claims-of-another"
    """One record claims the serial number and usage of another certificate than its body."""
    CHANGE_AFTER_PUBLICATION = "change-after-publication"
    """The previous delta is replaced by other valid bytes of another size with the same content."""
    SAME_SIZE_CHANGE = "same-size-change"
    """The previous delta is replaced by other valid bytes of the same size."""
    HALF_WRITTEN = "half-written"
    """Half of the next delta is published under a temporary name until the next day."""
    STRANGE_NAME = "strange-name"
    """A copy of the delta is published under an unrecognised name."""
    IMPOSSIBLE_DATE = "impossible-date"
    """A copy of the delta is dated 30 February."""
    FUTURE_FULL = "future-full"
    """A valid full is dated 2099."""
    OLDER_CRL = "older-crl"
    """The CRL of two days ago is published again."""
    FORGED_CRL = "forged-crl"
    """The CRL is signed by another key than that of its issuer."""
    STRANGER_CRL = "stranger-crl"
    """The CRL is signed by an authority that is not in any extract."""
    CORRUPT_CRL = "corrupt-crl"
    """One byte of the CRL file is wrong."""
    WITHHOLD_LISTS = "withhold-lists"
    """Neither the ARL nor the CRL is published."""
    LISTED_ALONE = "listed-alone"
    """The CRL lists a certificate of a supplier that is In-Use in every extract."""
    SLOTS_DIFFER = "slots-differ"
    """The anchor slots of the north contain a certificate of a supplier; those of the south do not."""


ON_FULLS = frozenset({Fault.WITHHOLD_FULL, Fault.TRUNCATE_FULL, Fault.CORRUPT_FULL, Fault.SHRINK_FULL})
"""Faults that need a day with a full."""

POISON = b"this is not a certificate"
POISON_EUI = "00-DB-12-00-00-00-00-00"
POISON_SERIAL = "0BAD0BAD0BAD0BAD0BAD0BAD0BAD0BAD"
SHRUNK_EVERY = 4
"""A shrunken full contains one certificate of this many."""


def _poison(records: Iterable[Record]) -> list[Record]:
    """Add a record whose body is not a certificate, in the middle."""
    found = list(records)
    bad = Record(alt_name=POISON_EUI, serial=POISON_SERIAL, status="I", body=POISON, usage="DS")
    return [*found[: len(found) // 2], bad, *found[len(found) // 2 :]]


def _swap_claims(records: Iterable[Record]) -> list[Record]:
    """Let the first record of an end entity claim serial number and usage of one with another usage."""
    found = list(records)
    ends = [place for place, record in enumerate(found) if record.usage and not record.authority]
    others = [place for place in ends if found[place].usage != found[ends[0]].usage]
    if not others:
        raise UsageError("The fault claims-of-another needs two usages in the delta.")
    victim, other = ends[0], found[others[0]]
    found[victim] = replace(found[victim], serial=other.serial, usage=other.usage)
    return found


def _shrink(records: Iterable[Record]) -> list[Record]:
    return list(records)[::SHRUNK_EVERY]


def _mismatch(xml: bytes) -> bytes:
    """Close the last record, or the document if there is no record, with the tag of another element."""
    before, tag, after = xml.rpartition(b"CertificateResponse>")
    if not tag:
        before, tag, after = xml.rpartition(b"CertificateDataResponse>")
    return before + b"CertificateStatus>" + after


def _truncate(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def _corrupt(data: bytes) -> bytes:
    """Invert the first byte after the middle whose change the checks of gzip detect."""
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
    Fault.CLAIMS_OF_ANOTHER: _swap_claims,
    Fault.POISON_RECORD: _poison,
}
"""Faults in the records, in this order."""

ON_XML: Mapping[Fault, Callable[[bytes], bytes]] = {Fault.MISMATCHED_TAG: _mismatch}
"""Faults in the XML."""

ON_FILES: Mapping[Fault, Callable[[bytes], bytes]] = {
    Fault.CORRUPT: _corrupt,
    Fault.CORRUPT_FULL: _corrupt,
    Fault.TRUNCATE: _truncate,
    Fault.TRUNCATE_FULL: _truncate,
    Fault.EMPTY_FILE: lambda _: b"",
}
"""Faults in the compressed file, in this order."""
