"""Copy a mirror directory for a test.

The program recognises a copied generation by its inode, and begins another journal. A test that only wants a
mirror of its own copies with :func:`copy_mirror`, which records the new inode.
"""

import shutil
from pathlib import Path

from smki_sync.mirror.store import mark_published


def copy_mirror(source: Path, target: Path) -> Path:
    """Copy a directory with all mirrors in it; return ``target``."""
    shutil.copytree(source, target, symlinks=True)
    for path in target.rglob("generations/*.db"):
        mark_published(path)
    return target
