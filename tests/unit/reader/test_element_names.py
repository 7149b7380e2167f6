"""Names that the XML library would keep for ever: looked at now and then, refused when they are too many."""

from collections.abc import Callable, Iterator
from random import Random

import pytest
from support.extract_files import NAME, accept, document, gz, in_chunks, reader_of, reason_of, record

from smki_sync.errors import BadExtract
from smki_sync.reader import ExtractReader, ReaderLimits, xml_stream

SPACES = " \t\n"


def blank(number: int) -> str:
    """A run of white space that no other number has."""
    return "".join(SPACES[number // 3**place % 3] for place in range(20))


STRANGE: dict[str, Callable[[int], str]] = {
    "element": lambda n: f"<n{n}/>",
    "element in a record": lambda n: record(n).replace(
        "</CertificateResponse>", f"<n{n}/></CertificateResponse>"
    ),
    "element far below": lambda n: f"<a><b><c><n{n}/></c></b></a>",
    "attribute": lambda n: f"<a n{n}=''/>",
    "namespace": lambda n: f"<a xmlns='urn:{n}'/>",
    "prefix that is not used": lambda n: f"<a xmlns:n{n}='urn:a'/>",
    "processing instruction": lambda n: f"<?n{n} x?>",
    "white space": lambda n: f"{blank(n)}<a/>",
    "white space as a text": lambda n: f"<a>{blank(n)}</a>",
}
EACH = pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE.keys())


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is looked at, as if chance had it so."""
    monkeypatch.setattr(xml_stream, "SAMPLE_INTERVAL", 1)


@EACH
@pytest.mark.usefixtures("every_step")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_reader_raises_when_there_are_too_many_names(strange: Callable[[int], str], encoding: str) -> None:
    """Some twenty names are an extract's own, its elements and its namespaces."""

    def of(number: int) -> bytes:
        xml = document(*(strange(n) for n in range(1, number + 1)), record())
        return gz(xml.replace("UTF-8", encoding).encode(encoding))

    limits = ReaderLimits(names=100)
    assert reason_of(of(70), limits=limits) is None
    assert reason_of(of(101), limits=limits) == "too-many-names"


@pytest.mark.usefixtures("every_step")
def test_reader_counts_repeated_names_once() -> None:
    unit = f"\n    {record()}\n    <a b='1' xmlns='urn:x'><c/></a><?p q?>"
    assert reason_of(gz(document(unit * 500)), limits=ReaderLimits(names=60)) is None


@pytest.mark.usefixtures("every_step")
def test_reader_counts_a_long_name_several_times() -> None:
    data = gz(document(f"<{'n' * 64 * 100}/>", record()))
    assert reason_of(data, limits=ReaderLimits(names=100)) == "too-many-names"
    assert reason_of(data, limits=ReaderLimits(names=140)) is None


@pytest.mark.usefixtures("every_step")
def test_error_names_file_and_limit_when_there_are_too_many_names() -> None:
    data = gz(document(*(f"<n{n}/>" for n in range(200)), record()))
    with pytest.raises(BadExtract, match=f"^{NAME}: it has more than 100 distinct names") as caught:
        list(reader_of(data, limits=ReaderLimits(names=100)))
    assert "the developers" in caught.value.hint


def test_reader_raises_early_when_a_file_has_only_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as could be wished for: it would never end."""
    monkeypatch.setattr(xml_stream, "Random", lambda: Random(1))
    told = 0

    def endless() -> Iterator[bytes]:
        nonlocal told
        yield gz("<CertificateDataResponse>")
        while True:
            yield gz("".join(f"<n{told + n}/>" for n in range(1000)) + record())
            told += 1000

    reader = ExtractReader(endless(), name=NAME, understand=accept)
    with pytest.raises(BadExtract) as caught:
        list(reader)
    assert caught.value.reason == "too-many-names"
    assert told < 1_000_000  # some 60 MB in the XML library


def test_sound_file_has_few_names() -> None:
    records = [record(n) for n in range(1, 2000)]
    data = gz(document(*records))
    reader = ExtractReader(in_chunks(data, 9999), name=NAME, understand=accept)
    assert len(list(reader)) == len(records)
    assert reader._xml._names.count < ReaderLimits().names / 50
