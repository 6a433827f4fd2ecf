"""The forward-backward check against exact depth maps."""

import numpy as np
import torch
from mvs_scene import HEIGHT, WIDTH, camera_at, surface_points, true_depth

from nrw.mvs.consistency import agrees
from nrw.mvs.planes import normals_from_depth


def test_consistency_keeps_what_others_confirm():
    here, there = camera_at((0, 0, 0)), camera_at((0.5, 0, 0))
    depth, other = true_depth(here).astype(np.float32), true_depth(there).astype(np.float32)
    wrong = depth.copy()
    wrong[40:60, 60:100] *= 1.05
    wrong[80:, :] = 0
    normals = normals_from_depth(torch.from_numpy(other), there).numpy()
    agree = agrees(wrong, here, other, normals, there, max_pixels=2, max_relative=0.01)
    assert not agree[40:60, 60:100].any()
    assert not agree[80:].any()
    uv, _ = there.project(surface_points(here, 1))
    seen = ((uv > 1) & (uv < [WIDTH - 1, HEIGHT - 1])).all(1).reshape(HEIGHT, WIDTH)
    assert agree[:40][seen[:40]].all()
    assert not agrees(depth, here, np.zeros_like(other), np.zeros_like(normals), there, 2, 0.01).any()
