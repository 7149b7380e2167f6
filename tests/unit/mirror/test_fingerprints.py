"""Hashes and key identifiers: organisations and authorities by an index, devices by reading, or as asked."""

from contextlib import closing
from hashlib import sha1, sha256
from pathlib import Path

import apsw
import pytest
from support.mirror_builders import (
    FULL_DAY,
    OTHER_ISSUER,
    apply,
    ask,
    build,
    clock,
    delta,
    der_of,
    entry,
    full,
    november,
    serial_of,
)

from smki_sync.mirror.build import GenerationBuilder
from smki_sync.mirror.queries import Fingerprint, Identity, SkiIs, find_certificates, open_mirror
from smki_sync.model.certificate import KeyId, Kind
from smki_sync.usability import UsabilityRule

DEVICE, SUPPLIER, LATER = 1, 2, 5

RULE = UsabilityRule(at="2026-11-22T00:00:00Z")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "000001.db"
    build(found, [entry(DEVICE), entry(SUPPLIER, kind=Kind.ORGANISATION), entry(3, kind=Kind.OCA), entry(4)])
    apply(found, november(10), [entry(LATER, kind=Kind.ORGANISATION), entry(6)])
    return found


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    """One whose operator asked for devices to be indexed too."""
    found = tmp_path / "000001.db"
    with GenerationBuilder(
        found, full=FULL_DAY, old=None, clock=clock, step=lambda _: None, index_devices=True
    ) as builder:
        builder.load(full(), [entry(DEVICE), entry(SUPPLIER, kind=Kind.ORGANISATION)])
        builder.apply_delta(delta(FULL_DAY), [])
        builder.finish()
    apply(found, november(10), [entry(6)])
    return found


def identities(n: int) -> list[Identity]:
    der = der_of(n)
    return [
        SkiIs(ski=KeyId(f"{n:016X}")),
        Fingerprint(algorithm="sha1", digest=sha1(der, usedforsecurity=False).digest()),
        Fingerprint(algorithm="sha256", digest=sha256(der).digest()),
    ]


def look_up(path: Path, identity: Identity) -> tuple[list[str], bool]:
    """The serial numbers, and whether every row had to be read."""
    told: list[tuple[int, int]] = []
    with open_mirror(path) as db:
        found = find_certificates(db, identity, RULE, any_status=True, progress=lambda *at: told.append(at))
    return [c.serial for c in found], bool(told)


@pytest.mark.parametrize("n", [SUPPLIER, 3, LATER])
def test_an_organisation_or_authority_is_looked_up_by_an_index(path: Path, n: int) -> None:
    for identity in identities(n):
        assert look_up(path, identity) == ([serial_of(n)], False)


@pytest.mark.parametrize("n", [DEVICE, 4, 6])
def test_a_device_is_found_by_reading_every_row(path: Path, n: int) -> None:
    for identity in identities(n):
        assert look_up(path, identity) == ([serial_of(n)], True)


def test_what_nobody_has_is_found_out_by_reading_every_row(path: Path) -> None:
    for identity in identities(99):
        assert look_up(path, identity) == ([], True)


@pytest.mark.parametrize("n", [DEVICE, SUPPLIER, 6, 99])
def test_nothing_is_read_where_devices_are_indexed_too(indexed: Path, n: int) -> None:
    for identity in identities(n):
        assert look_up(indexed, identity) == ([serial_of(n)] if n != 99 else [], False)


def test_devices_have_no_hash_unless_asked_for(path: Path) -> None:
    kinds = "SELECT DISTINCT c.kind FROM fingerprint AS f JOIN certificate AS c ON c.id = f.certificate"
    assert sorted(ask(path, kinds)) == [(1,), (2,)]
    assert ask(path, "SELECT count(*) FROM fingerprint") == [(6,)]


def test_a_resync_hashes_what_it_carries_over_too(path: Path, tmp_path: Path) -> None:
    new = tmp_path / "000002.db"
    build(new, [entry(DEVICE)], day=november(16), old=path)
    for identity in identities(SUPPLIER):
        assert look_up(new, identity) == ([serial_of(SUPPLIER)], False)


def test_a_certificate_that_stands_twice_in_a_full_has_its_hashes_once(tmp_path: Path) -> None:
    found = tmp_path / "000001.db"
    one = entry(SUPPLIER, kind=Kind.ORGANISATION)
    build(found, [one, one, entry(SUPPLIER, kind=Kind.ORGANISATION, issuer=OTHER_ISSUER)])
    rows = ask(found, "SELECT count(*), count(DISTINCT certificate) FROM fingerprint")
    assert rows == [(4, 2)]
    orphans = "SELECT * FROM fingerprint WHERE certificate NOT IN (SELECT id FROM certificate)"
    assert ask(found, orphans) == []


def test_any_sqlite_reads_a_mirror_with_hashes(path: Path) -> None:
    digest = sha256(der_of(SUPPLIER)).digest()
    sql = (
        "SELECT c.serial FROM fingerprint AS f JOIN certificate AS c ON c.id = f.certificate WHERE digest = ?"
    )
    assert ask(path, sql, digest) == [(serial_of(SUPPLIER),)]
    with closing(apsw.Connection(str(path))) as db:
        assert db.execute("PRAGMA integrity_check").get == "ok"
