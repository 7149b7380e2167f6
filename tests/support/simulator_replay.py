"""A naive client: reads whole files with the standard library and replays a full and its deltas.

Written apart from both the simulator's writer and the program's reader, so that it can judge either.
"""

import gzip
from base64 import b64decode
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

RECORD = "CertificateResponse"


class Row(NamedTuple):
    """One record as it stands in a file."""

    status: str
    serial: str
    der: bytes
    claims: dict[str, str]


def parse_xml(xml: bytes) -> list[Row]:
    root = ET.fromstring(xml)  # noqa: S314  the test's own simulator wrote it
    return [_row(element) for element in root if _local(element) == RECORD]


def parse(path: Path) -> list[Row]:
    return parse_xml(gzip.decompress(path.read_bytes()))


def full_path(directory: Path, day: date) -> Path:
    return directory / f"SMKIKR_FULL_{day}.xml.gz"


def delta_path(directory: Path, day: date) -> Path:
    return directory / f"SMKIKR_DELT_{day}.xml.gz"


def days_of(directory: Path, kind: str) -> list[date]:
    names = sorted(p.name for p in directory.glob(f"SMKIKR_{kind}_*.xml.gz"))
    return [
        date.fromisoformat(name.removeprefix(f"SMKIKR_{kind}_").removesuffix(".xml.gz")) for name in names
    ]


def replay(directory: Path, full: date, until: date, *, overlap_days: int) -> dict[bytes, str]:
    """DER to status after the full and every delta from ``overlap_days`` before it."""
    held = {row.der: row.status for row in parse(full_path(directory, full))}
    day = full - timedelta(days=overlap_days)
    while day <= until:
        path = delta_path(directory, day)
        if path.exists() or day > full:
            held |= {row.der: row.status for row in parse(path)}
        day += timedelta(days=1)
    return held


def _row(element: ET.Element) -> Row:
    claims = {_local(child): (child.text or "").strip() for child in element if isinstance(child.tag, str)}
    der = b64decode("".join(claims.pop("CertificateBody").split()), validate=True)
    return Row(
        status=claims.pop("CertificateStatus"), serial=claims.pop("CertificateSerial"), der=der, claims=claims
    )


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
