"""OpenCV's matcher as a rival: its rectification, on a slanted plane that two turned cameras see."""

import cv2
import numpy as np
import pytest

from benchmarks.sgbm import match_pair
from nrw.geometry.cameras import Camera


@pytest.mark.parametrize("towards", [(0.3, 0.0, 0.05), (-0.3, 0.05, 0.0), (0.05, 0.3, 0.0)])
def test_a_slanted_plane_has_its_depth(towards):
    texture = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    texture = cv2.resize(texture, (600, 600), interpolation=cv2.INTER_CUBIC)
    turned = cv2.Rodrigues(np.array([0.03, -0.08, 0.1]))[0]
    pictures, depths = [], []
    cameras = [
        Camera(160, 120, 150.0, 150.0, 80.0, 60.0, np.eye(3, 4)),
        Camera(160, 120, 140.0, 140.0, 80.0, 60.0, np.column_stack([turned, -turned @ np.array(towards)])),
    ]
    normal = np.array([0.1, -0.05, 0.4])  # n . X = 1
    for camera in cameras:
        rays = camera.ray_directions().astype(float)
        distance = (1 - normal @ camera.center) / (rays @ normal)
        points = camera.center + rays * distance[..., None]
        depths.append((points @ camera.rotation.T + camera.cam_from_world[:, 3])[..., 2])
        place = (points[..., :2] * 120 + 300).astype(np.float32)
        pictures.append(cv2.remap(texture, place, None, cv2.INTER_LINEAR))
    depth = match_pair(pictures[0], cameras[0], pictures[1], cameras[1], near=1.5, far=5.0)
    found = depth > 0
    assert found[20:-20, 30:-30].mean() > 0.6
    error = np.abs(depth / depths[0] - 1)[found]
    assert np.median(error) < 0.01 and (error < 0.03).mean() > 0.9
