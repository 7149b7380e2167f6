"""A certificate that the simulator has issued, whom it is for, and the history of its status.

For: the values that pass between memory, life and files. Refuses: to know where they are kept.
"""

from dataclasses import dataclass

from smki_sync.model.certificate import Kind, Status, Usage
from smki_sync.model.identity import Eui, Serial


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a certificate is for, and what for. ``name``: common name of an authority or organisation."""

    kind: Kind
    eui: Eui | None = None
    name: str | None = None
    role: int | None = None
    usage: Usage | None = None
    manufacturing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate.

    ``number``: order of issue from 1, 0 until it is kept. ``signer``: label of the authority that
    signed. ``issuer``: RFC 4514 text. ``expires``: seconds since 1970, UTC.
    """

    number: int = 0
    subject: Subject
    signer: str
    issuer: str
    serial: Serial
    expires: int
    der: bytes


History = tuple[tuple[int, Status], ...]
"""Instants in seconds since 1970, each with the status that began then; the oldest first."""


def status_at(history: History, instant: int) -> Status | None:
    """The status at an instant; ``None`` before the certificate was issued."""
    return next((status for at, status in reversed(history) if at <= instant), None)
