"""Read the lists that `check` answers: text, CSV, and files of certificates, with constant memory."""

import codecs
import csv
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, Final, NamedTuple

from smki_sync.errors import UsageError
from smki_sync.lookup.identity import (
    EUI,
    NOTATIONS,
    FileCertificate,
    Reading,
    bodies_in,
    certificate_in,
    parse_readings,
)
from smki_sync.mirror.queries import EuiIs
from smki_sync.model.certificate import Eui
from smki_sync.x509 import NotACertificate

LINE_SIZE: Final = 65_536
"""Longest line in bytes. A certificate in Base64 has about 900."""
CERTIFICATE_SIZE: Final = 1_000_000
"""Largest single certificate in bytes, in DER or in Base64 of several lines."""
SAMPLE_LINES: Final = 50
"""Lines that are read to recognise the format, the header and the column."""
_DELIMITERS: Final = ",;\t|"
_PEM_BEGIN: Final = b"-----BEGIN "
_PEM_END: Final = b"-----END "
_PEM_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_DER: Final = re.compile(rb"\x30[\x80-\x83]")
_BASE64_DER: Final = re.compile(r"MI[I-J][A-Za-z0-9+/]{60,}={0,2}")
_PLAIN_EUI: Final = re.compile(r"[0-9A-F]{2}(?:-[0-9A-F]{2}){7}", re.ASCII)
_ROUNDED: Final = re.compile(r"[0-9][.,]?[0-9]*E\+?[0-9]+", re.ASCII | re.IGNORECASE)
_HEADERS: Final = {
    **dict.fromkeys(("eui", "eui64", "deviceid", "deviceeui", "deviceeui64", "guid", "entityid"), EUI),
    **dict.fromkeys(("serial", "serialnumber", "certificateserial", "certificateserialnumber"), "serial"),
    **dict.fromkeys(("ski", "keyid", "keyidentifier", "subjectkeyidentifier"), "ski"),
    **dict.fromkeys(("sha1", "sha1hash", "sha1fingerprint"), "sha1"),
    **dict.fromkeys(("sha256", "sha256hash", "sha256fingerprint"), "sha256"),
    **dict.fromkeys(("hash", "fingerprint", "certificatehash", "thumbprint", "certificate", "identity"), ""),
}
"""Notations by the header of a column, in lower case without separators. Empty: recognised by its length."""
_HEADER_ORDER: Final = (EUI, "", "sha256", "sha1", "serial", "ski")
"""The column that is used if several headers are known: one that names exactly one subject comes first."""


class InputLine(NamedTuple):
    """One line or certificate. ``number``: from 1. ``cells``: one per column. ``error``: why unreadable."""

    number: int
    cells: tuple[str, ...]
    readings: tuple[Reading | FileCertificate, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInput:
    """One input. ``remark``: how it is read, for people. ``lines`` can be read once."""

    columns: tuple[str, ...]
    lines: Iterator[InputLine]
    remark: str


def open_input(name: str, stream: BinaryIO, column: str | None = None) -> CheckInput:
    """Recognise the format of a stream and read it.

    Args:
        name: The name of the file, for messages and for certificates.
        stream: Its content.
        column: Header or number (from 1) of the column with the identity.

    Raises:
        UsageError: There is no such column, or no column can be recognised.
    """
    head = list(islice(_raw_lines(stream), SAMPLE_LINES))
    first = next((line for line in head if line.strip()), b"")
    if _DER.match(first):
        body = b"".join((*head, stream.read(CERTIFICATE_SIZE)))
        return _certificates(name, [body], "certificate in DER")
    if any(line.lstrip().startswith(_PEM_BEGIN) for line in head):
        return _certificates(name, _pem_blocks(chain(head, _raw_lines(stream))), "certificates in PEM")
    if _is_wrapped_base64(head):
        content = b"".join((*head, stream.read(CERTIFICATE_SIZE)))
        return _certificates(name, bodies_in(b"".join(content.split())), "certificate in Base64")
    return _table(name, chain(head, _raw_lines(stream)), column)


def _raw_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines; of a line that is too long, only the beginning, which is then unreadable."""
    while line := stream.readline(LINE_SIZE):
        rest = line
        while not rest.endswith(b"\n") and len(rest) == LINE_SIZE:
            rest = stream.readline(LINE_SIZE)
        yield line


def _is_wrapped_base64(head: Sequence[bytes]) -> bool:
    """Whether the file is one certificate in Base64 of several lines, without PEM lines."""
    lines = [line.strip() for line in head if line.strip()]
    if len(lines) < 2 or not _BASE64_DER.fullmatch(lines[0].decode("ascii", "replace")):  # noqa: PLR2004 - one line is a list
        return False
    return not any(line.startswith(b"MII") for line in lines[1:])


def _certificates(name: str, bodies: Iterable[bytes | str], remark: str) -> CheckInput:
    """Return an input of certificates. A body that is text says why it is unreadable."""

    def lines() -> Iterator[InputLine]:
        for number, body in enumerate(bodies, 1):
            cells = (name, str(number))
            if isinstance(body, str):
                yield InputLine(number, cells, error=body)
                continue
            try:
                yield InputLine(number, cells, (certificate_in(body),))
            except NotACertificate as exc:
                yield InputLine(number, cells, error=f"It is not a certificate: {exc}.")

    return CheckInput(columns=("file", "number"), lines=lines(), remark=f"{name}: {remark}")


def _pem_blocks(lines: Iterable[bytes]) -> Iterator[bytes | str]:
    """Yield the DER of each PEM block, or why it is unreadable. Text between blocks is ignored."""
    label: bytes | None = None
    body: list[bytes] = []
    size = 0
    for line in map(bytes.strip, lines):
        if line.startswith(_PEM_BEGIN):
            if label is not None:
                yield "A PEM block has no END line."
            label, body, size = line, [], 0
        elif label is not None and line.startswith(_PEM_END):
            yield _pem_body(label, b"".join(body), size)
            label = None
        elif label is not None:
            size += len(line)
            if size <= CERTIFICATE_SIZE:
                body.append(line)
    if label is not None:
        yield "A PEM block has no END line."


def _pem_body(label: bytes, text: bytes, size: int) -> bytes | str:
    if label != _PEM_CERTIFICATE:
        other = label.strip(b"-").removeprefix(b"BEGIN ").decode("ascii", "replace")
        return f"The PEM block is not a certificate but {other:.40}."
    if size > CERTIFICATE_SIZE:
        return f"The PEM block is longer than {CERTIFICATE_SIZE:,} bytes."
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return "The PEM block is not Base64."


class _Column(NamedTuple):
    """``place``: of the column with the identity, from 0. ``has_header``: whether the first row is one."""

    place: int
    notation: str
    has_header: bool


def _table(name: str, raw: Iterator[bytes], column: str | None) -> CheckInput:
    lines = _text_lines(raw)
    sample = list(islice(lines, SAMPLE_LINES))
    delimiter = _delimiter(sample)
    rows = [row.cells for row in _rows(sample, delimiter) if row.cells]
    if not rows:
        return CheckInput(columns=("input",), lines=iter(()), remark=f"{name}: empty")
    chosen = _choose_column(name, rows, column)
    columns = _column_names(rows[0] if chosen.has_header else [], max(map(len, rows)))
    parsed = islice(_rows(chain(sample, lines), delimiter), int(chosen.has_header), None)
    return CheckInput(
        columns=columns,
        lines=(_input_line(row, len(columns), chosen) for row in parsed),
        remark=f"{name}: {_column_text(columns, chosen)}",
    )


def _text_lines(raw: Iterator[bytes]) -> Iterator[str]:
    """Yield text. A byte that is not UTF-8 becomes U+FFFD, which no identity contains."""
    for number, line in enumerate(raw):
        if number == 0 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            yield from _utf16_lines(chain([line], raw))
            return
        yield line.decode("utf-8-sig" if number == 0 else "utf-8", "replace")


def _utf16_lines(raw: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-16")("replace")
    rest = ""
    for chunk in raw:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from (f"{line}\n" for line in lines)
    yield rest


def _delimiter(sample: Sequence[str]) -> str:
    """Return the most frequent delimiter of the first line, or none."""
    first = next((line for line in sample if line.strip()), "")
    counts = Counter(c for c in first if c in _DELIMITERS)
    return max(counts, key=counts.__getitem__, default="")


class _Row(NamedTuple):
    """``number``: of the line, from 1. ``error``: why it is not valid CSV."""

    number: int
    cells: list[str]
    error: str = ""


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[_Row]:
    """Yield each line that is not empty and, without a delimiter, not a comment."""
    if not delimiter:
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.startswith("#"):
                yield _Row(number, [line.strip()])
        return
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            yield _Row(reader.line_num, [], f"The line is not valid CSV: {exc}.")
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield _Row(reader.line_num, cells)


def _choose_column(name: str, rows: Sequence[list[str]], column: str | None) -> _Column:
    """Find the column with the identity: the named one, one with a known header, or by its content."""
    header = [cell.strip() for cell in rows[0]]
    if column is not None:
        return _named_column(name, rows, column)
    keys = [_HEADERS.get(_key(cell)) for cell in header]
    known = [(_HEADER_ORDER.index(key), index) for index, key in enumerate(keys) if key is not None]
    if known:
        index = min(known)[1]
        return _Column(index, _HEADERS[_key(header[index])], has_header=True)
    if len(header) == 1:
        return _Column(0, "", has_header=False)  # never skip a line silently: it may be a typing error
    places = range(len(header))
    scores = [sum(_is_readable(row[place]) for row in rows if place < len(row)) for place in places]
    best = max(places, key=scores.__getitem__)
    if not scores[best]:
        raise UsageError(
            f"{name}: no column contains an EUI-64, serial number, key identifier or hash.",
            hint=f"Name the column with --column. The first line has: {', '.join(header)[:200]}",
        )
    return _Column(best, "", has_header=not _is_readable(header[best]))


def _named_column(name: str, rows: Sequence[list[str]], column: str) -> _Column:
    header = [cell.strip() for cell in rows[0]]
    keys = [cell.casefold() for cell in header]
    if column.strip().casefold() in keys:
        index = keys.index(column.strip().casefold())
        return _Column(index, _HEADERS.get(_key(header[index]), ""), has_header=True)
    if column.isdecimal() and 1 <= int(column) <= len(header):
        index = int(column) - 1
        key = _key(header[index])
        title = key in _HEADERS or not _is_readable(header[index])
        return _Column(index, _HEADERS.get(key, ""), has_header=title)
    raise UsageError(
        f"{name}: there is no column {column!r:.40}.",
        hint=f"Name a column by its header or number. The first line has: {', '.join(header)[:200]}",
    )


def _key(header: str) -> str:
    return re.sub(r"[\W_]", "", header).lower()


def _is_readable(cell: str) -> bool:
    try:
        return bool(read_cell(cell, ""))
    except ValueError:
        return False


def _column_names(header: Sequence[str], width: int) -> tuple[str, ...]:
    """Return a unique name for each column."""
    if not header and width == 1:
        return ("input",)
    names: list[str] = []
    for number, given in enumerate(header or [""] * width, 1):
        name = given.strip() or f"column{number}"
        names.append(name if name not in names else f"{name}_{number}")
    return tuple(names)


def _column_text(columns: Sequence[str], chosen: _Column) -> str:
    what = {EUI: "EUI-64", "": "identities"}.get(chosen.notation, chosen.notation)
    header = "; the first line is the header" if chosen.has_header else ""
    place = f"column {columns[chosen.place]!r}" if len(columns) > 1 else "lines"
    return f"{place} read as {what}{header}"


def _input_line(row: _Row, width: int, chosen: _Column) -> InputLine:
    cells = tuple(row.cells[:width]) + ("",) * (width - len(row.cells))
    if row.error:
        return InputLine(row.number, cells, error=row.error)
    if len(row.cells) > width:
        error = f"The line has {len(row.cells)} cells, the first line has {width}."
        return InputLine(row.number, cells, error=error)
    try:
        return InputLine(row.number, cells, read_cell(cells[chosen.place], chosen.notation))
    except ValueError as exc:
        return InputLine(row.number, cells, error=_sentence(exc))


def read_cell(cell: str, notation: str) -> tuple[Reading | FileCertificate, ...]:
    """Return every way to read one cell; raises ``ValueError`` with the reason.

    ``notation``: a key of :data:`~.identity.NOTATIONS`, or empty to recognise it.
    """
    if notation in {"", EUI} and _PLAIN_EUI.fullmatch(cell):  # most lines
        return (Reading("", EuiIs(eui=Eui(cell))),)
    text = cell.strip().strip("'\"").strip()  # spreadsheets protect text with an apostrophe
    if not text:
        raise ValueError("the cell is empty")
    if _BASE64_DER.fullmatch(text):
        return (certificate_in(b64decode(text, validate=True)),)
    if _ROUNDED.fullmatch(text):
        raise ValueError("a spreadsheet has rounded this number: format the column as text")
    return tuple(parse_readings(text, notation))


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


__all__ = ["NOTATIONS", "CheckInput", "InputLine", "open_input", "read_cell"]
