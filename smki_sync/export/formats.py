"""One certificate as the fields that the contract promises, in JSON and in lines.

For: ``show --json``, ``find`` and ``export``: the same names mean the same everywhere. Refuses: to write.
"""

from base64 import b64encode
from hashlib import sha1, sha256
from typing import Final

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.queries.row import Certificate
from smki_sync.model.certificate import ROLE_NAMES, Status
from smki_sync.x509 import NotACertificate, read_facts
from smki_sync.x509.pem import to_pem

Fields = dict[str, object]
"""Values that JSON knows, by name."""

FLAT: Final = (
    *("eui", "kind", "role", "role_name", "usage", "status", "status_name", "in_use", "serial"),
    *("serial_decimal", "issuer", "subject", "not_before", "not_after", "ski", "aki", "sha1", "sha256"),
    *("manufacturing", "first_seen", "last_changed", "withdrawn", "revoked", "file", "flags"),
    *("revoked_by", "revocation_reason"),
    "der",
)
"""The columns of a CSV file: the fields of JSON, with the certificate in Base64 instead of PEM."""


def fields_of(c: Certificate) -> Fields:
    """The certificate as an object of JSON, its body in PEM."""
    return {**_plain(c), "flags": list(c.flags.codes), "pem": to_pem(c.der)}


def flat_fields_of(c: Certificate) -> Fields:
    """The certificate as one row of a table: flags in one cell, its body in Base64 (:data:`FLAT`)."""
    return {**_plain(c), "flags": " ".join(c.flags.codes), "der": b64encode(c.der).decode()}


def role_name_of(role: int | None) -> str | None:
    """The name of a Remote Party Role; ``None`` for a number that has none."""
    return None if role is None else ROLE_NAMES.get(role)


def _aki_of(c: Certificate) -> str | None:
    try:
        return read_facts(c.der).aki
    except NotACertificate as exc:  # it was one when it was taken in
        raise MirrorDamaged(f"certificate {c.serial} of {c.issuer} is damaged in the mirror: {exc}") from exc


def _plain(c: Certificate) -> Fields:
    return {
        "eui": c.eui,
        "kind": c.kind,
        "role": c.role,
        "role_name": role_name_of(c.role),
        "usage": c.usage,
        "status": c.status,
        "status_name": Status(c.status).words,
        "in_use": c.in_use,
        "serial": c.serial,
        "serial_decimal": str(int(c.serial, 16)),
        "issuer": c.issuer,
        "subject": c.subject,
        "not_before": c.not_before,
        "not_after": c.not_after,
        "ski": c.ski,
        "aki": _aki_of(c),
        "sha1": sha1(c.der, usedforsecurity=False).hexdigest(),
        "sha256": sha256(c.der).hexdigest(),
        "manufacturing": c.manufacturing,
        "first_seen": c.first_seen,
        "last_changed": c.last_changed,
        "withdrawn": c.withdrawn,
        "revoked": c.revoked,
        "revoked_by": c.revoked_by,
        "revocation_reason": c.revocation_reason,
        "file": c.file,
    }
