"""OpenGL's points against the exact z-buffer, on the same cloud.

They differ where OpenGL rounds: it places a point on a grid of 1/256 pixel, so about 0.3 % of the points fall on the
other side of a pixel's border, and its 24-bit depth may not tell apart two points that float32 does.
"""

import ctypes.util
import os

import numpy as np
import pytest

from nrw.core.errors import UserError
from nrw.geometry import rasterize_pyrender
from nrw.geometry.cameras import Camera
from nrw.geometry.pointcloud import Cloud
from nrw.geometry.rasterize import Geometry, rasterize

needs_osmesa = pytest.mark.skipif(ctypes.util.find_library("OSMesa") is None, reason="needs libosmesa6")


@pytest.fixture(scope="module")
def cloud():
    rng = np.random.default_rng(0)
    points = (rng.random((30_000, 3)) * [4, 3, 4] - [2, 1.5, -1]).astype(np.float32)
    return points, rng.integers(0, 256, (30_000, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def camera():
    turn = np.radians(20)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    # an odd width, an off-centre principal point, fx unlike fy: what a wrong convention would betray
    return Camera(161, 120, 130.0, 140.0, 70.3, 66.6, np.hstack([rotation, [[0.1], [0.2], [0.3]]]))


def geometry(points, faces=()):
    faces = np.asarray(faces, np.int32).reshape(-1, 3)
    return Geometry.of(
        Cloud(points, np.zeros(points.shape, np.uint8), points, np.zeros(len(points), np.float32), faces)
    )


@needs_osmesa
def test_triangles_agree_with_the_exact_rasterizer(camera):
    rng = np.random.default_rng(1)
    corners = rng.uniform([-1, -1, 2], [1, 1, 4], (300, 1, 3)) + rng.normal(0, 0.1, (300, 3, 3))
    points = ((corners.reshape(-1, 3) - camera.cam_from_world[:, 3]) @ camera.rotation).astype(np.float32)
    loose = ((rng.uniform([-1, -1, 1.5], [1, 1, 3], (200, 3)) - camera.cam_from_world[:, 3]) @ camera.rotation).astype(
        "f4"
    )
    mesh = geometry(np.concatenate([points, loose]), np.arange(900).reshape(-1, 3))
    exact, drawn = rasterize(mesh, camera, 3), rasterize_pyrender.rasterize(mesh, camera, 3)
    same = exact.primitive == drawn.primitive
    assert exact.hit.float().mean() > 0.2 and same.float().mean() > 0.98
    np.testing.assert_allclose(drawn.depth[same], exact.depth[same], rtol=1e-4)


@needs_osmesa
@pytest.mark.parametrize("splat", [1, 3])
def test_index_and_depth_agree_with_the_exact_rasterizer(cloud, camera, splat):
    points, _ = cloud
    exact = rasterize(geometry(points), camera, splat)
    drawn = rasterize_pyrender.rasterize(geometry(points), camera, splat)
    assert exact.hit.float().mean() > 0.2
    same = exact.primitive == drawn.primitive
    assert same.float().mean() > 0.99
    assert (exact.hit == drawn.hit).float().mean() > 0.995
    np.testing.assert_allclose(drawn.depth[same], exact.depth[same], rtol=2e-6)
    assert drawn.primitive.dtype == exact.primitive.dtype and drawn.depth.dtype == exact.depth.dtype


@needs_osmesa
@pytest.mark.parametrize("point_size", [1, 3])
def test_colors_are_exact_and_the_depth_buffer_is_linear(cloud, camera, point_size):
    points, colors = cloud
    rgb, depth = rasterize_pyrender.render(points, colors, camera, point_size)
    exact = rasterize(geometry(points), camera, point_size)
    hit, expected_depth = exact.hit.numpy(), exact.depth.numpy()
    expected = np.where(hit[..., None], colors[exact.primitive.numpy()], 0)
    same = (rgb == expected).all(axis=-1)
    assert same.mean() > 0.99
    np.testing.assert_allclose(depth[same & hit], expected_depth[same & hit], rtol=1e-5)
    assert (depth[same & ~hit] == 0).all()


@needs_osmesa
def test_chunks_give_the_whole(cloud, camera, monkeypatch):
    points, _ = cloud
    whole = rasterize_pyrender.rasterize(geometry(points), camera)
    monkeypatch.setattr(rasterize_pyrender, "DRAWN", 11_111)
    chunked = rasterize_pyrender.rasterize(geometry(points), camera)
    # nearly: with its nearest and farthest point, a chunk changes the steps of the depth buffer
    assert (whole.primitive == chunked.primitive).float().mean() > 0.999


@needs_osmesa
def test_large_numbers_survive_the_colors(camera, monkeypatch):
    """Points that fill all three bytes, and drawings that end within a chunk."""
    monkeypatch.setattr(rasterize_pyrender, "DRAWN", 70_000)
    away = np.tile(np.float32([0, 0, -5]), (140_000, 1))  # behind the camera
    in_camera = np.array([[0.0, 0, 2], [0.5, 0, 3], [0, 0.5, 4]])
    seen = ((in_camera - camera.cam_from_world[:, 3]) @ camera.rotation).astype(np.float32)
    away = (away - camera.cam_from_world[:, 3]) @ camera.rotation
    points = away.astype(np.float32)
    points[[69_999, 70_000, 139_999]] = seen
    buffer = rasterize_pyrender.rasterize(geometry(points), camera)
    assert sorted(buffer.primitive[buffer.hit].tolist()) == [69_999, 70_000, 139_999]
    np.testing.assert_allclose(sorted(buffer.depth[buffer.hit].tolist()), [2, 3, 4], rtol=1e-6)


@needs_osmesa
def test_nothing_in_view(camera):
    behind = (np.array([[0.0, 0, -1]]) - camera.cam_from_world[:, 3]) @ camera.rotation
    for points in (np.zeros((0, 3), np.float32), behind.astype(np.float32)):
        rgb, depth = rasterize_pyrender.render(points, np.zeros(points.shape, np.uint8), camera)
        assert rgb.shape == (120, 161, 3)
        assert not rgb.any()
        assert not depth.any()
        assert not rasterize_pyrender.rasterize(geometry(points), camera).hit.any()


@needs_osmesa
@pytest.mark.parametrize("value", [None, "egl"])
def test_the_environment_is_left_as_it_was(cloud, camera, monkeypatch, value):
    monkeypatch.delenv("PYOPENGL_PLATFORM", raising=False)
    if value is not None:
        monkeypatch.setenv("PYOPENGL_PLATFORM", value)
    rasterize_pyrender.render(*cloud, camera)
    assert os.environ.get("PYOPENGL_PLATFORM") == value


@needs_osmesa
def test_opengl_bound_to_another_platform_is_an_error(cloud, camera, monkeypatch):
    rasterize_pyrender.render(*cloud, camera)
    monkeypatch.setattr("OpenGL.platform.PLATFORM", object())
    with pytest.raises(RuntimeError, match="imported before"):
        rasterize_pyrender.render(*cloud, camera)


def test_the_missing_library_is_named(cloud, camera, monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(UserError, match="apt-get install libosmesa6"):
        rasterize_pyrender.render(*cloud, camera)
