"""The door: what is new is proven before it commits; a false signature is evidence, and is not served."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from scenarios.operator import call
from support.defects import PKI, Plan, certified, flipped, made, signer
from support.scenario_writer import publish, record
from support.trust_mirrors import mirror_of

from smki_sync.errors import BadExtract
from smki_sync.events import NullListener
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import open_mirror
from smki_sync.mirror.signature_cache import empty_signature_cache
from smki_sync.model.extract import ListPolicy
from smki_sync.model.plan import VerifyPolicy
from smki_sync.model.report import NoticeCode, Outcome, SyncReport
from smki_sync.simulator import pki
from smki_sync.sources import open_source
from smki_sync.sources.base import Limits
from smki_sync.sources.ssh_settings import SftpLogin
from smki_sync.sync import SyncJob, run
from smki_sync.sync.signature_gate import SignatureGate
from smki_sync.x509 import read_facts
from unit.verify.test_runner import device

TODAY = date(2026, 11, 9)
DEVICES = [device(number) for number in range(8)]
GOOD = [*PKI.authorities, *DEVICES]
MORE = [device(number) for number in range(200, 204)]
FORGED = flipped(device(100), -1)


@dataclass(slots=True)
class Gatekeeper:
    """Somebody who runs ``sync`` with a policy."""

    place: Path
    policy: VerifyPolicy = VerifyPolicy.NEW
    anchors: tuple[bytes, ...] = ()
    day: date = field(default=TODAY)

    @property
    def mirror(self) -> Path:
        return self.place / "mirror"

    def publish(self, kind: str, ders: list[bytes], status: str = "I") -> None:
        """A full comes with the deltas that prove it, empty unless they are there."""
        directory = self.place / "files"
        publish(directory, kind, self.day, [record(der, status) for der in ders])
        for back in (2, 1, 0) if kind == "FULL" else ():
            day = self.day - timedelta(days=back)
            if not (directory / f"SMKIKR_DELT_{day}.xml.gz").exists():
                publish(directory, "DELT", day, [])

    def sync(self, *, full: bool = False) -> SyncReport:
        source = open_source(
            (self.place / "files").as_uri(), login=SftpLogin(), limits=Limits(), events=NullListener()
        )
        job = SyncJob(
            directory=MirrorDirectory(self.mirror),
            open_source=lambda: source,
            today=self.day,
            lists=ListPolicy(expected=False),
            verify=self.policy,
            anchors=self.anchors,
        )
        return run(job, full=full)

    def next_day(self) -> None:
        self.day += timedelta(days=1)

    def held(self) -> dict[str, str]:
        """Serial to status, of those that are In-Use or not."""
        return dict(self.ask("SELECT serial, status FROM certificates WHERE withdrawn IS NULL"))

    def quarantine(self) -> list[tuple[Any, ...]]:
        return self.ask("SELECT reason, number FROM quarantine ORDER BY id")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.mirror / 'mirror.db'}?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()


@pytest.fixture
def keeper(tmp_path: Path) -> Gatekeeper:
    keeper = Gatekeeper(tmp_path)
    keeper.publish("FULL", GOOD)
    assert keeper.sync().outcome is Outcome.CURRENT
    keeper.next_day()
    return keeper


def serial(der: bytes) -> str:
    return read_facts(der).serial


def codes(report: SyncReport) -> set[NoticeCode]:
    return {attention.code for attention in report.attention}


def test_a_false_signature_in_a_delta_is_kept_as_evidence_and_not_served(keeper: Gatekeeper) -> None:
    fine = device(101)
    keeper.publish("DELT", [fine, FORGED])
    report = keeper.sync()
    assert codes(report) == {NoticeCode.RECORDS_QUARANTINED}
    assert (report.applied[0].counts.inserted, report.applied[0].counts.quarantined) == (1, 1)
    assert serial(fine) in keeper.held()
    assert serial(FORGED) not in keeper.held()
    assert keeper.quarantine() == [("signature-false", 2)]
    assert report.position == keeper.day
    code, said = call("verify", "--mirror", keeper.mirror, today=keeper.day)
    assert (code, said["errors"], said["damages"]) == (0, 0, [])


def test_without_the_policy_a_false_signature_is_served_as_before(keeper: Gatekeeper) -> None:
    keeper.policy = VerifyPolicy.OFF
    keeper.publish("DELT", [FORGED])
    assert keeper.sync().outcome is Outcome.CURRENT
    assert serial(FORGED) in keeper.held()


def test_an_unknown_issuer_is_noted_and_its_certificate_is_served(keeper: Gatekeeper) -> None:
    orphan = made(Plan(), signer(pki.dca_name("E999")))
    keeper.publish("DELT", [orphan])
    report = keeper.sync()
    assert report.outcome is Outcome.CURRENT
    assert codes(report) == {NoticeCode.ISSUER_UNKNOWN}
    assert serial(orphan) in keeper.held()
    assert keeper.quarantine() == []


@pytest.mark.parametrize("order", [1, -1])
def test_an_issuer_that_comes_in_the_same_file_counts_wherever_in_it(keeper: Gatekeeper, order: int) -> None:
    authority = signer(pki.dca_name("E999"))
    issued = made(Plan(), authority)
    both = [issued, certified(authority, PKI.dca_root)]
    keeper.publish("DELT", both[::order])
    report = keeper.sync()
    assert codes(report) == set()
    assert serial(issued) in keeper.held()


def test_a_status_that_changes_is_taken_whatever_the_signature(keeper: Gatekeeper) -> None:
    keeper.policy = VerifyPolicy.OFF
    keeper.publish("DELT", [FORGED])
    keeper.sync()
    keeper.next_day()
    keeper.policy = VerifyPolicy.NEW
    keeper.publish("DELT", [FORGED], status="R")
    assert keeper.sync().outcome is Outcome.CURRENT
    assert keeper.held()[serial(FORGED)] == "R"


def test_a_false_signature_in_a_first_full_is_not_served(tmp_path: Path) -> None:
    keeper = Gatekeeper(tmp_path)
    keeper.publish("FULL", [DEVICES[0], FORGED, *GOOD[:4], *DEVICES[1:]])
    report = keeper.sync()
    full = report.applied[0]
    assert (full.counts.records, full.counts.inserted, full.counts.quarantined) == (13, 12, 1)
    assert report.counts.total == report.counts.in_use == 12
    assert set(keeper.held()) == {serial(der) for der in GOOD}
    assert keeper.quarantine() == [("signature-false", 2)]
    code, said = call("verify", "--mirror", keeper.mirror, today=keeper.day)
    assert (code, said["damages"], said["signatures"]["proven"]) == (0, [], 0)


def test_a_false_signature_that_was_held_leaves_with_the_next_full(keeper: Gatekeeper) -> None:
    keeper.policy = VerifyPolicy.OFF
    keeper.publish("DELT", [FORGED])
    keeper.sync()
    keeper.next_day()
    keeper.policy = VerifyPolicy.NEW
    keeper.publish("DELT", [device(102)])
    keeper.publish("FULL", [*GOOD, FORGED, device(103)])
    report = keeper.sync(full=True)
    counts = report.applied[0].counts
    assert (counts.inserted, counts.updated, counts.quarantined, counts.withdrawn) == (1, 0, 1, 1)
    assert counts.records == counts.inserted + counts.unchanged + counts.quarantined
    assert serial(FORGED) not in keeper.held()
    code, said = call("verify", "--mirror", keeper.mirror, today=keeper.day)
    assert (code, said["damages"]) == (0, [])


def test_an_overlap_delta_goes_through_the_same_door(tmp_path: Path) -> None:
    keeper = Gatekeeper(tmp_path)
    keeper.publish("FULL", GOOD)
    keeper.publish("DELT", [FORGED, device(104)])
    report = keeper.sync()
    assert [one.counts.quarantined for one in report.applied] == [0, 0, 0, 1]
    assert serial(FORGED) not in keeper.held()


def test_what_the_door_has_proven_is_remembered(keeper: Gatekeeper) -> None:
    keeper.publish("DELT", [device(105)])
    keeper.sync()
    _, said = call("verify", "--mirror", keeper.mirror, today=keeper.day)
    assert said["signatures"]["proven"] == 0
    assert said["signatures"]["remembered"] == len(GOOD) + 1


def test_where_proofs_cannot_be_remembered_the_door_stands_all_the_same(keeper: Gatekeeper) -> None:
    keeper.mirror.joinpath("trust.db").unlink()
    keeper.mirror.joinpath("trust.db").mkdir()
    keeper.publish("DELT", [FORGED])
    assert codes(keeper.sync()) == {NoticeCode.RECORDS_QUARANTINED}


def test_a_full_of_which_too_many_are_refused_is_refused_as_a_whole(tmp_path: Path) -> None:
    directory = mirror_of(tmp_path / "mirror", [*GOOD, *(flipped(one, -1) for one in MORE)])
    with empty_signature_cache() as proofs, open_mirror(directory.link) as db:
        patient = SignatureGate([], (), proofs, limit=len(MORE))
        assert len(list(patient.refuse_among(db))) == len(MORE)
        with pytest.raises(BadExtract) as refused:
            list(SignatureGate([], (), proofs, limit=len(MORE) - 1).refuse_among(db))
    assert refused.value.reason == "too-many-rejected"


def test_with_all_the_whole_mirror_is_verified_after_each_run(keeper: Gatekeeper) -> None:
    keeper.policy, keeper.anchors = VerifyPolicy.ALL, PKI.trusted
    keeper.publish("DELT", [device(106)])
    assert keeper.sync().outcome is Outcome.CURRENT
    keeper.anchors = PKI.trusted[:1]
    keeper.next_day()
    keeper.publish("DELT", [device(107)])
    report = keeper.sync()
    assert report.outcome is Outcome.BEHIND
    assert codes(report) == {NoticeCode.VERIFICATION_FAILED}


def test_the_policy_and_the_anchors_are_configuration(keeper: Gatekeeper) -> None:
    keeper.publish("DELT", [FORGED])
    config = keeper.place / "smki-sync.toml"
    (keeper.place / "root.der").write_bytes(PKI.roots[0])
    config.write_text('[policy]\nverify = "new"\n[trust]\nanchors = ["root.der"]\n')
    words = (
        "sync",
        "--config",
        config,
        "--mirror",
        keeper.mirror,
        "--source",
        (keeper.place / "files").as_uri(),
    )
    code, said = call(*words, today=keeper.day)
    assert (code, said["quarantined"]) == (3, 1)
    config.write_text('[policy]\nverify = "some"\n')
    code, said = call(*words, today=keeper.day)
    assert (code, said["error"]["code"]) == (8, "config-invalid")
