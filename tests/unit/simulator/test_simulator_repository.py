"""The calendar, the files and the truth agree, in every shape."""

import gzip
import stat
import zlib
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from support.simulator_replay import days_of, delta_path, full_path, parse, parse_xml, replay

from smki_sync.errors import UsageError
from smki_sync.model.certificate import Kind
from smki_sync.simulator import file_format
from smki_sync.simulator.file_format import Body, GzShape, Namespace, Record, Serials, Shapes, XmlShape
from smki_sync.simulator.pki import SOME_QUIRKS
from smki_sync.simulator.population import NO_CHANGES
from smki_sync.simulator.repository import Repository

START = date(2026, 11, 2)
DAY = timedelta(days=1)

RECORDS = [
    Record(
        alt_name="00-DB-12-34-56-78-90-A4",
        serial="0A41B2225809FFBBA81B3E8E320AA6CF",
        status="I",
        body=bytes(range(256)),
        usage="DS",
    ),
    Record(
        name="90-B3-D5-1F-30-00-00-01",
        serial="41B2225809FFBBA81B3E8E320AA6CF",
        status="R",
        body=b"\xff" * 400,
        role="2",
        usage="KA",
        manufacturing=True,
    ),
    Record(name="A & B <C>", serial="01", status="N", body=b"ca", role="7", usage="DS", authority=True),
]

XML_SHAPES = {
    "plain": XmlShape(),
    "default namespace": XmlShape(namespace=Namespace.DEFAULT),
    "prefixed namespace": XmlShape(namespace=Namespace.PREFIXED),
    "wrapped at 64": XmlShape(body=Body.WRAPPED_64),
    "wrapped at 76": XmlShape(body=Body.WRAPPED_76),
    "indented body": XmlShape(body=Body.INDENTED),
    "bare serials": XmlShape(serials=Serials.BARE),
    "no declaration": XmlShape(declaration=False),
    "byte order mark": XmlShape(byte_order_mark=True),
    "byte order mark alone": XmlShape(byte_order_mark=True, declaration=False),
    "no header": XmlShape(header=False),
    "all in one line": XmlShape(pretty=False),
    "shuffled": XmlShape(shuffled=True),
    "unknown elements": XmlShape(unknown=True, namespace=Namespace.PREFIXED),
    "comments": XmlShape(comments=True),
    "processing instructions": XmlShape(instructions=True),
    "cdata": XmlShape(cdata=True),
    "claims on authorities": XmlShape(ca_claims=True),
    "no manufacturing flag": XmlShape(manufacturing=False),
}

GZ_SHAPES = {
    **{f"level {level}": GzShape(level=level) for level in file_format.LEVELS},
    "members": GzShape(member_bytes=300),
    "empty members": GzShape(member_bytes=300, empty_members=True),
    "bare header": GzShape(name=False),
    "every header field": GzShape(extra=True, comment=True, header_crc=True, modified=1),
}


def create(path: Path, *, days: int = 10, seed: int = 7, lag: int = 0, shapes: str = "plain") -> Repository:
    return Repository.create(
        path, devices=40, days=days, start=START, seed=seed, full_lag_days=lag, shapes=shapes
    )


@pytest.fixture(scope="module")
def ten_days(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return create(tmp_path_factory.mktemp("ten"))


@pytest.mark.parametrize("shape", XML_SHAPES.values(), ids=XML_SHAPES)
def test_every_xml_form_has_the_same_content(shape: XmlShape) -> None:
    rows = parse_xml(b"".join(file_format.xml_chunks(RECORDS, shape, Random(1))))
    assert [(r.status, r.der) for r in rows] == [(r.status, r.body) for r in RECORDS]
    assert [int(r.serial, 16) for r in rows] == [int(r.serial, 16) for r in RECORDS]
    assert rows[0].claims["CertificateSubjectAltName"] == RECORDS[0].alt_name
    assert rows[1].claims["CertificateRole"] == "2"
    assert rows[2].claims["CertificateSubjectName"] == "A & B <C>"
    assert ("CertificateUsage" in rows[2].claims) == shape.ca_claims
    assert ("ManufacturingFlag" in rows[1].claims) == shape.manufacturing


def test_every_xml_form_has_other_bytes() -> None:
    files = [b"".join(file_format.xml_chunks(RECORDS, shape, Random(1))) for shape in XML_SHAPES.values()]
    assert len(set(files)) == len(files)


def test_file_without_records_is_well_formed() -> None:
    assert parse_xml(b"".join(file_format.xml_chunks([], XmlShape(), Random(1)))) == []


@pytest.mark.parametrize("shape", GZ_SHAPES.values(), ids=GZ_SHAPES)
def test_every_gzip_form_has_the_same_content(shape: GzShape) -> None:
    chunks = [bytes([n]) * 100 for n in range(10)]
    data = b"".join(file_format.gzip_chunks(iter(chunks), shape, "content.xml"))
    assert gzip.decompress(data) == b"".join(chunks)
    assert (b"content.xml" in data) == shape.name


def test_header_checksum_matches_the_header() -> None:
    data = b"".join(file_format.gzip_chunks([b"x"], GzShape(name=False, header_crc=True), ""))
    assert data[3] == 0b10
    assert data[10:12] == (zlib.crc32(data[:10]) & 0xFFFF).to_bytes(2, "little")


def test_number_of_members_follows_the_form() -> None:
    chunks, magic = [b"a" * 100] * 10, b"\x1f\x8b\x08"
    one = b"".join(file_format.gzip_chunks(chunks, GzShape(), ""))
    four = b"".join(file_format.gzip_chunks(chunks, GzShape(member_bytes=300), ""))
    padded = b"".join(file_format.gzip_chunks(chunks, GzShape(member_bytes=300, empty_members=True), ""))
    assert [data.count(magic) for data in (one, four, padded)] == [1, 4, 9]


def test_first_day_has_a_full_and_the_deltas_that_prove_it(tmp_path: Path) -> None:
    repository = create(tmp_path, days=1)
    assert days_of(tmp_path, "FULL") == [START] == [repository.today]
    assert days_of(tmp_path, "DELT") == [START - 2 * DAY, START - DAY, START]


def test_full_is_published_every_seven_days_and_two_remain(tmp_path: Path) -> None:
    repository = create(tmp_path, days=14)
    assert days_of(tmp_path, "FULL") == [START, START + 7 * DAY]
    repository.advance()
    assert days_of(tmp_path, "FULL") == [START + 7 * DAY, START + 14 * DAY]


def test_exactly_seven_deltas_remain(tmp_path: Path) -> None:
    repository = create(tmp_path, days=7)
    assert days_of(tmp_path, "DELT") == [START + n * DAY for n in range(7)]
    repository.advance(2)
    assert days_of(tmp_path, "DELT") == [START + n * DAY for n in range(2, 9)]


def test_delta_contains_exactly_the_changes_of_its_day(ten_days: Repository) -> None:
    for day in days_of(ten_days.path, "DELT"):
        before, after = ten_days.at(day - DAY).truth(), ten_days.at(day).truth()
        changed = {(status, der) for key, (status, der) in after.items() if before.get(key) != (status, der)}
        assert {(row.status, row.der) for row in parse(delta_path(ten_days.path, day))} == changed
        assert changed


def test_full_without_lag_contains_exactly_what_is_in_use(ten_days: Repository) -> None:
    for day in days_of(ten_days.path, "FULL"):
        rows = parse(full_path(ten_days.path, day))
        assert {row.der for row in rows} == ten_days.at(day).in_use()
        assert len(rows) == len({row.der for row in rows})
        assert {row.status for row in rows} == {"I"}


@pytest.mark.parametrize("seed", range(4))
def test_overlap_deltas_correct_a_full_with_lag(tmp_path: Path, seed: int) -> None:
    repository = Repository.create(
        tmp_path,
        devices=60,
        days=11,
        start=START,
        seed=seed,
        shapes=Shapes.EVERY,
        full_lag_days=2,
        quirks=SOME_QUIRKS,
    )
    full = START + 7 * DAY
    held = replay(tmp_path, full, repository.today, overlap_days=1)
    assert {der for der, status in held.items() if status == "I"} == repository.in_use()
    truth = {der: status for status, der in repository.truth().values()}
    assert held.items() <= truth.items()


def test_full_with_lag_is_wrong_without_overlap_deltas(tmp_path: Path) -> None:
    repository = create(tmp_path, lag=2)
    full = START + 7 * DAY
    assert {row.der for row in parse(full_path(tmp_path, full))} != repository.at(full).in_use()
    held = replay(tmp_path, full, repository.today, overlap_days=-1)
    assert {der for der, status in held.items() if status == "I"} != repository.in_use()


def test_every_kind_of_change_happens_within_a_month(tmp_path: Path) -> None:
    repository = create(tmp_path, days=1)
    seen: Counter[tuple[str | None, str]] = Counter()
    for _ in range(30):
        before = repository.truth()
        repository.advance()
        for key, (status, _der) in repository.truth().items():
            old = before.get(key, (None, b""))[0]
            seen[old, status] += old != status
    happened = {change for change, count in seen.items() if count}
    assert {(None, "I"), (None, "P"), ("P", "I"), ("I", "N"), ("N", "I"), ("I", "E"), ("I", "R")} == happened


def test_same_seed_gives_the_same_changes_for_any_steps(tmp_path: Path) -> None:
    once = create(tmp_path / "once", days=9, shapes="every")
    steps = create(tmp_path / "steps", days=4, shapes="every")
    steps.advance(2)
    Repository.open(tmp_path / "steps").advance(3)
    other = create(tmp_path / "other", days=9, seed=8, shapes="every")

    def life(repository: Repository) -> dict[tuple[str, str], str]:
        return {key: status for key, (status, _) in repository.truth().items()}

    assert life(once) == life(steps)
    assert life(once) != life(other)


def test_deltas_are_empty_when_nothing_changes(tmp_path: Path) -> None:
    Repository.create(tmp_path, devices=5, days=2, start=START, pace=NO_CHANGES)
    assert parse(delta_path(tmp_path, START + DAY)) == []


def test_content_is_stored_after_the_process_ends(tmp_path: Path) -> None:
    created = create(tmp_path, days=3)
    opened = Repository.open(tmp_path)
    assert opened.today == created.today == START + 2 * DAY
    assert opened.truth() == created.truth()
    assert len(opened.in_use()) > 40


def test_removed_file_can_be_published_again(tmp_path: Path) -> None:
    repository = create(tmp_path, days=3)
    path = delta_path(tmp_path, START + DAY)
    before = path.read_bytes()
    repository.remove(path.name)
    assert not path.exists()
    assert repository.publish_delta(START + DAY) == path.name
    assert path.read_bytes() == before
    with pytest.raises(FileNotFoundError):
        repository.remove("SMKIKR_DELT_2020-01-01.xml.gz")


def test_second_repository_in_a_directory_is_rejected(tmp_path: Path) -> None:
    created = create(tmp_path, days=1)
    before = created.truth()
    with pytest.raises(UsageError):
        create(tmp_path, days=2)
    assert Repository.open(tmp_path).truth() == before


def test_open_fails_when_there_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Repository.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_private_state_is_hidden_and_private(ten_days: Repository) -> None:
    hidden = ten_days.path / ".simulator"
    assert stat.S_IMODE(hidden.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in hidden.iterdir()} == {0o600}
    published = [p.name for p in ten_days.path.iterdir() if p != hidden]
    assert all(name.startswith("SMKIKR_") and name.endswith(".gz") for name in published)


def test_roots_are_the_self_signed_authorities_of_the_full(ten_days: Repository) -> None:
    roots = ten_days.roots()
    listed = {row.der for row in parse(full_path(ten_days.path, START))}
    assert set(roots) == {Kind.OCA, Kind.DCA}
    for der in roots.values():
        certificate = x509.load_der_x509_certificate(der)
        assert certificate.subject == certificate.issuer
        assert der in listed


@pytest.mark.parametrize(("name", "kind"), [("ARL", Kind.OCA), ("CRL", Kind.ORGANISATION)])
def test_revocation_list_number_increases_each_day(tmp_path: Path, name: str, kind: Kind) -> None:
    repository = create(tmp_path, days=10)
    path = tmp_path / f"SMKIKR_{name}.crl.gz"
    crl = x509.load_der_x509_crl(gzip.decompress(path.read_bytes()))
    revoked = [
        x509.load_der_x509_certificate(der) for status, der in repository.truth().values() if status == "R"
    ]
    is_authority = {c.serial_number: has_constraints(c) for c in revoked}
    expected = {serial for serial, authority in is_authority.items() if authority == (kind is Kind.OCA)}
    assert {entry.serial_number for entry in crl} == expected
    assert expected
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert crl.next_update_utc is not None
    assert crl.next_update_utc > crl.last_update_utc
    repository.advance()
    later = x509.load_der_x509_crl(gzip.decompress(path.read_bytes()))
    assert later.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number + 1


def has_constraints(certificate: x509.Certificate) -> bool:
    return any(isinstance(e.value, x509.BasicConstraints) for e in certificate.extensions)


@pytest.mark.parametrize(
    ("name", "subject"), [("ARL", "CN=OCA Root R1,OU=00"), ("CRL", "CN=OCA Issuing S2,OU=07")]
)
def test_revocation_list_is_signed_by_its_authority(ten_days: Repository, name: str, subject: str) -> None:
    crl = x509.load_der_x509_crl(gzip.decompress((ten_days.path / f"SMKIKR_{name}.crl.gz").read_bytes()))
    bodies = map(x509.load_der_x509_certificate, ten_days.in_use())
    (signer,) = [body for body in bodies if body.subject.rfc4514_string() == subject]
    key = signer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(key)
    assert crl.issuer == signer.subject


def test_anchor_slot_files_differ_in_the_wan_provider_only(ten_days: Repository) -> None:
    north, south = (
        parse(ten_days.path / f"SMKIKR_ANCHOR_SLOTS_{region}.xml.gz") for region in ("NORTH", "CENTRAL_SOUTH")
    )
    only_north = [row for row in north if row not in south]
    only_south = [row for row in south if row not in north]
    for only in (only_north, only_south):
        assert {row.claims["CertificateRole"] for row in only} == {"6"}
        assert {row.claims["CertificateUsage"] for row in only} == {"DS", "KA"}
    both = [row for row in north if row in south]
    assert {row.claims.get("CertificateRole") for row in both} == {None, "1", "4", "5"}
    assert {row.der for row in north} <= ten_days.in_use()


def test_forms_vary_only_when_every_form_is_requested(tmp_path: Path) -> None:
    create(tmp_path / "plain", days=7)
    create(tmp_path / "every", days=7, shapes="every")

    def openings(kind: str) -> set[bytes]:
        paths = [delta_path(tmp_path / kind, START + n * DAY) for n in range(7)]
        return {gzip.decompress(path.read_bytes())[:60] for path in paths}

    assert len(openings("plain")) == 1
    assert len(openings("every")) > 3
