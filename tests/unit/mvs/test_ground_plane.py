"""The plane that most ground points lie on."""

import numpy as np
import pytest
from mvs_scene import level_camera, square

from nrw.mvs.ground_plane import MIN_POINTS, MIN_SHARE, TOLERANCE, Plane, find_plane


def sloping(count, rng):
    x, y = rng.uniform(-2, 2, (2, count))
    return np.column_stack([x, y, 0.02 * x - 0.01 * y - 0.4 + rng.normal(0, 0.002, count)])


def test_the_plane_is_where_most_ground_points_lie():
    rng = np.random.default_rng(0)
    steps = sloping(2000, rng) + np.array([0, 0, 0.3]) * rng.random((2000, 1))  # what was taken for ground
    plane = find_plane([sloping(3000, rng), steps])
    assert np.degrees(np.arccos(plane.normal @ [-0.02, 0.01, 1] / np.linalg.norm([-0.02, 0.01, 1]))) < 0.1
    assert plane.normal @ [0, 0, -0.4] == pytest.approx(plane.offset, abs=0.001)


def test_without_one_level_for_most_there_is_no_plane():
    rng = np.random.default_rng(0)
    slope = np.column_stack([rng.uniform(-2, 2, (9000, 2)), rng.uniform(0, 3 * TOLERANCE / MIN_SHARE, 9000)])
    assert find_plane([slope]) is None
    assert find_plane([sloping(500, rng)]) is None  # too few
    assert find_plane([]) is None


def test_depth_on_the_plane():
    camera = level_camera(0, 0, 1.6)
    depth = Plane(np.array([0.0, 0, 1]), 0.0).depth(camera)
    ground = square(camera) < 13.5
    np.testing.assert_allclose(depth[ground], square(camera)[ground], rtol=1e-5)
    assert (depth[: camera.height // 4] == 0).all()  # above the horizon
    assert (Plane(np.array([0.0, 0, 1]), 2.0).depth(camera) == 0).all()  # beneath the plane


def test_a_stronger_prior_keeps_the_plane_level_beside_steps():
    rng = np.random.default_rng(0)
    level = np.column_stack([rng.uniform(-1, 0, (3000, 2)), rng.normal(0, 0.001, 3000)])
    steps = np.column_stack([rng.uniform(0, 1, (2500, 2)), rng.uniform(0, 0.06, 2500)])
    steps[:, 2] *= steps[:, 0]
    tilts = [np.hypot(*find_plane([level, steps], level=strength).normal[:2]) for strength in (1e-2, 10)]
    assert tilts[1] < 0.3 * tilts[0]


def test_fewer_points_may_do():
    points = sloping(MIN_POINTS // 2, np.random.default_rng(0))
    assert find_plane([points]) is None and find_plane([points], least=MIN_POINTS // 3) is not None


def test_height_is_above_the_plane():
    plane = Plane(np.array([0, 0.6, 0.8]), 2.0)
    np.testing.assert_allclose(plane.height(np.array([[0, 0, 2.5], [0, 5, 0]])), [0, 1])
