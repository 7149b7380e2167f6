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


def test_the_shipped_sample_is_the_one_that_its_seed_makes(tmp_path: Path) -> None:
    make_sample(tmp_path)
    assert claims(tmp_path) == claims(SHIPPED)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in SHIPPED.glob("SMKIKR_*")}


def test_the_shipped_sample_is_small_and_holds_nothing_private() -> None:
    names = {p.name for p in SHIPPED.iterdir()}
    assert all(name == "README.md" or name.startswith("SMKIKR_") for name in names)
    assert sum(p.stat().st_size for p in SHIPPED.iterdir()) < LIMIT_OCTETS
    assert len(days_of(SHIPPED, "FULL")) == 2
    assert len(days_of(SHIPPED, "DELT")) == 7
    assert (days_of(SHIPPED, "DELT")[-1] - START).days == DAYS - 1


def test_the_sample_has_its_share_of_odd_certificates() -> None:
    refused = 0
    for row in parse(full_path(SHIPPED, START)):
        try:
            x509.load_der_x509_certificate(row.der)
        except ValueError:
            refused += 1
    assert 0 < refused < 10


def test_making_the_sample_replaces_an_earlier_one_and_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("stays")
    (tmp_path / "SMKIKR_FULL_2020-01-01.xml.gz").write_bytes(b"goes")
    make_sample(tmp_path)
    assert (tmp_path / "README.md").read_text() == "stays"
    assert not (tmp_path / "SMKIKR_FULL_2020-01-01.xml.gz").exists()
