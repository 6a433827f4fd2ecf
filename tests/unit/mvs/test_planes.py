"""Plane fits and normals of exact planes."""

import numpy as np
import torch
from mvs_scene import FOCAL, camera_at

from nrw.geometry.cameras import Camera
from nrw.mvs.planes import fit_planes, normals_from_depth


def test_planes_are_fitted_exactly_and_not_across_a_step():
    y, x = torch.meshgrid(torch.arange(30.0), torch.arange(40.0), indexing="ij")
    inverse = 0.2 + 0.0001 * x - 0.0002 * y
    inverse[:, 20:] += 0.1
    planes = fit_planes(inverse, torch.ones_like(inverse), 2, Camera(40, 30, FOCAL, FOCAL, 20, 15, np.eye(3, 4)))
    torch.testing.assert_close(planes.value, inverse, rtol=1e-5, atol=0)
    torch.testing.assert_close(planes.slope_x, torch.full_like(inverse, 0.0001), rtol=0.01, atol=0)
    torch.testing.assert_close(planes.slope_y, torch.full_like(inverse, -0.0002), rtol=0.01, atol=0)


def test_normals_of_an_exact_plane():
    camera = camera_at((0, 0, 0))
    rays = camera.ray_directions() / camera.ray_directions()[..., 2:]
    normal = np.array([0.3, -0.2, -1.0]) / np.linalg.norm([0.3, -0.2, -1.0])
    depth = -4 / (rays @ normal)
    depth[:, :5] = 0
    normals = normals_from_depth(torch.from_numpy(depth.astype(np.float32)), camera).numpy()
    assert not normals[:, :5].any()
    np.testing.assert_allclose(normals[:, 5:], np.broadcast_to(normal, normals[:, 5:].shape), atol=2e-3)
