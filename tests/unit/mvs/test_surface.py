"""The surface of a slanted wall beside a sphere, from exact depth maps."""

import numpy as np
import pytest

from nrw.geometry.cameras import Camera, look_at
from nrw.mvs import surface
from nrw.mvs.surface import colored_like, pixel_footprint, reconstruct_surface

NORMAL, OFFSET = np.array([0.6, 0.8, 0.0]), -0.3  # of the wall, n · x = offset
VOXEL = 0.0167
BALL, RADIUS = np.array([0.35, 0.35, 0.1]), 0.15


def depth_of(camera: Camera) -> np.ndarray:
    """Depth of the nearer of wall and ball at the pixel centres."""
    rays, eye = camera.ray_directions().astype(np.float64), camera.center
    wall = (OFFSET - eye @ NORMAL) / (rays @ NORMAL)
    toward = rays @ (BALL - eye)
    miss = ((BALL - eye) ** 2).sum() - toward**2
    ball = np.where(miss < RADIUS**2, toward - np.sqrt(np.maximum(RADIUS**2 - miss, 0)), np.inf)
    distance = np.minimum(np.where(wall > 0, wall, np.inf), ball)
    return np.where(np.isfinite(distance), distance * (rays @ camera.rotation[2]), 0).astype(np.float32)


@pytest.fixture(scope="module")
def views():
    cameras = {}
    for number, azimuth in enumerate(np.radians([20, 45, 70, 95])):
        eye = np.array([1.2 * np.cos(azimuth), 1.2 * np.sin(azimuth), 0.2])
        cameras[f"{number:04d}"] = Camera(160, 120, 150, 150, 80, 60, look_at(eye, np.zeros(3)))
    return cameras, {photo_id: depth_of(camera) for photo_id, camera in cameras.items()}


def distance(points: np.ndarray) -> np.ndarray:
    wall = np.abs(points @ NORMAL - OFFSET)
    return np.minimum(wall, np.abs(np.linalg.norm(points - BALL, axis=1) - RADIUS))


def test_the_mesh_lies_on_wall_and_ball(views):
    cameras, depths = views
    found = reconstruct_surface(cameras, depths.__getitem__, VOXEL)
    footprint = 1.3 / 150
    away = distance(found.points.astype(np.float64))
    assert np.median(away) < 0.09 * footprint  # half a pixel's shift of the maps gives .12
    assert np.quantile(away, 0.99) < 2 * footprint
    ball = np.linalg.norm(found.points - BALL, axis=1) < 1.1 * RADIUS
    assert 0.05 < ball.mean() < 0.9
    assert found.faces.max() == len(found.points) - 1 and found.faces.min() == 0
    outward = (found.points[ball] - BALL) / RADIUS
    assert np.median((found.normals[ball] * outward).sum(axis=1)) > 0.95


def test_slabs_give_the_same_triangles(views, monkeypatch):
    cameras, depths = views
    whole = reconstruct_surface(cameras, depths.__getitem__, VOXEL)
    monkeypatch.setattr(surface, "MAX_BLOCKS", 40)
    parts = reconstruct_surface(cameras, depths.__getitem__, VOXEL)
    assert len(parts.points) == len(whole.points)
    corners = [np.sort(mesh.points[mesh.faces].reshape(-1, 9).sum(axis=1)) for mesh in (whole, parts)]
    np.testing.assert_allclose(*corners, atol=1e-5)


def test_memory_is_that_of_a_slab(views, monkeypatch):
    cameras, depths = views
    held = []
    grid = surface._grid
    monkeypatch.setattr(surface, "_grid", lambda *a: (held.append(a[2]), grid(*a))[1])
    monkeypatch.setattr(surface, "MAX_BLOCKS", 40)
    reconstruct_surface(cameras, depths.__getitem__, VOXEL)
    assert len(held) > 4 and max(held) < 250  # slabs are one block thick at least, and have a block on each side


def test_a_stray_patch_and_depths_of_one_photo_are_left_out(views):
    cameras, depths = views
    strayed = {photo_id: depth.copy() for photo_id, depth in depths.items()}
    strayed["0001"][5:12, 5:12] = 0.4
    found = reconstruct_surface(cameras, strayed.__getitem__, VOXEL)
    assert np.quantile(distance(found.points.astype(np.float64)), 0.999) < 0.03


def test_no_depths_give_an_empty_surface(views):
    cameras, depths = views
    found = reconstruct_surface(cameras, lambda photo_id: np.zeros_like(depths[photo_id]), VOXEL)
    assert len(found) == 0 and found.faces.shape == (0, 3)


def test_colors_come_from_the_nearest_point_of_the_cloud(views):
    from nrw.geometry.pointcloud import Cloud

    points = np.array([[0, 0, 0], [1, 0, 0]], np.float32)
    cloud = Cloud(points, np.array([[10, 0, 0], [0, 20, 0]], np.uint8), np.zeros((2, 3), np.float32))
    mesh = Cloud(points[::-1] + 0.1, np.full((2, 3), 128, np.uint8), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(colored_like(mesh, cloud), cloud.colors[::-1])
    nothing = Cloud(points[:0], cloud.colors[:0], cloud.normals[:0])
    np.testing.assert_array_equal(colored_like(mesh, nothing), mesh.colors)


def test_a_pixels_footprint_is_depth_over_focal_length(views):
    cameras, depths = views
    expected = np.median([np.median(depths[photo_id]) / 150 for photo_id in cameras])
    assert pixel_footprint(cameras, depths.__getitem__) == pytest.approx(expected)
    assert pixel_footprint(cameras, lambda photo_id: np.zeros((2, 2))) == 0
