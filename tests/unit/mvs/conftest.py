"""The rendered scene that the tests of each file share; they leave it as they found it."""

import numpy as np
import pytest
from mvs_scene import (
    CENTERS,
    SKY,
    Scene,
    camera_at,
    estimate,
    geometric_passes,
    noise_texture,
    render,
    surface_points,
    write_workspace,
)

from nrw.core.io import write_image
from nrw.geometry.cameras import Camera


@pytest.fixture(scope="module", autouse=True)
def threads(one_thread):
    """All of these compute with torch."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory, one_thread):
    """Five photos of the ridge and one that faces away; depth estimated once, with a strip of sky in photo 0001."""
    root = tmp_path_factory.mktemp("scene")
    texture = noise_texture()
    cameras = {f"{number:04d}": camera_at(center) for number, center in enumerate(CENTERS)}
    pictures = {photo_id: render(camera, texture) for photo_id, camera in cameras.items()}
    turned = np.diag([-1.0, 1.0, -1.0])
    cameras["0005"] = Camera(90, 130, 100, 100, 45, 65, np.c_[turned, np.zeros(3)])
    pictures["0005"] = np.full((130, 90), 90, np.uint8)
    write_workspace(root / "mvs", cameras, pictures, surface_points(camera_at((0, 0, -0.2))))
    for photo_id, picture in pictures.items():
        labels = np.ones(picture.shape, np.uint8)
        labels[:20] = SKY if photo_id == "0001" else 1
        write_image(root / f"segmentation/{photo_id}.png", labels)
    scene = Scene(root / "mvs", cameras, list(cameras))
    estimate(scene)
    geometric_passes(scene)
    return scene
