"""Certificates that the DCC publishes for testing, in a full and a delta, in every shape of the XML."""

import json
from dataclasses import fields, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.plain_reader import opened
from support.scenario_writer import publish, publish_overlap, record
from support.x509_builders import DATA, REAL, with_null_parameters

from scenarios.operator import Operator, call
from smki_sync.model.certificate import Flag
from smki_sync.model.report import NoticeCode, Outcome
from smki_sync.simulator import file_format
from smki_sync.simulator.file_format import Body, GzShape, Namespace, Record, Serials, XmlShape

TODAY = date(2026, 3, 2)
TOMORROW = TODAY + timedelta(days=1)
SERIALS: list[str] = [one["serial"] for one in json.loads(DATA.read_text("utf-8"))["certificates"]]

_PLAIN = XmlShape()
_SWITCHED: dict[str, Any] = {
    f.name: not value for f in fields(XmlShape) if isinstance(value := getattr(_PLAIN, f.name), bool)
}
SHAPES = {
    "plain": _PLAIN,
    **{f"namespace {one}": replace(_PLAIN, namespace=one) for one in Namespace},
    **{f"body {one}": replace(_PLAIN, body=one) for one in Body},
    **{f"serials {one}": replace(_PLAIN, serials=one) for one in Serials},
    **{f"other {one}": replace(_PLAIN, **{one: value}) for one, value in _SWITCHED.items()},
    "all at once": replace(
        _PLAIN, namespace=Namespace.PREFIXED, body=Body.INDENTED, serials=Serials.BARE, **_SWITCHED
    ),
    "all at once, in lines": replace(
        _PLAIN, namespace=Namespace.DEFAULT, body=Body.WRAPPED_64, **{**_SWITCHED, "pretty": True}
    ),
}


def eui_of(der: bytes) -> str | None:
    """The EUI-64 by its place: after the DCC's prefix in hwSerialNum, or in x500UniqueIdentifier."""
    for mark in (b"\x04\x08\x00\xdb\x12", b"\x03\x09\x00\x00\xdb", b"\x03\x09\x00\x90\xb3"):
        at = der.find(mark)
        if at >= 0:
            start = at + mark.index(b"\x00") + (mark[0] == 3)
            return der[start : start + 8].hex("-").upper()
    return None


def write(directory: Path, kind: str, day: date, records: list[Record], shape: XmlShape) -> None:
    name = f"SMKIKR_{kind}_{day}.xml.gz"
    content = file_format.xml_chunks(records, shape, Random(7))
    publish(directory, kind, day, b"".join(file_format.gzip_chunks(content, GzShape(), name)))


def as_record(der: bytes, serial: str, status: str = "I") -> Record:
    device = der[:4] == b"\x30\x82\x01\xa0"
    eui = eui_of(der)
    return Record(
        alt_name=eui if device else None,
        name=None if device else eui or "Z1",
        serial=serial,
        status=status,
        body=der,
        authority=eui is None,
    )


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    (tmp_path / "files").mkdir()
    return Operator(tmp_path / "mirror", tmp_path / "files")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_real_certificates_are_kept_and_found_in_every_shape(operator: Operator, shape: XmlShape) -> None:
    records = [as_record(der, serial) for der, serial in zip(REAL, SERIALS, strict=True)]
    write(operator.files, "FULL", TODAY, records[::2], shape)
    publish_overlap(operator.files, TODAY)
    write(operator.files, "DELT", TOMORROW, [*records[1::2], replace(records[0], status="R")], shape)
    report = operator.sync(TOMORROW)
    assert report.outcome is Outcome.CURRENT
    assert report.position == TOMORROW
    held = operator.held()
    assert held.in_use() == set(REAL[1:])
    assert {row.status for row in held.rows.values() if not row.in_use} == {"R"}
    assert {row.flags for row in held.rows.values()} == {0}
    with opened(operator.mirror) as db:
        assert db.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
        for der, serial in zip(REAL, SERIALS, strict=True):
            by_serial = db.execute("SELECT der, eui FROM certificates WHERE serial = ?", (serial,)).fetchall()
            assert by_serial == [(der, eui_of(der))]
            by_eui = db.execute("SELECT der FROM certificates WHERE eui IS ?", (eui_of(der),))
            assert (der,) in by_eui.fetchall()


def test_a_record_with_serial_and_usage_of_another_certificate_keeps_its_body(operator: Operator) -> None:
    """As in the DCC's own sample: the claims belong to the other certificate of the same device."""
    usages = {"DS": REAL[0], "KA": REAL[1]}
    assert eui_of(usages["DS"]) == eui_of(usages["KA"])
    wrong = record(REAL[0], serial=SERIALS[1], usage="KA", eui=eui_of(REAL[0]) or "")
    publish(operator.files, "FULL", TODAY, [wrong])
    publish_overlap(operator.files, TODAY)
    report = operator.sync(TODAY)
    assert {a.code for a in report.attention} >= {NoticeCode.CLAIMS_DIFFER}
    ((key, row),) = operator.held().rows.items()
    assert key == ("CN=E357", SERIALS[0])
    assert (row.der, row.usage, row.in_use) == (REAL[0], "DS", True)
    assert row.flags == Flag.SERIAL_CLAIM_DIFFERS | Flag.USAGE_CLAIM_DIFFERS
    code, said = call("show", f"serial:{SERIALS[1]}", "--any-status", "--mirror", operator.mirror)
    assert (code, said["certificates"]) == (10, [])
    right = record(REAL[1], serial=SERIALS[1], usage="KA", eui=eui_of(REAL[1]) or "")
    publish(operator.files, "DELT", TOMORROW, [right])
    operator.sync(TOMORROW)
    assert operator.held().in_use() == {REAL[0], REAL[1]}


@pytest.mark.parametrize("kind", ["FULL", "DELT"])
def test_a_certificate_that_strict_parsers_refuse_is_kept_flagged_and_shown(
    operator: Operator, kind: str
) -> None:
    odd = with_null_parameters(REAL[7])
    sound = [record(der) for der in REAL[:7]]
    publish(operator.files, "FULL", TODAY, sound + [record(odd)] * (kind == "FULL"))
    publish_overlap(operator.files, TODAY)
    publish(operator.files, "DELT", TOMORROW, [record(odd)] * (kind == "DELT"))
    report = operator.sync(TOMORROW)
    assert report.outcome is Outcome.CURRENT
    assert {a.code for a in report.attention} >= {NoticeCode.STRICT_PARSER_REFUSES}
    assert operator.held().in_use() == {*REAL[:7], odd}
    flagged = {row.der: row.flags for row in operator.held().rows.values() if row.flags}
    assert flagged == {odd: Flag.STRICT_PARSER_REFUSES}
    code, said = call("show", f"serial:{SERIALS[7]}", "--mirror", operator.mirror)
    assert code == 0
    (shown,) = said["certificates"]
    assert (shown["eui"], shown["flags"]) == (eui_of(odd), ["strict-parser-refuses"])
    code, said = call("show", eui_of(odd) or "", "--mirror", operator.mirror)
    assert SERIALS[7] in {one["serial"] for one in said["certificates"]}
