"""From a fetched file to understood records, in this process or with a helper beside it.

For: whoever applies an extract. A full is unpacked, parsed and understood in a process of its own
(:mod:`.helper`) while this one writes rows and moves the digest; the pipe between them bounds what is in
flight. One file, one helper, one pipe: order and counts are those of the file. A small file, or a
machine with one core, is read here. Refuses: to go on when the helper ends without having said that
the whole file was good.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from smki_sync.catalogue import Names, named_inside
from smki_sync.download import Fetched
from smki_sync.mirror.rows import Batch, batches_of
from smki_sync.model.certificate import Entry, Rejected
from smki_sync.model.faults import Fault, bad_extract
from smki_sync.reader import ExtractReader, ReaderLimits, inner_name
from smki_sync.records import understand
from smki_sync.sync.beside import Noted, Told, batches_from, deaf, start_helper

APART_BYTES: Final = 4 << 20
"""Size of a .gz from which a helper pays: some 20 000 records, read here in the time that it starts."""

_TELL: Final = 1_000  # records between two words on progress


def check_inner_name(fetched: Fetched, names: Names) -> None:
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
    fetched: Fetched, limits: ReaderLimits, told: Told, noted: Noted = lambda _near: None
) -> Iterator[Entry | Rejected]:
    """The records of a file, read here; ends only if the whole file is proven good."""
    name = fetched.file.extract.name
    reader = ExtractReader(fetched.chunks(), name=name, understand=understand, limits=limits)
    for number, record in enumerate(reader, 1):
        if number % _TELL == 0:
            told(number, reader.compressed_bytes)
        yield record
    told(reader.records, reader.compressed_bytes)
    for near in reader.near():
        noted(near)


def read_batches(
    fetched: Fetched,
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


def _read_apart(fetched: Fetched, limits: ReaderLimits, told: Told, noted: Noted) -> Iterator[Batch]:
    name = fetched.file.extract.name
    with ExitStack() as stack:
        with deaf():
            helper = stack.enter_context(start_helper(fetched.path, name, limits))
            stack.callback(helper.kill)  # it has ended, or nobody reads it any more
        yield from batches_from(helper, name, told, noted)
