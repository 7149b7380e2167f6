"""The small repository and its mirror of the tests of the command line, and somebody who asks it."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest
from support.cli import Shell
from support.mirror_copies import copy_mirror

from unit.cli.conftest import first_sync, mirror, original, own_mirror, repository, rows, smki

__all__ = ["first_sync", "mirror", "original", "own_mirror", "repository", "rows", "smki"]


@pytest.fixture
def ask(smki: Shell, mirror: Path) -> Shell:
    """Somebody who has told once where the mirror is."""
    return Shell(place=smki.place, today=smki.today, variables={"SMKI_SYNC_MIRROR": str(mirror)})


@pytest.fixture
def damaged(mirror: Path, tmp_path: Path) -> Path:
    """A mirror whose first rows can be read and some later ones cannot."""
    own = tmp_path / "damaged"
    copy_mirror(mirror, own)
    file = own / "mirror.db"
    with closing(apsw.Connection(str(file))) as db:
        db.pragma("journal_mode", "DELETE")
        sql = "SELECT pageno FROM dbstat WHERE name = 'certificate' AND pagetype = 'leaf' ORDER BY path"
        leaves = [int(str(page)) for (page,) in db.execute(sql)]
        size = int(str(db.pragma("page_size")))
    assert len(leaves) > 2
    with file.open("r+b") as octets:
        octets.seek((leaves[len(leaves) // 2] - 1) * size)
        octets.write(b"\xff" * size)
    return own
