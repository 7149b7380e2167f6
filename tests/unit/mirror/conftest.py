"""A mirror directory, and one that other users can reach."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mirror_builders import Record, build

from smki_sync.mirror.directory import MirrorDirectory


@pytest.fixture
def directory(tmp_path: Path) -> MirrorDirectory:
    """A mirror directory that has its rooms and no generation."""
    found = MirrorDirectory(tmp_path / "mirror")
    found.prepare()
    return found


@pytest.fixture
def public() -> Iterator[MirrorDirectory]:
    """One below a path that every user of this machine may enter; pytest's own is private."""
    with tempfile.TemporaryDirectory(prefix="smki-sync-test-") as path:
        Path(path).chmod(0o755)
        found = MirrorDirectory(Path(path) / "mirror")
        found.prepare()
        yield found


def publish(directory: MirrorDirectory, records: list[Record], old: Path | None = None) -> Path:
    """Build the next generation and let it take over."""
    path = directory.next_generation()
    build(path, records, old=old)
    directory.publish(path)
    return path
