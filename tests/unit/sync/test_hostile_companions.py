"""Hostile and unusual lists and slot files: each is treated on its own."""

import gzip
import os
import shutil
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.defects import flipped
from support.list_pki import Form, octets
from support.mirror_copies import copy_mirror

from smki_sync.lookup.watch import read_watch, write_accepted
from smki_sync.mirror.connection import connect
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.revocation import upgrade_lists
from smki_sync.model.certificate import Kind
from smki_sync.model.extract import ListPolicy, ListState
from smki_sync.model.report import NoticeCode, SyncReport
from smki_sync.simulator import pki
from smki_sync.simulator.pki import OCA, Authority
from smki_sync.simulator.publisher import ANCHORS_NORTH, ARL, CRL
from smki_sync.simulator.repository import Repository
from smki_sync.sources.base import Limits
from smki_sync.sources.directory import DirectorySource
from smki_sync.sync import SyncJob, companions, run
from smki_sync.trust.revocation_lists import read_list

DAY = timedelta(days=1)
START = date(2026, 3, 2)
OTHER = "OTHER_CRL.crl"
PLAIN = Form()


@dataclass(frozen=True)
class Party:
    """A published directory, a mirror of it, and the key of the authority that signs its CRL."""

    place: Path
    signer: Authority
    today: date
    serials: tuple[int, ...]
    """Serial numbers of organisation certificates that the CRL of the Repository does not revoke."""
    root: bytes

    @property
    def published(self) -> Path:
        return self.place / "repository"

    def job(self) -> SyncJob:
        return SyncJob(
            directory=MirrorDirectory(self.place / "mirror"),
            open_source=lambda: DirectorySource(self.published, limits=Limits()),
            today=self.today,
        )

    def sync(self) -> SyncReport:
        return run(self.job())

    def put(self, name: str, content: bytes) -> None:
        """Publish a file with a modification time of its own."""
        (self.published / name).write_bytes(content)
        stamp = datetime.combine(self.today, datetime.min.time(), UTC).timestamp() + len(content) % 9999
        os.utime(self.published / name, (stamp, stamp))

    def crl(
        self, *revoked: int, number: int = 50, form: Form = PLAIN, issued: datetime | None = None
    ) -> bytes:
        today = datetime.combine(self.today, datetime.min.time(), UTC)
        lines = tuple((serial, ()) for serial in revoked)
        return octets(self.signer, replace(form, number=number, issued=issued or today, lines=lines))

    def ask(self, sql: str, *values: object) -> list[Any]:
        with closing(
            sqlite3.connect(f"{(self.place / 'mirror/mirror.db').as_uri()}?mode=ro", uri=True)
        ) as db:
            return db.execute(sql, values).fetchall()

    def revoked(self) -> set[int]:
        """Those of :attr:`serials` that the mirror calls revoked."""
        rows = self.ask("SELECT serial FROM certificates WHERE revoked IS NOT NULL")
        return {int(serial, 16) for (serial,) in rows} & set(self.serials)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Party:
    place = tmp_path_factory.mktemp("prepared")
    repository = Repository.create(place / "repository", devices=3, days=5, start=START, seed=4)
    with repository._open_registry() as (registry, _):
        authority = registry.authorities()[OCA]
    party = Party(place, authority, repository.today, (), repository.roots()[Kind.OCA])
    party.sync()
    name = authority.name.rfc4514_string()
    rows = party.ask("SELECT serial FROM certificates WHERE issuer = ? AND in_use LIMIT 3", name)
    assert len(rows) == 3
    return replace(party, serials=tuple(int(serial, 16) for (serial,) in rows))


@pytest.fixture
def party(prepared: Party, tmp_path: Path) -> Party:
    """A copy of the prepared repository and mirror."""
    copy_mirror(prepared.place, tmp_path / "copy")
    return replace(prepared, place=tmp_path / "copy")


def codes(report: SyncReport) -> list[NoticeCode]:
    """Codes that ask for attention, except that of a repository without overlap deltas."""
    found = [one.code for one in report.attention if not one.code.is_note]
    return [code for code in found if code is not NoticeCode.UNPROVEN]


def states(report: SyncReport) -> dict[str, ListState]:
    return {one.file: one.state for one in report.lists}


def bit_string_issuer(crl: bytes) -> bytes:
    """A small unsigned CRL whose issuer has a BIT STRING as common name."""
    tbs, algorithm, signature = pki.split_signed(crl)
    at = tbs.index(bytes.fromhex("0603550403")) + 5
    return pki.join_signed(tbs[:at] + b"\3" + tbs[at + 1 :], algorithm, signature)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda party: bit_string_issuer(party.crl()), NoticeCode.LIST_SIGNER_UNKNOWN),
        (lambda _: b"", NoticeCode.LIST_UNREADABLE),
        (lambda _: b"\x30\x80" * 5000, NoticeCode.LIST_UNREADABLE),
        (lambda _: b"\x1f\x8b\x08 damaged", NoticeCode.LIST_UNREADABLE),
        (lambda party: party.crl()[:-3], NoticeCode.LIST_UNREADABLE),
    ],
    ids=["bit string", "empty", "nested", "gzip", "cut off"],
)
def test_hostile_list_does_not_stop_the_genuine_one(
    party: Party, make: Callable[[Party], bytes], code: NoticeCode
) -> None:
    party.put(OTHER, make(party))
    party.put(CRL, party.crl(party.serials[0]))
    report = party.sync()
    assert states(report)[CRL] is ListState.APPLIED
    assert codes(report) == [code]
    assert party.revoked() == {party.serials[0]}


def test_any_exception_of_a_parser_refuses_one_file(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def hostile(data: bytes) -> object:
        if data == b"hostile":
            raise TypeError("a bug")
        return read_list(data)

    monkeypatch.setattr(companions, "read_list", hostile)
    party.put(OTHER, b"hostile")
    party.put(CRL, party.crl(party.serials[0]))
    report = party.sync()
    assert (codes(report), states(report)[CRL]) == ([NoticeCode.LIST_UNREADABLE], ListState.APPLIED)


def test_first_load_publishes_when_a_list_is_hostile(party: Party) -> None:
    shutil.rmtree(party.place / "mirror")
    party.put(OTHER, bit_string_issuer(party.crl()))
    assert codes(party.sync()) == [NoticeCode.LIST_SIGNER_UNKNOWN]
    assert party.ask("SELECT count(*) > 0 FROM revocation") == [(1,)]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda crl: crl + b"\n",
        b64encode,
        lambda crl: gzip.compress(b64encode(crl) + b"\r\n"),
        gzip.compress,
        lambda crl: x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM),
    ],
    ids=["newline", "Base64", "compressed Base64", "compressed", "PEM"],
)
def test_list_is_applied_in_each_wrapping(party: Party, wrap: Callable[[bytes], bytes]) -> None:
    party.put(CRL, wrap(party.crl(party.serials[0])))
    report = party.sync()
    assert (codes(report), states(report)[CRL]) == ([], ListState.APPLIED)
    assert party.revoked() == {party.serials[0]}


def test_partial_list_does_not_replace_the_complete_one(party: Party) -> None:
    first, second, _ = party.serials
    point = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    party.put(CRL, party.crl(first))
    party.put(OTHER, party.crl(second, number=99, form=Form(extensions=((point, True),))))
    report = party.sync()
    assert codes(report) == []
    assert party.revoked() == {first, second}
    before = party.ask("SELECT * FROM changes"), party.ask("SELECT * FROM revocation_list")
    assert set(states(party.sync()).values()) == {ListState.IN_FORCE}
    assert (party.ask("SELECT * FROM changes"), party.ask("SELECT * FROM revocation_list")) == before
    party.put(CRL, party.crl(number=51))
    party.sync()
    assert party.revoked() == {second}


def test_list_dated_in_the_future_is_refused(party: Party) -> None:
    far = datetime(2031, 1, 1, tzinfo=UTC)
    party.put(CRL, party.crl(number=51, issued=far))
    assert codes(party.sync()) == [NoticeCode.LIST_DATED_IN_FUTURE]
    party.put(CRL, party.crl(party.serials[0], number=52))
    assert codes(party.sync()) == []
    assert party.revoked() == {party.serials[0]}


def test_list_from_the_future_in_force_does_not_block_newer_numbers(party: Party) -> None:
    party.put(CRL, party.crl(number=51))
    party.sync()
    with closing(sqlite3.connect(party.place / "mirror/mirror.db")) as db, db:
        db.execute("UPDATE revocation_list SET this_update = 1930000000 WHERE number = '51'")
    party.put(CRL, party.crl(party.serials[0], number=52))
    assert codes(party.sync()) == []
    assert party.revoked() == {party.serials[0]}


def test_forget_lists_lets_a_lower_number_in(party: Party) -> None:
    first, second, _ = party.serials
    party.put(CRL, party.crl(first, number=10**6))
    party.sync()
    party.put(CRL, party.crl(first, second, number=53))
    assert codes(party.sync()) == [NoticeCode.LIST_OLDER]
    generation = MirrorDirectory(party.place / "mirror").current()
    assert generation is not None
    assert companions.forget_lists(generation, "CN=unknown") == 0
    assert companions.forget_lists(generation, party.signer.name.rfc4514_string()) == 1
    assert party.revoked() == {first}
    assert codes(party.sync()) == []
    assert party.revoked() == {first, second}
    unrevoked = "SELECT count(*) FROM changes WHERE change = 'unrevoked' AND serial = ?"
    assert party.ask(unrevoked, f"{first:X}".zfill(2)) == [(0,)]


def test_upper_case_issuer_is_revoked(party: Party) -> None:
    name = x509.Name([x509.NameAttribute(one.oid, str(one.value).upper()) for one in party.signer.name])
    party.put(CRL, party.crl(party.serials[0], form=Form(name=name)))
    assert codes(party.sync()) == []
    assert party.revoked() == {party.serials[0]}


def test_revoked_authority_is_reported_with_what_is_below(party: Party) -> None:
    name = party.signer.name.rfc4514_string()
    generation = MirrorDirectory(party.place / "mirror").current()
    assert generation is not None
    below = party.ask("SELECT count(*) FROM certificates WHERE issuer = ? AND in_use", name)[0][0]
    with closing(connect(generation)) as db, db:
        db.execute("UPDATE certificate SET status = 'R' WHERE subject = ?", (name,))
        upgrade_lists(db)
    report = party.sync()
    (notice,) = (one for one in report.attention if one.code is NoticeCode.AUTHORITY_REVOKED)
    assert not notice.code.is_note
    assert name in notice.message
    assert f" {below} In-Use certificates" in notice.message
    assert below >= 3


def test_revoked_authority_is_reported_until_accepted(party: Party) -> None:
    name = party.signer.name.rfc4514_string()
    directory = MirrorDirectory(party.place / "mirror")
    generation = directory.current()
    assert generation is not None
    with closing(connect(generation)) as db, db:
        db.execute("UPDATE certificate SET status = 'R' WHERE subject = ?", (name,))
        upgrade_lists(db)
        serial = db.execute("SELECT serial FROM certificate WHERE subject = ?", (name,)).get
    with open_mirror(generation) as mirror:
        state = read_watch(mirror, directory.watch, (), party.job().now, 30)
    assert f"authority-revoked:{serial}" in {notice.name for notice in state.pending}
    assert NoticeCode.AUTHORITY_REVOKED in codes(party.sync())
    write_accepted(directory.watch, {f"revoked:{serial}", "authority-revoked:00"})
    assert NoticeCode.AUTHORITY_REVOKED in codes(party.sync())
    write_accepted(directory.watch, {f"authority-revoked:{serial}"})
    assert NoticeCode.AUTHORITY_REVOKED not in codes(party.sync())


def test_altered_anchor_is_reported(party: Party) -> None:
    assert codes(run(replace(party.job(), anchors=(party.root,)))) == []
    report = run(replace(party.job(), anchors=(flipped(party.root, -1),)))
    assert NoticeCode.ANCHOR_DIFFERS in codes(report)


# Limits.


def test_companions_of_one_run_are_bounded(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(6):
        party.put(f"X{n}_CRL.bin", bytes([n]) * 3000)
    policy = ListPolicy(largest_bytes=10_000)
    report = run(replace(party.job(), lists=policy))
    assert codes(report).count(NoticeCode.COMPANION_NOT_FETCHED) == 3
    monkeypatch.setattr(companions, "FILES_LIMIT", 3)
    report = run(replace(party.job(), lists=policy))
    missed = [one for one in report.attention if one.code is NoticeCode.COMPANION_NOT_FETCHED]
    assert len(missed) >= 6
    assert "more than 3 such files" in missed[-1].message


def test_companions_are_deleted_when_they_are_no_longer_offered(party: Party) -> None:
    party.put(OTHER, b"x" * 3000)
    party.sync()
    assert party.ask("SELECT name FROM companion WHERE name = ?", OTHER)
    (party.published / OTHER).unlink()
    party.sync()
    assert not party.ask("SELECT name FROM companion WHERE name = ?", OTHER)
    assert len(party.ask("SELECT name FROM companion")) >= 3


def test_unreadable_list_is_not_parsed_again(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    party.put(OTHER, b"not a list")
    assert codes(party.sync()) == [NoticeCode.LIST_UNREADABLE]
    parsed: list[bytes] = []

    def watched(data: bytes) -> object:
        parsed.append(data)
        return read_list(data)

    monkeypatch.setattr(companions, "read_list", watched)
    assert codes(party.sync()) == [NoticeCode.LIST_UNREADABLE]
    assert b"not a list" not in parsed
    assert parsed


def test_slot_file_with_a_hostile_record_is_refused(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_der: bytes) -> object:
        raise TypeError("a bug")

    monkeypatch.setattr(companions, "slot_of", failing)
    report = party.sync()
    assert set(codes(report)) == {NoticeCode.SLOTS_UNREADABLE}
    assert party.ask("SELECT code FROM refused_companion WHERE name = ?", ANCHORS_NORTH)
    assert states(report)[ARL] is ListState.IN_FORCE
