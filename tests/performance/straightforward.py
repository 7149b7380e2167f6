"""The script that one would write first: gzip, iterparse, cryptography, upsert_all.

What smki-sync is measured against; it does a part of the work only: no checks of claims, no journal, no
digest, no ledger, no quarantine, and it is not restartable. Run as a program with a file and a database.
"""

import gzip
import sys
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from cryptography import x509
from lxml import etree
from sqlite_utils import Database


def rows(path: str) -> Iterator[dict[str, Any]]:
    """A dictionary a record."""
    with gzip.open(path) as file:
        for _, element in etree.iterparse(file, tag="{*}CertificateResponse"):
            claims = {child.tag: child.text for child in element}
            der = b64decode(claims["CertificateBody"] or "")
            certificate = x509.load_der_x509_certificate(der)
            ski = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
            yield {
                "issuer": certificate.issuer.rfc4514_string(),
                "serial": f"{certificate.serial_number:032X}",
                "eui": claims["CertificateSubjectAltName"],
                "status": claims["CertificateStatus"],
                "usage": claims["CertificateUsage"],
                "subject": certificate.subject.rfc4514_string(),
                "not_before": certificate.not_valid_before_utc.isoformat(),
                "not_after": certificate.not_valid_after_utc.isoformat(),
                "ski": ski.value.digest.hex(),
                "der": der,
            }
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]


def main(path: str, database: str) -> None:
    """Load the file."""
    db = Database(database)
    table = db.table("certificate")
    table.upsert_all(rows(path), pk=("issuer", "serial"))
    table.create_index(["eui"])
    table.create_index(["serial"])
    db.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
