"""``smki_sync.open``: one state, typed rows, no lock."""

import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from support.cli import Shell
from support.markdown import ROOT

import smki_sync
from smki_sync.api import JournalGap, Mirror
from smki_sync.errors import MirrorDamaged, MirrorError
from smki_sync.mirror.directory import hold_lock
from smki_sync.mirror.queries import Certificate
from smki_sync.simulator.repository import Repository


@pytest.fixture
def opened(mirror: Path) -> Iterator[Mirror]:
    with smki_sync.open(mirror) as opened:
        yield opened


@pytest.fixture
def device(opened: Mirror) -> Certificate:
    return next(opened.find(kind="device", usage="KA"))


def test_it_says_what_status_says(smki: Shell, mirror: Path, opened: Mirror) -> None:
    status = smki("status", "--mirror", mirror, "--json").document
    assert opened.position == date.fromisoformat(status["position"])
    assert opened.digest == status["digest"]
    assert (opened.counts.total, opened.counts.in_use) == (
        status["certificates"]["total"],
        status["certificates"]["in_use"],
    )


def test_a_certificate_is_found_by_each_of_its_names(opened: Mirror, device: Certificate) -> None:
    assert device.eui
    assert device.ski
    assert device in opened.certificates(device.eui.lower().replace("-", ":"))
    assert opened.by_serial(device.serial) == [device]
    assert opened.by_serial(int(device.serial, 16)) == [device]
    assert opened.by_ski(bytes.fromhex(device.ski)) == [device]
    assert opened.by_hash(sha256(device.der).digest()) == [device]
    assert opened.by_hash(sha1(device.der, usedforsecurity=False).digest()) == [device]


def test_what_is_not_there_is_none_or_empty(opened: Mirror) -> None:
    assert opened.certificate("00-00-00-00-00-00-00-00") is None
    assert opened.certificates("00-00-00-00-00-00-00-00", any_status=True) == []
    assert opened.by_serial(1) == []
    assert list(opened.find(role=126)) == []


def test_what_left_in_use_is_not_handed_out_unless_asked_for(opened: Mirror) -> None:
    gone = next(c for c in opened.find(any_status=True) if not c.in_use and c.eui)
    assert gone.eui
    assert gone not in opened.certificates(gone.eui)
    assert gone in opened.certificates(gone.eui, any_status=True)
    assert opened.certificate(gone.eui, usage=gone.usage) != gone


def test_filters_combine_and_the_stream_can_be_left_early(opened: Mirror) -> None:
    found = list(opened.find(kind="organisation", usage="KA", role=2))
    assert found
    assert {(c.kind, c.usage, c.role, c.in_use) for c in found} == {("organisation", "KA", 2, True)}
    assert list(opened.find(kind="organisation", usage="KA", role=2, limit=1)) == found[:1]
    ends = datetime.fromisoformat(found[0].not_after)
    assert found[0] not in list(opened.find(role=2, ends_before=ends))
    assert found[0] in list(opened.find(role=2, ends_before=ends.replace(year=ends.year + 1)))


def test_a_role_may_be_said_by_its_name(opened: Mirror) -> None:
    found = list(opened.find(role=2))
    assert found
    assert list(opened.find(role="Supplier")) == found
    assert opened.certificates(str(found[0].eui), role="supplier") == opened.certificates(
        str(found[0].eui), role=2
    )


def test_a_time_stands_for_its_date_in_the_journal(opened: Mirror) -> None:
    day = date(2026, 11, 10)
    assert list(opened.changes(since=datetime(2026, 11, 10, 12, tzinfo=UTC))) == list(
        opened.changes(since=day)
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.certificate("not an EUI"),
        lambda m: m.certificate("00-DB-12-34-56-78-90-A4", usage="XX"),
        lambda m: m.certificate("00-DB-12-34-56-78-90-A4", role="suplier"),
        lambda m: m.find(role="suplier"),
        lambda m: m.by_serial("G1"),
        lambda m: m.by_hash(b"short"),
        lambda m: m.find(kind="meter"),
        lambda m: m.find(standing="X"),
        lambda m: m.find(ends_before=datetime(2030, 1, 1)),  # noqa: DTZ001 - what is refused
        lambda m: m.changes(since="yesterday"),
    ],
)
def test_what_is_wrong_with_a_question_is_a_value_error(opened: Mirror, ask: object) -> None:
    assert callable(ask)
    with pytest.raises(ValueError, match=r"\w"):
        ask(opened)


def test_a_copy_that_follows_the_journal_equals_the_mirror_after_a_resync(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    with smki_sync.open(own_mirror) as before:
        copy = {(c.issuer, c.serial) for c in before.find()}
        token = before.token
    repository.advance(days=9)
    sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri(), "--full")
    assert smki(*sync, SMKI_SYNC_TODAY=repository.today.isoformat()).code == 0
    with smki_sync.open(own_mirror) as after:
        lines = list(after.changes(since=token))
        assert [line.sequence for line in lines] == sorted({line.sequence for line in lines})
        for line in lines:
            (copy.add if line.after == "I" else copy.discard)((line.issuer, line.serial))
        assert copy == {(c.issuer, c.serial) for c in after.find()}
        assert list(after.changes(since=after.token)) == []
        assert list(after.changes(since=0))[-len(lines) :] == lines
        recorded_today = after.changes(since=repository.today)
        assert {line.day for line in recorded_today} == {line.day for line in lines}


def test_a_place_that_the_journal_does_not_have_is_a_gap_with_advice(opened: Mirror) -> None:
    for since in (date(2020, 1, 1), 10**9, "0123456789abcdef:1"):
        with pytest.raises(JournalGap) as caught:
            opened.changes(since=since)
        assert "smki-sync export" in caught.value.hint


def test_a_state_that_is_open_does_not_move_while_a_sync_commits(
    smki: Shell, own_mirror: Path, repository: Repository
) -> None:
    with smki_sync.open(own_mirror) as held:
        before = held.position, held.digest, held.counts, list(held.find(any_status=True))
        repository.advance(days=1)
        sync = ("sync", "--mirror", own_mirror, "--source", repository.path.as_uri())
        assert smki(*sync, SMKI_SYNC_TODAY=repository.today.isoformat()).code == 0
        assert (held.position, held.digest, held.counts, list(held.find(any_status=True))) == before
    with smki_sync.open(own_mirror) as anew:
        assert anew.position == repository.today
        assert anew.digest != before[1]


def test_reading_needs_no_lock_and_leaves_no_trace(own_mirror: Path) -> None:
    with hold_lock(own_mirror / "lock", since=datetime.now(UTC)):
        there = sorted(path.name for path in own_mirror.rglob("*"))
        with smki_sync.open(own_mirror / "mirror.db") as opened:
            assert list(opened.find(limit=1))
        assert sorted(path.name for path in own_mirror.rglob("*")) == there


def test_where_there_is_no_mirror_an_error_says_so_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="there is no mirror in"):
        smki_sync.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_mirror_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mirror.db").write_bytes(b"no database" * 1000)
    with pytest.raises(MirrorDamaged):
        smki_sync.open(tmp_path)


def test_closing_twice_is_no_fault_and_a_closed_mirror_answers_nothing(mirror: Path) -> None:
    opened = smki_sync.open(mirror)
    opened.close()
    opened.close()
    with pytest.raises(MirrorError, match="closed"):
        list(opened.find())
    with pytest.raises(MirrorError, match="closed"):
        opened.certificate("00-DB-12-34-56-78-90-A4")


def test_each_thread_has_its_own(mirror: Path) -> None:
    answers: list[int] = []

    def ask() -> None:
        with smki_sync.open(mirror) as opened:
            answers.append(sum(1 for _ in opened.find(any_status=True)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with smki_sync.open(mirror) as opened:
        assert answers == [opened.counts.total] * 4


def test_importing_the_package_loads_nothing_and_opening_no_more_than_reading_needs(mirror: Path) -> None:
    program = f"""
import sys, smki_sync
print(sorted(m for m in sys.modules if m.startswith("smki_sync.")))
with smki_sync.open({str(mirror)!r}) as mirror:
    next(mirror.find())
print(sorted({{"typer", "rich", "lxml", "paramiko", "cryptography", "sqlite3"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_the_wheel_is_marked_as_typed_and_holds_the_pages_style(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "smki_sync", source / "smki_sync", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=source, capture_output=True, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert {"smki_sync/py.typed", "smki_sync/report/style.css"} <= set(zipfile.ZipFile(wheel).namelist())
