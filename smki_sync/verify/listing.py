"""Every finding, one JSON object a line, in a file that is whole or not there.

For: ``verify --list FILE``, because a report holds examples alone. Refuses: to keep findings in memory.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, TextIO

from smki_sync.errors import UsageError
from smki_sync.verify.report import Found


class Listing(Protocol):
    """Takes findings as they come."""

    def write(self, found: Iterable[Found]) -> None:
        """Write some."""


class Nowhere:
    """No list was asked for."""

    def write(self, found: Iterable[Found]) -> None:
        """Drop them."""


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, found: Iterable[Found]) -> None:
        for one in found:
            self._stream.write(json.dumps(document_of(one)) + "\n")


def document_of(found: Found) -> dict[str, object]:
    """One finding as JSON, also in the report."""
    finding = found.finding
    return {
        "code": finding.code.value,
        "severity": finding.code.severity.value,
        "step": int(finding.code.step),
        "detail": finding.detail,
        **asdict(found.subject),
    }


@contextmanager
def listing_to(path: Path | None) -> Iterator[Listing]:
    """Write to ``path`` when the block ends well; :class:`UsageError` where that cannot be written."""
    if path is None:
        yield Nowhere()
        return
    part = path.with_name(path.name + ".part")
    try:
        stream = part.open("w", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"{path} cannot be written: {exc.strerror}") from exc
    try:
        with stream:
            yield _Lines(stream)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
