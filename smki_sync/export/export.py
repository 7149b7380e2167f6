"""The deed: certificates of one state of the mirror, into a file or a tree that is whole or absent.

For: ``export``, and whoever takes the whole before following the feed of changes: the stamp says where the
feed goes on. Refuses: to overwrite unless told to.
"""

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
    Stamp,
    Told,
    find,
    ignore_progress,
    open_mirror,
    read_stamp,
)


class ExportFormat(StrEnum):
    """What is written: Parquet and ``der-tree`` are directories, the others are files."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    PEM = "pem"
    DER_TREE = "der-tree"


_TREES: Final = (ExportFormat.PARQUET, ExportFormat.DER_TREE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What to export, as what, to where. ``force``: replace what an export made there before."""

    form: ExportFormat
    output: Path
    wanted: CertificateFilter
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What was written. ``stamp``: of which state; ``bytes``: of all files."""

    stamp: Stamp
    certificates: int
    files: int
    bytes: int


def export(link: Path, job: Export, *, told: Told = ignore_progress) -> ExportResult:
    """Write it; ``told`` how far it is. Raises :class:`UsageError` for a place that cannot be written."""
    if job.form is ExportFormat.PARQUET:
        _parquet_writer()  # before anything else: it may not be installed
    with open_mirror(link) as db:
        stamp = read_stamp(db)
        rows = _Counted(find(db, job.wanted, told=told))
        if job.form in _TREES:
            _write_tree(job, rows, stamp)
        else:
            with atomic_file(job.output, force=job.force) as file:
                file.writelines(_lines(job.form, rows))
    files = [path for path in (job.output, *job.output.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return ExportResult(stamp=stamp, certificates=rows.count, files=len(files), bytes=size)


def facts_of(stamp: Stamp) -> dict[str, str]:
    """Which state it is, as texts: what stands in the metadata of Parquet and in the manifest."""
    return {
        "position": stamp.position.isoformat(),
        "digest": stamp.digest,
        "lineage": stamp.lineage,
        "sequence": str(stamp.sequence),
        "token": stamp.token,
    }


class _Counted:
    """Certificates on their way out, counted."""

    def __init__(self, found: Iterable[Certificate]) -> None:
        self._found = found
        self.count = 0

    def __iter__(self) -> Iterator[Certificate]:
        for c in self._found:
            self.count += 1
            yield c


def _write_tree(job: Export, rows: _Counted, stamp: Stamp) -> None:
    facts = facts_of(stamp)
    with atomic_tree(job.output, force=job.force) as directory:
        if job.form is ExportFormat.PARQUET:
            named = {f"smki-sync.{name}": text for name, text in facts.items()}
            _parquet_writer()(rows, directory, {**named, "smki-sync.version": __version__})
        else:
            write_tree(rows, directory)
        made = {"schema": "smki-sync/export/1", "format": job.form.value, "certificates": rows.count}
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
            raise AssertionError(f"{form} is a tree")
        case _:
            assert_never(form)


def _parquet_writer() -> Callable[[Iterable[Certificate], Path, Mapping[str, str]], None]:
    """The function that writes Parquet; its library is an extra."""
    try:
        from smki_sync.export.parquet import write_parquet  # noqa: PLC0415 - loads pyarrow, if that is there
    except ModuleNotFoundError as exc:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed here",
            hint="Install it with: pip install 'smki-sync[parquet]'",
            code="parquet-not-installed",
        ) from exc
    return write_parquet
