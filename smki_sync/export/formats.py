"""Certificates as fields, CSV, JSON Lines, PEM and a tree of DER files."""

import csv
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any, Final

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror.queries import Certificate
from smki_sync.model.certificate import ROLE_NAMES, Status, serial_decimal
from smki_sync.x509 import NotACertificate, read_facts
from smki_sync.x509.der import to_pem

Fields = dict[str, object]
"""JSON values by name."""

CSV_COLUMNS: Final = (
    *("eui", "kind", "role", "role_name", "usage", "status", "status_name", "in_use", "serial"),
    *("serial_decimal", "issuer", "subject", "not_before", "not_after", "ski", "aki", "sha1", "sha256"),
    *("manufacturing", "first_seen", "last_changed", "withdrawn", "revoked", "file", "flags"),
    *("revoked_by", "revocation_reason", "unproven", "issuer_revoked", "revoked_authority"),
    *("revocation", "revocation_until", "usable", "unusable"),
    "der",
)
"""The columns of a CSV file: the fields of JSON, with the certificate in Base64 instead of PEM."""


def fields_of(c: Certificate) -> Fields:
    """Return a certificate as a JSON object, with its body in PEM."""
    return {**_common_fields(c), "flags": list(c.flags.codes), "pem": to_pem(c.der)}


def flat_fields_of(c: Certificate) -> Fields:
    """Return a certificate as one row of a table: flags in one cell, body in Base64 (:data:`CSV_COLUMNS`)."""
    return {**_common_fields(c), "flags": " ".join(c.flags.codes), "der": b64encode(c.der).decode()}


def role_name_of(role: int | None) -> str | None:
    """Return the name of a Remote Party Role; ``None`` if the number has no name."""
    return None if role is None else ROLE_NAMES.get(role)


def _aki_of(c: Certificate) -> str | None:
    try:
        return read_facts(c.der).aki
    except NotACertificate as exc:  # it was readable when it was stored
        raise MirrorDamaged(f"Certificate {c.serial} of {c.issuer} is damaged in the mirror: {exc}") from exc


def _common_fields(c: Certificate) -> Fields:
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
        "serial_decimal": serial_decimal(c.serial),
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
        "unproven": c.unproven,
        "issuer_revoked": c.issuer_revoked,
        "revoked_authority": c.revoked_authority,
        "revocation": c.revocation,
        "revocation_until": c.revocation_until,
        "usable": c.usable,
        "unusable": c.unusable,
        "file": c.file,
    }


_FORMULA: Final = re.compile(r"[\s\0-\x1f]*[=+\-@]")
"""A spreadsheet would read a cell with this beginning as a formula."""


def json_lines(objects: Iterable[Fields]) -> Iterator[str]:
    """Yield one JSON object per line (JSON Lines)."""
    return (json.dumps(one) + "\n" for one in objects)


def csv_lines(names: Iterable[str], rows: Iterable[Fields]) -> Iterator[str]:
    """Yield CSV (RFC 4180, lines end with LF) with a header; ``None`` is an empty cell."""
    columns = list(names)
    yield csv_header(columns)
    for row in rows:
        yield csv_row(columns, row)


def csv_header(names: Iterable[str]) -> str:
    """Return the first line of a CSV file."""
    return _csv_line(list(names))


def csv_row(names: Iterable[str], row: Fields) -> str:
    """Return one line of CSV."""
    return _csv_line([_cell(row[name]) for name in names])


def certificates_json(found: Iterable[Certificate]) -> Iterator[str]:
    """Yield certificates as JSON Lines."""
    return json_lines(map(fields_of, found))


def certificates_csv(found: Iterable[Certificate]) -> Iterator[str]:
    """Yield certificates as CSV."""
    return csv_lines(CSV_COLUMNS, map(flat_fields_of, found))


def certificates_pem(found: Iterable[Certificate]) -> Iterator[str]:
    """Yield certificates in PEM."""
    return (to_pem(c.der) for c in found)


class _Echo:
    """A file for ``csv.writer`` whose ``write`` returns the text."""

    def write(self, text: str) -> str:
        return text


_WRITER: Final = csv.writer(_Echo(), lineterminator="\n")


def _csv_line(cells: list[str]) -> str:
    line: Any = _WRITER.writerow(cells)  # the return value of write(); typed as object
    return str(line)


def _cell(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    text = str(value)
    if text[:1].isalnum():  # most cells: no formula begins so
        return text
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text


_HEX: Final = re.compile(r"[0-9A-F]+")
_SERIAL_DIGITS: Final = 64
"""Maximum digits of a serial number in a file name: RFC 5280 allows 40, a file name 255 bytes."""


def write_tree(found: Iterable[Certificate], directory: Path) -> None:
    """Write each certificate to its file below ``directory``."""
    made: set[Path] = set()
    for c in found:
        path = directory / tree_path(c)
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(c.der)


def tree_path(c: Certificate) -> Path:
    """Return the path of a certificate in the tree."""
    if not _HEX.fullmatch(c.serial):
        raise MirrorDamaged(f"A serial number in the mirror is not hex: {c.serial!r:.60}")
    digest = sha256(f"{c.issuer}\0{c.serial}".encode()).hexdigest()
    return Path(digest[:2], digest[2:4], f"{c.serial[:_SERIAL_DIGITS]}-{digest[4:20]}.der")
