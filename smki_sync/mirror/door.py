"""The door of a mirror: who is asked before a new certificate is kept, and what becomes of one that is not.

For: :class:`Door`, which whoever builds or updates a generation may hand over. Refuses: to verify; the rooms
of SQLite know no keys.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Protocol

import apsw

from smki_sync.mirror.held import HeldRow
from smki_sync.mirror.rows import Row
from smki_sync.model.certificate import Rejected, RejectReason


class Door(Protocol):
    """Knows whose signature is false; that one is kept as evidence and not served."""

    def refuse(self, row: Row) -> str | None:
        """Say why a certificate that the mirror does not know may not come in; ``None`` where it may."""

    def refuse_among(self, db: apsw.Connection) -> Iterable[tuple[HeldRow, str]]:
        """Every row of a generation in the making that may not stay, with the reason."""


def refused(row: Row, why: str) -> Rejected:
    """A record that the door has refused, rebuilt from its parts."""
    return _evidence(row.number, row.serial, row.status, row.der, why)


def refused_row(row: HeldRow, why: str, *, number: int) -> Rejected:
    """A row that the door has refused; ``number``: its place in the file."""
    return _evidence(number, row.serial, row.status, row.der, why)


def _evidence(number: int, serial: str, status: str, der: bytes, why: str) -> Rejected:
    return Rejected(
        number=number,
        reason=RejectReason.SIGNATURE_FALSE,
        detail=why,
        xml=f"<CertificateResponse><CertificateSerial>{serial}</CertificateSerial>"
        f"<CertificateStatus>{status}</CertificateStatus>"
        f"<CertificateBody>{b64encode(der).decode()}</CertificateBody></CertificateResponse>".encode(),
    )
