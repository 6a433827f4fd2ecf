"""Source selection from sparse points that are seen as each test wants."""

from dataclasses import replace

import numpy as np
from mvs_scene import camera_at, level_camera
from scipy.sparse import csr_array

from nrw.mvs.sources import SparseScene, select_sources


def test_sources_share_points_at_a_good_angle_and_resolution():
    centers = {"near": [0.05, 0, 0], "good": [1, 0, 0], "far": [1, 0, -8], "stranger": [-1, 0, 0], "wide": [8, 0, 5]}
    cameras = [camera_at((0, 0, 0)), *(camera_at(center) for center in centers.values())]
    points = np.random.default_rng(0).uniform([-1, -1, 4.8], [1, 1, 5.2], (50, 3))
    visible = np.ones((50, 6), bool)
    visible[5:, 4] = False  # the stranger shares 5 points only
    scene = SparseScene(["reference", *centers], cameras, points, csr_array(visible))
    order = select_sources(scene, "reference", 10)
    assert order[0] == "good" and set(order) == {"near", "good", "far", "wide"}
    assert select_sources(scene, "reference", 2) == order[:2]
    assert select_sources(scene, "stranger", 3) == []


def test_sources_cover_the_whole_picture():
    """Three photos share most of the points, all on the left; the fourth alone sees the right, or the ground below."""
    rng = np.random.default_rng(0)
    left = rng.uniform([-1.8, -1, 4.8], [-0.5, 0.5, 5.2], (60, 3))
    right = rng.uniform([0.5, -1, 4.8], [1.8, 0.5, 5.2], (12, 3))
    cameras = [camera_at(center) for center in ([0, 0, 0], [0.9, 0, 0], [0.9, 0.1, 0], [0.9, -0.1, 0], [-0.9, 0, 0])]
    visible = np.zeros((72, 5), bool)
    visible[:, 0] = visible[:60, 1:4] = visible[60:, 4] = True
    scene = SparseScene(list("abcde"), cameras, np.concatenate([left, right]), csr_array(visible))
    assert "e" in select_sources(scene, "a", 2)


def test_sources_see_the_ground_where_no_sparse_point_is():
    """A house far ahead has all the points; only a photo that shares few of them shows the pavement."""
    house = np.random.default_rng(0).uniform([-4, 14, 0.1], [4, 14, 4], (80, 3))
    views = [level_camera(0, 0, 1.6), level_camera(2.5, 0, 1.6), level_camera(-2.5, 0, 1.6), level_camera(2.4, -3, 1.6)]
    visible = np.ones((80, 4), bool)
    visible[25:, 3] = False
    up = np.array([[1.0, 0, 0], [0, 0.26, -0.966], [0, 0.966, 0.26]])  # 15 degrees above the horizon
    upward = [replace(view, cam_from_world=np.c_[up, -up @ view.center]) for view in views]
    for cameras, chosen in ((views, "cb"), ([views[0], *upward[1:3], views[3]], "cd"), ([views[0], *upward[1:]], "cb")):
        assert select_sources(SparseScene(list("abcd"), cameras, house, csr_array(visible)), "a", 2) == list(chosen)
