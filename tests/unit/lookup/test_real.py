"""Certificates that the DCC publishes for testing, looked up by all that somebody may have at hand."""

import json
from base64 import encodebytes
from collections.abc import Iterator
from datetime import date
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from scenarios.operator import Operator
from support.plain_reader import beside_a_writer
from support.scenario_writer import publish, record
from support.x509_builders import REAL

from smki_sync.cli.certificate_view import ShowRequest, render_show
from smki_sync.cli.exit_codes import Exit

TODAY = date(2026, 3, 2)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """A mirror of them all."""
    place = tmp_path_factory.mktemp("real")
    (place / "files").mkdir()
    operator = Operator(place / "mirror", place / "files")
    publish(operator.files, "FULL", TODAY, [record(der) for der in REAL])
    operator.sync(TODAY)
    assert operator.held().in_use() == set(REAL)
    return operator


def identities(der: bytes, serial: str, ski: str | None, eui: str | None, place: Path) -> Iterator[str]:
    yield from (f"serial:{serial}", f"serial:{int(serial, 16)}", f"serial:{serial.lower()}")
    yield from (f"sha1:{sha1(der, usedforsecurity=False).hexdigest()}", f"sha256:{sha256(der).hexdigest()}")
    if ski:
        yield from (f"ski:{ski}", f"ski:{ski.lower()}")
    if eui:
        yield from (eui, eui.replace("-", "").lower(), eui.replace("-", ":"))
    (place / "one.der").write_bytes(der)
    (place / "one.pem").write_bytes(
        b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"
    )
    yield from (str(place / "one.der"), str(place / "one.pem"))


def shown(identity: str, mirror: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """SHA-256 of what ``show`` finds; in this process, for there are many."""
    code = render_show(ShowRequest(identity=identity, mirror=mirror, as_json=True))
    said = json.loads(capsys.readouterr().out)
    assert (code is Exit.OK) == bool(said["certificates"])
    return {one["sha256"] for one in said["certificates"]}


@pytest.mark.parametrize("number", range(len(REAL)))
def test_a_real_certificate_is_shown_by_each_of_its_identities(
    real: Operator, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    der = REAL[number]
    with beside_a_writer(real.mirror) as db:
        held = {row[0]: row[1:] for row in db.execute("SELECT der, serial, ski, eui FROM certificates")}
    serial, ski, eui = held[der]
    for identity in identities(der, serial, ski, eui, tmp_path):
        assert sha256(der).hexdigest() in shown(identity, real.mirror, capsys), identity


def test_they_are_of_more_than_one_kind(real: Operator) -> None:
    kinds = {row.kind for row in real.held().rows.values()}
    assert kinds >= {"device", "organisation"}
