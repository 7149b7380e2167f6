"""Records that cannot be served, kept as evidence.

For: whoever applies a file. Refuses: to judge a record, and to take one out again.
"""

from base64 import b64encode
from typing import Final

import apsw

from smki_sync.model.certificate import Rejected, RejectReason

_QUARANTINE: Final = "INSERT INTO quarantine (extract, number, reason, detail, xml) VALUES (?, ?, ?, ?, ?)"


def set_aside(db: apsw.Connection, record: Rejected, *, extract: int) -> None:
    """Keep a record that cannot be served, as evidence."""
    db.execute(_QUARANTINE, (extract, record.number, record.reason, record.detail, record.xml))


def conflict_of(number: int, serial: str, issuer: str, status: str, der: bytes) -> Rejected:
    """Issuer and serial are taken by another body: the evidence, as a record rebuilt from its parts."""
    return Rejected(
        number=number,
        reason=RejectReason.IDENTITY_CONFLICT,
        detail=f"serial {serial} of issuer {issuer} is held with another body",
        xml=f"<CertificateResponse><CertificateSerial>{serial}</CertificateSerial>"
        f"<CertificateStatus>{status}</CertificateStatus>"
        f"<CertificateBody>{b64encode(der).decode()}</CertificateBody></CertificateResponse>".encode(),
    )
