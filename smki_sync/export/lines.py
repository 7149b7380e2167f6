"""Certificates and changes as lines of text, one after the other.

For: JSON Lines, CSV and PEM, on stdout and in files. Refuses: to collect; a line is made when the one
before it has been taken.

CSV is read by spreadsheets, which take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula,
and names in certificates are whatever somebody wrote there. Such a cell gets an apostrophe in front, also
where blanks or control characters come first.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from smki_sync.export.formats import FLAT, Fields, fields_of, flat_fields_of
from smki_sync.mirror.queries.row import Certificate
from smki_sync.x509.pem import to_pem

_FORMULA: Final = re.compile(r"[\s\0-\x1f]*[=+\-@]")
"""What a spreadsheet takes for the beginning of a formula."""


def json_lines(objects: Iterable[Fields]) -> Iterator[str]:
    """One JSON object a line (JSON Lines)."""
    return (json.dumps(one) + "\n" for one in objects)


def csv_lines(names: Iterable[str], rows: Iterable[Fields]) -> Iterator[str]:
    """CSV (RFC 4180, lines ending in LF) with a header; ``None`` is an empty cell."""
    columns = list(names)
    yield _csv_line(columns)
    for row in rows:
        yield _csv_line([_cell(row[name]) for name in columns])


def certificates_json(found: Iterable[Certificate]) -> Iterator[str]:
    """Certificates as JSON Lines."""
    return json_lines(map(fields_of, found))


def certificates_csv(found: Iterable[Certificate]) -> Iterator[str]:
    """Certificates as CSV."""
    return csv_lines(FLAT, map(flat_fields_of, found))


def certificates_pem(found: Iterable[Certificate]) -> Iterator[str]:
    """Certificates in PEM, one after the other."""
    return (to_pem(c.der) for c in found)


class _Echo:
    """A file for ``csv.writer`` that hands back what is written to it."""

    def write(self, text: str) -> str:
        return text


_WRITER: Final = csv.writer(_Echo(), lineterminator="\n")


def _csv_line(cells: list[str]) -> str:
    line: Any = _WRITER.writerow(cells)  # what the file's write gives: typed as nothing
    return str(line)


def _cell(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    text = str(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text
