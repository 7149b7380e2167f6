"""More than 4 GiB of XML in one gz member of more than 4 GiB, read as a stream: sizes pass every 32-bit edge.

`PYTHONPATH=tests python -m performance.stream [GIB]`. The stream is made on the way, so nothing lies on disk.
"""

import resource
import sys
import time
import zlib
from collections.abc import Iterator

from performance.data import Cast
from smki_sync.reader import ExtractReader
from smki_sync.records import pre_parse

GIB = 1 << 30
MIB = 1 << 20


def one_member(octets: int) -> Iterator[bytes]:
    """One gz member, stored without compression, of at least ``octets`` of XML."""
    pack = zlib.compressobj(level=0, wbits=31)
    cast = Cast(seed=1)
    block = "".join(cast.record() for _ in range(2_000)).encode()
    yield pack.compress(b"<CertificateDataResponse>")
    for _ in range(octets // len(block) + 1):
        yield pack.compress(block)
    yield pack.compress(b"</CertificateDataResponse>") + pack.flush()


def main(gib: float = 4.5) -> None:
    """Read it, and print what it came to."""
    began = time.perf_counter()
    reader = ExtractReader(one_member(int(gib * GIB)), name="stream", understand=pre_parse)
    for _ in reader:
        pass
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"one member of {reader.compressed_bytes / GIB:.2f} GiB, {reader.xml_bytes / GIB:.2f} GiB of XML:"
        f" {reader.records:,} records in {took:.0f} s, peak {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
