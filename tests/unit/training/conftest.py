"""The small scene, and all stages trained on it, once for all tests of this folder."""

import pytest
from training_scene import make_scene, run


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def trained(scene, tmp_path_factory):
    """The folder in which all stages ran once, uninterrupted."""
    out = tmp_path_factory.mktemp("trained")
    for stage in ("appearance", "rerender", "finetune", "completion"):
        run(stage, scene[0], out)
    return out
