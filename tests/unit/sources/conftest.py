"""Shared by all sources: the repository's directory, and a listener that remembers."""

from support.source_contract import folder

from smki_sync.events import Event

__all__ = ["Heard", "folder"]


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def hear(self, event: Event) -> None:
        self.events.append(event)
