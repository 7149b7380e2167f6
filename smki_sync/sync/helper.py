"""The process that reads a full beside the one that writes it (``python -m smki_sync.sync.helper ERRAND``).

For: :mod:`.reading`, which starts it and reads what it writes on stdout. It opens one file and reads
it; it writes nothing else. Refuses: to outlive who started it: when the pipe breaks, it ends. It is started
deaf to Ctrl-C, SIGTERM and SIGHUP, which reach the whole group: who started it decides.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from smki_sync.download import chunks_of, follow
from smki_sync.errors import OutOfMemory, SmkiSyncError
from smki_sync.mirror.rows import BATCH
from smki_sync.model.certificate import Entry
from smki_sync.reader import ExtractReader, ReaderLimits
from smki_sync.records import Sifted, sift
from smki_sync.sync.reader_process import MARK_OCTETS, write_end, write_error, write_records


def main(arguments: Sequence[str], out: BinaryIO) -> None:
    """Read the file of the errand, a JSON object with ``path``, ``name`` and ``limits``.

    ``following``: the file is still coming in, and words on stdin say how far it may be read.
    """
    errand = json.loads(arguments[0])
    path = Path(errand["path"])
    reader: ExtractReader[Sifted | Entry] = ExtractReader(
        follow(path, read_marks(sys.stdin.buffer)) if errand.get("following") else chunks_of(path),
        name=errand["name"],
        understand=sift,
        limits=ReaderLimits(**errand["limits"]),
    )
    try:
        found = iter(reader)
        while some := list(islice(found, BATCH)):
            write_records(out, some, records=reader.records, done=reader.compressed_bytes)
    except SmkiSyncError as error:
        write_error(out, error)
    except MemoryError:
        write_error(out, OutOfMemory(f"the process that reads {errand['name']} was given no more memory"))
    else:
        write_end(out, reader.near())


def read_marks(stream: BinaryIO) -> Iterator[int]:
    """How far the file has come, word by word; ends when who says so closes the pipe, or dies."""
    while len(word := stream.read(MARK_OCTETS)) == MARK_OCTETS:
        yield int.from_bytes(word)


if __name__ == "__main__":
    with suppress(BrokenPipeError), os.fdopen(os.dup(sys.stdout.fileno()), "wb") as pipe:
        main(sys.argv[1:], pipe)
