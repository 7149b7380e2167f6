"""Each fault does what it is named for, and nothing else."""

import gzip
import zlib
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cryptography import x509
from support.simulator_replay import days_of, delta_path, full_path, parse

from smki_sync.errors import UsageError
from smki_sync.simulator.faults import ON_FULLS, Fault
from smki_sync.simulator.repository import Repository

START = date(2026, 11, 2)
DAY = timedelta(days=1)
SHAPES = ["plain", "every"]


def create(path: Path, *, days: int = 3, shapes: str = "plain") -> Repository:
    return Repository.create(path, devices=30, days=days, start=START, seed=11, shapes=shapes)


def files(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.iterdir() if p.is_file()}


@pytest.fixture(params=SHAPES)
def repository(tmp_path: Path, request: pytest.FixtureRequest) -> Repository:
    return create(tmp_path, shapes=request.param)


def today_path(repository: Repository) -> Path:
    return delta_path(repository.path, repository.today)


def test_withheld_delta_is_never_published_but_its_changes_happen(repository: Repository) -> None:
    before = repository.truth()
    deltas = days_of(repository.path, "DELT")
    repository.advance(faults=[Fault.WITHHOLD_DELTA])
    withheld = today_path(repository)
    repository.advance(2)
    assert not withheld.exists()
    assert repository.at(repository.today - 2 * DAY).truth() != before
    today = repository.today
    kept = [day for day in deltas if day > today - 7 * DAY]
    assert days_of(repository.path, "DELT") == [*kept, today - DAY, today]


def test_late_delta_is_published_complete_with_the_next_one(repository: Repository) -> None:
    repository.advance(faults=[Fault.LATE_DELTA])
    late = today_path(repository)
    assert not late.exists()
    repository.advance()
    changed = repository.at(repository.today - 2 * DAY).truth().items()
    after = repository.at(repository.today - DAY).truth().items()
    assert {(row.status, row.der) for row in parse(late)} == {value for _, value in after - changed}
    assert today_path(repository).exists()


@pytest.mark.parametrize("fault", sorted(ON_FULLS))
def test_fault_of_a_full_fails_when_no_full_is_due(repository: Repository, fault: Fault) -> None:
    before, today = files(repository.path), repository.today
    with pytest.raises(UsageError):
        repository.advance(3, faults=[fault])
    assert files(repository.path) == before
    assert repository.today == today


def test_withheld_full_leaves_the_previous_one(repository: Repository) -> None:
    repository.advance(5, faults=[Fault.WITHHOLD_FULL])
    assert days_of(repository.path, "FULL") == [START]
    assert len(days_of(repository.path, "DELT")) == 7


@pytest.mark.parametrize(("fault", "days"), [(Fault.TRUNCATE, 1), (Fault.TRUNCATE_FULL, 5)])
def test_truncated_file_ends_before_its_xml(repository: Repository, fault: Fault, days: int) -> None:
    repository.advance(days, faults=[fault])
    full = fault is Fault.TRUNCATE_FULL
    path = full_path(repository.path, START + 7 * DAY) if full else today_path(repository)
    assert path.stat().st_size > 0
    with pytest.raises((EOFError, ET.ParseError)):
        parse(path)


@pytest.mark.parametrize(("fault", "days"), [(Fault.CORRUPT, 1), (Fault.CORRUPT_FULL, 5)])
def test_corrupt_file_has_one_wrong_byte_that_gzip_detects(
    repository: Repository, fault: Fault, days: int
) -> None:
    repository.advance(days, faults=[fault])
    full = fault is Fault.CORRUPT_FULL
    path = full_path(repository.path, START + 7 * DAY) if full else today_path(repository)
    bad = path.read_bytes()
    with pytest.raises((EOFError, OSError, zlib.error)):
        gzip.decompress(bad)
    publish = repository.publish_full if full else repository.publish_delta
    publish(START + 7 * DAY if full else repository.today)
    good = path.read_bytes()
    assert sum(a != b for a, b in zip(good, bad, strict=True)) == 1


def test_shrunken_full_is_valid_and_lists_a_quarter(repository: Repository) -> None:
    repository.advance(5, faults=[Fault.SHRINK_FULL])
    listed = {row.der for row in parse(full_path(repository.path, START + 7 * DAY))}
    in_use = repository.at(START + 7 * DAY).in_use()
    assert listed < in_use
    assert len(listed) == -(-len(in_use) // 4)


def test_empty_file_has_no_bytes(repository: Repository) -> None:
    repository.advance(faults=[Fault.EMPTY_FILE])
    assert today_path(repository).read_bytes() == b""


def test_mismatched_tag_is_the_only_fault_of_the_file(repository: Repository) -> None:
    repository.advance(faults=[Fault.MISMATCHED_TAG])
    bad = gzip.decompress(today_path(repository).read_bytes())
    with pytest.raises(ET.ParseError, match="mismatched tag"):
        parse(today_path(repository))
    repository.publish_delta(repository.today)
    good = gzip.decompress(today_path(repository).read_bytes())
    head, _, tail = good.rpartition(b"CertificateResponse>")
    assert bad == head + b"CertificateStatus>" + tail


def test_poison_record_is_added_and_not_a_certificate(repository: Repository) -> None:
    repository.advance(faults=[Fault.POISON_RECORD])
    poisoned = parse(today_path(repository))
    repository.publish_delta(repository.today)
    sound = parse(today_path(repository))
    (extra,) = [row for row in poisoned if row not in sound]
    assert len(poisoned) == len(sound) + 1
    with pytest.raises(ValueError, match="error parsing"):
        x509.load_der_x509_certificate(extra.der)


def test_record_with_other_claims_keeps_its_body_and_status(repository: Repository) -> None:
    repository.advance(faults=[Fault.CLAIMS_OF_ANOTHER])
    rows = parse(today_path(repository))
    wrong = [r for r in rows if int(r.serial, 16) != x509.load_der_x509_certificate(r.der).serial_number]
    repository.publish_delta(repository.today)
    sound = parse(today_path(repository))
    (victim,) = wrong
    (own,) = [row for row in sound if row.der == victim.der]
    (other,) = [row for row in sound if row.serial == victim.serial]
    assert victim.claims["CertificateUsage"] == other.claims["CertificateUsage"]
    assert victim.claims["CertificateUsage"] != own.claims["CertificateUsage"]
    assert victim.status == own.status
    assert {(r.status, r.der) for r in rows} == {(r.status, r.der) for r in sound}


@pytest.mark.parametrize("fault", [Fault.CHANGE_AFTER_PUBLICATION, Fault.SAME_SIZE_CHANGE])
def test_changed_delta_has_other_bytes_and_the_same_content(repository: Repository, fault: Fault) -> None:
    changed = today_path(repository)
    before, rows, others = changed.read_bytes(), parse(changed), files(repository.path)
    repository.advance(faults=[fault])
    after = changed.read_bytes()
    assert after != before
    assert (len(after) == len(before)) == (fault is Fault.SAME_SIZE_CHANGE)
    assert parse(changed) == rows
    deltas = {name for name in others if "DELT" in name and name != changed.name}
    assert all(files(repository.path)[name] == others[name] for name in deltas)


def test_half_written_delta_has_a_temporary_name_for_a_day(
    repository: Repository,
) -> None:
    repository.advance(faults=[Fault.HALF_WRITTEN])
    part = Path(f"{delta_path(repository.path, repository.today + DAY)}.part")
    with pytest.raises((EOFError, ET.ParseError)):
        parse(part)
    repository.advance()
    assert not part.exists()
    assert parse(today_path(repository))


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Fault.STRANGE_NAME, "SMKIKR_DELT_latest.xml.gz"),
        (Fault.IMPOSSIBLE_DATE, "SMKIKR_DELT_2026-02-30.xml.gz"),
        (Fault.FUTURE_FULL, "SMKIKR_FULL_2099-01-01.xml.gz"),
    ],
)
def test_unexpected_file_is_valid_and_remains(repository: Repository, fault: Fault, name: str) -> None:
    repository.advance(faults=[fault])
    strays = {n for n in files(repository.path) if "_2026-11-" not in n and "_2026-10-" not in n}
    assert {n for n in strays if "FULL" in n or "DELT" in n} == {name}
    assert parse(repository.path / name)
    repository.advance(14)
    assert (repository.path / name).exists()
    kept = {n for n in files(repository.path) if "_2026-11-" in n}
    assert sum("FULL" in n for n in kept) == 2
    assert sum("DELT" in n for n in kept) == 7


@pytest.mark.parametrize("fault", sorted(set(Fault) - ON_FULLS))
def test_no_fault_changes_the_content(tmp_path: Path, fault: Fault) -> None:
    calm, troubled = create(tmp_path / "calm"), create(tmp_path / "troubled")
    calm.advance(2)
    troubled.advance(2, faults=[fault])
    statuses = [
        {key: status for key, (status, _) in repository.truth().items()} for repository in (calm, troubled)
    ]
    assert statuses[0] == statuses[1]


def test_change_of_a_delta_fails_when_no_delta_is_published(tmp_path: Path) -> None:
    repository = create(tmp_path, days=1)
    for path in repository.path.glob("SMKIKR_DELT_*"):
        repository.remove(path.name)
    before, today = files(tmp_path), repository.today
    with pytest.raises(UsageError):
        repository.advance(faults=[Fault.SAME_SIZE_CHANGE])
    assert repository.today == today
    assert files(tmp_path) == before


def test_several_faults_can_be_combined(repository: Repository) -> None:
    repository.advance(faults=[Fault.POISON_RECORD, Fault.CLAIMS_OF_ANOTHER, Fault.STRANGE_NAME])
    good = parse(repository.path / "SMKIKR_DELT_latest.xml.gz")
    assert len(parse(today_path(repository))) == len(good) + 1
