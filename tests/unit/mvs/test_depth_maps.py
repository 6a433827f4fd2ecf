"""Depth maps and the cameras that they belong to."""

import torch
from mvs_scene import FOCAL, HEIGHT, WIDTH, camera_at

from nrw.mvs.depth_maps import DepthMap, intrinsics


def test_no_depth_is_no_inverse_depth():
    depth = torch.tensor([[0.0, 4.0]])
    assert DepthMap(depth, torch.zeros(1, 2, 3), camera_at((0, 0, 0))).inverse.tolist() == [[0, 0.25]]


def test_intrinsics_of_several_cameras():
    camera = camera_at((0, 0, 0))
    focal, center = intrinsics([camera, camera.resized(WIDTH // 2, HEIGHT)], torch.device("cpu"))
    assert focal.tolist() == [[FOCAL, FOCAL / 2], [FOCAL, FOCAL]]
    assert center.tolist() == [[WIDTH / 2, WIDTH / 4], [HEIGHT / 2, HEIGHT / 2]]
