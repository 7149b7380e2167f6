"""``[log]``, ``[metrics]`` and ``[hooks]``: what is said of a run, and to whom.

For: stderr, monitoring, and commands of the operator's own. Refuses: to say it.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from smki_sync.config.settings.about import BLINK, WEEK, About


class LogFormat(StrEnum):
    """How the talk on stderr is written: for people, or one JSON object a line."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """``[log]``: the talk on stderr."""

    format: Annotated[LogFormat, About(meaning="For people, or one JSON object a line.")] = LogFormat.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """``[metrics]``: for monitoring."""

    textfile: Annotated[
        Path | None,
        About(
            meaning="Prometheus textfile that every run replaces, failed ones too.",
            example="/var/lib/prometheus/node-exporter/smki-sync.prom",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSettings:
    """``[hooks]``: commands that are told how a run ended, with its JSON document on stdin."""

    on_updated: Annotated[
        tuple[str, ...], About(meaning="Command, as a list of words, after a run that applied a file.")
    ] = ()
    on_attention: Annotated[
        tuple[str, ...], About(meaning="The same after a run that left the mirror behind.")
    ] = ()
    on_failed: Annotated[tuple[str, ...], About(meaning="The same after a run that failed.")] = ()
    timeout_seconds: Annotated[
        float,
        About(meaning="After so long a hook is stopped.", unit="seconds", low=BLINK, high=WEEK),
    ] = 60.0
