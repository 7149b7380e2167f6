"""The small repository and its mirror of the tests of the command line, and somebody who asks it."""

from pathlib import Path

import pytest
from cli.conftest import first_sync, mirror, original, own_mirror, repository, rows, smki
from support.cli import Shell

__all__ = ["first_sync", "mirror", "original", "own_mirror", "repository", "rows", "smki"]


@pytest.fixture
def ask(smki: Shell, mirror: Path) -> Shell:
    """Somebody who has told once where the mirror is."""
    return Shell(place=smki.place, today=smki.today, variables={"SMKI_SYNC_MIRROR": str(mirror)})
