"""Shared fixtures: a directory of extracts, and a listener that stores events."""

from support.source_contract import folder

from smki_sync.events import Event

__all__ = ["Heard", "folder"]


class Heard:
    """A listener that stores the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)
