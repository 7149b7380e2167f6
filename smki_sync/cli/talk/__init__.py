"""What a run says while it goes on, on stderr: for people at a terminal, for a log, for a collector.

For: the listener of every deed::

    with talk_on(sys.stderr, form=config.log.format, volume=Volume.NORMAL) as talk:
        sync.run(..., hear=talk)

On a terminal there are progress bars. Elsewhere there is a line for each decision, each step, each
file and each thing to know, and one line of progress at most every 30 seconds. ``NO_COLOR`` is honoured.
Refuses: stdout, which belongs to data; to stop a run because nobody reads what it says; to pass text
from outside to a terminal as it is.
"""

from datetime import UTC, datetime
from typing import TextIO, assert_never

from smki_sync.cli.event_log import JsonTalk
from smki_sync.cli.talk.base import Clock, Talk, Volume
from smki_sync.cli.talk.console import ConsoleTalk
from smki_sync.cli.talk.pace import PROGRESS_SECONDS, Pace
from smki_sync.config.settings.talk import LogFormat

__all__ = ["PROGRESS_SECONDS", "Clock", "JsonTalk", "Pace", "Talk", "Volume", "talk_on"]


def talk_on(stream: TextIO, *, form: LogFormat, volume: Volume, clock: Clock | None = None) -> Talk:
    """Choose how to talk on a stream; ``clock`` is the system's unless given."""
    clock = clock or _utc_now
    match form:
        case LogFormat.TEXT:
            return ConsoleTalk(stream, volume=volume, clock=clock)
        case LogFormat.JSON:
            return JsonTalk(stream, volume=volume, clock=clock)
        case _:
            assert_never(form)


def _utc_now() -> datetime:
    return datetime.now(UTC)
