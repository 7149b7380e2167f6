"""The Prometheus textfile, and the command that is called after a run."""

import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from smki_sync.files import atomic_file

PREFIX: Final = "smki_sync_"

PUBLIC_FILE: Final = 0o644
"""Mode of the metrics file. The collector is another user, so the umask does not apply."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSnapshot:
    """The figures of a run and of the mirror. A figure is ``None`` if it is not known.

    Args:
        began: Start of the run.
        success: Start of the last run that ended with a current mirror.
        looked: When the Repository was last listed.
        days_left: Days until the next delta may be removed from the Repository.
        total: Certificates in the mirror; also ``in_use`` and ``by_status``.
        attention: Notices of the run by code.
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
        """Return the metrics that have a value."""
        yield from _run_metrics(self.snapshot)
        yield from _mirror_metrics(self.snapshot)


def write_metrics(path: Path, snapshot: MetricsSnapshot) -> None:
    """Replace the metrics file in one step. It is readable for other users regardless of the umask.

    Raises:
        UsageError: The file cannot be written. The old file is unchanged.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_SnapshotCollector(snapshot))
    text = generate_latest(registry).decode()
    with atomic_file(path, force=True, mode=PUBLIC_FILE, umask=False) as file:
        file.write(text)


def _run_metrics(s: MetricsSnapshot) -> Iterator[GaugeMetricFamily]:
    info = {"version": s.version, "command": s.command, "outcome": s.outcome, "reason": s.reason}
    yield _labelled_gauge(
        "run_info",
        "How the last run ended, as labels. The value is always 1.",
        tuple(info),
        [(tuple(info.values()), 1)],
    )
    yield _gauge("run_start_timestamp_seconds", "Start of the last run.", s.began.timestamp())
    yield _gauge("run_duration_seconds", "Duration of the last run.", s.seconds)
    yield _gauge("run_exit_code", "Exit code of the last run; 0 means that the mirror is current.", s.exit)
    applied = [((kind,), count) for kind, count in s.applied.items()]
    yield _labelled_gauge("run_applied_files", "Files applied by the last run, by kind.", ("kind",), applied)
    yield _gauge("run_applied_bytes", "Size of these files in the Repository.", s.applied_bytes)
    attention = [((code,), count) for code, count in s.attention.items()]
    yield _labelled_gauge("run_attention", "Notices of the last run, by code.", ("code",), attention)
    yield from _optional_gauge(
        "success_timestamp_seconds",
        "Start of the last run that ended with a current mirror.",
        _timestamp(s.success),
    )
    yield from _optional_gauge(
        "looked_timestamp_seconds", "When the Repository was last listed.", _timestamp(s.looked)
    )


def _mirror_metrics(s: MetricsSnapshot) -> Iterator[GaugeMetricFamily]:
    midnight = datetime.combine(s.position, time(), tzinfo=UTC) if s.position else None
    yield from _optional_gauge(
        "position_timestamp_seconds", "00:00 UTC of the position of the mirror.", _timestamp(midnight)
    )
    yield from _optional_gauge(
        "days_left", "Days until the next delta may be removed; after that a full is needed.", s.days_left
    )
    yield from _optional_gauge("certificates", "Certificates in the mirror.", s.total)
    yield from _optional_gauge("certificates_in_use", "Certificates that are In-Use.", s.in_use)
    statuses = [((status,), count) for status, count in s.by_status.items()]
    yield _labelled_gauge("certificates_by_status", "Certificates by status.", ("status",), statuses)
    yield from _optional_gauge(
        "quarantined_records", "Unreadable records that are in quarantine.", s.quarantined
    )
    yield from _optional_gauge(
        "unproven", "1 if the mirror is unproven until the next full, otherwise 0.", s.unproven
    )
    yield from _optional_gauge(
        "missing_deltas", "Overlap deltas of the newest full that were never applied.", s.missing_deltas
    )
    yield from _optional_gauge("mirror_bytes", "Size of the mirror with its write-ahead log.", s.mirror_bytes)


def _timestamp(time_of: datetime | None) -> float | None:
    return time_of.timestamp() if time_of else None


def _optional_gauge(name: str, meaning: str, value: float | None) -> Iterator[GaugeMetricFamily]:
    if value is not None:
        yield _gauge(name, meaning, value)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, meaning, value=value)


def _labelled_gauge(
    name: str, meaning: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], int]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(PREFIX + name, meaning, labels=labels)
    for texts, value in values:
        family.add_metric(list(texts), value)
    return family


_STDERR_CHARACTERS: Final = 200
"""Length of the last line of a command's stderr that a message repeats."""

_STDERR_BYTES: Final = 4_096
"""Size of the end of stderr in which the last line is searched."""

_SECRETS: Final = ("SMKI_SYNC_PASSWORD", "SMKI_SYNC_KEY_PASSPHRASE")


def call_hook(command: Sequence[str], document: str, *, seconds: float) -> str | None:
    """Run a command with a document on its stdin and wait for it, but not for its background processes.

    Its stdout is discarded. It does not get the secrets in the environment. If it does not end in time, it is
    killed with all its background processes; otherwise they keep running.

    Args:
        command: The program and its arguments.
        document: The content of stdin.
        seconds: The time limit.

    Returns:
        What went wrong, or ``None``.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    with ExitStack() as stack:
        try:
            # Files, not pipes: a background process may hold them open without blocking this program, and
            # may write to them after this program has ended.
            stdin = stack.enter_context(os.fdopen(os.memfd_create("document"), "w+b"))
            stdin.write(document.encode())
            stdin.seek(0)
            stderr = stack.enter_context(TemporaryFile())
            process = subprocess.Popen(
                list(command),
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as exc:
            return f"{command[0]} could not be started ({getattr(exc, 'strerror', None) or exc})"
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            return f"{command[0]} was stopped after {seconds:g} s"
        except BaseException:  # Ctrl-C and SIGTERM
            _kill(process)
            raise
        return f"{command[0]} ended with {code}{_last_line(stderr)}" if code else None


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and the processes that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(stderr: IO[bytes]) -> str:
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(size - _STDERR_BYTES, 0))
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:_STDERR_CHARACTERS]}" if lines else ""
