"""Triangles and points against closed forms, and against open3d's ray casting."""

import numpy as np
import open3d as o3d
import pytest
import torch

from nrw.core.errors import UserError
from nrw.geometry import rasterize as module
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud
from nrw.geometry.rasterize import (
    Geometry,
    coverage,
    exact_depth,
    halved,
    locate,
    nearest_of_four,
    rasterize,
    shrink,
)


def camera(width=64, height=48, focal=60.0) -> Camera:
    pose = np.column_stack([np.eye(3), [0.0, 0.0, 0.0]])
    return Camera(width, height, focal, 1.1 * focal, width / 2 + 0.3, height / 2 - 0.7, pose)


def geometry(points, faces=(), spacing=None) -> Geometry:
    points = np.asarray(points, np.float32).reshape(-1, 3)
    spaces = np.zeros(len(points), np.float32) if spacing is None else np.float32(spacing)
    gray = np.zeros((len(points), 3), np.uint8)
    return Geometry.of(Cloud(points, gray, points, spaces, np.asarray(faces, np.int32).reshape(-1, 3)))


def quad(slope=0.3, depth=3.0):
    """Two triangles of the plane z = depth + slope x, far larger than the picture."""
    corners = [(x, y, depth + slope * x) for x, y in ((-5, -5), (5, -5), (5, 5), (-5, 5))]
    return geometry(corners, [(0, 1, 2), (0, 2, 3)])


def random_mesh(count=400):
    rng = np.random.default_rng(0)
    centers = rng.uniform([-1.5, -1.2, 2], [1.5, 1.2, 6], (count, 1, 3))
    corners = centers + rng.normal(0, 1, (count, 3, 3)) * rng.choice([0.01, 0.1, 0.6], (count, 1, 1))
    return corners.reshape(-1, 3).clip([-9, -9, 0.5], 9), np.arange(3 * count).reshape(-1, 3)


def test_a_slanted_plane_has_its_depth_at_every_pixels_centre():
    view = camera()
    buffer = rasterize(quad(), view)
    x = ((np.arange(64) + 0.5 - view.cx) / view.fx)[None]
    expected = np.broadcast_to(3.0 / (1 - 0.3 * x), (48, 64))
    assert bool(buffer.hit.all())  # no crack along the diagonal
    np.testing.assert_allclose(buffer.depth, expected, rtol=1e-5)
    assert set(buffer.primitive.unique().tolist()) == {0, 1}


def test_places_and_interpolation_are_right_in_perspective():
    view, plane = camera(), quad()
    samples = locate(plane, view, rasterize(plane, view))
    points = (plane.points[samples.corners] * samples.weights[..., None]).sum(dim=1)
    uv, depth = view.project(points.numpy().astype(float))
    pixel = samples.pixel.numpy()
    np.testing.assert_allclose(uv, np.column_stack([pixel % 64 + 0.5, pixel // 64 + 0.5]), atol=1e-3)
    np.testing.assert_allclose(depth, rasterize(plane, view).depth.flatten(), rtol=1e-5)
    np.testing.assert_allclose(samples.shade(plane.points.T).flatten(1).T, points, atol=1e-5)
    nearest = samples.index()
    assert nearest.shape == (48, 64) and int(nearest.min()) >= 0


def test_a_mesh_is_seen_as_rays_meet_it():
    corners, faces = random_mesh()
    view = camera(160, 120, 150)
    buffer = rasterize(geometry(corners, faces), view)
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(corners.astype(np.float32)), o3d.core.Tensor(faces.astype(np.uint32)))
    rays = view.ray_directions() / view.ray_directions()[..., 2:]
    rays = np.concatenate([np.zeros_like(rays), rays], axis=-1).astype(np.float32)
    depth = scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy()
    depth[np.isinf(depth)] = 0
    assert 0.2 < (depth > 0).mean() < 0.99
    assert np.mean(np.abs(buffer.depth.numpy() - depth) > 1e-3 * depth + 1e-6) < 2e-3  # pixels on an edge


def test_chunks_and_order_do_not_change_what_is_seen(monkeypatch):
    corners, faces = random_mesh()
    rng = np.random.default_rng(1)
    loose = rng.uniform([-1, -1, 2], [1, 1, 5], (500, 3))
    mixed = geometry(np.concatenate([corners, loose]), faces)
    whole = rasterize(mixed, camera(), splat=3)
    monkeypatch.setattr(module, "CHUNK", 97)
    monkeypatch.setattr(module, "CANDIDATES", 64)
    parts = rasterize(mixed, camera(), splat=3)
    assert torch.equal(whole.primitive, parts.primitive) and torch.equal(whole.depth, parts.depth)
    assert (whole.primitive >= len(faces)).any() and (whole.primitive < len(faces)).any()
    torch.testing.assert_close(
        exact_depth(mixed, camera(), whole)[whole.hit], whole.depth[whole.hit], rtol=1e-5, atol=0
    )


def test_the_nearer_is_seen_and_of_equally_near_ones_the_first():
    near, far = [(-5, -5, 2), (5, -5, 2), (0, 9, 2)], [(-5, -5, 3), (5, -5, 3), (0, 9, 3)]
    for first, second in ((near, far), (far, near)):
        buffer = rasterize(geometry(first + second, [(0, 1, 2), (3, 4, 5)]), camera())
        assert float(buffer.depth[24, 32]) == 2
    assert int(rasterize(geometry(near + near, [(0, 1, 2), (3, 4, 5)]), camera()).primitive[24, 32]) == 0


def test_what_is_behind_the_camera_or_without_an_area_is_not_drawn():
    behind = [(-1, -1, -2), (1, -1, -2), (0, 1, -2)]
    through = [(-1, -1, -2), (1, -1, 2), (0, 1, 2)]
    line = [(-1, 0, 2), (0, 0, 2), (1, 0, 2)]
    buffer = rasterize(geometry(behind + through + line, np.arange(9).reshape(3, 3)), camera())
    assert not buffer.hit.any()
    assert not rasterize(geometry([(0, 0, 0.5)]), camera(), near=0.5).hit.any()
    assert not rasterize(geometry(np.zeros((0, 3))), camera()).hit.any()


def test_a_loose_point_is_a_square_and_falls_into_the_pixel_of_its_place():
    view = camera()
    point = [(10.2 - view.cx) / view.fx * 2, (20.9 - view.cy) / view.fy * 2, 2.0]
    buffer = rasterize(geometry([point]), view)
    assert buffer.hit.nonzero().tolist() == [[20, 10]] and float(buffer.depth[20, 10]) == 2
    splats = rasterize(geometry([point]), view, splat=3)
    assert splats.hit.sum() == 9 and bool(splats.hit[19:22, 9:12].all())
    with pytest.raises(UserError, match="not an odd number"):
        rasterize(geometry([point]), view, splat=2)


def test_points_without_a_surface_reach_each_other_and_beside_one_they_do_not():
    view = camera()
    grid = np.insert(np.mgrid[-0.5:0.5:0.15, -0.4:0.4:0.15].reshape(2, -1).T, 2, 2.0, axis=1)  # 4.5 pixels apart
    spacing = np.full(len(grid), 0.15)
    inner = (slice(18, 30), slice(24, 40))
    assert bool(rasterize(geometry(grid, spacing=spacing), view).hit[inner].all())
    beside = np.concatenate([[(9, 9, 5), (9, 8, 5), (8, 9, 5)], grid])
    alone = rasterize(geometry(beside, [(0, 1, 2)], np.full(len(beside), 0.15)), view)
    assert 0 < alone.hit[inner].sum() < 40


def test_halving_keeps_the_nearest_of_four_and_counts_what_is_covered():
    view = camera(65, 47)
    corners, faces = random_mesh(60)
    mesh = geometry(corners, faces)
    buffer = rasterize(mesh, view)
    samples = locate(mesh, view, buffer)
    coarse, kept = halved(buffer, samples)
    assert coarse.depth.shape == kept.size == (24, 33)
    depth = np.full((48, 66), np.inf)
    depth[:47, :65] = np.where(buffer.hit, buffer.depth, np.inf)
    blocks = depth.reshape(24, 2, 33, 2).min(axis=(1, 3))
    np.testing.assert_array_equal(coarse.depth, np.where(np.isinf(blocks), 0, blocks))
    hit, index = nearest_of_four(buffer.depth, samples.index())
    assert torch.equal(hit, coarse.depth) and torch.equal(index, kept.index())
    share = coverage(buffer.hit)
    assert share.shape == (24, 33) and torch.equal(share > 0, coarse.hit)
    assert coverage(torch.tensor([[True, False, True]])).tolist() == [[0.5, 1.0]]  # beyond the border is nothing


def test_shrinking_averages_the_nearest_surface_alone():
    picture = torch.tensor([[[10.0], [20.0], [7.0]], [[90.0], [30.0], [0.0]]])
    depth = torch.tensor([[2.0, 2.01, 4.0], [3.0, 2.0, 0.0]])
    assert shrink(picture, depth).squeeze(2).tolist() == [[20.0, 7.0]]


def test_cuda_is_refused_where_there_is_none():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    cloud = Cloud(np.zeros((1, 3), np.float32), np.zeros((1, 3), np.uint8), np.zeros((1, 3), np.float32))
    with pytest.raises(UserError, match="CUDA"):
        Geometry.of(cloud, "cuda")
