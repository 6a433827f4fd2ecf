"""Clusters of vertices, against a surface that is known."""

import numpy as np
import pytest
import torch

from nrw.geometry.cameras import Camera
from nrw.geometry.clusters import clustered
from nrw.geometry.pointcloud import Cloud
from nrw.geometry.rasterize import Geometry, rasterize

SIDE = 40  # vertices along a side of the surface, one unit wide


def plane(loose=()) -> Geometry:
    """The plane z = 3, in triangles, and loose points."""
    x, y = (some.ravel() for some in np.meshgrid(*2 * [(np.arange(SIDE) + 0.5) / SIDE]))
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = (some.ravel() for some in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    points = np.concatenate([np.stack([x, y, np.full_like(x, 3)], 1), np.reshape(loose, (-1, 3))]).astype(np.float32)
    return Geometry.of(Cloud(points, np.zeros((len(points), 3), np.uint8), points, np.zeros(len(points)), faces))


def test_each_cell_keeps_the_mean_of_its_vertices():
    found = clustered(plane(), 0.1)  # of 4 x 4 vertices
    points = found.geometry.points
    assert len(points) == 100 and len(found.geometry.faces) == 2 * 9 * 9
    expected = np.stack(np.meshgrid(*2 * [np.arange(10) / 10 + 0.05], [3.0], indexing="ij"), axis=-1).reshape(-1, 3)
    np.testing.assert_allclose(points, expected, atol=1e-6)
    along = plane().points.T[:1]
    np.testing.assert_allclose(found.mean(along)[0], expected[:, 0], atol=1e-6)
    assert torch.equal(found.group[found.first()], torch.arange(100))
    assert int(found.first()[0]) == 0 and int(found.first()[1]) == 4 * SIDE  # the next in y


def test_a_coarser_surface_covers_the_same_pixels():
    view = Camera(64, 48, 120, 120, 12.0, 4.0, np.eye(3, 4))
    fine, coarse = (rasterize(some, view).depth for some in (plane(), clustered(plane(), 0.05).geometry))
    assert ((fine > 0) == (coarse > 0)).float().mean() > 0.95
    torch.testing.assert_close(coarse[coarse > 0], torch.full_like(coarse[coarse > 0], 3))


def test_loose_points_stay_behind_the_surface():
    loose = [(0.01, 0.01, 2.0), (0.02, 0.02, 2.0)]
    found = clustered(plane(loose), 0.1).geometry
    assert len(found.spacing) == 2 and found.first_loose == 100
    np.testing.assert_allclose(found.points[found.first_loose :], loose, atol=1e-6)


@pytest.mark.parametrize("cell", [1e-4, 10.0])
def test_cells_smaller_than_triangles_and_larger_than_the_scene(cell):
    found = clustered(plane(), cell)
    assert len(found.geometry.faces) == (len(plane().faces) if cell < 1 else 0)


def test_a_cloud_without_a_surface_stays_as_it_is():
    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    cloud = Geometry.of(Cloud(points, np.zeros((50, 3), np.uint8), points, np.ones(50, np.float32)))
    found = clustered(cloud, 0.5).geometry
    assert torch.equal(found.points, cloud.points) and torch.equal(found.spacing, cloud.spacing)
    assert len(found.faces) == 0
