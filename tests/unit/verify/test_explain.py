"""``show --explain``: step by step, why a certificate is or is not usable."""

import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from support.cli import Shell
from support.defects import PKI, Plan, flipped, made, signer
from support.trust_mirrors import mirror_of

from smki_sync.simulator import pki
from smki_sync.x509 import read_facts
from smki_sync.x509.der import to_pem
from unit.verify.test_runner import DEVICES, SOUND, device

TODAY = date(2026, 11, 22)
SPENT, FORGED, ORPHAN = device(300), flipped(device(301), -1), made(Plan(), signer(pki.dca_name("E999")))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    mirror_of(tmp_path / "mirror", [*SOUND, FORGED, ORPHAN], others={"R": [SPENT]})
    (tmp_path / "roots.pem").write_text("".join(map(to_pem, PKI.roots)))
    (tmp_path / "smki-sync.toml").write_text('[trust]\nanchors = ["roots.pem"]\n')
    return Shell(place=tmp_path, today=TODAY, variables={"SMKI_SYNC_MIRROR": str(tmp_path / "mirror")})


def tampered(shell: Shell, statement: str) -> None:
    with closing(sqlite3.connect(shell.place / "mirror" / "mirror.db")) as db, db:
        db.execute(statement)


def explained(shell: Shell, der: bytes) -> dict[str, Any]:
    ran = shell("show", f"serial:{read_facts(der).serial}", "--explain", "--json")
    (one,) = ran.document["certificates"]
    found: dict[str, Any] = one["explanation"]
    assert ran.code == (0 if found["usable"] else 10), ran.err
    return found


def against(explanation: dict[str, Any]) -> dict[str, str]:
    """The answers that say no, by question."""
    return {step["question"]: step["answer"] for step in explanation["steps"] if step["good"] is False}


def test_a_usable_certificate_has_a_yes_at_every_step_and_its_chain_to_the_anchor(shell: Shell) -> None:
    told = explained(shell, DEVICES[0])
    assert told["usable"]
    assert [step["good"] for step in told["steps"]] == [True] * len(told["steps"])
    assert len(told["steps"]) == 14
    last = told["steps"][-1]["answer"]
    assert last.startswith("CN=E357")
    assert "CN=D0C4" in last
    assert "SMKIKR_FULL_2026-11-09.xml.gz" in told["steps"][0]["answer"]


def test_a_certificate_out_of_use_says_since_when_and_by_which_file(shell: Shell) -> None:
    told = explained(shell, SPENT)
    assert not told["usable"]
    ((question, answer),) = against(told).items()
    assert question == "status In-Use"
    assert "Revoked (R) since 2026-11-09, by SMKIKR_FULL_2026-11-09.xml.gz" in answer


def test_a_withdrawn_certificate_says_which_full_has_left_it_out(shell: Shell) -> None:
    tampered(
        shell, f"UPDATE certificate SET withdrawn = 20770 WHERE serial = '{read_facts(DEVICES[1]).serial}'"
    )
    ((_, answer),) = against(explained(shell, DEVICES[1])).items()
    assert answer.startswith("not in the full extract of")


def test_a_revoked_certificate_says_by_which_list(shell: Shell) -> None:
    org = read_facts(SOUND[4])
    tampered(
        shell,
        "INSERT INTO revocation_list VALUES"
        " (1, 'SMKI_CRL.gz', 'crl', 'CN=Z1,OU=07', '00', '7', 0, 0, 1, '', '', 1, x'', '', 1)",
    )
    tampered(
        shell,
        "INSERT INTO revocation SELECT serial, issuer, 1, 1790000000, 'keyCompromise' FROM certificate"
        f" WHERE serial = '{org.serial}'",
    )
    tampered(shell, f"UPDATE certificate SET revoked = 1790000000 WHERE serial = '{org.serial}'")
    ((_, answer),) = against(explained(shell, SOUND[4])).items()
    assert "CRL SMKI_CRL.gz number 7 revoked it on 2026-09-21" in answer
    assert "keyCompromise" in answer


def test_a_false_signature_and_an_unknown_issuer_are_told(shell: Shell) -> None:
    assert "signature-false" in " ".join(against(explained(shell, FORGED)).values())
    assert "issuer-unknown" in " ".join(against(explained(shell, ORPHAN)).values())


def test_a_row_that_says_something_else_than_its_certificate_is_told(shell: Shell) -> None:
    serial = read_facts(DEVICES[3]).serial
    tampered(shell, f"UPDATE certificate SET not_after = not_after - 1 WHERE serial = '{serial}'")
    assert "row-differs" in " ".join(against(explained(shell, DEVICES[3])).values())


def test_octets_that_are_no_certificate_any_more_are_told(shell: Shell) -> None:
    serial = read_facts(DEVICES[4]).serial
    tampered(shell, f"UPDATE certificate SET der = x'3000' WHERE serial = '{serial}'")
    ran = shell("show", f"serial:{serial}", "--explain")
    assert ran.code == 10
    assert "NOT usable" in ran.out


def test_an_anchor_explains_itself(shell: Shell) -> None:
    told = explained(shell, PKI.roots[0])
    assert told["usable"]
    assert told["steps"][-1]["answer"] == "it is a trust anchor"


def test_without_anchors_the_last_step_says_so_and_decides_nothing(shell: Shell) -> None:
    (shell.place / "smki-sync.toml").unlink()
    told = explained(shell, DEVICES[0])
    assert told["usable"]
    assert told["steps"][-1]["good"] is None
    assert "trust.anchors is not configured" in told["steps"][-1]["answer"]


def test_what_lies_in_the_quarantine_is_told_and_decides_nothing(shell: Shell) -> None:
    serial = read_facts(DEVICES[2]).serial
    tampered(
        shell,
        "INSERT INTO quarantine (extract, number, reason, detail, xml)"
        f" SELECT min(id), 7, 'identity-conflict', 'serial {serial} of issuer CN=E357', x'' FROM extract",
    )
    told = explained(shell, DEVICES[2])
    (quarantine,) = [step for step in told["steps"] if "quarantine" in step["question"]]
    assert quarantine["good"] is None
    assert "record 7: identity-conflict" in quarantine["answer"]
    assert told["usable"]


def test_what_the_mirror_does_not_hold_and_the_quarantine_does_is_said_with_the_record(shell: Shell) -> None:
    tampered(
        shell,
        "INSERT INTO quarantine (extract, number, reason, detail, xml)"
        " SELECT min(id), 7, 'signature-false', 'key', '<CertificateSubjectAltName>00-DB-12-7F-7F-7F-7F-7F"
        "</CertificateSubjectAltName><CertificateSerial>7F00AA01</CertificateSerial>' FROM extract",
    )
    for identity in ("serial:7F00AA01", "00-DB-12-7F-7F-7F-7F-7F"):
        ran = shell("show", identity, "--explain")
        assert ran.code == 10
        assert "record 7 (signature-false)" in " ".join(ran.err.split())
    assert "quarantine" not in shell("show", "serial:7F00AA02").err


def test_people_read_it_in_lines_that_fit(shell: Shell) -> None:
    ran = shell("show", f"serial:{read_facts(FORGED).serial}", "--explain")
    assert ran.code == 10
    assert "NOT usable at 2026-11-22" in ran.out
    assert "  NO " in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_an_explanation_is_no_pem_and_no_der(shell: Shell) -> None:
    serial = read_facts(DEVICES[0]).serial
    assert shell("show", f"serial:{serial}", "--explain", "--pem").code == 2
    assert shell("show", f"serial:{serial}", "--explain", "--der").code == 2


def test_a_plain_answer_has_no_explanation(shell: Shell) -> None:
    (one,) = shell("show", f"serial:{read_facts(DEVICES[0]).serial}", "--json").document["certificates"]
    assert "explanation" not in one
