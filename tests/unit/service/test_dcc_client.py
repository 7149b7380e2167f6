"""The DCC's own client, unmodified, against the server."""

import base64
import json
import re
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from support.mirror_copies import copy_mirror
from support.party import SUPPLIER
from support.served import CLIENT, KEY, Served, dcc_client, serving

from smki_sync.x509 import read_facts

from .conftest import ALL, PENDING, REVOKED

DEVICE = "00-DB-12-34-56-78-90-01"
DEVICE_DS = "71C56392CE9985DD1B78BE2EB23D610B"
ONE_EXPIRED = "43F410FE3624C88E20521E8CA23ECD25"
OCA = "71872BDBC82789BC1401CE01BA06ADA3"
HEADERS = {"x-api-key": KEY}
"""The client has a fixed key in its query; a key of ours is sent in a header."""


def search(name: str, text: str, usage: str = "DS", role: str | None = None) -> dict[str, Any]:
    asked = {"CertificateUsage": usage, "CertificateStatus": "I", "q": {name: text}}
    return {"kind": "search", "request": asked | ({"CertificateRole": role} if role else {})}


def serials(answer: dict[str, Any]) -> set[str]:
    assert "found" in answer, answer
    return {read_facts(base64.b64decode(one)).serial for one in answer["found"]}


def expected(eui: str, usage: str) -> set[str]:
    facts = [read_facts(der) for der in ALL.values()]
    now = 1_772_409_600  # 2 March 2026
    return {f.serial for f in facts if f.eui == eui and f.usage == usage and f.not_after > now}


@pytest.mark.parametrize("eui", [DEVICE, DEVICE.lower()])
@pytest.mark.parametrize("usage", ["DS", "KA"])
def test_client_finds_the_certificate_of_a_device(served: Served, eui: str, usage: str) -> None:
    answer = dcc_client(
        address=served.url, headers=HEADERS, **search("CertificateSubjectAltName", eui, usage)
    )
    assert serials(answer) == expected(DEVICE, usage)
    assert len(answer["found"]) == 1


@pytest.mark.parametrize("usage", ["DS", "KA"])
def test_client_finds_all_certificates_of_an_organisation_and_role(served: Served, usage: str) -> None:
    asked = search("CertificateSubjectName", SUPPLIER, usage, "2")
    answer = dcc_client(address=served.url, headers=HEADERS, **asked)
    assert serials(answer) == expected(SUPPLIER, usage)
    assert len(answer["found"]) > 1


def test_client_finds_nothing_for_another_role(served: Served) -> None:
    asked = search("CertificateSubjectName", SUPPLIER, "DS", "4")
    assert dcc_client(address=served.url, headers=HEADERS, **asked) == {"found": []}


@pytest.mark.parametrize("serial", [DEVICE_DS.lower(), DEVICE_DS, PENDING, REVOKED, ONE_EXPIRED])
def test_client_retrieves_by_serial(served: Served, serial: str) -> None:
    answer = dcc_client(address=served.url, headers=HEADERS, kind="query", serial=serial)
    assert serials(answer) == {serial.upper()}


@pytest.mark.parametrize(
    "asked", [{"eui": "00-DB-12-34-56-78-90-03", "usage": 0}, {"eui": DEVICE, "usage": 4}]
)
def test_client_key_store_finds_only_what_is_in_use(
    served: Served, asked: dict[str, Any], tmp_path: Path
) -> None:
    backing = tmp_path / "empty.json"
    backing.write_text("[]")
    answer = dcc_client(address=served.url, headers=HEADERS, kind="store", backing=str(backing), **asked)
    if asked["usage"] == 0:  # its certificate for signing is pending
        assert answer == {"found": []}
    else:
        assert serials(answer) == expected(DEVICE, "KA")


def test_client_key_store_finds_a_serial_given_as_bigint(served: Served, tmp_path: Path) -> None:
    backing = tmp_path / "empty.json"
    backing.write_text("[]")
    answer = dcc_client(
        address=served.url, headers=HEADERS, kind="store", backing=str(backing), serial=DEVICE_DS
    )
    assert serials(answer) == {DEVICE_DS}


def test_client_finds_nothing_for_unknown_identities(served: Served) -> None:
    asked = search("CertificateSubjectAltName", "00-00-00-00-00-00-00-00")
    assert dcc_client(address=served.url, headers=HEADERS, **asked) == {"found": []}
    assert dcc_client(address=served.url, headers=HEADERS, kind="query", serial="aa") == {"found": []}


def test_client_reports_invalid_parameters(served: Served) -> None:
    asked = search("CertificateSubjectAltName", "nonsense")
    answer = dcc_client(address=served.url, headers=HEADERS, **asked)
    assert answer == {"error": "invalid search parameters"}


def test_client_cannot_take_an_authority_for_an_organisation(served: Served) -> None:
    answer = dcc_client(address=served.url, headers=HEADERS, kind="query", serial=OCA)
    assert answer == {"error": "invalid subject"}


def test_client_is_refused_with_a_wrong_key(served: Served) -> None:
    asked = search("CertificateSubjectAltName", DEVICE)
    answer = dcc_client(address=served.url, headers={"x-api-key": "wrong"}, **asked)
    assert answer["error"].startswith("unknown error 403")


def test_built_in_key_is_accepted_only_when_configured(served: Served, mirror: Path, tmp_path: Path) -> None:
    asked = search("CertificateSubjectAltName", DEVICE)
    assert len(dcc_client(address=served.url, **asked)["found"]) == 1
    source = CLIENT / "node_modules/@smartdcc/dccboxed-keystore/dist/certificateSearch.js"
    built_in = set(re.findall(r"apikey: '(\w+)'", source.read_text()))
    assert len(built_in) == 1
    with serving(copy_mirror(mirror, tmp_path / "mirror")) as running:
        assert dcc_client(address=running.url, **asked)["error"].startswith("unknown error 403")
        assert running.ask(f"/api/v1/mirror?apikey={built_in.pop()}", key=None).status == 403


def test_client_does_not_take_revoked_or_withdrawn_certificates(mirror: Path, tmp_path: Path) -> None:
    copied = copy_mirror(mirror, tmp_path / "mirror")
    gone = next(iter(expected(SUPPLIER, "KA")))
    with closing(connect(copied / "mirror.db")) as db, db:
        db.execute("UPDATE certificate SET revoked = 1700000000 WHERE serial = ?", (DEVICE_DS,))
        db.execute("UPDATE certificate SET withdrawn = 1 WHERE serial = ?", (gone,))
    with serving(copied) as running:
        revoked = dcc_client(
            address=running.url, headers=HEADERS, **search("CertificateSubjectAltName", DEVICE)
        )
        assert revoked == {"found": []}
        left = dcc_client(
            address=running.url, headers=HEADERS, **search("CertificateSubjectName", SUPPLIER, "KA", "2")
        )
        assert serials(left) == expected(SUPPLIER, "KA") - {gone}
        assert dcc_client(address=running.url, headers=HEADERS, kind="query", serial=gone) == {"found": []}


def test_client_reports_an_error_when_the_mirror_is_missing(mirror: Path, tmp_path: Path) -> None:
    copied = copy_mirror(mirror, tmp_path / "mirror")
    with serving(copied) as running:
        (copied / "mirror.db").unlink()
        asked = search("CertificateSubjectAltName", DEVICE)
        answer = dcc_client(address=running.url, headers=HEADERS, **asked)
    assert answer["error"].startswith("unknown error 503"), json.dumps(answer)
