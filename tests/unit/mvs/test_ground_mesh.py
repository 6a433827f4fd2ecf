"""The ground of a level square as a mesh, from maps of its plane."""

import numpy as np
import pytest
from mvs_scene import HEIGHT, WIDTH, depth_of_plane, level_camera, square, surface_points, write_workspace

from nrw.geometry.pointcloud import Cloud
from nrw.mvs.ground_mesh import ground_mesh, joined
from nrw.mvs.workspace import Workspace, write_map

VOXEL = 0.1
STATIONS = ((0, 0), (1.0, 0.2), (-1.0, -0.2))
NONE = Cloud(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), np.empty((0, 3), np.float32))


@pytest.fixture
def square_maps(tmp_path):
    """(workspace, maps): photos whose depth maps are empty, and maps of the ground nearer than 10 m."""
    cameras = {f"{number:04d}": level_camera(x, y, 1.6) for number, (x, y) in enumerate(STATIONS)}
    gray = np.full((HEIGHT, WIDTH), 128, np.uint8)
    folders = []
    for name in ("mvs", "plane"):
        points = surface_points(cameras["0000"], depth_of=square)
        write_workspace(tmp_path / name, cameras, dict.fromkeys(cameras, gray), points)
        folders.append(Workspace(tmp_path / name))
    for photo_id, camera in cameras.items():
        write_map(folders[0].depth_map(photo_id, "geometric"), np.zeros((HEIGHT, WIDTH), np.float32))
        depth = square(camera)
        ground = depth_of_plane(camera, np.array([0.0, 0, 1]), 0.0)
        shown = np.where((ground == depth) & (depth < 10), depth, 0).astype(np.float32)
        write_map(folders[1].depth_map(photo_id, "geometric"), shown)
    return folders


def test_the_ground_is_level_closed_and_no_larger_than_what_photos_show(square_maps):
    ground = ground_mesh(*square_maps, VOXEL, NONE)
    assert len(ground.faces) > 1000
    np.testing.assert_allclose(ground.points[:, 2], 0, atol=1e-3)
    np.testing.assert_allclose(ground.normals, np.tile([0, 0, 1], (len(ground), 1)), atol=1e-3)
    a, b, c = (ground.points[ground.faces[:, corner], :2].astype(float) for corner in range(3))
    (x1, y1), (x2, y2) = (b - a).T, (c - a).T
    assert (x1 * y2 > x2 * y1).all()  # all faces turn their front up
    in_view = lambda x, y: ground_seen(square_maps[0], x, y)  # noqa: E731
    assert all(in_view(x, y) >= 2 for x, y in ground.points[::37, :2])
    assert ground.points[:, 1].max() < 10.5


def ground_seen(workspace, x, y):
    """How many photos have the point (x, y, 0) in view."""
    point = np.array([[x, y, 0.0]])
    return sum(int(camera.contains(*camera.project(point))[0]) for camera in workspace.cameras.values())


def test_the_ground_leaves_out_what_is_hidden_and_what_the_surface_has(square_maps):
    workspace, maps = square_maps
    whole = ground_mesh(workspace, maps, VOXEL, NONE)
    patch = np.array([[x, y, 0] for x in np.arange(-1, 1, 0.05) for y in np.arange(6, 7, 0.05)], np.float32)
    normals = np.tile(np.float32([0, 0, 1]), (len(patch), 1))
    surface = Cloud(patch, np.zeros(patch.shape, np.uint8), normals)
    beside = ground_mesh(workspace, maps, VOXEL, surface)
    inside = lambda points: (np.abs(points[:, 0]) < 0.8) & (np.abs(points[:, 1] - 6.5) < 0.3)  # noqa: E731
    assert inside(whole.points).sum() > 20 and not inside(beside.points).any()
    for photo_id in workspace.cameras:  # a wall at 3 m before everything
        write_map(workspace.depth_map(photo_id, "geometric"), np.full((HEIGHT, WIDTH), 3, np.float32))
    assert ground_mesh(workspace, maps, VOXEL, NONE).points[:, 1].max() < 3.5 < whole.points[:, 1].max()


def test_without_maps_there_is_no_ground(square_maps):
    workspace, maps = square_maps
    for photo_id in workspace.cameras:
        write_map(maps.depth_map(photo_id, "geometric"), np.zeros((HEIGHT, WIDTH), np.float32))
    ground = ground_mesh(workspace, maps, VOXEL, NONE)
    assert len(ground) == 0 and ground.faces.shape == (0, 3)


def test_joined_meshes_keep_their_faces(square_maps):
    ground = ground_mesh(*square_maps, VOXEL, NONE)
    both = joined(ground, ground)
    assert len(both) == 2 * len(ground) and len(both.faces) == 2 * len(ground.faces)
    np.testing.assert_array_equal(both.points[both.faces[len(ground.faces) :]], ground.points[ground.faces])
