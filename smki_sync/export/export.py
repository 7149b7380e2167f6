"""Export certificates of one state of the mirror to a file or a directory, atomically."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, assert_never

from smki_sync import __version__
from smki_sync.errors import UsageError
from smki_sync.export.formats import certificates_csv, certificates_json, certificates_pem, write_tree
from smki_sync.files import atomic_file, atomic_tree, write_manifest
from smki_sync.mirror.queries import (
    Certificate,
    CertificateFilter,
    ProgressCallback,
    Stamp,
    find,
    ignore_progress,
    open_mirror,
    read_stamp,
)
from smki_sync.usability import UsabilityRule


class ExportFormat(StrEnum):
    """Output format: Parquet and ``der-tree`` are directories, the others are files."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    PEM = "pem"
    DER_TREE = "der-tree"


_TREES: Final = (ExportFormat.PARQUET, ExportFormat.DER_TREE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export, in which format, to where. ``force``: replace the output of an earlier export.

    ``rule``: decides which certificates are marked as usable.
    """

    form: ExportFormat
    output: Path
    wanted: CertificateFilter
    rule: UsabilityRule
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What was written. ``stamp``: the state of the mirror; ``bytes``: size of all files."""

    stamp: Stamp
    certificates: int
    files: int
    bytes: int


def export_certificates(
    link: Path, request: ExportRequest, *, progress: ProgressCallback = ignore_progress
) -> ExportResult:
    """Write the output; ``progress`` is called with the progress. Raises as :mod:`smki_sync.files`."""
    if request.form is ExportFormat.PARQUET:
        _parquet_writer()  # first, because it may not be installed
    with open_mirror(link) as db:
        stamp = read_stamp(db)
        rows = _CountedRows(find(db, request.wanted, request.rule, progress=progress))
        if request.form in _TREES:
            _write_tree(request, rows, stamp)
        else:
            with atomic_file(request.output, force=request.force) as file:
                file.writelines(_lines(request.form, rows))
    files = [path for path in (request.output, *request.output.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return ExportResult(stamp=stamp, certificates=rows.count, files=len(files), bytes=size)


def stamp_fields(stamp: Stamp) -> dict[str, str]:
    """Return the state of the mirror as texts, for the metadata of Parquet and the manifest."""
    return {
        "position": stamp.position.isoformat(),
        "digest": stamp.digest,
        "lineage": stamp.lineage,
        "sequence": str(stamp.sequence),
        "token": stamp.token,
    }


class _CountedRows:
    """Counts the certificates that pass through."""

    def __init__(self, found: Iterable[Certificate]) -> None:
        self._found = found
        self.count = 0

    def __iter__(self) -> Iterator[Certificate]:
        for c in self._found:
            self.count += 1
            yield c


def _write_tree(request: ExportRequest, rows: _CountedRows, stamp: Stamp) -> None:
    facts = stamp_fields(stamp)
    with atomic_tree(request.output, force=request.force) as directory:
        if request.form is ExportFormat.PARQUET:
            named = {f"smki-sync.{name}": text for name, text in facts.items()}
            _parquet_writer()(rows, directory, {**named, "smki-sync.version": __version__})
        else:
            write_tree(rows, directory)
        made = {"schema": "smki-sync/export/1", "format": request.form.value, "certificates": rows.count}
        write_manifest(directory, {**made, **facts, "sequence": stamp.sequence, "version": __version__})


def _lines(form: ExportFormat, rows: Iterable[Certificate]) -> Iterator[str]:
    match form:
        case ExportFormat.CSV:
            return certificates_csv(rows)
        case ExportFormat.JSONL:
            return certificates_json(rows)
        case ExportFormat.PEM:
            return certificates_pem(rows)
        case ExportFormat.PARQUET | ExportFormat.DER_TREE:
            raise AssertionError(f"{form} is a directory")
        case _:
            assert_never(form)


def _parquet_writer() -> Callable[[Iterable[Certificate], Path, Mapping[str, str]], None]:
    """Return the function that writes Parquet; its library is optional."""
    try:
        from smki_sync.export.parquet import write_parquet  # noqa: PLC0415 - loads pyarrow, if installed
    except ModuleNotFoundError as exc:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.",
            hint="Run: pip install 'smki-sync[parquet]'",
            code="parquet-not-installed",
        ) from exc
    return write_parquet
