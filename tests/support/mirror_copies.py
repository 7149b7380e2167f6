"""Copy a mirror directory for a test.

The program recognises a copied generation by its inode, and begins another journal. A test that only wants a
mirror of its own copies with :func:`copy_mirror`, which records the new inode.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path


def copy_mirror(source: Path, target: Path) -> Path:
    """Copy a directory with all mirrors in it; return ``target``."""
    shutil.copytree(source, target, symlinks=True)
    for path in target.rglob("generations/*.db"):
        with closing(sqlite3.connect(path)) as db, db:
            columns = {row[1] for row in db.execute("PRAGMA table_info(mirror)")}
            if "inode" in columns:
                db.execute("UPDATE mirror SET inode = ? WHERE inode IS NOT NULL", (path.stat().st_ino,))
    return target
