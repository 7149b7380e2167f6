"""Parquet, partitioned by kind and key usage, for DuckDB, Spark and Trino.

Directories are named ``kind=device/usage=DS``. As in Hive, these two columns are in the names and not
in the files, and a certificate without usage is in the partition for NULL. At most one row group of each
partition is in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pyarrow as pa  # type: ignore[import-untyped]  # has no types
from pyarrow import parquet

from smki_sync.export.formats import role_name_of
from smki_sync.mirror.queries import Certificate

GROUP_ROWS: Final = 16_384
"""Rows in a row group: about 12 MiB of devices. A reader can skip whole row groups."""

_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_TIME: Final = pa.timestamp("s", tz="UTC")
_UNIQUE_COLUMNS: Final = ("serial", "ski", "eui", "der")
"""Columns whose values do not repeat: a dictionary would not save space."""

SCHEMA: Final = pa.schema(
    [
        ("eui", pa.string()),
        ("role", pa.int32()),
        ("role_name", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("in_use", pa.bool_(), nullable=False),
        pa.field("serial", pa.string(), nullable=False),
        pa.field("issuer", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("not_before", _TIME, nullable=False),
        pa.field("not_after", _TIME, nullable=False),
        ("ski", pa.string()),
        ("manufacturing", pa.bool_()),
        pa.field("first_seen", pa.date32(), nullable=False),
        pa.field("last_changed", pa.date32(), nullable=False),
        ("withdrawn", pa.date32()),
        ("revoked", _TIME),
        pa.field("flags", pa.int32(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        ("revoked_by", pa.string()),
        ("revocation_reason", pa.string()),
        pa.field("unproven", pa.bool_(), nullable=False),
        ("issuer_revoked", _TIME),
        ("revoked_authority", pa.string()),
        ("revocation", pa.string()),
        ("revocation_until", _TIME),
        pa.field("usable", pa.bool_(), nullable=False),
        ("unusable", pa.string()),
        pa.field("der", pa.binary(), nullable=False),
    ]
)
"""The columns of each file; ``kind`` and ``usage`` are in the names of the directories."""


def write_parquet(found: Iterable[Certificate], directory: Path, metadata: Mapping[str, str]) -> None:
    """Write one file per kind and usage below ``directory``, each with ``metadata``."""
    schema = SCHEMA.with_metadata(dict(metadata))
    with ExitStack() as close:
        partitions: dict[tuple[str, str | None], _Partition] = {}
        for c in found:
            key = (c.kind, c.usage)
            if key not in partitions:
                partitions[key] = _Partition(_path(directory, *key), schema)
                close.callback(partitions[key].close)
            partitions[key].add(c)


def _path(directory: Path, kind: str, usage: str | None) -> Path:
    place = directory / f"kind={kind}" / f"usage={usage or _NULL}"
    place.mkdir(parents=True)
    return place / "part-0.parquet"


class _Partition:
    """One file, written one row group at a time."""

    def __init__(self, path: Path, schema: Any) -> None:  # noqa: ANN401 - pyarrow has no types
        dictionary = [name for name in schema.names if name not in _UNIQUE_COLUMNS]
        self._writer = parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=dictionary)
        self._schema = schema
        self._rows: list[Certificate] = []

    def add(self, c: Certificate) -> None:
        self._rows.append(c)
        if len(self._rows) == GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = dict(zip(Certificate._fields, zip(*self._rows, strict=True), strict=True))
        columns["role_name"] = tuple(map(role_name_of, columns["role"]))
        columns["usable"] = tuple(c.usable for c in self._rows)
        arrays = [_array(columns[field.name], field.type) for field in self._schema]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


def _array(values: Sequence[object], kind: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """Return a column; times and dates are read from ISO 8601."""
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)
