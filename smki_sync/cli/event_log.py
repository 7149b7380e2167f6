"""Talk for a collector: one JSON object a line.

For: ``--log-format json``. Refuses: words of its own; fields are those of the ``--json`` documents.
"""

import json
from dataclasses import asdict
from datetime import UTC
from typing import TextIO, assert_never

from smki_sync.cli.documents import Json
from smki_sync.cli.render import applied_document, attention_document, plan_document
from smki_sync.cli.talk.base import Clock, Talk, Volume
from smki_sync.cli.talk.pace import Pace
from smki_sync.events import (
    Building,
    Checking,
    Committed,
    Detail,
    Event,
    Fetching,
    Listing,
    Noted,
    Planned,
    Reading,
    Restarted,
    Resumed,
    Retrying,
    Verifying,
    Waiting,
)


class JsonTalk(Talk):
    """Talk for a collector: one JSON object a line, with time, level, event and its fields."""

    def __init__(self, stream: TextIO, *, volume: Volume, clock: Clock) -> None:
        """Stamp lines with ``clock``; progress comes at most every 30 seconds here too."""
        super().__init__(stream, volume=volume)
        self._clock = clock
        self._pace = Pace(clock)

    def _say(self, event: Event) -> None:
        if isinstance(event, Fetching | Reading | Verifying) and not self._pace.take(event):
            return
        stamp = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": stamp, "level": _level_of(event), "event": type(event).__name__.lower()}
        self._write(json.dumps(head | _fields_of(event)))


def _level_of(event: Event) -> str:
    match event:
        case Detail():
            return "debug"
        case Noted(attention=attention) if not attention.code.is_note:
            return "warning"
        case Retrying() | Waiting() | Restarted():
            return "warning"
        case _:
            return "info"


def _fields_of(event: Event) -> Json:
    match event:
        case Planned():
            return plan_document(event.plan)
        case Committed():
            return applied_document(event.applied)
        case Noted():
            about = attention_document(event.attention)
            return {name: about[name] for name in ("code", "message", "hint")}
        case Listing() | Fetching() | Reading() | Building() | Checking() | Verifying() | Detail():
            return asdict(event)
        case Resumed() | Restarted() | Retrying() | Waiting():
            return asdict(event)
        case _:
            assert_never(event)
