"""The mornings that are disturbed, made once."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from resilience.kill.scenes import NAMES, Scene, make_scenes


@pytest.fixture(scope="session")
def scenes() -> Iterator[dict[str, Scene]]:
    """Where every user may read: one that loses its rights in a run loses those on the mirror alone."""
    with TemporaryDirectory(prefix="smki-sync-test-") as place:
        Path(place).chmod(0o755)
        yield make_scenes(Path(place))


@pytest.fixture(params=NAMES)
def scene(scenes: dict[str, Scene], request: pytest.FixtureRequest) -> Scene:
    found: Scene = scenes[request.param]
    return found
