import pytest
from detail_scene import make_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory, one_thread):
    """A scene with residuals and packed detail; tests leave it as it is."""
    return make_scene(tmp_path_factory.mktemp("scene") / "wall")
