"""Memory does not grow with a file, and a hostile one gets nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.extract_files import DECLARATION, failure_of, gz, reader_of, record

MIB = 1 << 20
ROOT = "CertificateDataResponse"

# Reads so many records of a shape in a process of its own, and prints by how many KiB its peak grew
# after the first tenth: what start-up and the first steps need does not count.
PROGRAM = """
import random, resource, sys, zlib
from support.extract_files import NAME, accept, record
from smki_sync.reader import ExtractReader

shape, records = sys.argv[1], int(sys.argv[2])
rng = random.Random(1)

def packed():
    deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
    yield deflate.compress(b"<CertificateDataResponse>")
    for n in range(1, records + 1):
        content = shape.format(n=n, record=record(n, CertificateBody=rng.randbytes(280).hex()))
        if chunk := deflate.compress(content.encode()):
            yield chunk
    yield deflate.compress(b"</CertificateDataResponse>") + deflate.flush()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

reader = ExtractReader(packed(), name=NAME, understand=accept)
early = 0
for _ in reader:
    if reader.records == records // 10:
        early = peak()
assert reader.records == records
print(peak() - early)
"""


@pytest.mark.parametrize(
    ("shape", "records"),
    [
        ("{record}\n  ", 200_000),
        ("<Page><Meta>{n}</Meta>{record}</Page>\n", 60_000),
        ("<Junk a='{n}'><Deep>{n}</Deep></Junk>{record}text {n}", 60_000),
        ("<p:x xmlns:p='urn:y' xml:id='i{n}'/>{record}<!-- {n} -->", 60_000),
    ],
    ids=["plain", "wrapped", "strewn", "attributes"],
)
def test_memory_is_constant_for_many_records(shape: str, records: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, shape, str(records)],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(done.stdout) < 4 * 1024


@pytest.mark.parametrize("entity", ["SYSTEM 'file://{path}'", "PUBLIC 'x' 'file://{path}'"])
def test_reader_reads_no_external_entity(tmp_path: Path, entity: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("200")
    declared = f"<!DOCTYPE {ROOT} [<!ENTITY x {entity.format(path=secret)}>]>"
    contents = f"<ResponseCode>&x;</ResponseCode>{record(CertificateStatus='&x;')}"
    xml = f"{DECLARATION}{declared}<{ROOT}>{contents}</{ROOT}>"
    reader = reader_of(gz(xml))
    with pytest.raises(Exception, match="DOCTYPE") as caught:
        next(iter(reader))
    assert getattr(caught.value, "reason", None) == "doctype"
    assert reader.xml_bytes == 0, "the parser proper was given nothing"


@pytest.mark.parametrize(
    "declarations",
    [
        "<!ENTITY a 'aaaaaaaaaa'>"
        + "".join(f"<!ENTITY {chr(n + 1)} '{f'&{chr(n)};' * 10}'>" for n in range(ord("a"), ord("k"))),
        "<!ENTITY % a 'aaaaaaaaaa'>"
        + "".join(f"<!ENTITY % {chr(n + 1)} '{f'&#37;{chr(n)};' * 10}'>" for n in range(ord("a"), ord("k")))
        + "%k;",
        "<!ENTITY k '" + "k" * 60_000 + "'>",
    ],
    ids=["billion-laughs", "parameter-entities", "quadratic"],
)
def test_reader_expands_no_entities(declarations: str) -> None:
    xml = f"<!DOCTYPE {ROOT} [{declarations}]><{ROOT}>{record(CertificateBody='&k;' * 20)}</{ROOT}>"
    failure = failure_of(gz(xml))
    assert failure is not None
    assert failure.reason == "doctype"
