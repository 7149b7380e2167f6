"""Prometheus textfile and hooks called after a run."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

PREFIX: Final = "smki_sync_"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot:
    """What is told. Of the run: when, how, how long. Of the mirror: ``None`` where it cannot be read.

    ``in_use`` and the like: certificates. ``days_left``: until the next delta may be gone.
    """

    version: str
    command: str
    began: datetime
    seconds: float
    exit: int
    outcome: str
    reason: str
    success: datetime | None = None
    looked: datetime | None = None
    position: date | None = None
    days_left: int | None = None
    total: int | None = None
    in_use: int | None = None
    by_status: Mapping[str, int] = field(default_factory=dict)
    quarantined: int | None = None
    missing_deltas: int | None = None
    unproven: bool | None = None
    mirror_bytes: int | None = None
    applied: Mapping[str, int] = field(default_factory=dict)
    applied_bytes: int = 0
    attention: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)  # a registry keeps collectors by identity
class _SnapshotCollector(Collector):
    snapshot: MetricsSnapshot

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every metric that has a value."""
        yield from _of_run(self.snapshot)
        yield from _of_mirror(self.snapshot)


def write_metrics(path: Path, snapshot: MetricsSnapshot) -> None:
    """Replace the file; raises ``OSError``, and then the old file stands."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SnapshotCollector(snapshot))
    write_to_textfile(str(path), registry)


def _of_run(s: MetricsSnapshot) -> Iterator[GaugeMetricFamily]:
    info = {"version": s.version, "command": s.command, "outcome": s.outcome, "reason": s.reason}
    yield _labelled(
        "run_info", "How the last run ended, as labels; always 1.", tuple(info), [(tuple(info.values()), 1)]
    )
    yield _plain("run_start_timestamp_seconds", "When the last run began.", s.began.timestamp())
    yield _plain("run_duration_seconds", "How long it took.", s.seconds)
    yield _plain("run_exit_code", "Its exit code: 0 is done and current.", s.exit)
    applied = [((kind,), count) for kind, count in s.applied.items()]
    yield _labelled("run_applied_files", "Files that it applied, by kind.", ("kind",), applied)
    yield _plain("run_applied_bytes", "Their size as served.", s.applied_bytes)
    attention = [((code,), count) for code, count in s.attention.items()]
    yield _labelled("run_attention", "What it called attention to, by code.", ("code",), attention)
    yield from _optional(
        "success_timestamp_seconds", "When the last run began that ended current.", _at(s.success)
    )
    yield from _optional("looked_timestamp_seconds", "When the Repository was last listed.", _at(s.looked))


def _of_mirror(s: MetricsSnapshot) -> Iterator[GaugeMetricFamily]:
    midnight = datetime.combine(s.position, time(), tzinfo=UTC) if s.position else None
    yield from _optional(
        "position_timestamp_seconds", "00:00 UTC of the day that the mirror has reached.", _at(midnight)
    )
    yield from _optional(
        "days_left", "Days until the next delta may be gone; then a full is needed.", s.days_left
    )
    yield from _optional("certificates", "Certificates in the mirror.", s.total)
    yield from _optional("certificates_in_use", "Certificates that are In-Use.", s.in_use)
    statuses = [((status,), count) for status, count in s.by_status.items()]
    yield _labelled("certificates_by_status", "Certificates by status.", ("status",), statuses)
    yield from _optional(
        "quarantined_records", "Records that could not be understood and were not accepted.", s.quarantined
    )
    yield from _optional(
        "unproven", "1 if the mirror is unproven until the next full, otherwise 0.", s.unproven
    )
    yield from _optional(
        "missing_deltas", "Overlap deltas of the newest full that were never applied.", s.missing_deltas
    )
    yield from _optional("mirror_bytes", "Size of the mirror with its write-ahead log.", s.mirror_bytes)


def _at(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _optional(name: str, meaning: str, value: float | None) -> Iterator[GaugeMetricFamily]:
    if value is not None:
        yield _plain(name, meaning, value)


def _plain(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, meaning, value=value)


def _labelled(
    name: str, meaning: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], int]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=labels)
    for texts, value in values:
        family.add_metric(list(texts), value)
    return family


_KEPT: Final = 200  # characters of what a hook said that are repeated
_SECRETS: Final = ("SMKI_SYNC_PASSWORD", "SMKI_SYNC_KEY_PASSPHRASE")


def call_hook(words: Sequence[str], document: str, *, seconds: float) -> str | None:
    """Run a hook to its end; ``None`` where it went well, else what went wrong.

    Its stdout is dropped. It and what it started are killed after ``seconds``. The secrets of the
    environment are not handed on.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except (OSError, ValueError) as exc:
        return f"{words[0]} could not be started ({getattr(exc, 'strerror', None) or exc})"
    try:
        _, said = process.communicate(document, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"{words[0]} was stopped after {seconds:g} s"
    finally:
        _end(process)
    if process.returncode:
        return f"{words[0]} ended with {process.returncode}{_quoted(said)}"
    return None


def _end(process: subprocess.Popen[str]) -> None:
    """Leave nothing of it behind, also not what it has started and forgotten."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with process:  # closes its pipes and takes its exit code
        pass


def _quoted(said: str) -> str:
    last = said.strip().splitlines()[-1:] or [""]
    return f": {last[0][:_KEPT]}" if last[0] else ""
