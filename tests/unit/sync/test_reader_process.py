"""A file read beside this process is the file read in it: records, order, counts, faults."""

import io
import json
import marshal
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import pytest
from support.extract_directory import Shelf, november

from smki_sync.download import DownloadedFile
from smki_sync.errors import (
    BadExtract,
    MirrorDamaged,
    MirrorError,
    MirrorNotWritable,
    OutOfMemory,
    ResourceError,
    SmkiSyncError,
)
from smki_sync.mirror.rows import Batch, row_of
from smki_sync.model.certificate import Claims, Entry, Rejected, RejectReason
from smki_sync.model.extract import Extract, ExtractKind
from smki_sync.model.plan import AppliedFile
from smki_sync.reader import ReaderLimits
from smki_sync.records import PreParsed, finish_parse, parse_record, pre_parse
from smki_sync.sync import reader_process
from smki_sync.sync.reader_process import (
    EndFrame,
    ErrorFrame,
    RecordsFrame,
    read_frames,
    write_end,
    write_error,
    write_records,
)

DATA = Path(__file__).parents[2] / "data" / "certificates.json"
LIMITS = ReaderLimits(quarantine_share=1.0)


@pytest.fixture
def fetched(shelf: Shelf) -> DownloadedFile:
    """1 203 records in three batches, three of them not to be understood."""
    many = [shelf._record(n % 3, "I") for n in range(1200)]
    path = shelf.put("f.xml.gz", shelf.xml({}, poison=3, more=many), 9)
    return of(path)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is large enough for a helper."""
    monkeypatch.setattr(reader_process, "APART_BYTES", 0)


def of(path: Path) -> DownloadedFile:
    octets = path.read_bytes()
    extract = Extract(kind=ExtractKind.FULL, day=november(9), name=path.name, size=len(octets))
    file = AppliedFile(extract=extract, size=len(octets), sha256=sha256(octets).hexdigest())
    return DownloadedFile(file=file, path=path)


def batches(
    fetched: DownloadedFile, *, cores: int, told: list[tuple[int, int]] | None = None
) -> Iterator[Batch]:
    words = told if told is not None else []
    return reader_process.read_batches(fetched, LIMITS, lambda *word: words.append(word), cores=cores)


@pytest.mark.usefixtures("apart")
def test_a_helper_reads_the_same_batches_in_the_same_order(fetched: DownloadedFile) -> None:
    here, beside = list(batches(fetched, cores=1)), list(batches(fetched, cores=2))
    assert beside == here
    assert [len(b.rows) + len(b.rejected) for b in beside] == [500, 500, 203]
    assert [r.number for b in beside for r in b.rejected] == [1, 2, 3]


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("cores", [1, 2])
def test_progress_ends_at_the_last_record_and_the_last_byte(fetched: DownloadedFile, cores: int) -> None:
    told: list[tuple[int, int]] = []
    list(batches(fetched, cores=cores, told=told))
    assert told[-1] == (1203, fetched.file.size)
    assert told == sorted(told)
    assert len(told) > 1


@pytest.mark.usefixtures("apart")
def test_a_helper_s_bad_file_is_a_bad_file_here(fetched: DownloadedFile) -> None:
    fetched.path.write_bytes(fetched.path.read_bytes()[:-20])
    with pytest.raises(BadExtract) as here:
        list(batches(fetched, cores=1))
    with pytest.raises(BadExtract) as beside:
        list(batches(fetched, cores=2))
    assert (beside.value.message, beside.value.reason) == (here.value.message, here.value.reason)


@pytest.mark.usefixtures("apart")
def test_a_helper_whose_file_has_vanished_says_so(fetched: DownloadedFile) -> None:
    fetched.path.unlink()
    with pytest.raises(MirrorError):
        list(batches(fetched, cores=2))


@pytest.mark.usefixtures("apart")
def test_a_helper_that_ends_in_the_middle_proves_nothing(
    fetched: DownloadedFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What stands in for the interpreter ends well and says nothing, as one that was killed would."""
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 0\n")
    silent.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(silent))
    with pytest.raises(SmkiSyncError) as caught:
        list(batches(fetched, cores=2))
    assert caught.value.reason == "helper-died"


@pytest.mark.usefixtures("apart")
def test_a_reader_that_gives_up_leaves_no_helper_behind(fetched: DownloadedFile) -> None:
    found = batches(fetched, cores=2)
    next(found)
    assert hasattr(found, "close")
    found.close()  # a ResourceWarning, an error here, would tell of a process left running
    assert list(found) == []


def test_a_small_file_is_read_without_a_helper(
    fetched: DownloadedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    assert sum(len(batch.rows) for batch in batches(fetched, cores=2)) == 1200


def test_a_helper_says_what_it_read_and_that_it_was_all(fetched: DownloadedFile) -> None:
    pipe = io.BytesIO()
    limits = '{"quarantine_share": 1.0}'
    reader_process.read_in_process([f'{{"path": "{fetched.path}", "name": "f", "limits": {limits}}}'], pipe)
    pipe.seek(0)
    frames = list(read_frames(pipe))
    assert [type(frame) for frame in frames] == [RecordsFrame, RecordsFrame, RecordsFrame, EndFrame]


@pytest.mark.usefixtures("apart")
def test_a_helper_that_is_killed_is_told_as_what_kills_it(
    fetched: DownloadedFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(OutOfMemory, match=r"was killed .*, as happens where memory runs out"):
        list(batches(fetched, cores=2))


@pytest.mark.usefixtures("apart")
def test_a_helper_without_memory_says_so(fetched: DownloadedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> NoReturn:
        raise MemoryError

    monkeypatch.setattr(reader_process, "ExtractReader", lambda *_, **__: map(exhausted, [1]))
    pipe = io.BytesIO()
    reader_process.read_in_process([f'{{"path": "{fetched.path}", "name": "f", "limits": {{}}}}'], pipe)
    pipe.seek(0)
    (frame,) = read_frames(pipe)
    assert isinstance(frame, ErrorFrame)
    assert (type(frame.error), frame.error.reason) == (OutOfMemory, "out-of-memory")


def test_a_helper_says_what_is_wrong_and_nothing_after(fetched: DownloadedFile) -> None:
    fetched.path.write_bytes(b"no gz")
    pipe = io.BytesIO()
    reader_process.read_in_process([f'{{"path": "{fetched.path}", "name": "f", "limits": {{}}}}'], pipe)
    pipe.seek(0)
    (frame,) = read_frames(pipe)
    assert isinstance(frame, ErrorFrame)
    assert isinstance(frame.error, BadExtract)


BODY = json.loads(DATA.read_text("utf-8"))["certificates"][0]["der"]
CLAIMS = Claims(status="I", body=BODY, usage="DS", manufacturing="false")


def understood(number: int) -> Entry:
    found = parse_record(number, CLAIMS)
    assert isinstance(found, Entry)
    return found


REJECTED = Rejected(number=1, reason=RejectReason.BODY_MISSING, detail="d", xml=b"\xff\0")


def test_records_come_back_as_rows_and_as_they_were_rejected() -> None:
    pipe = io.BytesIO()
    write_records(pipe, [REJECTED, understood(2)], records=2, done=3)
    write_end(pipe)
    pipe.seek(0)
    batch = Batch(rows=[row_of(understood(2))], rejected=[REJECTED])
    assert list(read_frames(pipe)) == [RecordsFrame(batch=batch, records=2, done=3), EndFrame()]


@pytest.mark.parametrize("claims", [CLAIMS, CLAIMS._replace(serial="0BAD", usage="KA", manufacturing="TRUE")])
def test_a_record_that_is_sifted_and_completed_is_the_record_understood(claims: Claims) -> None:
    parse_record(1, claims)  # its mould is known from here on
    sifted = pre_parse(7, claims)
    assert isinstance(sifted, PreParsed)
    found = finish_parse(sifted)
    assert isinstance(found, Entry)
    assert found == parse_record(7, claims)
    pipe = io.BytesIO()
    write_records(pipe, [sifted], records=1, done=1)
    pipe.seek(0)
    (frame,) = read_frames(pipe)
    assert isinstance(frame, RecordsFrame)
    assert frame.batch.rows == [row_of(found)]


@pytest.mark.parametrize(
    "claims",
    [
        CLAIMS._replace(body=None),
        CLAIMS._replace(body="MIIB"),
        CLAIMS._replace(body="%"),
        CLAIMS._replace(status="X"),
        CLAIMS._replace(status=None),
        CLAIMS._replace(status=" I "),
    ],
    ids=["no body", "no certificate", "no Base64", "strange status", "no status", "spaced status"],
)
def test_what_may_not_be_understood_is_not_sifted_but_understood_at_once(claims: Claims) -> None:
    assert pre_parse(1, claims) == parse_record(1, claims)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadExtract("m", hint="h", code="c"), BadExtract),
        (MirrorNotWritable("m", hint="h", code="c"), ResourceError),
        (MirrorDamaged("m", hint="h", code="c"), MirrorError),
        (SmkiSyncError("m", hint="h", code="c"), SmkiSyncError),
    ],
    ids=repr,
)
def test_an_error_comes_back_with_its_kind_and_its_words(
    error: SmkiSyncError, kind: type[SmkiSyncError]
) -> None:
    pipe = io.BytesIO()
    write_error(pipe, error)
    pipe.seek(0)
    (frame,) = read_frames(pipe)
    assert isinstance(frame, ErrorFrame)
    assert type(frame.error) is kind
    assert (frame.error.message, frame.error.hint, frame.error.reason) == ("m", "h", "c")


@pytest.mark.parametrize("cut", [1, 7, 8, 12, -1])
def test_a_frame_that_was_cut_is_none(cut: int) -> None:
    pipe = io.BytesIO()
    write_end(pipe)
    assert list(read_frames(io.BytesIO(pipe.getvalue()[:cut]))) == []


def test_what_is_no_frame_is_a_defect() -> None:
    octets = marshal.dumps(("strange",))
    with pytest.raises(AssertionError, match="no frame"):
        list(read_frames(io.BytesIO(len(octets).to_bytes(8) + octets)))
