"""Extracts of the model: what they state, and their bytes as the Repository would publish them.

Days are whole numbers: day 0 is :data:`START`. Hours are counted from the beginning of day 0.
"""

import gzip
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from hashlib import sha256

from scenarios.merge_model.certificates import ISSUED, certificates

START = date(2025, 3, 3)
IN_USE = "I"


class Kind(StrEnum):
    """The two kinds of extract, as they stand in a name."""

    FULL = "FULL"
    DELTA = "DELT"


class Defect(StrEnum):
    """What keeps a record from being understood."""

    STATUS = "status"
    """An unknown status: the body says which certificate it is."""
    BODY = "body"
    """A body that is no certificate: nobody can say which certificate it is."""


class Damage(StrEnum):
    """What is wrong with a file."""

    CUT = "cut"
    EMPTY = "empty"
    NOT_XML = "not-xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a file states of one certificate."""

    number: int
    status: str
    manufacturing: bool | None = None
    body: int = ISSUED
    defect: Defect | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Extract:
    """One file.

    ``edition``: counts files of the same kind and date with other contents. ``is_misdated``: the contents are
    those of another day.
    """

    kind: Kind
    day: int
    records: tuple[Record, ...]
    edition: int = 0
    damage: Damage | None = None
    is_misdated: bool = False

    @property
    def key(self) -> "Key":
        return self.kind, self.day

    @property
    def name(self) -> str:
        return f"SMKIKR_{self.kind}_{day_text(self.day)}.xml.gz"

    @cached_property
    def is_complete(self) -> bool:
        """Whether the identity of every record is known."""
        return all(record.defect is not Defect.BODY for record in self.records)

    @cached_property
    def is_plain(self) -> bool:
        """Whether every record can be read, and has the body that was issued."""
        return all(record.defect is None and record.body == ISSUED for record in self.records)

    @cached_property
    def content(self) -> bytes:
        """The bytes of the file."""
        if self.damage is Damage.EMPTY:
            return b""
        text = "<html>503</html>" if self.damage is Damage.NOT_XML else self._xml()
        packed = gzip.compress(text.encode(), 1, mtime=0)
        return packed[: len(packed) // 2] if self.damage is Damage.CUT else packed

    @cached_property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()

    def damaged(self, damage: Damage) -> "Extract":
        return replace(self, damage=damage)

    def _xml(self) -> str:
        records = "".join(_record_xml(record) for record in self.records)
        edition = f"<AuditReference>{self.day}-{self.edition}</AuditReference>"
        return f"<CertificateDataResponse>{edition}{records}</CertificateDataResponse>"

    def __str__(self) -> str:
        edition = f" edition {self.edition}" if self.edition else ""
        damage = f" {self.damage}" if self.damage else ""
        return f"{self.kind.lower()} {self.day}{edition}{damage}"


Key = tuple[Kind, int]
"""What a file is: its kind and its date, whatever the letter case of its name."""


def day_text(day: int) -> str:
    """A day as ISO 8601."""
    return (START + timedelta(days=day)).isoformat()


def day_number(text: str) -> int:
    """The number of a day that is written as ISO 8601."""
    return (date.fromisoformat(text) - START).days


def _record_xml(record: Record) -> str:
    certificate = certificates()[record.number]
    eui = (
        f"<CertificateSubjectAltName>{certificate.eui}</CertificateSubjectAltName>" if certificate.eui else ""
    )
    status = "X" if record.defect is Defect.STATUS else record.status
    body = certificate.base64[record.body]
    if record.defect is Defect.BODY:
        eui, body = "", body[::-1]
    flag = record.manufacturing
    manufacturing = "" if flag is None else f"<ManufacturingFlag>{str(flag).lower()}</ManufacturingFlag>"
    return (
        f"<CertificateResponse>{eui}<CertificateStatus>{status}</CertificateStatus>"
        f"<CertificateBody>{body}</CertificateBody>{manufacturing}</CertificateResponse>\n"
    )
