"""The mirror of a long-running program: one kept connection, opened again when a new generation is current.

A stand-in for the reader for long-running programs of the Python API, which replaces this class.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from smki_sync.errors import MirrorError
from smki_sync.mirror.connection import connect_to_read, disk_errors, mirror_errors
from smki_sync.mirror.directory import MirrorDirectory
from smki_sync.mirror.queries import (
    Certificate,
    Connection,
    Identity,
    Stamp,
    check_schema,
    find_certificates,
    read_stamp,
)
from smki_sync.usability import StaleLists, rule_at


class Answer(NamedTuple):
    """Certificates and the state of the mirror that they come from."""

    stamp: Stamp
    certificates: list[Certificate]


class MirrorReader:
    """Answers from one mirror. Use it from one thread at a time."""

    def __init__(self, directory: Path, *, stale_lists: StaleLists) -> None:
        """Keep the arguments. Nothing is opened before the first question."""
        self._link = MirrorDirectory(directory).link
        self._stale_lists = stale_lists
        self._db: Connection | None = None
        self._generation: object = None

    def stamp(self) -> Stamp:
        """Return the current state.

        Raises:
            MirrorError: The mirror is missing, damaged or of another schema.
        """
        with self._snapshot() as db:
            return read_stamp(db)

    def find(self, identity: Identity, now: datetime) -> Answer:
        """Return the certificates of any status, usable first. Raises as :meth:`stamp`."""
        with self._snapshot() as db:
            rule = rule_at(now, self._stale_lists)
            return Answer(read_stamp(db), find_certificates(db, identity, rule, any_status=True))

    def refresh(self) -> None:
        """Close the connection to a generation that is not current any more, so that its file is freed."""
        if self._db is not None and self._current() != self._generation:
            self.close()

    def close(self) -> None:
        """Close the connection. The next question opens it again."""
        if self._db is not None:
            self._db.close()
        self._db, self._generation = None, None

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        """Yield the connection in a read transaction; close it after any failure."""
        try:
            db = self._connected()
            with mirror_errors(self._link), db:
                yield db
        except MirrorError:
            self.close()
            raise

    def _connected(self) -> Connection:
        generation = self._current()
        if self._db is not None and generation == self._generation:
            return self._db
        self.close()
        check_schema(self._link)
        with disk_errors(self._link):
            self._db = connect_to_read(self._link)
        self._generation = generation
        return self._db

    def _current(self) -> object:
        """Return what identifies the current file: where the link points, its inode and device."""
        try:
            status = self._link.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def days_behind(position: date, now: datetime) -> int:
    """Return the days from the position to today, UTC."""
    return (now.date() - position).days
