"""A consistent copy of the mirror while it is in use, checked after writing.

For: ``backup``. The copy is one file that needs nothing beside it; whoever reads or writes the mirror
meanwhile is not disturbed. Refuses: to leave half a copy, to call a copy good that was not read again.
"""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from smki_sync.errors import MirrorDamaged
from smki_sync.mirror import state
from smki_sync.mirror.connect import connect_to_read
from smki_sync.mirror.connection import named
from smki_sync.mirror.directory import sync_directory
from smki_sync.mirror.queries import Stamp, open_mirror, read_stamp
from smki_sync.mirror.queries.slices import Told
from smki_sync.mirror.shards import check_digest, digest_of_rows

_PAGES: Final = 4_096
"""Pages copied at a time: 32 MiB, between two words on progress."""

Count = Callable[[str], None]


def back_up(link: Path, target: Path, *, count: Count, told: Told) -> Stamp:
    """Copy the mirror at ``link`` to ``target``; the state that the copy holds.

    ``count``: told what is counted now. ``told``: how far it is, in pages and then in certificates.
    Raises :class:`MirrorDamaged` where the copy, or so the mirror, is not sound; then there is no copy.
    """
    aside = target.with_name(f".{target.name}.part")
    try:
        count("pages copied")
        _copy(link, aside, told)
        count("certificates of the copy read again")
        stamp = _check(aside, told)
        with named(target):
            _sync(aside)
            aside.replace(target)
            sync_directory(target.parent)
    finally:
        with named(target):
            aside.unlink(missing_ok=True)
    return stamp


def _copy(link: Path, aside: Path, told: Told) -> None:
    aside.unlink(missing_ok=True)
    with named(link), closing(connect_to_read(link)) as source:
        source.execute("BEGIN")
        state.read_state(source)  # from here on one snapshot, so no commit makes the copy start anew
        with named(aside), closing(_create(aside)) as copy:
            with copy.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES)
                    told(backup.page_count - backup.remaining, backup.page_count)
            copy.pragma("journal_mode", "DELETE")  # one file, with nothing beside it


def _create(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)


def _check(copy: Path, told: Told) -> Stamp:
    """Its pages, and its rows against the digest that it carries."""
    with open_mirror(copy) as db:
        found = db.execute("PRAGMA quick_check(1)").get
        if found != "ok":
            raise MirrorDamaged(f"the copy of the mirror is not sound: {found}", hint=_HINT)
        stamp = read_stamp(db)
        if check_digest(db, digest_of_rows(db, told)):
            raise MirrorDamaged("the rows of the copy do not make the digest that it carries", hint=_HINT)
    return stamp


_HINT: Final = "Nothing was kept of it. `smki-sync verify` says whether the mirror itself is damaged."


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
