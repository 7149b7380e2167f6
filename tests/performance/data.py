"""Extracts of any size from a fixed seed, structurally real: one device certificate with other fields.

Serial number, EUI-64, key, key identifier and signature are random; the signature proves nothing. About
200 000 records a second, so that the data takes less time than the measurement.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from isal import igzip

CERTIFICATES = Path(__file__).parents[1] / "data" / "certificates.json"
FULL_DAY = date(2026, 11, 15)
_CHUNK = 2_000


class Cast:
    """Device certificates that are alike but for what differs from device to device."""

    def __init__(self, seed: int) -> None:
        """Take the first certificate of the test data as the pattern."""
        one = json.loads(CERTIFICATES.read_text("utf-8"))["certificates"][0]
        self._der, self._random = b64decode(one["der"]), Random(seed)
        serial = self._der.index(bytes.fromhex(one["serial"]))
        key = self._der.index(bytes.fromhex("03420004")) + 4
        ski = self._der.index(bytes.fromhex("0603551d0e")) + 9
        eui = self._der.index(bytes.fromhex("020104 0800db".replace(" ", ""))) + 4
        signature = len(self._der) - 32
        self._gaps = [(serial + 1, 15), (key, 64), (ski, 8), (eui + 1, 7), (signature, 32)]
        self._serial, self._eui = slice(serial, serial + 16), slice(eui, eui + 8)

    def record(self, status: str = "I") -> str:
        """One more device's certificate, as a record of Annex B."""
        der = bytearray(self._der)
        for at, size in self._gaps:
            der[at : at + size] = self._random.randbytes(size)
        return record(bytes(der[self._serial]), bytes(der[self._eui]), bytes(der), status)


def record(serial: bytes, eui: bytes, der: bytes, status: str) -> str:
    """A record of Annex B as the DCC's samples have it."""
    return (
        f"<CertificateResponse><CertificateSubjectAltName>{eui.hex('-').upper()}</CertificateSubjectAltName>"
        f"<CertificateSerial>{serial.hex().upper()}</CertificateSerial>"
        f"<CertificateStatus>{status}</CertificateStatus>"
        f"<CertificateBody>{b64encode(der).decode()}</CertificateBody><CertificateUsage>DS</CertificateUsage>"
        "<ManufacturingFlag>false</ManufacturingFlag></CertificateResponse>\n"
    )


def write_extract(path: Path, records: Iterator[str]) -> Path:
    """Write records as one gz member."""
    open_gz: Any = igzip.open  # isal has no types
    with open_gz(path, "wb", compresslevel=1) as file:
        file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<CertificateDataResponse>\n')
        while chunk := list(islice(records, _CHUNK)):
            file.write("".join(chunk).encode())
        file.write(b"</CertificateDataResponse>\n")
    return path


def make_full(directory: Path, number: int, *, seed: int = 1) -> Path:
    """A full of ``number`` certificates."""
    directory.mkdir(parents=True, exist_ok=True)
    cast = Cast(seed)
    name = f"SMKIKR_FULL_{FULL_DAY}.xml.gz"
    return write_extract(directory / name, (cast.record() for _ in range(number)))


def make_delta(directory: Path, day: date, number: int, *, seed: int = 1) -> Path:
    """A delta: half of it certificates of the full of that seed, no longer in use; half new ones."""
    old, new = Cast(seed), Cast(seed + 1000 + day.toordinal())
    records = (old.record("N") if n % 2 else new.record() for n in range(number))
    return write_extract(directory / f"SMKIKR_DELT_{day}.xml.gz", records)
