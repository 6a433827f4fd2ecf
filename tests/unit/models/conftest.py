"""A fixed seed, and the small scene of the training stages."""

import pytest
import torch
from training_scene import make_scene


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def scene(tmp_path_factory):
    return make_scene(tmp_path_factory.mktemp("scene"))
