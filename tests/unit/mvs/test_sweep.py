"""The plane sweep on rendered planes."""

import numpy as np
import torch
from mvs_scene import CENTERS, FOCAL, HEIGHT, WIDTH, camera_at, noise_texture, render, wall

from nrw.mvs.gray_views import GrayView
from nrw.mvs.matcher import Matcher
from nrw.mvs.sweep import MAX_PLANES, MIN_PLANES, Family, depth_range, plane_distances, sweep


def wall_matcher(keep=None):
    cameras = [camera_at(center) for center in CENTERS[:3]]
    ones = torch.ones(HEIGHT, WIDTH)
    views = [
        GrayView(torch.from_numpy(render(camera, noise_texture(), depth_of=wall)).float() / 255, ones, camera)
        for camera in cameras
    ]
    if keep is not None:
        views[0] = GrayView(views[0].pixels, keep, cameras[0])
    return Matcher(views[0], views[1:], best=2, radius=2)


def test_planes_are_a_pixel_of_disparity_apart():
    matcher, ones = wall_matcher(), torch.ones(HEIGHT, WIDTH)
    distances = plane_distances(matcher, Family(ones, 1.0, 100.0))
    assert distances[0] == 0.01 and distances[-1] == 1
    np.testing.assert_allclose(np.diff(distances) * FOCAL * 0.45, 1, rtol=0.05)
    assert len(plane_distances(matcher, Family(ones, 4.0, 5.0))) == MIN_PLANES
    assert len(plane_distances(matcher, Family(ones, 0.1, 5.0))) == MAX_PLANES


def test_the_true_plane_costs_least():
    matcher = wall_matcher()
    family = Family(torch.ones(HEIGHT, WIDTH), 2.0, 20.0)
    distances = torch.tensor([1 / 8, 1 / 5, 1 / 3])
    cost = sweep(matcher, family, distances)
    assert cost.shape == (HEIGHT, 3, WIDTH) and cost.min() >= 0 and cost.max() <= 1
    assert (cost.argmin(1)[10:-10, 30:-30] == 1).float().mean() > 0.98


def test_pixels_that_are_masked_or_see_no_plane_cost_the_same_everywhere():
    keep, slant = torch.ones(HEIGHT, WIDTH), torch.ones(HEIGHT, WIDTH)
    keep[:20] = 0
    slant[-20:] = -1
    cost = sweep(wall_matcher(keep), Family(slant, 2.0, 20.0), torch.tensor([1 / 8, 1 / 5, 1 / 3]))
    assert (cost[:20] == 1).all() and (cost[-20:] == 1).all() and (cost[20:-20] < 1).any()


def test_the_depth_range_is_wider_than_the_points_before_the_camera():
    points = np.column_stack([np.zeros((101, 2)), np.linspace(4, 6, 101)])
    near, far = depth_range(camera_at((0, 0, 0)), np.concatenate([points, [[0, 0, -3]]]))
    assert 0.6 * 4 < near < 0.8 * 4 and 1.9 * 6 < far < 2.1 * 6
