"""The sample is small, complete, free of secrets, and made again from its seed."""

from pathlib import Path

from cryptography import x509
from support.simulator_replay import days_of, delta_path, full_path, parse

from smki_sync.simulator.repository import DAYS, START, make_sample

SHIPPED = Path(__file__).parents[3] / "sample_data"
LIMIT_OCTETS = 300_000


def claims(directory: Path) -> list[tuple[str, str, dict[str, str]]]:
    paths = [full_path(directory, day) for day in days_of(directory, "FULL")]
    paths += [delta_path(directory, day) for day in days_of(directory, "DELT")]
    return [(row.status, row.serial, row.claims) for path in paths for row in parse(path)]


def test_sample_is_reproducible_from_its_seed(tmp_path: Path) -> None:
    make_sample(tmp_path)
    assert claims(tmp_path) == claims(SHIPPED)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in SHIPPED.glob("SMKIKR_*")}


def test_sample_is_small_and_contains_nothing_private() -> None:
    names = {p.name for p in SHIPPED.iterdir()}
    assert all(name == "README.md" or name.startswith("SMKIKR_") for name in names)
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) < LIMIT_OCTETS
    assert len(days_of(SHIPPED, "FULL")) == 2
    assert len(days_of(SHIPPED, "DELT")) == 7
    assert (days_of(SHIPPED, "DELT")[-1] - START).days == DAYS - 1


def test_sample_contains_unusual_certificates() -> None:
    refused = 0
    for row in parse(full_path(SHIPPED, START)):
        try:
            x509.load_der_x509_certificate(row.der)
        except ValueError:
            refused += 1
    assert 0 < refused < 10


def test_new_sample_replaces_only_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("stays")
    (tmp_path / "SMKIKR_FULL_2020-01-01.xml.gz").write_bytes(b"goes")
    make_sample(tmp_path)
    assert (tmp_path / "README.md").read_text() == "stays"
    assert not (tmp_path / "SMKIKR_FULL_2020-01-01.xml.gz").exists()
