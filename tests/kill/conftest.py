"""The mornings that are disturbed, made once."""

import pytest

from kill.scenes import NAMES, Scene, make_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    return make_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(params=NAMES)
def scene(scenes: dict[str, Scene], request: pytest.FixtureRequest) -> Scene:
    found: Scene = scenes[request.param]
    return found
