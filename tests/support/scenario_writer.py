"""A writer of extracts for what the simulator cannot do: strings and the standard library's gzip."""

import base64
import gzip
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """One record: a body, a status, and any other elements by name."""

    der: bytes
    status: str = "I"
    others: Mapping[str, str]


def record(der: bytes, status: str = "I", **others: str) -> Claimed:
    """``serial``, ``usage``, ``role``, ``eui`` and ``name`` are the claims that a record may make."""
    elements = {
        "eui": "CertificateSubjectAltName",
        "name": "CertificateSubjectName",
        "serial": "CertificateSerial",
        "usage": "CertificateUsage",
        "role": "CertificateRole",
        "manufacturing": "ManufacturingFlag",
    }
    return Claimed(der=der, status=status, others={elements[name]: text for name, text in others.items()})


def xml(records: Iterable[Claimed]) -> str:
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<CertificateDataResponse>"]
    for one in records:
        lines.append("<CertificateResponse>")
        lines += [f"<{name}>{escape(text)}</{name}>" for name, text in one.others.items()]
        lines.append(f"<CertificateStatus>{one.status}</CertificateStatus>")
        lines.append(f"<CertificateBody>{base64.b64encode(one.der).decode()}</CertificateBody>")
        lines.append("</CertificateResponse>")
    return "\n".join([*lines, "</CertificateDataResponse>"])


def publish(directory: Path, kind: str, day: date, records: Iterable[Claimed] | bytes) -> Path:
    """Publish a full (``FULL``) or delta (``DELT``), or the octets that stand in for one."""
    directory.mkdir(exist_ok=True)
    path = directory / f"SMKIKR_{kind}_{day}.xml.gz"
    path.write_bytes(records if isinstance(records, bytes) else gzip.compress(xml(records).encode()))
    at = datetime.combine(day, time(23), UTC).timestamp()
    os.utime(path, (at, at))
    return path


def publish_overlap(directory: Path, full: date) -> None:
    """Publish an empty delta for each day of the overlap of a full that has none, so that it is proven."""
    for day in (full - timedelta(days=back) for back in (2, 1, 0)):
        if not (directory / f"SMKIKR_DELT_{day}.xml.gz").exists():
            publish(directory, "DELT", day, [])
