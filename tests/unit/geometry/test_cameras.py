"""Projection against K [R | t], the borders of the picture, and cameras read from COLMAP models."""

import numpy as np
import pycolmap
import pytest

from nrw.geometry.cameras import Camera, fit_size, read_cameras


@pytest.fixture
def camera():
    rotation = pycolmap.Rotation3d(np.array([0.1, -0.2, 0.3, 0.9]) / np.sqrt(0.95)).matrix()
    return Camera(640, 480, 500.0, 510.0, 300.0, 250.0, np.hstack([rotation, [[0.5], [-0.3], [4.0]]]))


def test_projects_as_k_times_r_t(camera):
    points = np.random.default_rng(0).normal(size=(50, 3))
    homogeneous = np.hstack([points, np.ones((50, 1))]) @ (camera.K @ camera.cam_from_world).T
    uv, depth = camera.project(points)
    np.testing.assert_allclose(uv, homogeneous[:, :2] / homogeneous[:, 2:], rtol=1e-9)
    np.testing.assert_allclose(depth, homogeneous[:, 2], rtol=1e-9)


def test_the_principal_ray_and_the_axes_of_opencv():
    view = Camera(64, 48, 50.0, 50.0, 32.0, 24.0, np.eye(3, 4))
    uv, depth = view.project(np.array([[0, 0, 2.0], [1, 0, 2.0], [0, 1, 2.0], [0, 0, -1.0]]))
    np.testing.assert_allclose(uv[:3], [[32, 24], [57, 24], [32, 49]])  # right is +u, down is +v
    np.testing.assert_allclose(depth, [2, 2, 2, -1])


@pytest.mark.parametrize(
    ("u", "v", "depth", "inside"),
    [
        (32, 24, 2, True),
        (0, 24, 2, True),
        (-1e-9, 24, 2, False),
        (64 - 1e-9, 24, 2, True),
        (64, 24, 2, False),
        (32, 0, 2, True),
        (32, -1e-9, 2, False),
        (32, 48 - 1e-9, 2, True),
        (32, 48, 2, False),
        (0, 0, 2, True),
        (64, 48, 2, False),
        (32, 24, 1e-9, True),
        (32, 24, 0, False),
        (32, 24, -2, False),
        (np.nan, 24, 2, False),
    ],
)
def test_a_picture_contains_its_left_and_upper_border_and_nothing_behind_the_camera(u, v, depth, inside):
    view = Camera(64, 48, 50.0, 50.0, 32.0, 24.0, np.eye(3, 4))
    assert view.contains(np.array([[u, v]]), np.array([depth])).tolist() == [inside]


def test_what_a_picture_contains_falls_into_its_pixels(camera):
    points = 4 * np.random.default_rng(2).normal(size=(5000, 3))
    uv, depth = camera.project(points)
    inside = camera.contains(uv, depth)
    assert 0 < inside.sum() < len(points)
    column, row = np.floor(uv[inside].T).astype(int)
    assert column.min() >= 0 and column.max() < camera.width
    assert row.min() >= 0 and row.max() < camera.height
    assert (depth[inside] > 0).all()


def test_contains_takes_whole_maps_of_coordinates():
    view = Camera(64, 48, 50.0, 50.0, 32.0, 24.0, np.eye(3, 4))
    uv = np.stack(np.meshgrid(np.arange(-1, 65), np.arange(-1, 49)), axis=-1)
    inside = view.contains(uv, np.ones(uv.shape[:2]))
    assert inside.shape == (50, 66)
    assert inside[1:-1, 1:-1].all() and inside.sum() == 48 * 64


def test_the_center_is_where_depth_and_offset_vanish(camera):
    np.testing.assert_allclose(camera.rotation @ camera.center + camera.cam_from_world[:, 3], 0, atol=1e-12)


def test_rays_go_through_the_pixel_centres(camera):
    small = camera.resized(16, 12)
    rays = small.ray_directions()
    assert rays.shape == (12, 16, 3)
    np.testing.assert_allclose(np.linalg.norm(rays, axis=-1), 1, rtol=1e-6)
    uv, depth = small.project(small.center + 3 * rays.reshape(-1, 3))
    columns, rows = np.meshgrid(np.arange(16) + 0.5, np.arange(12) + 0.5)
    np.testing.assert_allclose(uv, np.stack([columns.ravel(), rows.ravel()], -1), atol=1e-4)
    assert (depth > 0).all()


def test_resizing_scales_the_image_with_its_borders(camera):
    points = np.random.default_rng(1).normal(size=(20, 3))
    uv, depth = camera.project(points)
    resized = camera.resized(320, 120)
    other, other_depth = resized.project(points)
    np.testing.assert_allclose(other, uv * [0.5, 0.25])
    np.testing.assert_allclose(other_depth, depth)
    assert (resized.width, resized.height) == (320, 120)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((640, 480, 320), (320, 240)),
        ((480, 640, 320), (240, 320)),
        ((200, 100, 320), (200, 100)),  # never enlarged
        ((1000, 667, 320, 8), (320, 216)),
        ((321, 11, 320, 8), (320, 8)),
        ((3000, 2, 320, 8), (320, 8)),  # never below one multiple
    ],
)
def test_fit_size(arguments, expected):
    assert fit_size(*arguments) == expected


def write_model(folder, model, params, names=("b/0001.jpg", "0000.jpg")):
    reconstruction = pycolmap.Reconstruction()
    lens = pycolmap.Camera(camera_id=1, model=model, width=64, height=48, params=params)
    reconstruction.add_camera_with_trivial_rig(lens)
    for i, name in enumerate(names):
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(np.array([0, 0.1 * i, 0])), np.array([1.0, 2.0, 3.0 + i]))
        image = pycolmap.Image(name=name, camera_id=1, image_id=i + 1)
        reconstruction.add_image_with_trivial_frame(image, pose)
    folder.mkdir(exist_ok=True)
    reconstruction.write(folder)
    return reconstruction


def test_reads_the_cameras_of_a_colmap_model(tmp_path):
    model = write_model(tmp_path / "sparse", "PINHOLE", [50, 51, 30, 25])
    cameras = read_cameras(tmp_path / "sparse")
    assert list(cameras) == ["0000", "0001"]
    camera, image = cameras["0001"], model.images[1]
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (64, 48, 50, 51, 30, 25)
    points = np.random.default_rng(0).normal(size=(10, 3))
    uv, depth = camera.project(points)
    in_camera = np.array([image.cam_from_world() * point for point in points])
    np.testing.assert_allclose(depth, in_camera[:, 2])
    front = depth > 0
    np.testing.assert_allclose(uv[front], model.cameras[1].img_from_cam(in_camera[front]))
    np.testing.assert_allclose(camera.center, image.projection_center())


def test_a_distorted_camera_is_refused(tmp_path):
    write_model(tmp_path / "sparse", "SIMPLE_RADIAL", [50, 30, 25, 0.1])
    with pytest.raises(ValueError, match="SIMPLE_RADIAL"):
        read_cameras(tmp_path / "sparse")
