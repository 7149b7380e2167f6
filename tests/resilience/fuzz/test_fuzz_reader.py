"""Any bytes in place of an extract: records, or one of the named faults, and nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.damage.files import packed
from resilience.fuzz.mutations import corpus, fuzzing, mutated
from smki_sync.cli.exit_codes import failure_text
from smki_sync.errors import BadExtract, Fault
from smki_sync.model.certificate import Entry, Rejected
from smki_sync.reader import ExtractReader, ReaderLimits
from smki_sync.records import PreParsed, finish_parse, parse_record, pre_parse

NAME = "SMKIKR_DELT_2026-11-22.xml.gz"
LIMITS = ReaderLimits(
    decompressed_bytes=200_000,
    records=50,
    record_bytes=66_000,
    field_length=3_000,
    depth=8,
    leading_bytes=2_000,
)
"""Small enough that random files reach them."""

WORDS = [
    *(b"<CertificateResponse>", b"</CertificateResponse>", b"<CertificateBody>", b"</CertificateBody>"),
    *(
        b"<CertificateStatus>I</CertificateStatus>",
        b"</CertificateDataResponse>",
        b"<CertificateDataResponse>",
    ),
    *(b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"&#0;", b"&#x110000;", b"&amp;", b"<![CDATA[", b"]]>"),
    *(b"<!--", b"-->", b"<?xml version='1.0' encoding='UTF-16'?>", b"<?a b?>", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b" xmlns='urn:a'", b"<a:b xmlns:a='urn:c'/>", b" xml:id='a'", b"\0", b"\xc3\x28", b" " * 2_100),
    *(b"<x>" * 9, b"A" * 3_100, b"<ResponseCode>500</ResponseCode>", b"<x/>" * 60),
]
GZ_WORDS = [b"\x1f\x8b\x08", b"\x1f\x8b\x08\x1f", b"\0" * 30, b"\xff" * 12, packed(b""), packed(b"<a/>")]

XML = corpus("xml")
GZ = corpus("gz")

Outcome = tuple[list[Entry | Rejected], str]
"""The records before the end, and the code of the fault, if any."""


def code_of(error: BadExtract) -> str:
    """Check that an error names its file, has a hint, and is printable."""
    assert error.message.startswith(NAME)
    assert error.hint
    assert failure_text(error).replace("\n", "").isprintable()
    return Fault(error.reason).value


def outcome(data: bytes, *, size: int = 1 << 20) -> Outcome:
    """Read a file to its end. Any exception but ``BadExtract`` fails the test."""
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    reader = ExtractReader(chunks, name=NAME, understand=parse_record, limits=LIMITS)
    found: list[Entry | Rejected] = []
    try:
        found.extend(reader)
    except BadExtract as error:
        return found, code_of(error)
    assert reader.records == len(found) <= LIMITS.records
    assert reader.compressed_bytes == len(data)
    assert [record.number for record in found] == list(range(1, len(found) + 1))
    assert all(near.figure <= near.limit for near in reader.near())
    return found, ""


@pytest.mark.parametrize("name", XML)
def test_xml_of_the_corpus_has_the_expected_outcome(name: str) -> None:
    records, fault = outcome(packed(XML[name]))
    assert fault == name.split(".")[1] or (fault == "" and name.split(".")[1] == "sound")
    assert records or fault or name.startswith("empty.")


@pytest.mark.parametrize("name", GZ)
def test_gz_of_the_corpus_has_the_expected_outcome(name: str) -> None:
    assert outcome(GZ[name])[1] == name.split(".")[1].replace("sound", "")


def test_corpus_contains_each_fault_of_a_small_file() -> None:
    large = {Fault.RATIO_EXCEEDED, Fault.TOO_LARGE, Fault.RECORD_TOO_LARGE, Fault.TOO_MANY_NAMES}
    beside = {Fault.NOT_A_FULL, Fault.NOT_A_DELTA, Fault.SHRINKS_MIRROR, Fault.INNER_NAME, Fault.OTHER_SHA256}
    known = {name.split(".")[1] for name in (*XML, *GZ)} - {"sound"}
    assert known == {fault.value for fault in set(Fault) - large - beside}


@fuzzing
@given(mutated(list(XML.values()), WORDS))
def test_mutated_xml_is_read_or_rejected(xml: bytes) -> None:
    outcome(packed(xml, level=1))


@fuzzing
@given(mutated(list(GZ.values()), GZ_WORDS), st.integers(1, 5_000))
def test_mutated_gz_has_one_outcome_for_any_chunks(data: bytes, size: int) -> None:
    assert outcome(data, size=size) == outcome(data)


@fuzzing
@given(mutated(list(XML.values()), WORDS), st.integers(1, 700))
def test_mutated_xml_has_one_outcome_for_any_members(xml: bytes, size: int) -> None:
    members = b"".join(packed(xml[at : at + size], level=1) for at in range(0, len(xml), size))
    assert outcome(members or packed(b"")) == outcome(packed(xml, level=1))


@fuzzing
@given(mutated(list(XML.values()), WORDS))
def test_two_step_parsing_has_the_same_outcome(xml: bytes) -> None:
    def read() -> Iterator[Entry | Rejected]:
        reader: ExtractReader[PreParsed | Entry] = ExtractReader(
            [packed(xml, level=1)], name=NAME, understand=pre_parse, limits=LIMITS
        )
        for record in reader:
            yield finish_parse(record) if isinstance(record, PreParsed) else record

    found: list[Entry | Rejected] = []
    fault = ""
    try:
        found.extend(read())
    except BadExtract as error:
        fault = error.reason
    assert (found, fault) == outcome(packed(xml, level=1))


# Memory: hundreds of hostile files, one after the other, in a process of its own.

PROGRAM = """
import gc, random, sys
sys.path.insert(0, sys.argv[1])
from resilience.fuzz.test_fuzz_reader import GZ, WORDS, XML, outcome
from resilience.damage.files import packed

rng, seeds = random.Random(1), list(XML.values())

def held():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4

def damage(data):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(WORDS) + data[at + rng.randrange(40):]

def some(number):
    for _ in range(number):
        outcome(packed(damage(damage(rng.choice(seeds))), level=1))
        outcome(damage(rng.choice(list(GZ.values()))))

some(300)
before = held()
some(1200)
print(held() - before)
"""


def test_memory_is_constant_for_many_hostile_files() -> None:
    tests = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tests)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 6 * 1024
